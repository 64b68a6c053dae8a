#!/usr/bin/env python3
"""Records what the reference's own optimisers make of yolov8n: their groups, some steps, and what `auto` stands for.

    make_optimizer_goldens.py --era classic|modern --out FOLDER

yolov8n for 3 classes; its trained parameters p, in the order of their names, number i:
    convolutions: goldens.fill_convolutions(first_seed=1); all others (uniform(500 + i, n) - 0.5)
    gradients of step t = 0 .. 7: (uniform(1000 * (t + 1) + i, n) - 0.5) * 0.1
Rates of step t: warmth w = (t + 1) / 8; biases 0.1 + (lr - 0.1) w, others lr w; momentum, where a group has it,
0.8 + (0.937 - 0.8) w. lr 0.01 and decay 0.01, of Adam and the like lr 0.001; built with momentum 0.937.
"""
import argparse
import pathlib
import types

import goldens
import numpy as np
import torch

STEPS, SAMPLES = 8, 4
KINDS = {"classic": ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSProp"]}
KINDS["modern"] = KINDS["classic"] + ["MuSGD"]
ADAPTIVE = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSProp")


def sampled(tensor):
    flat = tensor.detach().flatten()
    count = min(SAMPLES, flat.numel())
    return flat[torch.arange(count) * flat.numel() // count].numpy()


def make_model():
    from ultralytics.nn.tasks import DetectionModel

    model = DetectionModel("yolov8n.yaml", nc=3, verbose=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = ".dfl" not in name
    goldens.fill_convolutions(model, 1)
    trained = sorted((n, p) for n, p in model.named_parameters() if p.requires_grad)
    for i, (_, parameter) in enumerate(trained):
        if parameter.ndim != 4:
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(goldens.uniform(500 + i, parameter.numel()) - np.float32(0.5)).view_as(parameter))
    return model, trained


def build(model, kind, lr, momentum, decay, iterations=0, nc=3):
    """The reference's rule, and the settings as it left them."""
    from ultralytics.engine.trainer import BaseTrainer

    args = types.SimpleNamespace(lr0=lr, momentum=momentum, warmup_bias_lr=0.1, optimizer=kind)
    trainer = types.SimpleNamespace(args=args, data={"nc": nc})
    model.nc = nc
    return BaseTrainer.build_optimizer(trainer, model, name=kind, lr=lr, momentum=momentum, decay=decay, iterations=iterations), args


def is_bias(era, index, group):
    return index == 0 if era == "classic" else group["param_group"] == "bias"


def record_steps(era, kind, tensors, suffix=""):
    model, trained = make_model()
    optimizer, _ = build(model, kind, 0.001 if kind in ADAPTIVE else 0.01, 0.937, 0.01)
    group_of = {id(p): i for i, g in enumerate(optimizer.param_groups) for p in g["params"]}
    begun = [g["lr"] for g in optimizer.param_groups]
    for step in range(STEPS):
        warmth = (step + 1) / STEPS
        for i, group in enumerate(optimizer.param_groups):
            low = 0.1 if is_bias(era, i, group) else 0
            group["lr"] = low + (begun[i] - low) * warmth
            if "momentum" in group:
                group["momentum"] = 0.8 + (0.937 - 0.8) * warmth
        for i, (_, parameter) in enumerate(trained):
            values = (goldens.uniform(1000 * (step + 1) + i, parameter.numel()) - np.float32(0.5)) * np.float32(0.1)
            parameter.grad = torch.from_numpy(values).view_as(parameter)
        optimizer.step()
    for name, parameter in trained:
        index = group_of[id(parameter)]
        group = optimizer.param_groups[index]
        tensors[f"{kind}{suffix}/{name}"] = np.concatenate([[index, group["weight_decay"], begun[index]], sampled(parameter)])


def iterate_in_float32():
    """MuSGD's matrices are iterated in bfloat16; this shows what that rounds."""
    torch.Tensor.bfloat16 = torch.Tensor.float


def record_auto(era, tensors):
    """Rows: iterations, classes, whether it is AdamW, lr, beta1 of AdamW or 0, warmup_bias_lr."""
    model, _ = make_model()
    rows = []
    for iterations in (1, 10000, 10001):
        for nc in [*range(1, 201), 365, 396, 601, 796, 1000, 1203]:
            optimizer, args = build(model, "auto", 0.02, 0.937, 0, iterations, nc)
            adam = isinstance(optimizer, torch.optim.AdamW)
            group = optimizer.param_groups[1]
            rows.append([iterations, nc, adam, group["lr"], group["betas"][0] if adam else 0, args.warmup_bias_lr])
            assert adam or type(optimizer).__name__ == {"classic": "SGD", "modern": "MuSGD"}[era]
            if not adam:
                break
    tensors["auto"] = np.array(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--era", choices=goldens.VERSIONS, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    goldens.check_version(options.era)
    torch.set_num_threads(1)
    tensors = {}
    record_auto(options.era, tensors)
    for kind in KINDS[options.era]:
        record_steps(options.era, kind, tensors)
    if options.era == "modern":
        iterate_in_float32()
        record_steps(options.era, "MuSGD", tensors, "-float32")
    goldens.write(options.out / f"optimizers_{options.era}.golden", tensors)


if __name__ == "__main__":
    main()
