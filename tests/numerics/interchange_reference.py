#!/usr/bin/env python3
"""The reference's side of check_interchange.py, which runs it in a Python that has `ultralytics`.

    interchange_reference.py WORK.json        what to do; answers on the last line of its output, as JSON

It only calls what the package offers to its users, and `torch.save`.
"""
import copy
import io
import json
import math
import os
import pathlib
import shutil
import sys
import types
import zipfile

os.environ.setdefault("YOLO_OFFLINE", "true")
work = json.loads(pathlib.Path(sys.argv[1]).read_text())
sys.argv[1:] = []  # some versions read it when they are imported

import torch

plain_load = torch.load
torch.load = lambda *args, **options: plain_load(*args, **{**options, "weights_only": False})  # what 8.1 expects

import ultralytics
from ultralytics import YOLO

TRAIN = {"data": work["data"], "epochs": 1, "imgsz": 160, "batch": 4, "workers": 0, "device": "cpu", "plots": False, "verbose": False,
         "optimizer": "SGD"}


def detections(weights):
    """file name of the photo -> [class, confidence, x1, y1, x2, y2 in pixels of the photo]"""
    found = {}
    for result in YOLO(weights).predict(work["photos"], imgsz=640, conf=work["conf"], device="cpu", verbose=False, stream=True):
        height, width = result.orig_shape
        found[pathlib.Path(result.path).name] = {"width": width, "height": height, "boxes": [
            [int(box.cls), float(box.conf), *map(float, box.xyxy[0])] for box in result.boxes]}
    return found


def scales_sides_apart():
    """Whether boxes go back to a photo of 381 x 500 by a factor a side: letterboxed it is 488 x 640, not 487.68 x 640."""
    middle = torch.tensor([[256.0, 320.0, 300.0, 400.0]])
    return abs(float(ultralytics.utils.ops.scale_boxes((640, 512), middle, (500, 381))[0, 0]) - 381 / 2) < 0.01


def metrics(weights):
    box = YOLO(weights).val(data=work["data"], imgsz=640, batch=4, workers=0, device="cpu", plots=False, verbose=False,
                            project=work["folder"], name="val").box
    return {"map50": float(box.map50), "map5095": float(box.map)}


def trained_on(weights, data):
    """One epoch from the file: how many tensors the training begins with are those of the file, and what it ends with."""
    known = YOLO(weights).model.float().state_dict()
    begin = {}

    def look(trainer):
        state = trainer.model.state_dict()
        begin.update(equal=sum(k in known and torch.equal(v.cpu(), known[k]) for k, v in state.items()), total=len(state),
                     fitting=sum(k in known and v.shape == known[k].shape for k, v in state.items()))

    model = YOLO(weights)
    model.add_callback("on_train_start", look)
    model.train(**{**TRAIN, "data": data}, project=work["folder"], name="on")
    last = pathlib.Path(model.trainer.last)
    return {**begin, "known": len(known), "reloaded": len(YOLO(last).model.state_dict()),
            "finite": all(math.isfinite(value) for value in model.trainer.metrics.values())}


def rename_classes():
    """As 8.0 named the classes of its checkpoints; until the process ends."""
    from ultralytics.nn.modules import block, conv, head

    for module in (block, conv, head):
        for name, kind in vars(module).items():
            if isinstance(kind, type) and kind.__module__ == module.__name__ and hasattr(ultralytics.nn.modules, name):
                kind.__module__ = "ultralytics.nn.modules"
    settings = ultralytics.utils.IterableSimpleNamespace
    old = types.ModuleType("ultralytics.yolo.utils")
    old.IterableSimpleNamespace = settings
    sys.modules["ultralytics.yolo"] = types.ModuleType("ultralytics.yolo")
    sys.modules["ultralytics.yolo.utils"] = old
    settings.__module__ = old.__name__
    return settings


def plain_archive(source, target):
    """The same checkpoint as releases of torch before 1.10 laid it out: no alignment, no byte order, root "archive"."""
    with zipfile.ZipFile(source) as file, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        for name in file.namelist():
            inner = name.split("/", 1)[1]
            if inner == "data.pkl" or inner == "version" or inner.startswith("data/"):
                out.writestr("archive/" + inner, file.read(name))


def written():
    """Checkpoints of one training by this version, in every shape that people have them; name -> path."""
    folder = pathlib.Path(work["folder"])
    files = {}

    def keep(trainer):
        files["raw"] = str(shutil.copy(trainer.last, folder / "raw.pt"))

    model = YOLO(work["start"])
    model.add_callback("on_model_save", keep)
    model.train(**TRAIN, project=str(folder), name="write")
    files["stripped"] = str(model.trainer.best)
    half = YOLO(files["stripped"]).model.half()
    full = copy.deepcopy(half).float()
    other = YOLO("yolov8n.yaml").model
    other.names = full.names

    def save(name, thing, **options):
        files[name] = str(folder / f"{name}.pt")
        torch.save(thing, files[name], **options)

    save("half_without_ema", {"epoch": -1, "model": half, "ema": None})
    save("full_without_ema", {"epoch": -1, "model": full})
    save("half_ema", {"epoch": 3, "model": other, "ema": half, "updates": 7})
    save("full_ema", {"epoch": 3, "model": None, "ema": full, "updates": 7})
    memory = io.BytesIO()
    torch.save({"model": full}, memory)
    files["from_memory"] = str(folder / "from_memory.pt")
    pathlib.Path(files["from_memory"]).write_bytes(memory.getvalue())
    files["plain_archive"] = str(folder / "plain_archive.pt")
    plain_archive(files["stripped"], files["plain_archive"])
    settings = rename_classes()
    half.args = settings(**dict(half.args) if isinstance(half.args, dict) else vars(half.args))
    save("old_names", {"model": half, "ema": None})
    with zipfile.ZipFile(files["old_names"]) as file:
        pickled = file.read(next(n for n in file.namelist() if n.endswith("data.pkl")))
    assert b"cultralytics.nn.modules\nConv\n" in pickled and b"cultralytics.yolo.utils\n" in pickled
    save("before_zip", {"model": full}, _use_new_zipfile_serialization=False)
    return files


answer = {"version": ultralytics.__version__, "torch": torch.__version__, "sides_apart": scales_sides_apart(), "ours": {}, "theirs": {}}
for name, path in work["weights"].items():
    answer["ours"][name] = {"detections": detections(path), "metrics": metrics(path), "training": trained_on(path, work["data"])}
for name, (path, data) in work["train_only"].items():
    answer["ours"][name] = {"training": trained_on(path, data)}
for name, path in written().items():
    answer["theirs"][name] = {"path": path, "detections": detections(path)}
print(json.dumps(answer))
