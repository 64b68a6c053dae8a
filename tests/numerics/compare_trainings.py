#!/usr/bin/env python3
"""Trains with Yoke and with the PyPI `ultralytics` package, several seeds each, and compares what comes out.

    compare_trainings.py --bin build/release/bin --peer VENV/bin/python --data DIR [--seeds 0,1,2] [--only finetune|scratch]

finetune: yolov8n.pt on coco128, 5 epochs, batch 16, 640 px, the rest the reference's defaults (`recipe=modern`).
scratch: yolov8n.yaml on 240 drawn images of three shapes, 20 epochs, batch 16, 160 px, SGD.
`--data` holds coco128/data.yaml and weights/yolov8n.pt. Run by hand: some 25 minutes on two cores.

Equal means: the means over the seeds of mAP50-95 differ by no more than the seeds of one program differ among themselves
(the larger of both spreads, max - min). Exit code 1 if not.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("support", "e2e")]
import harness  # noqa: E402
import peer  # noqa: E402

PEER = r"""
import json, sys
from ultralytics import YOLO
keys = json.loads(sys.argv[1])
model = YOLO(keys.pop("model"))
model.train(**keys, device="cpu", workers=2, plots=False, verbose=False)
print("ANSWER " + json.dumps({"map50": float(model.trainer.metrics["metrics/mAP50(B)"]), "map5095": float(model.trainer.metrics["metrics/mAP50-95(B)"])}))
"""


def settings(arguments, folder):
    chosen = {}
    if arguments.only in (None, "finetune"):
        data = peer.own_copy(arguments.data / "coco128/data.yaml", folder / "coco128")
        chosen["finetune"] = {"model": str(arguments.data / "weights/yolov8n.pt"), "data": str(data), "epochs": 5, "batch": 16, "imgsz": 640}
    if arguments.only in (None, "scratch"):
        subprocess.run([arguments.bin / "yoke-shapes", "--out", folder / "shapes", "--images", "240", "--val", "80", "--size", "160", "--classes", "3"],
                       check=True, stdout=subprocess.DEVNULL)
        chosen["scratch"] = {"model": "yolov8n.yaml", "data": str(peer.with_absolute_path(folder / "shapes/data.yaml")), "epochs": 20, "batch": 16,
                             "imgsz": 160, "optimizer": "SGD"}
    return chosen


def ours(box, keys, seed):
    words = [f"{key}={value}" for key, value in keys.items()]
    job = box.json("train", *words, f"seed={seed}", "recipe=modern", "device=cpu", "workers=2", "plots=False", "--wait", timeout=None)
    metrics = job["result"]["train"]["metrics"]
    return {"map50": metrics["map50"], "map5095": metrics["map5095"]}


def theirs(arguments, keys, seed, folder):
    keys = {**keys, "seed": seed, "project": str(folder), "name": "peer", "exist_ok": True}
    return peer.ask(arguments.peer, PEER, json.dumps(keys), cwd=folder)


def compare(name, mine, other):
    equal = True
    for figure in ("map50", "map5095"):
        a, b = ([one[figure] for one in many] for many in (mine, other))
        spread = max(max(a) - min(a), max(b) - min(b))
        difference = statistics.mean(a) - statistics.mean(b)
        if figure == "map5095":
            equal = abs(difference) <= spread
        print(f"{name} {figure}: yoke {' '.join(f'{v:.4f}' for v in a)} (mean {statistics.mean(a):.4f}), reference "
              f"{' '.join(f'{v:.4f}' for v in b)} (mean {statistics.mean(b):.4f}), difference {difference:+.4f}, "
              f"spread of seeds {spread:.4f}", flush=True)
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=lambda text: pathlib.Path(text).resolve(), default="build/release/bin")
    parser.add_argument("--peer", required=True, help="a Python that has ultralytics")
    parser.add_argument("--data", type=lambda text: pathlib.Path(text).resolve(), required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", choices=("finetune", "scratch"))
    arguments = parser.parse_args()
    arguments.peer = os.path.abspath(arguments.peer)

    equal = True
    with tempfile.TemporaryDirectory(prefix="yoke-compare.") as folder, harness.Box(bin_dir=arguments.bin) as box:
        folder = pathlib.Path(folder)
        for name, keys in settings(arguments, folder).items():
            mine, other = [], []
            for seed in (int(word) for word in arguments.seeds.split(",")):
                mine.append(ours(box, keys, seed))
                other.append(theirs(arguments, keys, seed, folder))
                print(f"{name} seed {seed}: yoke {mine[-1]}, reference {other[-1]}", flush=True)
            equal = compare(name, mine, other) and equal
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
