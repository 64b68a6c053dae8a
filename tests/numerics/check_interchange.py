#!/usr/bin/env python3
"""Exchanges weights with the PyPI `ultralytics` package, in both directions. Run by hand; needs the programs built.

    check_interchange.py --reference PYTHON [--reference PYTHON ...] --data COCO8.yaml --weights yolov8n.pt [--bin build/dev/bin]

PYTHON has ultralytics (checked with 8.1.34 and 8.4.190 on torch 2.11). Only copies of the data are touched.

Ours to them: Yoke trains two epochs; best.pt and last.pt must give the same detections and metrics there as here, and a
training there must begin with every tensor of the file and end its epoch with finite metrics and weights that load. One from
weights that Yoke trained from 80 classes to others begins with what fits the network that the version builds.
Theirs to us: one training of theirs, its checkpoint as the epoch left it and as the end did, with and without averages, in
half and in full precision, by old class names, in each layout of the archive; Yoke must label as they do.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
# Both compute in float32 and differ in the order of sums: measured 2e-6 in the confidence and 0.001 px, of which label files
# round away up to 0.0006 px. Another processor may choose other kernels; a tensor that is missing or off by a half-precision
# digit costs more than this. A metric moves if a box changes its place among those of nearly equal confidence.
# Older versions scale both sides of a box by one factor though the photo was resized by whole pixels a side: up to half a
# pixel at 640, 0.19 measured on a photo of 381 x 500. Yoke does as the newer.
CONFIDENCE_TOLERANCE, PIXEL_TOLERANCE, PIXEL_TOLERANCE_ONE_FACTOR, METRIC_TOLERANCE = 1e-4, 0.05, 0.5, 0.001
CONFIDENCE = 0.25


def boxes_of(label_file, width, height):
    rows = [[float(word) for word in line.split()] for line in label_file.read_text().splitlines()]
    return [[int(c), confidence, (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
            for c, x, y, w, h, confidence in rows]


def unmatched(boxes, others, pixels, worst):
    """Those of `boxes` that have no counterpart; a box at the threshold may be missing on the other side."""
    missing = []
    for box in boxes:
        near = [(abs(box[1] - o[1]), max(abs(a - b) for a, b in zip(box[2:], o[2:]))) for o in others if o[0] == box[0]]
        best = min(near, key=lambda d: d[0] + d[1], default=(9, 999))
        if best[0] <= CONFIDENCE_TOLERANCE and best[1] <= pixels:
            worst[:] = [max(worst[0], best[0]), max(worst[1], best[1])]
        elif box[1] > CONFIDENCE + CONFIDENCE_TOLERANCE:
            missing.append(box)
    return missing


class Check:
    def __init__(self, box, photos, data):
        self.box, self.photos, self.data, self.pixels, self.failed = box, photos, data, PIXEL_TOLERANCE, 0

    def say(self, what, problems, good):
        self.failed += bool(problems)
        print(f"  {what}: " + ("FAILED: " + "; ".join(problems[:3]) if problems else good), flush=True)

    def labels(self, weights):
        out = pathlib.Path(tempfile.mkdtemp(dir=self.box.dir))
        done = self.box.yoke("label", f"model={weights}", f"source={self.photos}", f"out={out}", "save_conf=True", "imgsz=640",
                             f"conf={CONFIDENCE}", "device=0", "--wait", check=False)
        return out if done.returncode == 0 else (done.stdout + done.stderr).strip()

    def same_detections(self, what, weights, theirs):
        out = self.labels(weights)
        if isinstance(out, str):
            return self.say(what, [out], "")
        problems, worst, count = [], [0, 0], 0
        for photo, found in theirs.items():
            ours = boxes_of(out / (pathlib.Path(photo).stem + ".txt"), found["width"], found["height"])
            count += len(found["boxes"])
            problems += [f"{photo}: not ours {b}" for b in unmatched(found["boxes"], ours, self.pixels, worst)]
            problems += [f"{photo}: not theirs {b}" for b in unmatched(ours, found["boxes"], self.pixels, worst)]
        if count == 0:
            problems.append("no box at all")
        self.say(what, problems, f"{count} boxes, largest difference {worst[0]:.1g} in confidence, {worst[1]:.2g} px")

    def same_metrics(self, what, weights, theirs, era):
        job = self.box.json("val", f"model={weights}", f"data={self.data}", "imgsz=640", "batch=4", "device=0", "--wait")
        ours = job["result"]["val"][era]
        problems = [f"{key} {ours[key]:.5f}, theirs {value:.5f}" for key, value in theirs.items() if abs(ours[key] - value) > METRIC_TOLERANCE]
        self.say(what, problems, ", ".join(f"{key} {ours[key]:.5f} and {value:.5f}" for key, value in theirs.items()))

    def training(self, what, seen, same_classes):
        problems = []
        # From 80 classes to others the class branches keep their width. Before 8.4 the reference builds narrower ones for a
        # training, whoever wrote the file, and takes over what fits.
        if not seen["equal"] == (seen["known"] if same_classes else seen["fitting"]) or seen["total"] != seen["known"]:
            problems.append(f"begins with {seen['equal']} of {seen['known']} tensors")
        if seen["reloaded"] != seen["known"] or not seen["finite"]:
            problems.append(f"ends with {seen['reloaded']} tensors, metrics {'finite' if seen['finite'] else 'not finite'}")
        self.say(what, problems, f"trains on from {seen['equal']} of {seen['total']} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", action="append", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="YAML of a small data set whose folder holds it all")
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--bin", default=os.environ.get("YOKE_BIN_DIR", "build/dev/bin"))
    args = parser.parse_args()
    os.environ["YOKE_BIN_DIR"] = args.bin
    import harness

    with tempfile.TemporaryDirectory(prefix="yoke-interchange.") as name, harness.Box() as box:
        folder = pathlib.Path(name)
        data = shutil.copytree(args.data.parent, folder / "data") / args.data.name
        text = [line for line in data.read_text().splitlines() if not line.startswith("path:")]
        data.write_text("\n".join([f"path: {data.parent}", *text]) + "\n")
        photos = folder / "photos"
        photos.mkdir()
        for photo in sorted(data.parent.glob("images/*/*")):
            shutil.copy(photo, photos)

        def train(start, on, size, epochs):
            job = box.json("train", f"model={start}", f"data={on}", f"epochs={epochs}", f"imgsz={size}", "batch=4", "device=0", "plots=False",
                           "--wait")
            return pathlib.Path(job["result"]["train"]["runDir"]) / "weights"

        drawn = harness.shapes(folder / "shapes")
        ours = train(args.weights.absolute(), data, 160, 2)
        other = train(args.weights.absolute(), drawn, 64, 1)
        check = Check(box, photos, data)
        for number, python in enumerate(args.reference):
            theirs = folder / f"reference{number}"
            theirs.mkdir()
            work = theirs / "work.json"
            work.write_text(json.dumps({"data": str(data), "photos": str(photos), "folder": str(theirs), "start": str(args.weights.absolute()),
                                        "conf": CONFIDENCE, "weights": {n: str(ours / n) for n in ("best.pt", "last.pt")},
                                        "train_only": {"other classes": [str(other / "best.pt"), str(drawn)]}}))
            done = subprocess.run([python, pathlib.Path(__file__).with_name("interchange_reference.py").resolve(), work], text=True, cwd=theirs,
                                  capture_output=True, env={**os.environ, "YOLO_CONFIG_DIR": str(theirs)})
            if done.returncode != 0:
                sys.exit(f"{python} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
            answer = json.loads(done.stdout.splitlines()[-1])
            check.pixels = PIXEL_TOLERANCE if answer["sides_apart"] else PIXEL_TOLERANCE_ONE_FACTOR
            print(f"ultralytics {answer['version']}, torch {answer['torch']}: ours, loaded there", flush=True)
            era = "metricsClassic" if answer["version"].startswith(("8.0.", "8.1.")) else "metrics"
            for weights, seen in answer["ours"].items():
                if "detections" in seen:
                    check.same_detections(f"{weights}, detections", ours / weights, seen["detections"])
                    check.same_metrics(f"{weights}, validation", ours / weights, seen["metrics"], era)
                check.training(f"{weights}, training", seen["training"], "detections" in seen)
            print(f"ultralytics {answer['version']}, torch {answer['torch']}: theirs, loaded here", flush=True)
            for weights, written in answer["theirs"].items():
                if weights == "before_zip":
                    said = check.labels(written["path"])
                    good = isinstance(said, str) and "before_zip.pt: in the format of PyTorch before 1.6" in said
                    check.say(weights, [] if good else [str(said)], f"refused: {str(said).splitlines()[-1]}")
                else:
                    check.same_detections(weights, written["path"], written["detections"])
    print("all the same" if check.failed == 0 else f"{check.failed} failed")
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
