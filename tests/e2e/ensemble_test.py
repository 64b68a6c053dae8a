"""Several models measured and labelling together, and what COCO's own protocol says of a predictions.json."""

import json
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import coco
import harness

METRICS = ("precision", "recall", "map50", "map5095", "fitness")


def result(box, task, *words):
    """The result of a job that is waited for."""
    job = json.loads(box.yoke(task, *words, "--wait", "-o", "json").stdout)
    assert job["state"] == "SUCCEEDED", job
    return job["result"][task]


def trained(box, data, seed=0, epochs=15):
    """Weights after a short training; they find some of the shapes."""
    job = json.loads(box.yoke("train", f"data={data}", "model=yolov8n.yaml", f"epochs={epochs}", "batch=8", "imgsz=64", "optimizer=AdamW", "lr0=0.002",
                              "warmup_epochs=1", "mosaic=0", "plots=False", f"seed={seed}", "device=0", "--wait", "-o", "json").stdout)
    assert job["state"] == "SUCCEEDED", job
    return pathlib.Path(job["result"]["train"]["runDir"]) / "weights" / "last.pt"


class OfDrawnShapes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="yoke-data.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.box = cls.enterClassContext(harness.Box())
        cls.data = harness.shapes(pathlib.Path(cls.folder.name) / "set", images=96, val=12)
        cls.a, cls.b = (trained(cls.box, cls.data, seed=seed) for seed in (1, 2))

    def validate(self, *words, device="0,1"):
        return result(self.box, "val", f"data={self.data}", "imgsz=64", "batch=4", "conf=0.0001", f"device={device}", *words)

    def test_members_are_measured_as_if_alone_and_the_order_does_not_matter(self):
        alone = [self.validate(f"model={weights}")["metrics"] for weights in (self.a, self.b)]
        self.assertTrue(all(single["map50"] > 0 for single in alone), alone)
        for method in ("wbf", "nms", "soft_nms"):
            with self.subTest(method=method):
                straight = self.validate(f"model={self.a},{self.b}", "weights=2,1", f"ensemble={method}")
                swapped = self.validate(f"model={self.b},{self.a}", "weights=1,2", f"ensemble={method}")
                self.assertEqual([member["model"] for member in straight["members"]], [str(self.a), str(self.b)])
                self.assertEqual([member["weight"] for member in straight["members"]], [2, 1])
                for member, single in zip(straight["members"], alone):
                    self.assertEqual(member["metrics"], single)
                self.assertEqual(straight["members"], swapped["members"][::-1])
                for key in METRICS:
                    # Only detections of equal confidence may change places.
                    self.assertAlmostEqual(straight["metrics"][key], swapped["metrics"][key], delta=0.02, msg=key)
                self.assertGreaterEqual(straight["metrics"]["map50"], 0.5 * min(single["map50"] for single in alone))

    def test_two_ranks_measure_exactly_what_one_does(self):
        one, two = (self.validate(f"model={self.a},{self.b}", "save_json=True", device=device) for device in ("0", "0,1"))
        for part in ("metrics", "metricsClassic", "perClass", "members", "coco", "images", "instances"):
            self.assertEqual(one[part], two[part], part)
        texts = [(pathlib.Path(run["runDir"]) / "predictions.json").read_text() for run in (one, two)]
        self.assertEqual(*texts)

    def test_the_command_line_shows_members_and_ensemble_in_one_table(self):
        job = self.box.submit("val", f"data={self.data}", f"model={self.a},{self.b}", "imgsz=64", "batch=4", "save_json=True", "device=0", "--wait")
        text = self.box.yoke("job", "show", job).stdout
        for words in ("MODEL", str(self.a), str(self.b), "together (wbf)", "protocol 8.4:", "protocol 8.1:", "protocol COCO: AP"):
            self.assertIn(words, text)

    def test_labels_of_both_together(self):
        out = pathlib.Path(self.folder.name) / "labels"
        images = self.data.parent / "images" / "val"
        for name, models in (("straight", (self.a, self.b)), ("swapped", (self.b, self.a))):
            counts = result(self.box, "label", "model=" + ",".join(map(str, models)), f"source={images}", f"out={out / name}", "imgsz=64",
                            "conf=0.001", "device=0,1")
            self.assertEqual(int(counts["images"]), 12)
            self.assertEqual(int(counts["failed"]), 0)
            self.assertGreater(int(counts["boxes"]), 0)
        self.assertEqual(*(sum(1 for file in sorted((out / name).glob("0*.txt")) for _ in file.open()) for name in ("straight", "swapped")))
        self.assertEqual((out / "straight" / "classes.txt").read_text(), "circle\nsquare\ntriangle\n")

    def test_models_without_a_common_class_are_refused_before_they_are_queued(self):
        other = harness.shapes(pathlib.Path(self.folder.name) / "other", images=4, val=2)
        other.write_text(other.read_text().replace("circle", "cat").replace("square", "dog").replace("triangle", "fish"))
        fish = trained(self.box, other, epochs=1)
        before = len(self.box.json("jobs")["jobs"])
        refused = self.box.yoke("val", f"data={self.data}", f"model={self.a},{fish}", check=False)
        self.assertNotEqual(refused.returncode, 0)
        for words in (str(self.a), str(fish), "no class in common"):
            self.assertIn(words, refused.stderr)
        self.assertEqual(len(self.box.json("jobs")["jobs"]), before)


