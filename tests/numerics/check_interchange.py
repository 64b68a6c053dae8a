#!/usr/bin/env python3
"""Loads weights that Yoke wrote with the PyPI `ultralytics` package and compares detections. Run by hand.

    yoke label model=best.pt source=PHOTOS out=LABELS save_conf=True imgsz=640 --wait
    check_interchange.py best.pt PHOTOS LABELS

Passes if each image has the same boxes: class, confidence within 0.005, sides within 1 px (ultralytics 8.4.190).
"""
import pathlib
import sys

from ultralytics import YOLO

CONFIDENCE_TOLERANCE, PIXEL_TOLERANCE = 0.005, 1.0


def main():
    weights, photos, labels = map(pathlib.Path, sys.argv[1:4])
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
    print("\n".join(failures))
    print(f"{boxes} boxes, largest difference {worst[0]:.2g} in confidence, {worst[1]:.2g} px")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
