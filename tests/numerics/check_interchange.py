#!/usr/bin/env python3
"""Loads weights that Yoke wrote with the PyPI `ultralytics` package: same detections, and training on. Run by hand.

    yoke label model=best.pt source=PHOTOS out=LABELS save_conf=True imgsz=640 --wait
    check_interchange.py best.pt PHOTOS LABELS [DATA.yaml]

Passes if each image has the same boxes (class, confidence within 0.005, sides within 1 px) and, with DATA.yaml, a training
on it begins with all of the file's tensors and ends an epoch with finite metrics and weights that load. DATA.yaml's folder is
written to: give a copy. Checked with 8.1.34 and 8.4.190.
"""
import math
import pathlib
import sys
import tempfile

import torch

plain_load = torch.load
torch.load = lambda *args, **options: plain_load(*args, **{**options, "weights_only": False})  # what 8.1 expects

import ultralytics
from ultralytics import YOLO

CONFIDENCE_TOLERANCE, PIXEL_TOLERANCE = 0.005, 1.0


def check_detections(weights, photos, labels):
    model, worst, boxes, failures = YOLO(weights), [0.0, 0.0], 0, []
    for result in model.predict(photos, imgsz=640, conf=0.25, device="cpu", verbose=False, stream=True):
        height, width = result.orig_shape
        theirs = [(int(b.cls), float(b.conf), *map(float, b.xyxy[0])) for b in result.boxes]
        ours = []
        for line in (labels / (pathlib.Path(result.path).stem + ".txt")).read_text().splitlines():
            c, x, y, w, h, confidence = map(float, line.split())
            ours.append((int(c), confidence, (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))
        boxes += len(theirs)
        if len(ours) != len(theirs):
            failures.append(f"{result.path}: {len(ours)} boxes, the reference has {len(theirs)}")
        for box in theirs:
            near = [(abs(box[1] - o[1]), max(abs(a - b) for a, b in zip(box[2:], o[2:]))) for o in ours if o[0] == box[0]]
            best = min(near, key=lambda d: d[0] + d[1], default=(9, 999))
            worst = [max(worst[0], best[0]), max(worst[1], best[1])]
            if best[0] > CONFIDENCE_TOLERANCE or best[1] > PIXEL_TOLERANCE:
                failures.append(f"{result.path}: no box like {box}")
    print(f"{ultralytics.__version__}: {boxes} boxes, largest difference {worst[0]:.2g} in confidence, {worst[1]:.2g} px")
    return failures


def check_training(weights, data):
    """One epoch from the file; its tensors must be those that the training begins with."""
    known = YOLO(weights).model.float().state_dict()
    seen = {}

    def look(trainer):
        state = trainer.model.state_dict()
        seen.update(equal=sum(k in known and torch.equal(v.cpu(), known[k]) for k, v in state.items()), total=len(state))

    with tempfile.TemporaryDirectory() as folder:
        model = YOLO(weights)
        model.add_callback("on_train_start", look)
        model.train(data=str(data), epochs=1, imgsz=160, batch=4, workers=0, device="cpu", plots=False, verbose=False,
                    project=folder, name="x", optimizer="SGD")
        last = pathlib.Path(folder) / "x" / "weights" / "last.pt"
        reloaded = len(YOLO(last).model.state_dict())
        metrics = model.trainer.metrics
    print(f"{ultralytics.__version__}: trains on from {seen['equal']} of {seen['total']} tensors; mAP50 {metrics['metrics/mAP50(B)']:.3f}")
    failures = [] if seen["equal"] == seen["total"] == len(known) else [f"{seen['equal']} of {seen['total']} tensors at the start"]
    failures += [f"{key} is {value}" for key, value in metrics.items() if not math.isfinite(value)]
    return failures + ([] if reloaded == len(known) else [f"last.pt has {reloaded} tensors"])


def main():
    weights, photos, labels = map(pathlib.Path, sys.argv[1:4])
    failures = check_detections(weights, photos, labels)
    if len(sys.argv) > 4:
        failures += check_training(weights, pathlib.Path(sys.argv[4]))
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
