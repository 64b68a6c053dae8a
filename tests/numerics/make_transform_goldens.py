"""Records single transforms of the reference exactly: inputs from the integer generator of drawn_set.py, chance taken
out by hand. Run by a person, once an era; golden/README.md says with what.

usage: make_transform_goldens.py --era classic|modern --out golden
"""
import argparse
import json
import pathlib
import random

import numpy as np

import drawn_set
import goldens

IMGSZ = 64


def fractions(seed, count):
    d = drawn_set.Draws(seed)
    return [d.below(1000) / 1000 for _ in range(count)]


def polygon(seed, corners):
    """Corners around a centre, some of them deep notches; fractions of the image, flat."""
    d = drawn_set.Draws(seed)
    cx, cy, size = 0.3 + d.below(400) / 1000, 0.3 + d.below(400) / 1000, 0.1 + d.below(200) / 1000
    out = []
    for i in range(corners):
        r = size * (0.4 + d.below(600) / 1000)
        out += [cx + r * np.cos(2 * np.pi * i / corners), cy + r * np.sin(2 * np.pi * i / corners)]
    return [round(float(np.float32(v)), 7) for v in out]


def picture(seed, width, height):
    d = drawn_set.Draws(seed)
    return np.array([d.below(256) for _ in range(3 * width * height)], np.uint8).reshape(height, width, 3)


def box_of(flat):
    x, y = np.float32(flat[0::2]), np.float32(flat[1::2])
    return [(x.min() + x.max()) / 2, (y.min() + y.max()) / 2, x.max() - x.min(), y.max() - y.min()]


def labels_of(image, outlines=None, boxes=None, classes=None):
    """A label dictionary as the reference's data set hands it to its transforms."""
    from ultralytics.utils.instance import Instances

    xywh = np.array([box_of(o) for o in outlines] if outlines else boxes or [], np.float32).reshape(-1, 4)
    segments = [np.array(o, np.float32).reshape(-1, 2) for o in outlines or []]
    made = np.stack(resampled(segments), 0) if segments else np.zeros((0, 1000, 2), np.float32)
    classes = list(range(len(xywh))) if classes is None else classes
    return {
        "img": image, "cls": np.array(classes, np.float32).reshape(-1, 1), "resized_shape": image.shape[:2],
        "ori_shape": image.shape[:2], "im_file": "", "ratio_pad": (1, 1),
        "instances": Instances(xywh, made, None, bbox_format="xywh", normalized=True),
    }  # fmt: skip


def resampled(segments):
    import ultralytics
    from ultralytics.utils.ops import resample_segments

    longest = max(len(s) for s in segments)
    grows = ultralytics.__version__ == goldens.VERSIONS["modern"]  # an outline of more than 1000 corners keeps them
    return resample_segments([s.copy() for s in segments], n=longest + 1 if grows and longest > 1000 else 1000)


def boxes_in(labels):
    """[class, x1, y1, x2, y2] of each object, px."""
    labels["instances"].convert_bbox("xyxy")
    labels["instances"].denormalize(*labels["img"].shape[:2][::-1])
    rows = np.concatenate([labels["cls"], labels["instances"].bboxes], 1)
    return [[float(f"{v:.7g}") for v in row] for row in rows]


def record_resample(era):
    out = []
    for corners in (3, 4, 9, 40, 400, 998, 999, 1000, 1500):
        flat = polygon(corners, corners)
        points = resampled([np.array(flat, np.float32).reshape(-1, 2)])[0]
        at = [int(i * (len(points) - 1) / 20) for i in range(21)]
        out.append({"corners": corners, "outline": flat, "count": len(points), "hull": [float(v) for v in (*points.min(0), *points.max(0))],
                    "at": at, "points": [[float(f"{v:.8g}") for v in points[i]] for i in at]})
    return out


def matrix(seed, perspective):
    d = drawn_set.Draws(seed)
    scale = 0.5 + d.below(1000) / 1000
    turn = (d.below(1000) / 1000 - 0.5) * (0 if seed % 3 == 0 else 1.2)
    m = np.array([[scale * np.cos(turn), scale * np.sin(turn), d.below(40) - 20],
                  [-scale * np.sin(turn), scale * np.cos(turn), d.below(40) - 20],
                  [perspective * (d.below(9) - 4), perspective * (d.below(9) - 4), 1]])
    return np.float32(m), float(scale)


