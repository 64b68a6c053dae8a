"""What `yoke export` writes, in the programs that it is written for: onnx's checker, onnxruntime, safetensors.

yoke-export-samples makes the files and our own answers. Weights are random, and real where YOKE_TEST_DATA is set.
"""

import ast
import itertools
import json
import pathlib
import subprocess
import tempfile
import unittest

import harness
import oracles

# Between LibTorch's and onnxruntime's float32, by the order of additions; boxes relative to the picture's width.
BOX_TOLERANCE, SCORE_TOLERANCE = 1e-4, 1e-4
# Between two graphs of one runtime, which differ in how they reach a box's corners; in px.
CORNER_TOLERANCE, CONFIDENCE_TOLERANCE = 1e-2, 1e-5


def samples(*words):
    subprocess.run([harness.BIN / "yoke-export-samples", *map(str, words)], check=True)


class Exported(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.onnx, cls.runtime, cls.numpy = oracles.require("onnx", "onnxruntime", "numpy")

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="yoke-export.")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def tensor(self, description):
        return self.numpy.fromfile(self.folder / description["file"], self.numpy.float32).reshape(description["shape"])

    def session(self, name):
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = 1
        return self.runtime.InferenceSession(self.folder / name, options, providers=["CPUExecutionProvider"])

    def run_model(self, name, images):
        return self.session(name).run(["output0"], {"images": images})[0]

    def check_file(self, name, opset):
        """Well-formed, as protobuf itself would write it, and with shapes that follow from the operators."""
        content = (self.folder / name).read_bytes()
        model = self.onnx.load_from_string(content)
        self.assertEqual(model.SerializeToString(deterministic=True), content, name)
        self.assertEqual([(entry.domain, entry.version) for entry in model.opset_import], [("", opset)])
        self.onnx.checker.check_model(model, full_check=True)
        inferred = self.onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        self.assertGreater(len(inferred.graph.value_info), 100)

    def check_predictions(self, case):
        images, want = self.tensor(case["images"]), self.tensor(case["want"])
        got = self.run_model(case["model"], images)
        self.assertEqual(got.shape, want.shape)
        difference = abs(got - want)
        self.assertLess(difference[:, :4].max(), BOX_TOLERANCE * images.shape[3], case)
        self.assertLess(difference[:, 4:].max(), SCORE_TOLERANCE, case)

    def check_suppression(self, cases):
        """The same detections as our suppression finds in what the graph without suppression answers."""
        for number, case in enumerate(cases):
            predictions = self.run_model("dynamic.onnx", self.tensor(case["images"]))
            predictions.tofile(self.folder / f"predictions{number}")
            case["predictions"] = {"file": f"predictions{number}", "shape": predictions.shape}
            case["want"] = f"detections{number}"
        (self.folder / "requests.json").write_text(json.dumps(cases))
        samples("suppress", self.folder)
        found = 0
        for case in cases:
            images, most = self.tensor(case["images"]), case["suppression"]["max_det"]
            want = self.tensor({"file": case["want"], "shape": (len(images), most, 6)})
            got = self.run_model(case["model"], images)
            self.assertEqual(got.shape, want.shape)
            for ours, theirs in zip(want, got):
                found += self.check_detections(ours, theirs, case)
        return found

    def check_detections(self, want, got, case):
        count = int((want[:, 4] > 0).sum())
        self.assertEqual(int((got[:, 4] > 0).sum()), count, case)
        self.assertFalse(got[count:].any(), case)
        self.assertTrue((got[1:count, 4] <= got[: max(count - 1, 0), 4]).all(), case)
        for row in want[:count]:
            # Of those with one confidence, which one is last is not defined.
            if count == len(want) and row[4] - want[-1, 4] < CONFIDENCE_TOLERANCE:
                continue
            near = got[:count][got[:count, 5] == row[5]]
            same = (abs(near[:, :4] - row[:4]).max(axis=1) < CORNER_TOLERANCE) & (abs(near[:, 4] - row[4]) < CONFIDENCE_TOLERANCE)
            self.assertTrue(same.any(), f"no detection like {row} in {near}, {case}")
        return count

    def check_all(self, opset):
        cases = json.loads((self.folder / "cases.json").read_text())["cases"]
        for name in sorted({case["model"] for case in cases}):
            self.check_file(name, opset)
        for case in cases:
            if "want" in case:
                self.check_predictions(case)
        return self.check_suppression([case for case in cases if "suppression" in case])


