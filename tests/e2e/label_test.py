"""Labelling, validation and processing: drawn images everywhere, the real sets and weights where they are."""

import hashlib
import json
import pathlib
import shutil
import tempfile
import unittest

import harness


def fingerprint(folder):
    """Path -> hash of every file below, to show that nothing was touched."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


class WithDrawnImages(unittest.TestCase):
    def test_process_then_train_leaves_the_source_alone(self):
        with tempfile.TemporaryDirectory(prefix="yoke-data.") as folder, harness.Box() as box:
            folder = pathlib.Path(folder)
            drawn = harness.shapes(folder / "drawn", images=30, val=6).parent
            raw = folder / "raw"
            raw.mkdir()
            for file in [*drawn.glob("images/train/*"), *drawn.glob("labels/train/*")]:
                shutil.copy(file, raw)
            before = fingerprint(raw)
            job = json.loads(box.yoke("process", f"source={raw}", f"out={folder / 'set'}", "split=0.7,0.2,0.1", "epochs=1", "batch=4", "imgsz=64",
                                      "model=yolov8n.yaml", "device=0,1", "--wait", "-o", "json").stdout)
            self.assertEqual(job["state"], "SUCCEEDED")
            made = job["result"]["process"]
            self.assertEqual(int(made["images"]), 30)
            self.assertEqual(sum(int(made[part]) for part in ("train", "val", "test")), 30)
            self.assertEqual(job["result"]["train"]["worldSize"], 2)
            self.assertNotIn(str(folder), (folder / "set" / "data.yaml").read_text())
            self.assertEqual(fingerprint(raw), before)


class WithRealMaterial(unittest.TestCase):
    @harness.needs_test_data
    def test_labels_of_photos_equal_the_reference_and_a_broken_one_is_counted(self):
        data = pathlib.Path(harness.TEST_DATA)
        with tempfile.TemporaryDirectory(prefix="yoke-data.") as folder, harness.Box() as box:
            folder = pathlib.Path(folder)
            (folder / "in" / "sub").mkdir(parents=True)
            shutil.copy(data / "images" / "bus.jpg", folder / "in")
            shutil.copy(data / "images" / "zidane.jpg", folder / "in" / "sub")
            (folder / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
            job = json.loads(box.yoke("label", f"model={data / 'weights' / 'yolov8n.pt'}", f"source={folder / 'in'}", f"out={folder / 'out'}",
                                      "save_conf=True", "device=0,1", "--wait", "-o", "json").stdout)
            self.assertEqual(job["state"], "SUCCEEDED")
            counts = job["result"]["label"]
            self.assertEqual([int(counts[key]) for key in ("images", "labelled", "failed", "boxes")], [3, 2, 1, 9])
            self.assertIn("broken.png", counts["failures"][0])
            bus = [line.split() for line in (folder / "out" / "bus.txt").read_text().splitlines()]
            zidane = [line.split() for line in (folder / "out" / "sub" / "zidane.txt").read_text().splitlines()]
            self.assertEqual([round(float(row[5]), 2) for row in bus], [0.87, 0.87, 0.85, 0.83, 0.26, 0.26])
            self.assertEqual([row[0] for row in zidane], ["0", "0", "27"])
            (folder / "out" / "bus.txt").write_text("mine\n")
            again = json.loads(box.yoke("label", f"model={data / 'weights' / 'yolov8n.pt'}", f"source={folder / 'in'}", f"out={folder / 'out'}",
                                        "device=0", "--wait", "-o", "json").stdout)
            self.assertEqual(int(again["result"]["label"]["kept"]), 2)
            self.assertEqual((folder / "out" / "bus.txt").read_text(), "mine\n")

    @harness.needs_test_data
    def test_validation_of_coco8_equals_the_reference(self):
        data = pathlib.Path(harness.TEST_DATA)
        with harness.Box() as box:
            for rect, map50, map5095 in ((True, 0.89572, 0.62989), (False, 0.81546, 0.60891)):
                job = json.loads(box.yoke("val", f"model={data / 'weights' / 'yolov8n.pt'}", f"data={data / 'coco8' / 'coco8.yaml'}", "batch=4",
                                          f"rect={rect}", "device=cpu", "--wait", "-o", "json").stdout)
                metrics = job["result"]["val"]["metrics"]
                self.assertAlmostEqual(metrics["map50"], map50, delta=0.005)
                self.assertAlmostEqual(metrics["map5095"], map5095, delta=0.005)


if __name__ == "__main__":
    harness.main()
