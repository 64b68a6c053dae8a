#!/usr/bin/env python3
"""Records how the reference evaluates, for evaluation_test.cc. Run by hand with ultralytics 8.4.190; see golden/README.md.

    make_evaluation_goldens.py --out golden --weights yolov8n.pt --data FOLDER

FOLDER holds coco8/coco8.yaml and coco128/data.yaml. Give a copy: the reference writes caches beside the labels.
"""
import argparse
import os
import pathlib
import types

import numpy as np
import torch
from goldens import check_version, uniform, write
from ultralytics import YOLO
from ultralytics.data import base
from ultralytics.models.yolo.detect import DetectionValidator
from ultralytics.utils.metrics import ConfusionMatrix, ap_per_class

SETS = {"coco8": ("coco8/coco8.yaml", 4), "coco128": ("coco128/data.yaml", 16)}
CONFUSION_CONF = 0.25


def record_curves(out):
    """ap_per_class of 200 detections of three classes, of which the last has no ground truth. metrics_test.cc has the same rows."""
    i = np.arange(200)
    level = i * 31 % 17
    tp = (level[:, None] - 4) > np.arange(10)[None]
    conf = (i * 7919 % 1000 / 1000.0 + 0.0005).astype(np.float32)
    target = np.repeat([0, 1], [60, 70])
    # The curves start behind what `results` calls tp, fp, p, r, f1, ap, classes.
    p, r, f1, _, envelope = ap_per_class(tp, conf, i % 3, target)[7:12]
    write(out / "evaluation_curves.golden", {"precision": p, "recall": r, "f1": f1, "precision_at_recall": envelope})


def record_confusion(out):
    """Detections near and far from objects, of the right class and others, on both sides of both thresholds."""
    classes, images = 4, 16
    matrix = ConfusionMatrix(names=dict(enumerate("abcd")))
    truths, detections = [], []
    for image in range(images):
        u = uniform(image + 1, 400).astype(np.float64)
        truth = []
        for k in range(int(u[0] * 9) if image % 5 else 0):
            a = u[1 + 5 * k:6 + 5 * k]
            x, y, w, h = a[0] * 60, a[1] * 60, 10 + a[2] * 30, 10 + a[3] * 30
            truth.append([image, int(a[4] * classes), x, y, x + w, y + h])
        found = []
        for k in range(int(u[60] * 20) if image % 7 else 0):
            a = u[61 + 8 * k:69 + 8 * k]
            if truth and a[7] < 0.8:
                _, cls, *box = truth[int(a[0] * len(truth))]
                box = [c + (s - 0.5) * 12 for c, s in zip(box, a[1:5])]
                cls = cls if a[5] < 0.7 else int(a[5] * 100) % classes
            else:
                cls, box = int(a[0] * classes), [a[1] * 60, a[2] * 60, a[1] * 60 + 20, a[2] * 60 + 20]
            found.append([image, a[6], cls, *box])
        found.sort(key=lambda row: -row[1])
        t = torch.tensor(truth, dtype=torch.float32).reshape(-1, 6)
        d = torch.tensor(found, dtype=torch.float32).reshape(-1, 7)
        matrix.process_batch({"conf": d[:, 1], "cls": d[:, 2], "bboxes": d[:, 3:]}, {"cls": t[:, 1], "bboxes": t[:, 2:]}, conf=CONFUSION_CONF)
        truths.append(t)
        detections.append(d)
    write(out / "evaluation_confusion.golden", {"truths": torch.cat(truths), "detections": torch.cat(detections), "matrix": matrix.matrix})


class StableArray(np.ndarray):
    def argsort(self, *arguments, **options):
        return super().argsort(*arguments, **{**options, "kind": "stable"})


def sort_rectangles_stably():
    """Images of equal aspect ratio keep their order; the reference leaves it to numpy's unstable sort, and so the batches."""
    stable = types.ModuleType("numpy")
    stable.__dict__.update(np.__dict__)
    stable.array = lambda *arguments, **options: np.array(*arguments, **options).view(StableArray)
    base.np = stable


class FixedMatrix(ConfusionMatrix):
    """The validator passes its own conf (0.001) on; people read the matrix at the class's own default."""

    def process_batch(self, detections, batch, conf=CONFUSION_CONF, iou_thres=0.45):
        super().process_batch(detections, batch, CONFUSION_CONF, iou_thres)


class Recorder(DetectionValidator):
    seen = None

    def init_metrics(self, model):
        super().init_metrics(model)
        self.confusion_matrix = FixedMatrix(names=model.names)
        Recorder.seen = self

    def plot_val_samples(self, *unused):
        pass

    plot_predictions = plot_val_samples


def record_set(name, weights, data, out):
    yaml, batch = SETS[name]
    os.chdir((data / yaml).parent)  # what the reference takes a relative `path:` from
    for shape in ("rect", "square", "single_cls"):
        run = YOLO(weights).val(validator=Recorder, data=str(data / yaml), batch=batch, rect=shape != "square", single_cls=shape == "single_cls",
                                conf=0.001, iou=0.7, max_det=300, plots=True, workers=0, device="cpu", verbose=False,
                                project=str(out / "runs"), exist_ok=True)
        box, matrix = run.box, Recorder.seen.confusion_matrix.matrix
        rows = np.stack([box.ap_class_index, box.p, box.r, box.ap50, box.ap], 1)
        predicted, true = np.nonzero(matrix)
        cells = np.stack([predicted, true, matrix[predicted, true]], 1)
        print(name, shape, box.mean_results())
        write(out / f"evaluation_{name}_{shape}.golden", {"mean": box.mean_results(), "per_class": rows, "confusion": cells})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    args = parser.parse_args()
    check_version("modern")
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    weights, data, out = os.path.abspath(args.weights), args.data.resolve(), args.out.resolve()
    sort_rectangles_stably()
    record_curves(out)
    record_confusion(out)
    for name in SETS:
        record_set(name, weights, data, out)


if __name__ == "__main__":
    main()
