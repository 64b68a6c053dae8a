#!/usr/bin/env python3
"""Labelling and validation on a CPU, by Yoke and by the PyPI `ultralytics` package with PyTorch, ONNX Runtime and OpenVINO.

    compare_inference.py --bin build/release/bin --peer VENV/bin/python --weights yolov8n.pt --images FOLDER
                         [--data data.yaml] [--runs 5] [--threads N] [--imgsz 640]
                         [--only yoke,yoke-bf16,pytorch,onnx,openvino]

Everybody gets the same N cores (processor affinity) and as many threads. Contestants take turns, so that whatever else
the machine does meets all; the medians of images/s are compared. A run's time is that of the images alone: from reading
the first to writing the last label file, after the weights are loaded and one warm pass. With --data also validation.
At the end: how many of the reference's boxes (PyTorch, confidence >= 0.3) each contestant has at IoU >= 0.95.

The venv needs ultralytics, onnx, onnxruntime and openvino; exports are made once, in a scratch folder.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("support", "e2e")]
import harness  # noqa: E402
import peer  # noqa: E402

PEER = r"""
import json, os, sys, time
os.environ.setdefault("YOLO_OFFLINE", "true")
import torch
from ultralytics import YOLO
what, weights, source, out, imgsz, threads = sys.argv[1:7]
imgsz = int(imgsz)
torch.set_num_threads(int(threads))
model = YOLO(weights, task="detect")
common = dict(imgsz=imgsz, device="cpu", verbose=False)
if what == "export":
    for kind in source.split(","):
        model.export(format=kind, imgsz=imgsz)
    answer = {}
elif what == "val":
    began, ended, images = [], [], []
    model.add_callback("on_val_start", lambda v: (began.append(time.perf_counter()), images.append(len(v.dataloader.dataset))))
    model.add_callback("on_val_end", lambda v: ended.append(time.perf_counter()))
    metrics = model.val(data=source, batch=16, project=out, name="val", plots=False, workers=int(threads), **common)
    answer = {"imagesPerSecond": images[0] / (ended[0] - began[0]), "map5095": float(metrics.box.map)}
else:
    for _ in model.predict(source, max_det=1, stream=True, **common): pass
    began = time.perf_counter()
    count = sum(1 for _ in model.predict(source, conf=0.25, save_txt=True, save_conf=True, stream=True, project=out, name="label", **common))
    answer = {"imagesPerSecond": count / (time.perf_counter() - began)}
print("ANSWER " + json.dumps(answer))
"""

FORMATS = {"pytorch": ".pt", "onnx": ".onnx", "openvino": "_openvino_model"}


class Bench:
    def __init__(self, arguments, folder, box):
        self.arguments, self.folder, self.box = arguments, folder, box
        self.weights = folder / "weights" / arguments.weights.name
        self.images = folder / "images"
        self.weights.parent.mkdir()
        shutil.copy(arguments.weights, self.weights)
        shutil.copytree(arguments.images, self.images)
        self.labels = {}  # contestant -> folder

    def peer(self, what, weights, source, out):
        return peer.ask(self.arguments.peer, PEER, what, weights, source, out, self.arguments.imgsz, self.arguments.threads,
                        cwd=self.folder, env=self.box.env)

    def export(self, contestants):
        kinds = [name for name in contestants if name in ("onnx", "openvino")]
        if kinds:
            print("exporting", ", ".join(kinds), flush=True)
            self.peer("export", self.weights, ",".join(kinds), self.folder)

    def yoke(self, task, *words):
        job = self.box.json(task, f"model={self.weights}", *words, f"imgsz={self.arguments.imgsz}", f"workers={self.arguments.threads}",
                            "device=cpu", "--wait", timeout=None)
        return job["result"][task]

    def label(self, contestant, run):
        out = self.folder / f"{contestant}-{run}"
        if contestant.startswith("yoke"):
            amp = contestant.partition("-")[2] or "false"
            self.labels[contestant] = out
            return float(self.yoke("label", f"source={self.images}", f"out={out}", f"amp={amp}", "save_conf=true")["imagesPerSecond"])
        self.labels[contestant] = out / "label/labels"
        weights = self.weights.parent / (self.weights.stem + FORMATS[contestant])
        return self.peer("label", weights, self.images, out)["imagesPerSecond"]

    def validate(self, contestant, run):
        if contestant == "yoke":
            result = self.yoke("val", f"data={self.arguments.data}", "batch=16")
            return float(result["imagesPerSecond"]), result["metrics"]["map5095"]
        answer = self.peer("val", self.weights, self.arguments.data, self.folder / f"val-{run}")
        return answer["imagesPerSecond"], answer["map5095"]


def boxes_of(folder):
    boxes = {}
    for path in folder.rglob("*.txt"):
        rows = [[float(word) for word in line.split()] for line in path.read_text().splitlines() if line and line[0].isdigit()]
        boxes[path.stem] = [row for row in rows if len(row) == 6]
    return boxes


def iou(a, b):
    sides = 1.0
    for centre, size in ((1, 3), (2, 4)):
        low = max(a[centre] - a[size] / 2, b[centre] - b[size] / 2)
        high = min(a[centre] + a[size] / 2, b[centre] + b[size] / 2)
        sides *= max(high - low, 0.0)
    return sides / (a[3] * a[4] + b[3] * b[4] - sides)


def agreement(reference, other):
    """Share of the reference's boxes of confidence >= 0.3 that `other` has, in the same class, at IoU >= 0.95."""
    wanted = [(name, box) for name, boxes in reference.items() for box in boxes if box[5] >= 0.3]
    met = sum(1 for name, box in wanted if any(b[0] == box[0] and iou(b, box) >= 0.95 for b in other.get(name, [])))
    return met / max(len(wanted), 1), len(wanted)