class RandomModels(Exported):
    def test_every_scale_and_class_count_answers_as_our_network_does(self):
        for scale, classes in itertools.product("ns", (1, 3, 80)):
            with self.subTest(scale=scale, classes=classes):
                samples("random", self.folder, scale, classes, 17)
                self.assertGreater(self.check_all(17), 100)

    def test_every_opset(self):
        for opset in (13, 14, 15, 16, 18, 19, 20, 21, 22):
            with self.subTest(opset=opset):
                samples("random", self.folder, "n", 3, opset)
                self.check_all(opset)

    def test_shapes_and_metadata_are_those_of_the_reference(self):
        samples("random", self.folder, "n", 3, 17)
        names = json.loads((self.folder / "cases.json").read_text())["names"]
        opened = ["batch", 3, "height", "width"]
        expected = {
            "fixed.onnx": (64, [2, 3, 64, 64], [2, 7, 84]),
            "dynamic.onnx": (640, opened, ["batch", 7, "anchors"]),
            "nms.onnx": (96, [2, 3, 96, 96], [2, 20, 6]),
            "nms_dynamic.onnx": (96, opened, ["batch", 60, 6]),
        }
        for name, (size, images, output) in expected.items():
            session = self.session(name)
            self.assertEqual([(value.name, value.shape) for value in session.get_inputs()], [("images", images)])
            self.assertEqual([(value.name, value.shape) for value in session.get_outputs()], [("output0", output)])
            facts = session.get_modelmeta().custom_metadata_map
            self.assertEqual(ast.literal_eval(facts["names"]), dict(enumerate(names)))
            self.assertEqual(ast.literal_eval(facts["imgsz"]), [size, size])
            self.assertEqual([facts[key] for key in ("stride", "task", "author")], ["32", "detect", "Yoke"])
            args = ast.literal_eval(facts["args"])
            self.assertEqual([args["nms"], args["dynamic"]], ["nms" in name, "dynamic" in name])


class RealModel(Exported):
    @harness.needs_test_data
    def test_photos_through_the_official_weights(self):
        image_module = oracles.require("PIL.Image")
        data = pathlib.Path(harness.TEST_DATA)
        for name, (width, height), most in (("bus.jpg", (480, 640), 6), ("zidane.jpg", (640, 384), 3)):
            with self.subTest(name):
                photo = image_module.open(data / "images" / name).convert("RGB")
                scale = min(width / photo.width, height / photo.height)
                canvas = image_module.new("RGB", (width, height), (114, 114, 114))
                fitted = photo.resize((round(photo.width * scale), round(photo.height * scale)))
                canvas.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
                pixels = self.numpy.asarray(canvas, self.numpy.float32).transpose(2, 0, 1) / 255
                pixels.astype(self.numpy.float32).tofile(self.folder / "images")
                samples("given", self.folder, data / "weights" / "yolov8n.pt", height, width)
                found = self.check_all(17)
                # Resampled by another program than the reference's, so a weak detection may be missing.
                self.assertGreaterEqual(found, most - 2)


class Weights(Exported):
    def test_every_tensor_is_in_the_safetensors_file(self):
        loader, opener = oracles.require("safetensors.numpy", "safetensors")
        samples("random", self.folder, "n", 3, 17)
        state = json.loads((self.folder / "state.json").read_text())
        values, at = self.tensor(state["values"]), 0
        plain, half = (loader.load_file(self.folder / name) for name in ("plain.safetensors", "half.safetensors"))
        self.assertEqual(sorted(plain), sorted(tensor["name"] for tensor in state["tensors"]))
        self.assertEqual(sorted(half), sorted(plain))
        for tensor in state["tensors"]:
            name, size = tensor["name"], int(self.numpy.prod(tensor["shape"], dtype=int))
            want = values[at : at + size].reshape(tensor["shape"])
            at += size
            counts = name.endswith("num_batches_tracked")
            self.assertEqual([plain[name].dtype, half[name].dtype], ["int64", "int64"] if counts else ["float32", "float16"], name)
            self.assertTrue((plain[name] == want).all(), name)
            self.assertTrue((half[name] == want.astype(half[name].dtype)).all(), name)
        with opener.safe_open(self.folder / "plain.safetensors", "numpy") as file:
            facts = file.metadata()
        names = json.loads((self.folder / "cases.json").read_text())["names"]
        self.assertEqual(json.loads(facts["names"]), names)
        self.assertEqual([facts[key] for key in ("scale", "nc", "stride", "task")], ["n", "3", "32", "detect"])


if __name__ == "__main__":
    harness.main()
