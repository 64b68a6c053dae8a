"""Our COCO figures against pycocotools, on random sets of objects and detections."""
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]

import coco  # noqa: E402
import harness  # noqa: E402

# Both sum the same numbers, in another order.
TOLERANCE = 1e-9
SIDES = (4, 10, 31.999, 32, 32.001, 50, 95.999, 96, 96.001, 150)  # around the limits of the sizes


def random_set(seed, images, classes, objects_max, detections_max, score_steps):
    """Images without objects, without detections, or both; detections near objects and anywhere; equal scores."""
    draw = random.Random(seed)
    annotations, detections = [], []
    for image in range(1, images + 1):
        here = []
        for _ in range(draw.randrange(objects_max + 1) if draw.random() < 0.8 else 0):
            w, h = (draw.choice(SIDES) if draw.random() < 0.6 else draw.uniform(2, 200) for _ in range(2))
            # The last two classes have no objects.
            here.append((draw.randrange(1, classes - 1), [draw.uniform(0, 400), draw.uniform(0, 400), w, h]))
        annotations += [(image, category, box) for category, box in here]
        for _ in range(draw.randrange(detections_max + 1) if draw.random() < 0.85 else 0):
            if here and draw.random() < 0.7:
                category, (x, y, w, h) = draw.choice(here)
                reach = draw.choice((0, 0.02, 0.1, 0.3))
                box = [x + draw.uniform(-reach, reach) * w, y + draw.uniform(-reach, reach) * h,
                       w * (1 + draw.uniform(-reach, reach)), h * (1 + draw.uniform(-reach, reach))]
                category = category if draw.random() < 0.9 else draw.randrange(1, classes + 1)
            else:
                category, box = draw.randrange(1, classes + 1), [draw.uniform(0, 400), draw.uniform(0, 400), draw.choice(SIDES), draw.choice(SIDES)]
            detections.append({"image_id": image, "category_id": category, "bbox": box,
                               "score": draw.randrange(score_steps) / score_steps})
    draw.shuffle(detections)
    return range(1, images + 1), annotations, detections, range(1, classes + 1)


class AgainstPycocotools(unittest.TestCase):
    def compare(self, images, annotations, detections, categories):
        with tempfile.TemporaryDirectory(prefix="yoke-coco.") as folder:
            truths, found = pathlib.Path(folder) / "truths.json", pathlib.Path(folder) / "detections.json"
            coco.write_truths(truths, images, annotations, categories)
            found.write_text(json.dumps(detections))
            want = coco.figures(truths, found)
            got = json.loads(subprocess.run([harness.BIN / "coco_metrics_check", truths, found], check=True, capture_output=True, text=True).stdout)
        for name, ours, theirs in zip(coco.FIGURES, got, want, strict=True):
            self.assertAlmostEqual(ours, theirs, delta=TOLERANCE, msg=name)
        return dict(zip(coco.FIGURES, got))

    def test_many_images_with_ties_and_limits(self):
        figures = self.compare(*random_set(1, images=400, classes=8, objects_max=12, detections_max=30, score_steps=40))
        self.assertTrue(all(0 < value < 1 for value in figures.values()), figures)

    def test_more_than_a_hundred_detections_an_image(self):
        self.compare(*random_set(2, images=25, classes=3, objects_max=130, detections_max=500, score_steps=1000))

    def test_all_scores_equal(self):
        self.compare(*random_set(3, images=200, classes=5, objects_max=5, detections_max=12, score_steps=1))

    def test_small_sets(self):
        for seed in range(10, 40):
            with self.subTest(seed=seed):
                images, annotations, detections, categories = random_set(seed, images=3, classes=3, objects_max=3, detections_max=4, score_steps=5)
                if detections:  # pycocotools does not take an empty list
                    self.compare(images, annotations, detections, categories)


if __name__ == "__main__":
    harness.main()
