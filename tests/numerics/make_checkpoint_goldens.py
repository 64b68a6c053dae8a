#!/usr/bin/env python3
"""Records how a version of the reference stores its checkpoints. Run by hand, once per version; see golden/README.md.

    make_checkpoint_goldens.py --out golden/checkpoints            a training of that version: raw and stripped
    make_checkpoint_goldens.py --out golden/checkpoints --more     what people store besides

Of each checkpoint the pickle is kept (NAME.pkl.gz) and, in NAME.txt, the storages that it refers to and the float32
state that the reference itself loads once each storage holds the numbers of `fill`. A test makes the file again.
"""
import argparse
import gzip
import io
import os
import pathlib
import pickle
import shutil
import sys
import tempfile
import types
import zipfile
import zlib
from unittest import mock

import numpy as np
import torch

from goldens import uniform

plain_load = torch.load
# What older versions expect: trusted files, fonts from the network, tensorboard.
torch.load = lambda *args, **options: plain_load(*args, **{**options, "weights_only": False})
torch.hub.download_url_to_file = lambda *args, **options: None
sys.modules.setdefault("torch.utils.tensorboard", mock.MagicMock())
NAMES = ["person", "car", "unicorn"]
DTYPES = {"HalfStorage": (np.float16, 2), "FloatStorage": (np.float32, 4), "DoubleStorage": (np.float64, 8),
          "BFloat16Storage": (None, 2), "LongStorage": (np.int64, 8), "IntStorage": (np.int32, 4), "BoolStorage": (np.bool_, 1)}


def draw_data(folder, names):
    """Six pictures of one rectangle each, as a data set."""
    from PIL import Image

    for split, count in (("train", 4), ("val", 2)):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for i in range(count):
            pixels = (uniform(i + 1, 64 * 64 * 3) * 255).astype(np.uint8).reshape(64, 64, 3)
            pixels[16:48, 16:48] = 80 * (i % 3)
            Image.fromarray(pixels).save(folder / "images" / split / f"{i}.png")
            (folder / "labels" / split / f"{i}.txt").write_text(f"{i % len(names)} 0.5 0.5 0.5 0.5\n")
    text = f"path: {folder}\ntrain: images/train\nval: images/val\nnc: {len(names)}\nnames:\n"
    (folder / "data.yaml").write_text(text + "".join(f"  {i}: {name}\n" for i, name in enumerate(names)))
    return str(folder / "data.yaml")


def train(folder, model, names, **options):
    """One epoch at 32 px; returns the checkpoint as the epoch left it and as the end of the training did."""
    from ultralytics import YOLO
    import ultralytics

    try:
        from ultralytics.engine import trainer as module
    except ImportError:
        from ultralytics.yolo.engine import trainer as module
    raw = folder / "raw.pt"
    final_eval = module.BaseTrainer.final_eval

    def keep_raw(self):
        shutil.copy(self.last, raw)
        final_eval(self)

    module.BaseTrainer.final_eval = keep_raw
    try:
        for task in ("v8.detect.train", "models.yolo.detect.train", "yolo.v8.detect.train"):
            try:
                trainer = __import__("ultralytics." + task, fromlist=["x"]).DetectionTrainer
                if "final_eval" in vars(trainer):
                    trainer.final_eval = keep_raw
            except ImportError:
                pass
        data = draw_data(folder / "data", names)
        YOLO(str(model)).train(data=data, epochs=1, imgsz=32, batch=4, workers=0, device="cpu", plots=False,
                               project=str(folder / "runs"), name="x", optimizer="SGD", **options)
    finally:
        module.BaseTrainer.final_eval = final_eval
    return raw, folder / "runs" / "x" / "weights" / "best.pt"


class Storages(pickle.Unpickler):
    """Lists the storages of a pickle without building anything."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.found = {}

    def find_class(self, module, name):
        if module == "torch" and name.endswith("Storage"):
            return name
        return Inert

    def persistent_load(self, pid):
        self.found[pid[2]] = (pid[1], pid[4])
        return None


class Inert:
    def __new__(cls, *args, **options):
        return super().__new__(cls)

    def __init__(self, *args, **options):
        pass

    def __setstate__(self, state):
        pass

    def __call__(self, *args, **options):
        return Inert()

    def append(self, item):
        pass

    def extend(self, items):
        pass

    def __setitem__(self, key, value):
        pass

    def __hash__(self):
        return id(self)


def fill(key, kind, count):
    """The documented content of storage `key`: uniform(key + 1) - 0.5, rounded to its type; integers: floor(1000 uniform)."""
    u = uniform(int(key) + 1, count)
    if kind == "BFloat16Storage":
        return torch.from_numpy(u - np.float32(0.5)).to(torch.bfloat16).view(torch.int16).numpy().tobytes()
    dtype = DTYPES[kind][0]
    if kind in ("LongStorage", "IntStorage", "BoolStorage"):
        return np.floor(u * 1000).astype(dtype).tobytes()
    return (u - np.float32(0.5)).astype(dtype).tobytes()


def rebuild(data, storages):
    """The checkpoint's file with known numbers in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", data)
        for key, (kind, count) in storages.items():
            file.writestr(f"archive/data/{key}", fill(key, kind, count))
        file.writestr("archive/version", "3\n")
    return out.getvalue()


