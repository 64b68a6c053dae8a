#!/usr/bin/env python3
"""Records how ultralytics 8.4.190 takes weights over to another class list. Run by hand; see golden/README.md.

    make_transfer_goldens.py --out golden

Entry i of the source's state, by name in order, holds uniform(i + 1) - 0.5; integer entries hold i.
"""
import argparse
import pathlib

import torch
from goldens import check_version, uniform, write
from ultralytics.nn.tasks import DetectionModel

THINGS = [f"thing {i}" for i in range(80)]
CASES = {  # name: (scale, names of the weights, names of the data set)
    "n_80_to_3": ("n", [" Person", THINGS[1], "car", *THINGS[3:]], ["person", "CAR ", "unicorn"]),
    "s_80_to_3": ("s", [" Person", THINGS[1], "car", *THINGS[3:]], ["person", "CAR ", "unicorn"]),
    "n_moved": ("n", ["cat", "dog", "bird"], ["bird", "cat", "cow"]),
    "n_3_to_120": ("n", ["cat", "thing 7", "dog"], ["cow", *[f"thing {i}" for i in range(118)], "dog"]),
    "n_same": ("n", ["cat", "dog"], ["Cat", "dog"]),
    "n_none": ("n", ["cat", "dog"], ["cow", "pig"]),
}


def source_of(scale, names):
    model = DetectionModel(f"yolov8{scale}.yaml", nc=len(names), verbose=False)
    for i, (_, tensor) in enumerate(sorted(model.state_dict().items())):
        tensor.copy_(torch.from_numpy(uniform(i + 1, tensor.numel())).reshape(tensor.shape) - 0.5 if tensor.is_floating_point() else torch.tensor(i))
    model.names = dict(enumerate(names))
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    check_version("modern")
    for name, (scale, known, wanted) in CASES.items():
        source = source_of(scale, known)
        model = DetectionModel(f"yolov8{scale}.yaml", nc=len(wanted), verbose=False)
        model.names = dict(enumerate(wanted))
        model.load(source, verbose=False)
        before, after = source.state_dict(), model.state_dict()
        tensors = {"class_width": torch.tensor(after["model.22.cv3.0.2.weight"].shape[1])}
        tensors["equal"] = torch.tensor(sum(torch.equal(before[k], v) for k, v in after.items()))  # entries that are the source's
        for level in range(3):
            weight, bias = (after[f"model.22.cv3.{level}.2.{k}"] for k in ("weight", "bias"))
            old = before[f"model.22.cv3.{level}.2.weight"]
            rows = [i for i in range(len(weight)) if any(torch.equal(weight[i], row) for row in old)]
            tensors[f"rows{level}"] = torch.tensor(rows)
            tensors[f"weight{level}"], tensors[f"bias{level}"] = weight[rows].flatten(1), bias[rows]
        write(args.out / f"transfer_{name}.golden", tensors)
        print({k: v.tolist() for k, v in tensors.items() if k in ("class_width", "equal", "rows0")})


if __name__ == "__main__":
    main()
