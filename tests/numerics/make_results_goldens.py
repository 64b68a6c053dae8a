#!/usr/bin/env python3
"""Records results.csv of a training of three epochs by the reference: its header and its numbers' format.

    make_results_goldens.py --era classic|modern --data coco8.yaml --weights yolov8n.pt --out FOLDER
"""
import argparse
import os
import pathlib
import shutil
import tempfile

import goldens


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--era", choices=goldens.VERSIONS, required=True)
    parser.add_argument("--data", required=True, help="the reference writes caches beside the labels: give it a copy")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    goldens.check_version(options.era)
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # 8.1.34 is older than that torch.load
    from ultralytics import YOLO

    with tempfile.TemporaryDirectory() as folder:
        YOLO(options.weights).train(data=options.data, imgsz=128, epochs=3, batch=4, workers=0, device="cpu", optimizer="SGD", seed=0,
                                    plots=False, project=folder, name="run")
        target = options.out / f"results_{options.era}.csv"
        shutil.copyfile(pathlib.Path(folder) / "run" / "results.csv", target)
        print(target.read_text())


if __name__ == "__main__":
    main()
