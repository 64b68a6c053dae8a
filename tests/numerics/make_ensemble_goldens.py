#!/usr/bin/env python3
"""Records how boxes of several models are fused, for ensemble_test.cc. Run by hand; see golden/README.md.

    make_ensemble_goldens.py --out golden      with ensemble-boxes 1.0.9

Weighted boxes and suppression are that package's. Soft suppression is written here after the pseudo-code of
arXiv 1704.04503, since the package returns confidences before they are lowered.
"""
import argparse
import importlib.metadata
import math
import pathlib

import ensemble_boxes
import numpy as np
from goldens import uniform, write

SIDE = 640.0  # px; the package wants fractions
CLASSES = 3
CASES = {
    # name: (seed, members, objects, boxes a member, weights, IoU)
    "two": (1, 2, 12, 40, [1, 1], 0.55),
    "three_weighted": (2, 3, 10, 35, [2, 1, 0.5], 0.5),
    "crowd": (3, 4, 25, 80, [1, 3, 2, 1], 0.6),
}


def members_of(seed, members, objects, boxes):
    """Per member rows (x1, y1, x2, y2, confidence, class): near common objects, or anywhere."""
    common = uniform(seed * 100, objects * 5).reshape(objects, 5).astype(np.float64)
    rows = []
    for member in range(members):
        u = uniform(seed * 100 + 1 + member, boxes * 8).reshape(boxes, 8).astype(np.float64)
        for k in range(boxes):
            o = common[int(u[k, 0] * objects)] if u[k, 1] < 0.8 else u[k, 2:7]
            x, y, w, h = 20 + o[0] * 400, 20 + o[1] * 400, 30 + o[2] * 150, 30 + o[3] * 150
            jitter = (u[k, 2:6] - 0.5) * 30
            rows.append([member, x + jitter[0], y + jitter[1], x + w + jitter[2], y + h + jitter[3], 0.05 + 0.9 * u[k, 6], int(o[4] * CLASSES)])
    return np.array(rows, dtype=np.float32).astype(np.float64)


def lists(rows, members):
    parts = [rows[rows[:, 0] == member] for member in range(members)]
    return [p[:, 1:5] / SIDE for p in parts], [p[:, 5] for p in parts], [p[:, 6].astype(int) for p in parts]


def result(boxes, scores, labels):
    rows = np.concatenate([np.asarray(boxes) * SIDE, np.asarray(scores)[:, None], np.asarray(labels)[:, None]], 1)
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def overlap(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def soft_nms(boxes, scores, labels, weights, sigma=0.5, least=0.01):
    """The pseudo-code: M is the most confident box left; every other one's score is multiplied by exp(-iou(M, b)^2 / sigma)."""
    kept = []
    for label in range(CLASSES):
        left = [[list(box), score * weight / max(weights)] for part, weight in zip(zip(boxes, scores, labels), weights)
                for box, score, one in zip(*part) if one == label]
        while left:
            best = max(range(len(left)), key=lambda i: left[i][1])
            box, score = left.pop(best)
            if score <= least:
                break
            kept.append((box, score, label))
            for other in left:
                other[1] *= math.exp(-overlap(box, other[0]) ** 2 / sigma)
    return zip(*kept)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    version = importlib.metadata.version("ensemble-boxes")
    if version != "1.0.9":
        raise SystemExit(f"the goldens are recorded with ensemble-boxes 1.0.9, not {version}")
    tensors = {}
    for name, (seed, members, objects, boxes, weights, iou) in CASES.items():
        rows = members_of(seed, members, objects, boxes)
        wbf = result(*ensemble_boxes.weighted_boxes_fusion(*lists(rows, members), weights=weights, iou_thr=iou, skip_box_thr=0))
        nms = result(*ensemble_boxes.nms(*lists(rows, members), weights=weights, iou_thr=iou))
        nms[:, 4] *= sum(weights) / max(weights)  # the package scales by the sum, we by the largest
        tensors |= {f"{name}.config": np.array([iou, *weights]), f"{name}.boxes": rows, f"{name}.wbf": wbf, f"{name}.nms": nms,
                    f"{name}.soft_nms": result(*soft_nms(*lists(rows, members), weights))}
        print(name, {kind: len(tensors[f"{name}.{kind}"]) for kind in ("boxes", "wbf", "nms", "soft_nms")})
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "ensemble.golden", tensors)


if __name__ == "__main__":
    main()