def model_of(checkpoint):
    """What the reference loads: the average if there is one; behind torch's wrapper for several devices, if any."""
    model = checkpoint if not isinstance(checkpoint, dict) else checkpoint.get("ema") or checkpoint.get("model") or checkpoint
    if hasattr(model, "module"):
        model = model.module
    return model


def record(out, name, path):
    with zipfile.ZipFile(path) as file:
        data = file.read(next(n for n in file.namelist() if n.endswith("/data.pkl")))
    storages = Storages(data)
    storages.load()
    lines = [f"storage {key} {kind} {count}" for key, (kind, count) in sorted(storages.found.items(), key=lambda i: int(i[0]))]
    if not name.startswith("refused"):
        lines += expectations(torch.load(io.BytesIO(rebuild(data, storages.found)), map_location="cpu"))
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.pkl.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    (out / f"{name}.txt").write_text("\n".join(lines) + "\n")
    print(name, (out / f"{name}.pkl.gz").stat().st_size, len(lines))


def expectations(checkpoint):
    """Class names, and shape and checksum of each entry of the float32 state."""
    model = model_of(checkpoint)
    is_state = isinstance(model, dict)
    state = model.get("state_dict", model) if is_state else model.float().state_dict()
    names = {} if is_state else model.names
    for i, name in names.items() if isinstance(names, dict) else enumerate(names):
        yield f"name {i} {name}"
    for entry, tensor in state.items():
        plain = (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        crc = zlib.crc32(plain.numpy().tobytes())
        yield f"entry {entry.removeprefix('module.')} {'x'.join(map(str, plain.shape)) or 'scalar'} {crc:08x}"


def fresh(yaml, count):
    from ultralytics.nn.tasks import DetectionModel

    return DetectionModel(yaml, nc=count, verbose=False)


def record_more(out, work):
    """What people store besides: by hand, by other trainings, of other families (these to be refused)."""
    from torch import distributed
    from ultralytics import YOLO

    def save(name, thing):
        torch.save(thing, work / "more.pt")
        record(out, name, work / "more.pt")

    base = fresh("yolov8n.yaml", 80)
    base.names = {i: f"thing {i}" for i in range(80)}
    torch.save({"model": base, "train_args": {}}, work / "base.pt")
    _, wide = train(work, work / "base.pt", NAMES)
    record(out, "wide", wide)  # three classes behind a class branch made for eighty

    small = fresh("yolov8s.yaml", 3)
    small.names = NAMES
    small.extra = {"who": pathlib.PurePosixPath("a/b"), "numbers": np.arange(3), "kind": torch.float16, "size": torch.Size([2])}
    save("bf16_names_list", {"model": small.bfloat16(), "epoch": 3})
    small.float()
    save("module", small)
    save("state_dict", small.state_dict())
    save("state_dict_in_model", {"model": small.state_dict(), "epoch": 7})
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    wrapped = torch.nn.parallel.DistributedDataParallel(small)
    save("ddp", {"model": wrapped, "ema": None})
    save("ddp_state_dict", {"epoch": 1, "state_dict": wrapped.state_dict()})
    save("refused_fused", {"model": small.eval().fuse(verbose=False)})
    save("refused_fused_state_dict", small.state_dict())
    for name in ("yolo11n", "yolov5n", "yolov8n-seg", "yolov8n-ghost", "yolov8n-p2"):
        save("refused_" + name, {"model": YOLO(name + ".yaml").model})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--more", action="store_true")
    args = parser.parse_args()
    out = args.out.absolute()
    sys.argv[1:] = []  # some versions read it when they are imported
    torch.manual_seed(0)
    torch.set_num_threads(1)
    import ultralytics

    version = ultralytics.__version__
    work = pathlib.Path("/tmp/checkpoints")  # its name is in the pickles
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    os.chdir(work)
    if args.more:
        return record_more(out, work)
    raw, final = train(work, "yolov8n.yaml", NAMES)
    record(out, f"{version}_raw", raw)
    record(out, f"{version}_final", final)


if __name__ == "__main__":
    main()