def record_affine(era):
    from ultralytics.data.augment import RandomPerspective

    out = []
    for seed in range(24):
        perspective = 0.001 if seed % 4 == 3 else 0.0
        m, scale = matrix(seed, perspective)
        outlines = [polygon(100 * seed + i, 3 + 2 * i) for i in range(12)] if seed % 2 else None
        boxes = None if outlines else [[0.1 + 0.8 * v for v in fractions(50 + seed, 40)[4 * i : 4 * i + 2]] + [
            0.02 + 0.3 * v for v in fractions(50 + seed, 40)[4 * i + 2 : 4 * i + 4]] for i in range(10)]
        labels = labels_of(np.zeros((IMGSZ, IMGSZ + 16, 3), np.uint8), outlines, boxes)
        if era == "modern":
            transform = RandomPerspective(perspective=perspective, size=(IMGSZ, IMGSZ))
            params = {"M": m, "scale": scale, "orig_shape": labels["img"].shape[:2], "size": (IMGSZ, IMGSZ)}
            labels = transform.apply_instances(labels, params)
        else:
            transform = RandomPerspective(perspective=perspective, border=(0, -8))  # 80 x 64 px become 64 x 64
            transform.affine_transform = lambda image, border: (image[:, :IMGSZ], m, scale)
            labels = transform(labels)
        labels["img"] = labels["img"][:, :IMGSZ]
        out.append({"matrix": [float(v) for v in m.reshape(-1)], "scale": scale, "perspective": perspective,
                    "outlines": outlines or [], "boxes": boxes or [], "after": boxes_in(labels)})
    return out


class Set:
    """A data set of four or nine pictures that are one value each."""

    def __init__(self, sizes, outlined):
        self.sizes, self.outlined, self.buffer, self.cache = sizes, outlined, [0], None

    def __len__(self):
        return len(self.sizes)

    def get_image_and_label(self, i):
        w, h = self.sizes[i]
        boxes = [[0.5, 0.5, 1.0, 1.0], [0.3, 0.6, 0.2, 0.3]]
        return labels_of(np.full((h, w, 3), i + 1, np.uint8), boxes=boxes, classes=[2 * i, 2 * i + 1])


def record_mosaic(era):
    from ultralytics.data.augment import Mosaic

    out = []
    for seed in range(8):
        tiles = 9 if seed % 2 else 4
        d = drawn_set.Draws(300 + seed)
        sizes = [(IMGSZ, 20 + d.below(45)) if d.below(2) else (20 + d.below(45), IMGSZ) for _ in range(tiles)]
        made = Set(sizes, False)
        transform = Mosaic(made, imgsz=IMGSZ, p=1.0, n=tiles)
        transform.get_indexes = lambda: list(range(1, tiles))
        centre = [32 + d.below(65), 32 + d.below(65)]  # y, x
        draws = iter([0.0] + [c + 0.5 for c in centre])
        kept = random.uniform
        random.uniform = lambda a, b: next(draws)
        labels = transform(made.get_image_and_label(0))
        random.uniform = kept
        cover = labels["img"][::4, ::4, 0]
        out.append({"sizes": sizes, "centre": centre, "cover": ["".join("%02x" % v for v in row) for row in cover],
                    "after": boxes_in(labels)})
    return out


def record_paste(era):
    """Mode flip; the earlier version with a share of 1, because it chooses by chance."""
    from ultralytics.data.augment import CopyPaste

    out = []
    for seed in range(6):
        share = 1.0 if era == "classic" else (0.5, 1.0)[seed % 2]
        image = picture(500 + seed, 56, 48)
        outlines = [polygon(600 + 10 * seed + i, 5 + i) for i in range(5)]
        transform = CopyPaste(p=share)
        labels = transform(labels_of(image.copy(), outlines))
        changed = (labels["img"] != image).any(2)
        out.append({"seed": 500 + seed, "share": share, "outlines": outlines, "after": boxes_in(labels),
                    "changed": ["".join(".#"[int(v)] for v in row) for row in changed],
                    "pixels": int(labels["img"].astype(np.int64).sum())})
    return out


