#!/usr/bin/env python3
"""Yoke and the PyPI `ultralytics` package on the same work, in turn: images/s and accuracy, medians and ratios.

    compare_reference.py --bin build/release/bin --peer VENV/bin/python --data DIR [--runs 3] [--task train,val,label]

`--data` holds coco128/data.yaml and weights/yolov8n.pt. Training: coco128, yolov8n.pt, 3 epochs, batch 16, 320 px, two
loader threads, SGD; the rate is that of the epochs after the first, without validation. Validation: coco128, 640 px,
with what it reads. Labelling: coco128's photos, 640 px, confidence 0.25, without loading the weights.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PEER = r"""
import json, sys, time
from ultralytics import YOLO
task, data, weights, photos, out = sys.argv[1:6]
model = YOLO(weights)
answer = {}
if task == "train":
    times, counts = [], []
    model.add_callback("on_train_epoch_start", lambda t: times.append(time.perf_counter()))
    model.add_callback("on_train_epoch_end", lambda t: counts.append((len(t.train_loader.dataset), time.perf_counter() - times[-1])))
    model.train(data=data, epochs=3, batch=16, imgsz=320, workers=2, optimizer="SGD", device="cpu", project=out, name="train",
                plots=False, verbose=False, seed=0)
    rates = [n / s for n, s in counts][1:]
    answer = {"imagesPerSecond": sum(rates) / len(rates), "map5095": float(model.trainer.metrics["metrics/mAP50-95(B)"])}
elif task == "val":
    began = time.perf_counter()
    metrics = model.val(data=data, imgsz=640, batch=16, device="cpu", project=out, name="val", plots=False, verbose=False)
    answer = {"imagesPerSecond": 128 / (time.perf_counter() - began), "map5095": float(metrics.box.map)}
else:
    model.predict(photos, imgsz=640, device="cpu", verbose=False, stream=False, max_det=1)  # builds and warms the network
    began = time.perf_counter()
    results = sum(1 for _ in model.predict(photos, imgsz=640, conf=0.25, device="cpu", save_txt=True, stream=True, project=out, name="label",
                                           verbose=False))
    answer = {"imagesPerSecond": results / (time.perf_counter() - began)}
print("ANSWER " + json.dumps(answer))
"""


def peer(arguments, task, data, out):
    weights = data / "weights/yolov8n.pt"
    done = subprocess.run([arguments.peer, "-c", PEER, task, data / "coco128/data.yaml", weights, photos_of(data), out],
                          capture_output=True, text=True, cwd=out)
    for line in done.stdout.splitlines():
        if line.startswith("ANSWER "):
            return json.loads(line[7:])
    sys.exit(f"the peer failed at {task}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def photos_of(data):
    return next(path for path in sorted((data / "coco128/images").iterdir()) if path.is_dir())


def ours(arguments, task, data, out, environment):
    weights, coco = data / "weights/yolov8n.pt", data / "coco128/data.yaml"
    words = {"train": ["train", f"data={coco}", f"model={weights}", "epochs=3", "batch=16", "imgsz=320", "workers=2", "optimizer=SGD"],
             "val": ["val", f"data={coco}", f"model={weights}", "imgsz=640", "batch=16", "workers=2"],
             "label": ["label", f"model={weights}", f"source={photos_of(data)}", f"out={out / ('labels' + str(time.monotonic_ns()))}",
                       "imgsz=640", "workers=2"]}[task]
    done = subprocess.run([arguments.bin / "yoke", *words, "device=cpu", "--wait", "-o", "json"], capture_output=True, text=True,
                          env=environment)
    if done.returncode != 0:
        sys.exit(f"yoke {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    result = json.loads(done.stdout)["result"][task]
    answer = {"imagesPerSecond": float(result["imagesPerSecond"])}
    if "metrics" in result:
        answer["map5095"] = result["metrics"]["map5095"]
    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=lambda text: pathlib.Path(text).resolve(), default="build/release/bin")
    parser.add_argument("--peer", required=True, help="a Python that has ultralytics")
    parser.add_argument("--data", type=lambda text: pathlib.Path(text).resolve(), required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--task", default="train,val,label")
    arguments = parser.parse_args()
    arguments.peer = os.path.abspath(arguments.peer)

    folder = pathlib.Path(tempfile.mkdtemp(prefix="yoke-bench."))
    data = folder / "data"
    shutil.copytree(arguments.data / "coco128", data / "coco128")  # the peer writes caches beside the labels
    shutil.copytree(arguments.data / "weights", data / "weights")
    yaml = data / "coco128/data.yaml"  # the peer takes a relative path to be under its own folder
    lines = [line for line in yaml.read_text().splitlines() if not line.startswith("path:")]
    yaml.write_text("\n".join([f"path: {yaml.parent}", *lines]) + "\n")
    environment = {**os.environ, "YOKE_SERVER": f"unix://{folder}/s"}
    daemon = subprocess.Popen([arguments.bin / "yoked", "--state", folder / "state", "--socket", folder / "s"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        while subprocess.run([arguments.bin / "yoke", "jobs"], env=environment, capture_output=True).returncode != 0:
            if daemon.poll() is not None:
                sys.exit("yoked did not start")
            time.sleep(0.1)
        for task in arguments.task.split(","):
            mine, theirs = [], []
            for run in range(arguments.runs):
                mine.append(ours(arguments, task, data, folder, environment))
                theirs.append(peer(arguments, task, data, folder))
                print(f"{task} {run + 1}: yoke {mine[-1]}  reference {theirs[-1]}", flush=True)
            a, b = (statistics.median(one["imagesPerSecond"] for one in many) for many in (mine, theirs))
            print(f"{task}: yoke {a:.1f} images/s, reference {b:.1f} images/s, ratio {a / b:.2f} (medians of {arguments.runs})", flush=True)
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
