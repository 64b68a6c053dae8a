"""Records what the reference's training pipeline does to a drawn data set: how boxes and pixels are distributed, and
single transforms exactly. Run by a person, once an era; golden/README.md says with what.

usage: make_augmentation_goldens.py --era classic|modern --out golden
"""
import argparse
import json
import pathlib
import random
import tempfile

import cv2
import numpy as np

import drawn_set
import goldens

IMAGES, EPOCHS, IMGSZ, BATCH = 96, 105, 128, 4  # 10,080 samples; mosaics draw from the last 31 images
CELLS = 4  # a side of the grid that box centres are counted on

# Augmentation keys of each case beside the defaults; `outlined` chooses the labels.
CASES = {
    "default": {},
    "closed": {"mosaic": 0.0},
    "outlines": {"outlined": True},
    "outlines_turned": {"outlined": True, "degrees": 20.0},
    "mixup": {"mixup": 0.7},
    "mosaic9": {"mosaic_tiles": 9},
    "copy_paste": {"outlined": True, "copy_paste": 0.6},
    "affine": {"degrees": 15.0, "shear": 8.0, "perspective": 0.0008, "flipud": 0.5, "bgr": 0.3, "mosaic": 0.5},
}
LATER_CASES = {  # of what the earlier version does not have
    "copy_paste_mixup": {"outlined": True, "copy_paste": 0.6, "copy_paste_mode": "mixup"},
    "cutmix": {"cutmix": 0.8},
}


def dataset(era, folder, case):
    from ultralytics.cfg import get_cfg
    from ultralytics.data.augment import Compose, Mosaic
    from ultralytics.data.dataset import YOLODataset

    keys = {k: v for k, v in case.items() if k not in ("outlined", "mosaic_tiles")}
    hyp = get_cfg(overrides=dict(keys, imgsz=IMGSZ, task="detect"))
    names = {i: str(i) for i in range(drawn_set.CLASSES)}
    made = YOLODataset(
        img_path=str(folder / "images"), imgsz=IMGSZ, cache="ram" if era == "modern" else None, augment=True, hyp=hyp,
        rect=False, batch_size=BATCH, data={"names": names, "nc": len(names), "channels": 3}, task="detect",
    )  # fmt: skip

    def use_nine(transform):
        for t in transform.transforms if isinstance(transform, Compose) else [transform]:
            if isinstance(t, Mosaic):
                t.n = case["mosaic_tiles"]
            inner = getattr(t, "pre_transform", None)
            for part in (t, inner):
                if isinstance(part, Compose):
                    use_nine(part)

    if "mosaic_tiles" in case:
        use_nine(made.transforms)
    return made


def samples(made):
    """(pixels RGB float64 CHW, boxes xyxy norm, classes) of every sample, epoch after epoch, each in a new order."""
    random.seed(1)
    np.random.seed(1)
    orders = np.random.RandomState(2)
    for _ in range(EPOCHS):
        for index in orders.permutation(len(made)):
            out = made[int(index)]
            xywh = out["bboxes"].numpy().astype(np.float64).reshape(-1, 4)
            boxes = np.concatenate([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, :2] + xywh[:, 2:] / 2], 1)
            yield out["img"].numpy(), boxes, out["cls"].numpy().reshape(-1).astype(int)


def statistics(made):
    """Each figure is a ratio of two sums over samples; its standard error counts samples, not boxes, as independent."""
    seen = [(pixels_of(p), b, c) for p, b, c in samples(made)]
    every = np.concatenate([b for _, b, _ in seen])
    size = {"w": every[:, 2] - every[:, 0], "h": every[:, 3] - every[:, 1]}
    size["area"] = size["w"] * size["h"]
    thresholds = {k: [float(np.float32(np.quantile(v, q / 10))) for q in range(1, 10)] for k, v in size.items()}
    rows = {}

    def add(name, a, b):
        rows.setdefault(name, []).append((float(a), float(b)))

    for pixels, b, c in seen:
        n = len(b)
        add("boxes", n, 1)
        add("empty", n == 0, 1)
        add("clipped", ((b[:, :2] < 1e-3).any(1) | (b[:, 2:] > 1 - 1e-3).any(1)).sum(), n)
        for k in range(drawn_set.CLASSES):
            add(f"class{k}", (c == k).sum(), n)
        w, h = b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]
        for key, values in (("w", w), ("h", h), ("area", w * h)):
            for i, limit in enumerate(thresholds[key]):
                add(f"{key}{i + 1}", (values < limit).sum(), n)
        cell = np.clip(((b[:, :2] + b[:, 2:]) / 2 * CELLS).astype(int), 0, CELLS - 1)
        for y in range(CELLS):
            for x in range(CELLS):
                add(f"centre{y}{x}", ((cell[:, 0] == x) & (cell[:, 1] == y)).sum(), n)
        for name, value in pixels.items():
            add(name, value, 1)
    figures = {}
    for name, pairs in rows.items():
        a, b = np.array(pairs).T
        ratio = a.sum() / b.sum()
        figures[name] = [float(f"{v:.8g}") for v in (ratio, np.sqrt(((a - ratio * b) ** 2).sum()) / b.sum())]
    return {"samples": len(seen), "thresholds": thresholds, "figures": figures}


def pixels_of(pixels):
    values = pixels.astype(np.float64)
    out = {f"mean{c}": values[c].mean() for c in range(3)}
    out.update({f"square{c}": (values[c] ** 2).mean() for c in range(3)})
    out["grey"] = ((pixels[0] == pixels[1]) & (pixels[1] == pixels[2])).mean()
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", choices=goldens.VERSIONS, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--case")
    args = parser.parse_args()
    goldens.check_version(args.era)
    cv2.setNumThreads(1)
    cases = dict(CASES, **(LATER_CASES if args.era == "modern" else {}))
    recorded = {}
    with tempfile.TemporaryDirectory() as scratch:
        for outlined in (False, True):
            drawn_set.write(pathlib.Path(scratch) / str(outlined), IMAGES, outlined)
        for name, case in cases.items():
            if args.case in (None, name):
                folder = pathlib.Path(scratch) / str(case.get("outlined", False))
                recorded[name] = dict(statistics(dataset(args.era, folder, case)), keys=case)
                print(args.era, name, {k: recorded[name]["figures"][k] for k in ("boxes", "clipped", "mean0", "grey")}, flush=True)
    path = args.out / f"augmentation_{args.era}.json"
    path.write_text(json.dumps(recorded, indent=1) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
