#!/usr/bin/env python3
"""Records what the reference computes, for the tests in this folder. Run by hand; see golden/README.md.

    make_goldens.py --era classic --out golden             with ultralytics 8.1.34
    make_goldens.py --era modern --out golden              with ultralytics 8.4.190
    make_goldens.py --era modern --out golden --weights F  also records the network's outputs for F (yolov8n.pt)
"""
import argparse
import pathlib
import types

import numpy as np
import torch
from goldens import check_version, uniform, write

STRIDES = (8, 16, 32)
BINS = 16


def maps_of(seed, batch, classes, size, slope):
    """Recorded predictions: box logits (u - 0.5) * 8 - bin * slope, class logits (u - 0.75) * 8; all exact."""
    maps = []
    for level, stride in enumerate(STRIDES):
        h, w, channels = size[0] // stride, size[1] // stride, 4 * BINS + classes
        u = uniform(seed * 10 + level, batch * channels * h * w).reshape(batch, channels, h, w)
        values = (u - np.float32(0.75)) * np.float32(8)
        bins = (np.arange(4 * BINS) % BINS).astype(np.float32).reshape(1, -1, 1, 1)
        values[:, : 4 * BINS] = (u[:, : 4 * BINS] - np.float32(0.5)) * np.float32(8) - bins * np.float32(slope)
        maps.append(torch.from_numpy(values).requires_grad_(True))
    return maps


def boxes_of(seed, images, counts, low, high, classes, size):
    """Ground truths: sides of low..high px, inside the picture, any class; xywh as fractions."""
    rows = []
    for image, count in zip(images, counts):
        u = uniform(seed * 77 + image, count * 5).reshape(count, 5).astype(np.float64)
        w = low + u[:, 0] * (high - low)
        h = low + u[:, 1] * (high - low)
        x = w / 2 + u[:, 2] * (size[1] - w)
        y = h / 2 + u[:, 3] * (size[0] - h)
        cls = np.floor(u[:, 4] * classes)
        rows.append(np.stack([np.full(count, image), cls, x / size[1], y / size[0], w / size[1], h / size[0]], 1))
    return torch.from_numpy(np.concatenate(rows) if rows else np.zeros((0, 6))).float()


SIZE = (64, 96)
CASES = {
    # name: (batch, classes, (h, w), slope, images with objects, their counts, side from, to)
    "several": (3, 3, SIZE, 0.25, (0, 1, 2), (3, 1, 5), 18, 60),
    "one_image_empty": (3, 3, SIZE, 0.25, (0, 2), (2, 4), 18, 60),
    "all_empty": (2, 3, SIZE, 0.25, (), (), 0, 0),
    "crowd": (2, 5, (128, 128), 0.5, (0, 1), (40, 25), 17, 50),
    "one_class": (2, 1, SIZE, 0.5, (0, 1), (4, 4), 18, 60),
    "tiny": (2, 3, (96, 96), 1.0, (0, 1), (12, 9), 3, 15),
    "large": (2, 4, (160, 160), 0.0, (0, 1), (3, 2), 90, 158),
}


def record_loss(era, out):
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils.loss import v8DetectionLoss

    for number, (name, case) in enumerate(CASES.items()):
        batch, classes, size, slope, images, counts, low, high = case
        model = DetectionModel("yolov8n.yaml", nc=classes, verbose=False)
        model.args = types.SimpleNamespace(box=7.5, cls=0.5, dfl=1.5, label_smoothing=0.0)
        criterion = v8DetectionLoss(model)
        seen = {}
        # Cloned: 8.1 divides the boxes by the strides in place afterwards.
        criterion.assigner.register_forward_hook(lambda module, inputs, output: seen.update(out=[t.clone() for t in output]))
        maps = maps_of(number + 1, batch, classes, size, slope)
        rows = boxes_of(number + 1, images, counts, low, high, classes, size)
        truth = {"batch_idx": rows[:, 0], "cls": rows[:, 1:2], "bboxes": rows[:, 2:]}
        if era == "classic":
            total, items = criterion(maps, truth)
        else:
            flat = torch.cat([m.flatten(2) for m in maps], 2)
            preds = {"boxes": flat[:, : 4 * BINS], "scores": flat[:, 4 * BINS :], "feats": maps}
            total, items = criterion(preds, truth)
            total = total.sum()
            items = torch.stack([items[k] for k in ("box_loss", "cls_loss", "dfl_loss")]) if isinstance(items, dict) else items
        total.backward()
        _, boxes, scores, foreground, index = seen["out"]
        tensors = {"config": torch.tensor([batch, classes, *size, slope, number + 1]), "targets": rows, "foreground": foreground,
                   "target_scores": scores, "target_boxes": boxes, "target_gt": index, "items": items, "total": total}
        for level, m in enumerate(maps):
            tensors[f"gradient{level}"] = m.grad if m.grad is not None else torch.zeros_like(m)
        write(out / f"loss_{name}_{era}.golden", tensors)


def record_network(weights, out):
    from ultralytics import YOLO

    model = YOLO(weights).model.float().eval()
    image = torch.from_numpy(uniform(99, 2 * 3 * 64 * 96).reshape(2, 3, 64, 96))
    with torch.no_grad():
        plain = model(image)[0]
        fused = model.fuse(verbose=False)(image)[0]
    write(out / "network_yolov8n.golden", {"prediction": plain, "fused": fused})


def record_names(out):
    from ultralytics.nn.tasks import DetectionModel

    state = DetectionModel("yolov8n.yaml", nc=80, verbose=False).state_dict()
    lines = [f"{name} {'x'.join(map(str, t.shape)) or 'scalar'}" for name, t in state.items()]
    (out / "state_names_n80.txt").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", choices=("classic", "modern"), required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--weights")
    args = parser.parse_args()
    check_version(args.era)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    record_loss(args.era, args.out)
    if args.era == "modern":
        record_names(args.out)
        if args.weights:
            record_network(args.weights, args.out)


if __name__ == "__main__":
    main()