def record_paste_from(era):
    """Mode mixup: objects of another picture."""
    from ultralytics.data.augment import CopyPaste

    out = []
    for seed in range(4):
        image, other = picture(700 + seed, 56, 48), picture(800 + seed, 56, 48)
        outlines = [[polygon(900 + 100 * k + 10 * seed + i, 5 + i) for i in range(5)] for k in range(2)]
        made = Set([(56, 48)], True)
        made.get_image_and_label = lambda i: labels_of(other.copy(), outlines[1], classes=[10, 11, 12, 13, 14])

        def denormalised(labels):
            labels["instances"].convert_bbox("xyxy")
            labels["instances"].denormalize(56, 48)
            return labels

        transform = CopyPaste(made, pre_transform=denormalised, p=0.6, mode="mixup")
        kept = random.uniform
        random.uniform = lambda a, b: 0.0
        labels = transform(labels_of(image.copy(), outlines[0]))
        random.uniform = kept
        changed = (labels["img"] != image).any(2)
        out.append({"seeds": [700 + seed, 800 + seed], "share": 0.6, "outlines": outlines, "after": boxes_in(labels),
                    "changed": ["".join(".#"[int(v)] for v in row) for row in changed]})
    return out


def record_cutmix(era):
    from ultralytics.data.augment import CutMix

    out = []
    for seed in range(8):
        d = drawn_set.Draws(1300 + seed)
        size = (56, 48)
        image, other = picture(1100 + seed, *size), picture(1200 + seed, *size)
        boxes = [[[0.1 + d.below(800) / 1000, 0.1 + d.below(800) / 1000, 0.05 + d.below(150) / 1000, 0.05 + d.below(150) / 1000]
                  for _ in range(2 + 3 * k)] for k in range(2)]
        areas = []
        for _ in range(3):
            x, y = d.below(36), d.below(28)
            areas.append([x, y, x + 6 + d.below(16), y + 6 + d.below(16)])

        def placed(labels):
            labels["instances"].convert_bbox("xyxy")
            labels["instances"].denormalize(*size)
            return labels

        made = Set([size], False)
        made.get_image_and_label = lambda i: labels_of(other.copy(), boxes=boxes[1], classes=[10, 11, 12, 13, 14])
        transform = CutMix(made, pre_transform=placed, p=1.0)
        given = iter(areas)
        transform._rand_bbox = lambda width, height: next(given)
        kept = np.random.choice
        np.random.choice = lambda indices: indices[0]
        labels = transform(placed(labels_of(image.copy(), boxes=boxes[0])))
        np.random.choice = kept
        changed = np.argwhere((labels["img"] != image).any(2))
        out.append({"seeds": [1100 + seed, 1200 + seed], "boxes": boxes, "areas": areas, "after": boxes_in(labels),
                    "changed": [int(v) for v in (*changed.min(0), *changed.max(0))] if len(changed) else []})
    return out


def record_hsv(era):
    from ultralytics.data.augment import RandomHSV

    out = []
    for seed in range(6):
        draws = [2 * v - 1 for v in fractions(1400 + seed, 3)]
        gains = [0.015, 0.7, 0.4] if seed % 2 == 0 else [0.5, 0.9, 0.9]
        image = picture(1500 + seed, 32, 8)
        kept = np.random.uniform
        np.random.uniform = lambda a, b, n: np.array(draws)
        after = RandomHSV(*gains)({"img": image.copy()})
        np.random.uniform = kept
        image = (after or {"img": None})["img"]
        out.append({"seed": 1500 + seed, "draws": draws, "gains": gains, "after": [int(v) for v in image.reshape(-1)]})
    return out


def record_mixup(era):
    from ultralytics.data.augment import MixUp

    out = []
    for ratio in (0.5, 0.37123456789, 0.61):
        image, other = picture(1600, 16, 8), picture(1601, 16, 8)
        other[:4] = image[:4]  # equal values: what truncation does to them
        made = Set([(16, 8)], False)
        made.get_image_and_label = lambda i: labels_of(other.copy(), boxes=[])
        transform = MixUp(made, p=1.0)
        kept = np.random.beta
        np.random.beta = lambda a, b: ratio
        after = transform(labels_of(image.copy(), boxes=[]))["img"]
        np.random.beta = kept
        out.append({"ratio": ratio, "after": [int(v) for v in after.reshape(-1)]})
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", choices=goldens.VERSIONS, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    goldens.check_version(args.era)
    kinds = {"resample": record_resample, "affine": record_affine, "mosaic": record_mosaic, "paste": record_paste,
             "hsv": record_hsv, "mixup": record_mixup}
    if args.era == "modern":
        kinds.update(paste_from=record_paste_from, cutmix=record_cutmix)
    recorded = {kind: record(args.era) for kind, record in kinds.items()}
    path = args.out / f"transforms_{args.era}.json"
    path.write_text(json.dumps(recorded, separators=(",", ":")).replace("},{", "},\n{") + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
