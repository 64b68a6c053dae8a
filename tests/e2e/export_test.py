"""`yoke export` from the command line to the file: what it writes and what it refuses."""

import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

import harness
from bad_input_test import module_pickle, pickle_zip


def fields(message):
    """(field number, value) of a protobuf message; length-delimited values as bytes."""

    def varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            shift += 7
            at += 1
            if message[at - 1] < 0x80:
                return value, at

    at = 0
    while at < len(message):
        key, at = varint(at)
        value, at = varint(at)
        if key & 7 == 2:
            value, at = message[at : at + value], at + value
        yield key >> 3, value


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory(prefix="yoke-data.")
        cls.root = pathlib.Path(cls.holder.name)
        cls.box = harness.Box()
        cls.box.__enter__()
        data = harness.shapes(cls.root / "set", images=4, val=2)
        job = cls.box.submit("train", f"data={data}", "model=yolov8n.yaml", "epochs=1", "batch=2", "imgsz=32", "val=False", "device=0", "plots=False")
        cls.weights = pathlib.Path(cls.box.wait(job)["runDir"]) / "weights" / "last.pt"

    @classmethod
    def tearDownClass(cls):
        cls.box.__exit__(None, None, None)
        cls.holder.cleanup()

    def export(self, *words):
        job = json.loads(self.box.yoke("export", f"model={self.weights}", *words, "--wait", "-o", "json").stdout)
        self.assertEqual(job["state"], "SUCCEEDED")
        result = job["result"]["export"]
        self.assertEqual(os.path.getsize(result["path"]), int(result["bytes"]))
        return job, result

    def refuse(self, code, text, *words):
        before = len(self.box.json("jobs")["jobs"])
        done = self.box.yoke("export", *words, check=False)
        shown = f"yoke export {' '.join(map(str, words))}\nexit {done.returncode}\n{done.stdout}{done.stderr}"
        self.assertEqual(done.returncode, code, shown)
        self.assertIn(text, done.stderr, shown)
        self.assertEqual(len(self.box.json("jobs")["jobs"]), before)

    def test_onnx_lands_in_the_run_folder_unless_a_file_is_named(self):
        job, result = self.export("format=onnx", "imgsz=64")
        self.assertEqual(result, {"path": job["runDir"] + "/last.onnx", "format": "onnx", "bytes": result["bytes"]})
        named = self.root / "new" / "folder" / "shapes.onnx"
        _, result = self.export("format=onnx", "imgsz=64", "nms=True", "dynamic=True", "conf=0.1", "opset=19", f"out={named}")
        self.assertEqual(result["path"], str(named))
        self.assertEqual(list(named.parent.iterdir()), [named])
        model = list(fields(named.read_bytes()))
        self.assertEqual([value for number, value in model if number == 1], [9])  # the format's version
        self.assertEqual([value for number, value in model if number == 8], [b"\x0a\x00\x10\x13"])  # opset 19
        facts = dict(tuple(text.decode() for _, text in fields(value)) for number, value in model if number == 14)
        self.assertIn("'nms': True", facts["args"])
        self.assertIn("'conf': 0.1", facts["args"])
        self.assertTrue(facts["names"].startswith("{0: '"))

    def test_safetensors_holds_the_state(self):
        _, plain = self.export("format=safetensors")
        _, half = self.export("format=safetensors", "half=True", f"out={self.root / 'half.safetensors'}")
        self.assertLess(int(half["bytes"]), int(plain["bytes"]) * 0.55)
        content = pathlib.Path(half["path"]).read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        self.assertEqual(header.pop("__metadata__")["scale"], "n")
        self.assertEqual(len(header), 355)
        self.assertEqual(max(tensor["data_offsets"][1] for tensor in header.values()), len(content) - 8 - size)

    def test_targets_that_are_no_file(self):
        folder = self.root / "folder"
        folder.mkdir()
        self.refuse(2, "is a folder; name the file", f"model={self.weights}", f"out={folder}")
        self.refuse(2, "the model itself", f"model={self.weights}", f"out={self.weights}")
        self.refuse(2, "where a folder is needed", f"model={self.weights}", f"out={self.weights}/model.onnx")

    def test_models_that_cannot_be_exported(self):
        self.refuse(3, "missing.pt", f"model={self.root / 'missing.pt'}")
        notes = self.root / "notes.txt"
        notes.write_text("these are notes")
        self.refuse(2, "notes.txt", f"model={notes}")
        segment = self.root / "segment.pt"
        pickle_zip(segment, module_pickle("ultralytics.nn.tasks", "SegmentationModel"))
        self.refuse(2, "segmentation", f"model={segment}")
        self.refuse(2, "needs a .pt", "model=yolov8n.yaml")

    def test_keys(self):
        model = f"model={self.weights}"
        self.refuse(2, "opset", model, "opset=7")
        self.refuse(2, "format", model, "format=tflite")
        self.refuse(2, "half belongs to format=safetensors", model, "half=True")
        self.refuse(2, "nms belongs to format=onnx", model, "format=safetensors", "nms=True")
        self.refuse(2, "model", "format=onnx")

    def test_a_full_disk_fails_the_job_and_leaves_nothing(self):
        small = self.root / "small"
        small.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True).returncode != 0:
            self.skipTest("no permission to mount a small file system")
        try:
            job = self.box.submit("export", f"model={self.weights}", f"out={small / 'model.onnx'}")
            self.assertEqual(self.box.wait(job, "FAILED")["reason"], "DISK_FULL")
            self.assertEqual(list(small.iterdir()), [])
        finally:
            subprocess.run(["umount", small], check=True)


if __name__ == "__main__":
    harness.main()
