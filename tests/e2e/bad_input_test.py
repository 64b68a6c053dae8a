"""Everything a person can get wrong: a clear sentence, the published exit code, and nothing left behind."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import zipfile

import harness


def pickle_zip(path, pickle, root="archive"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{root}/data.pkl", pickle)
        archive.writestr(f"{root}/version", b"3\n")


def global_pickle(module, name):
    """A protocol 2 pickle of one bare global."""
    return b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n."


def module_pickle(module, name):
    """{"model": object of module.name}, made by NEWOBJ on an empty tuple, as torch.save writes a module."""
    return b"\x80\x02}X\x05\x00\x00\x00modelc" + module.encode() + b"\n" + name.encode() + b"\n)\x81s."


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="yoke-data.")
        cls.root = pathlib.Path(cls.folder.name)
        cls.good = harness.shapes(cls.root / "good", images=12, val=4)
        cls.box = harness.Box()
        cls.box.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.box.__exit__(None, None, None)
        cls.folder.cleanup()

    def refuse(self, code, texts, *words, verb="train", **options):
        """The command exits with `code`, says each of `texts` on stderr, and leaves no job."""
        before = self.box.json("jobs")["jobs"]
        done = self.box.yoke(verb, *words, check=False, **options)
        shown = f"yoke {verb} {' '.join(map(str, words))}\nexit {done.returncode}\n{done.stdout}{done.stderr}"
        self.assertEqual(done.returncode, code, shown)
        for text in [texts] if isinstance(texts, str) else texts:
            self.assertIn(text, done.stderr, shown)
        self.assertEqual(done.stdout, "", shown)
        self.assertEqual([job["name"] for job in self.box.json("jobs")["jobs"]], [job["name"] for job in before])

    def train(self, code, texts, **keys):
        keys = {"data": self.good, "model": "yolov8n.yaml", "epochs": 1, "batch": 4, "imgsz": 64, "device": "0", **keys}
        self.refuse(code, texts, *[f"{key}={value}" for key, value in keys.items() if value is not None])

    def copy(self, name):
        target = self.root / name
        shutil.copytree(self.root / "good", target)
        return target

    def first_label(self, tree):
        return sorted((tree / "labels" / "train").glob("*.txt"))[0]

    def test_device_strings(self):
        self.train(2, "CPU slot 5 not available. Only 2 CPU slot(s) detected.", device=5)
        self.train(2, "device", device="")
        self.train(2, "0,,1", device="0,,1")
        self.train(2, "abc", device="abc")
        self.train(2, "twice", device="0,0")

    def test_keys_and_values(self):
        self.train(2, ["epoch", "epochs"], epoch=3)
        self.train(2, "epochs", epochs=0)
        self.train(2, "epochs", epochs="many")
        self.train(2, ["batch=5", "4", "6"], batch=5, device="0,1")
        self.train(2, "batch", batch=1, device="0,1")

    def test_image_size_is_rounded_up_and_said(self):
        done = self.box.yoke("train", f"data={self.good}", "model=yolov8n.yaml", "imgsz=70", "batch=4", "device=0", "--dry-run")
        self.assertIn("96", done.stdout + done.stderr)

    def test_data_set_descriptions(self):
        self.train(3, "nowhere.yaml", data=self.root / "nowhere.yaml")
        unnamed = self.copy("unnamed") / "data.yaml"
        unnamed.write_text("train: images/train\nval: images/val\n")
        self.train(2, ["data.yaml", "names"], data=unnamed)
        empty = self.copy("empty")
        shutil.rmtree(empty / "images" / "train")
        (empty / "images" / "train").mkdir()
        self.train(2, "images/train", data=empty / "data.yaml")
        mangled = self.root / "mangled.yaml"
        mangled.write_text("train: [images\n")
        self.train(2, "mangled.yaml:", data=mangled)

    def test_labels(self):
        rows = {
            "class": ("7 0.5 0.5 0.1 0.1", "7"),
            "nan": ("0 nan 0.5 0.1 0.1", "nan"),
            "columns": ("0 0.5 0.5 0.1 0.1 0.9", "6"),
            "negative": ("0 -0.5 0.5 0.1 0.1", "-0.5"),
            "over": ("0 1.5 0.5 0.1 0.1", "1.5"),
            "word": ("0 x 0.5 0.1 0.1", "x"),
        }
        for name, (row, word) in rows.items():
            with self.subTest(name):
                tree = self.copy("label-" + name)
                label = self.first_label(tree)
                label.write_text("0 0.5 0.5 0.2 0.2\n" + row + "\n")
                self.train(2, [f"{label.name}:2:", word], data=tree / "data.yaml")

    def test_images_that_cannot_be_read_are_named(self):
        tree = self.copy("images")
        images = sorted((tree / "images" / "train").iterdir())
        images[0].write_bytes(b"")
        images[1].write_bytes(images[1].read_bytes()[: images[1].stat().st_size // 2])
        images[2].write_bytes(b"this is no image at all")
        done = self.box.yoke("train", f"data={tree / 'data.yaml'}", "model=yolov8n.yaml", "batch=4", "imgsz=64", "device=0", "epochs=1", "--dry-run")
        for image in images[:3]:
            self.assertIn(image.name, done.stdout + done.stderr)

    def test_weights(self):
        def weights(name, content=None):
            path = self.root / name
            if content is not None:
                path.write_bytes(content)
            return path

        self.train(3, ["missing.pt"], model=self.root / "missing.pt")
        self.train(2, ["plain.pt", "zip"], model=weights("plain.pt", b"not a zip at all" * 40))
        evil = weights("evil.pt")
        pickle_zip(evil, b"\x80\x02cos\nsystem\nX\x10\x00\x00\x00touch /tmp/yoked!\x85R.")
        self.train(2, ["evil.pt", "os.system"], model=evil)
        cut = weights("cut.pt", evil.read_bytes()[:-30])
        self.train(2, "cut.pt", model=cut)
        segment = weights("segment.pt")
        pickle_zip(segment, module_pickle("ultralytics.nn.tasks", "SegmentationModel"))
        self.train(2, ["segment.pt", "segmentation"], model=segment)
        five = weights("five.pt")
        pickle_zip(five, module_pickle("models.yolo", "DetectionModel"))
        self.train(2, ["five.pt", "YOLOv5"], model=five)

    @unittest.skipIf(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), "root may write anywhere, and setpriv is missing")
    def test_no_permission_to_write(self):
        denied = self.root / "denied"
        denied.mkdir()
        denied.chmod(0o500)
        if os.geteuid() != 0:
            self.refuse(2, str(denied), f"model={self.good}", f"source={self.good.parent / 'images'}", f"out={denied / 'labels'}", "device=0", verb="label")
            return
        # Root ignores permission bits: a read-only mount is what stops it.
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", denied], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("no permission to mount a read-only file system")
        try:
            self.refuse(2, str(denied), f"source={self.good.parent}", f"out={denied / 'set'}", verb="process")
        finally:
            subprocess.run(["umount", denied], check=True)

    def test_disk_full(self):
        small = self.root / "small"
        small.mkdir(exist_ok=True)
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], capture_output=True).returncode != 0:
            self.skipTest("no permission to mount a small file system")
        try:
            source = harness.shapes(self.root / "large", images=200, val=4, size=320).parent
            job = self.box.submit("process", f"source={source / 'images'}", f"out={small / 'set'}", "device=0", "--no-check")
            failed = self.box.wait(job, "FAILED")
            self.assertEqual(failed["reason"], "DISK_FULL")
            self.assertIn("space", failed["message"])
            self.assertEqual(list(small.iterdir()), [])
        finally:
            subprocess.run(["umount", small], check=True)

    def test_no_daemon(self):
        answer = self.box.yoke("jobs", check=False, env={"YOKE_SERVER": f"unix://{self.root}/none"})
        self.assertEqual(answer.returncode, 5)
        self.assertIn("yoked", answer.stderr)

    def test_a_second_daemon_on_one_state_folder(self):
        second = subprocess.run([harness.BIN / "yoked", "--state", self.box.state, "--socket", self.root / "second"], capture_output=True,
                                text=True, timeout=10)
        self.assertEqual(second.returncode, 6)
        self.assertIn(str(self.box.daemon.pid), second.stderr)
        self.assertFalse((self.root / "second").exists())


if __name__ == "__main__":
    harness.main()