class WithRealMaterial(unittest.TestCase):
    @harness.needs_test_data
    def test_a_model_beside_itself_labels_as_if_alone(self):
        data = pathlib.Path(harness.TEST_DATA)
        weights = data / "weights" / "yolov8n.pt"
        with tempfile.TemporaryDirectory(prefix="yoke-data.") as folder, harness.Box() as box:
            folder = pathlib.Path(folder)
            (folder / "in").mkdir()
            for name in ("bus.jpg", "zidane.jpg"):
                shutil.copy(data / "images" / name, folder / "in")
            for name, words in (("one", [f"model={weights}"]),
                                ("two", [f"model={weights},{weights}", "ensemble=nms", "ensemble_iou=0.7", "weights=3,3"])):
                result(box, "label", *words, f"source={folder / 'in'}", f"out={folder / name}", "save_conf=True", "device=0,1")
            for name in ("bus.txt", "zidane.txt"):
                self.assertEqual((folder / "two" / name).read_text(), (folder / "one" / name).read_text())
                self.assertGreater(len((folder / "one" / name).read_text().splitlines()), 2)

    @harness.needs_test_data
    def test_predictions_of_coco128_have_the_same_figures_in_pycocotools(self):
        data = pathlib.Path(harness.TEST_DATA)
        sizes = coco.image_sizes(sorted((data / "coco128" / "images" / "train2017").glob("*.jpg")))
        with tempfile.TemporaryDirectory(prefix="yoke-data.") as folder, harness.Box() as box:
            val = result(box, "val", f"model={data / 'weights' / 'yolov8n.pt'}", f"data={data / 'coco128' / 'data.yaml'}", "save_json=True", "device=0,1")
            self.assertEqual(val["members"], [])
            predictions = pathlib.Path(val["runDir"]) / "predictions.json"
            rows = json.loads(predictions.read_text())
            self.assertEqual(set(rows[0]), {"image_id", "file_name", "category_id", "bbox", "score"})
            self.assertEqual(rows[0]["image_id"], int(pathlib.Path(rows[0]["file_name"]).stem))
            self.assertEqual(max(row["category_id"] for row in rows), 90)
            truths = pathlib.Path(folder) / "truths.json"
            coco.write_truths_of_labels(truths, sizes, data / "coco128" / "labels" / "train2017")
            for name, want in zip(coco.FIGURES, coco.figures(truths, predictions), strict=True):
                self.assertAlmostEqual(val["coco"][name], want, delta=1e-6, msg=name)
            self.assertAlmostEqual(val["metrics"]["map50"], 0.6067, delta=0.005)


if __name__ == "__main__":
    harness.main()