def compare(rates, base):
    for name, values in rates.items():
        line = f"  {name:10} {statistics.median(values):7.1f} images/s"
        if base in rates and name != base:
            line += f"   {base} is {statistics.median(rates[base]) / statistics.median(values):5.2f} times as fast"
        print(line, flush=True)


def measure(bench, contestants, runs):
    bench.export(contestants)
    rates = {name: [] for name in contestants}
    for run in range(runs):
        for name in contestants:
            rates[name].append(bench.label(name, run))
        print(f"label {run + 1}: " + "  ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items()), flush=True)
    print(f"labelling, medians of {runs}, {bench.arguments.threads} threads:")
    compare(rates, "yoke")
    base = "pytorch" if "pytorch" in contestants else contestants[0]
    reference = boxes_of(bench.labels[base])
    for name in contestants:
        share, count = agreement(reference, boxes_of(bench.labels[name]))
        print(f"  {name:10} has {100 * share:.2f} % of the {count} boxes of {base}")
    if bench.arguments.data is None:
        return
    rates, accuracy = {"yoke": [], "pytorch": []}, {}
    for run in range(runs):
        for name, values in rates.items():
            rate, accuracy[name] = bench.validate(name, run)
            values.append(rate)
        print(f"val {run + 1}: " + "  ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items()), flush=True)
    print(f"validation, medians of {runs}; mAP50-95: " + ", ".join(f"{name} {value:.4f}" for name, value in accuracy.items()))
    compare(rates, "yoke")


def main():
    def path(text):
        return pathlib.Path(text).resolve()
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=path, default="build/release/bin")
    parser.add_argument("--peer", type=os.path.abspath, required=True, help="a Python that has ultralytics")
    parser.add_argument("--weights", type=path, required=True)
    parser.add_argument("--images", type=path, required=True, help="a folder of photos; subfolders are not looked into by everybody")
    parser.add_argument("--data", type=path, help="a data.yaml for validation; it is copied with its folder")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(cores))
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--only", default="yoke,yoke-bf16,pytorch,onnx,openvino")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, cores[:arguments.threads])

    threads = {"OMP_NUM_THREADS": str(arguments.threads)}
    with tempfile.TemporaryDirectory(prefix="yoke-bench.") as folder, harness.Box(bin_dir=arguments.bin, env=threads) as box:
        folder = pathlib.Path(folder)
        if arguments.data is not None:
            arguments.data = peer.own_copy(arguments.data, folder / "data")
        measure(Bench(arguments, folder, box), arguments.only.split(","), arguments.runs)


if __name__ == "__main__":
    main()
