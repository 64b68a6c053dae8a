#!/usr/bin/env python3
"""Writes the first inputs of each target to corpus/TARGET/seed_*: small and well formed, drawn here, nobody's data."""
import io
import json
import pathlib
import pickle
import struct
import zipfile

CORPUS = pathlib.Path(__file__).parent / "corpus"


def put(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed_{name}").write_bytes(data.encode() if isinstance(data, str) else data)


def fake(name):
    """A class that pickles under `name`; nothing of that package is needed."""
    module, _, short = name.rpartition(".")
    return type(short, (), {"__module__": module, "__qualname__": short})


class Storage:
    def __init__(self, kind, key, count):
        self.id = ("storage", fake("torch." + kind), key, "cpu", count)


class Tensor:
    """Pickles as torch's tensors and parameters do."""

    def __init__(self, kind, key, count, sizes, strides, offset=0, is_parameter=False):
        self.parts = (Storage(kind, key, count), offset, sizes, strides, False, {})
        self.is_parameter = is_parameter

    def __reduce__(self):
        plain = (fake("torch._utils._rebuild_tensor_v2"), self.parts)
        return (fake("torch._utils._rebuild_parameter"), (Reduced(plain), False, {})) if self.is_parameter else plain


class Reduced:
    def __init__(self, parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


class Writer(pickle._Pickler):
    def persistent_id(self, thing):
        return thing.id if isinstance(thing, Storage) else None

    def save_global(self, thing, name=None):
        module = {"builtins": "__builtin__"}.get(thing.__module__, thing.__module__) if self.proto < 3 else thing.__module__
        if self.proto >= 4:
            self.save(module)
            self.save(thing.__name__)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{thing.__name__}\n".encode())
        self.memoize(thing)


def pickled(thing, protocol=2):
    out = io.BytesIO()
    Writer(out, protocol).dump(thing)
    return out.getvalue()


def module(name, parameters=None, buffers=None, children=None, **attributes):
    made = fake(name)()
    made.__dict__.update(training=False, _parameters=parameters or {}, _buffers=buffers or {}, _modules=children or {}, **attributes)
    return made


def detector(class_name="ultralytics.nn.tasks.DetectionModel", **attributes):
    weight = Tensor("FloatStorage", "0", 64, (2, 3, 3, 3), (27, 9, 3, 1), is_parameter=True)
    norm = module("torch.nn.modules.batchnorm.BatchNorm2d", {"weight": weight}, {
        "running_mean": Tensor("HalfStorage", "1", 17, (4, 4), (4, 1), 1), "num_batches_tracked": Tensor("LongStorage", "2", 1, (), ())})
    layer = module("ultralytics.nn.modules.conv.Conv", children={
        "conv": module("torch.nn.modules.conv.Conv2d", {"weight": weight, "bias": None}), "bn": norm})
    layers = module("torch.nn.modules.container.Sequential", children={"0": layer, "22": layer})
    return module(class_name, children={"model": layers}, yaml={"yaml_file": "yolov8n.yaml", "nc": 2}, **attributes)


def checkpoints():
    yield "model", pickled({"epoch": -1, "model": detector(names={0: "cat", 1: "dog"}), "ema": None, "train_args": {"imgsz": 640, "lr0": 0.01}})
    yield "ema_names_list", pickled({"model": None, "ema": detector(names=["cat", "d\u00f6g"]), "date": "today"}, 4)
    yield "wrapped", pickled({"model": module("torch.nn.parallel.distributed.DistributedDataParallel", children={"module": detector()})})
    yield "state", pickled({"module.model.0.conv.weight": Tensor("FloatStorage", "0", 64, (8,), (1,)), "names": {"0": "cat"}})
    yield "bare", pickled(detector("models.yolo.DetectionModel"), 5)
    yield "outside", pickled({"model": {"model.0.conv.weight": Tensor("FloatStorage", "0", 64, (8, 9), (9, 1))}})
    yield "no_module", pickled({"model": 1})


def archives():
    for name, entries in (("two", {"a/data.pkl": b"x" * 9, "a/data/0": b"12345678"}), ("empty_entry", {"a": b""}), ("none", {})):
        for kind, size in (("", 0), ("_64", 1)):
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w") as file:
                for entry, data in entries.items():
                    with file.open(zipfile.ZipInfo(entry), "w", force_zip64=bool(size)) as stream:
                        stream.write(data)
            yield name + kind, out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("packed", b"a" * 100)
        file.comment = b"comment"
    yield "packed", out.getvalue()


def exif(order, orientation):
    pack = lambda form, *values: struct.pack(order + form, *values)
    head = (b"II" if order == "<" else b"MM") + pack("HI", 42, 8)
    rows = ((256, 4, 1, pack("I", 40)), (257, 3, 1, pack("HH", 30, 0)), (274, 3, 1, pack("HH", orientation, 0)))
    return head + pack("H", len(rows)) + b"".join(pack("HHI", *row[:3]) + row[3] for row in rows) + pack("I", 0)


def images():
    frame = b"\xff\xc0" + struct.pack(">HBHH", 11, 8, 30, 40) + b"\x01\x01\x11\x00"
    app = b"Exif\0\0" + exif(">", 6)
    yield "jpeg", b"\xff\xd8\xff\xe1" + struct.pack(">H", len(app) + 2) + app + b"\xff\xff" + frame
    yield "jpeg_plain", b"\xff\xd8" + frame
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + b"\0\0\0\0"
    size = struct.pack(">II", 40, 30) + b"\x08\x02\0\0\0"
    yield "png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"eXIf", exif("<", 8)) + chunk(b"IDAT", b"x")
    yield "bmp", b"BM" + bytes(12) + struct.pack("<Iii", 40, 40, -30) + bytes(20)
    yield "bmp_old", b"BM" + bytes(12) + struct.pack("<IHH", 12, 40, 30) + bytes(8)
    riff = lambda data: b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data
    part = lambda name, data: name + struct.pack("<I", len(data)) + data
    yield "webp", riff(part(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 40, 30) + bytes(8)))
    yield "webp_lossless", riff(part(b"VP8L", b"\x2f" + struct.pack("<I", 39 | 29 << 14) + bytes(8)))
    extended = part(b"VP8X", bytes([10, 0, 0, 0, 39, 0, 0, 29, 0, 0])) + part(b"VP8L", bytes(6)) + part(b"EXIF", exif("<", 3))
    yield "webp_extended", riff(extended)
    yield "tiff", exif("<", 5)
    yield "tiff_big", exif(">", 1)


def main():
    for name, data in checkpoints():
        put("checkpoint", name, data)
        put("pickle", name, data)
    plain = [1, -2, 70000, 1 << 40, 0.5, True, None, "text", b"bytes", (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"a": {1, 2}}]
    for protocol in (2, 3, 4, 5):
        put("pickle", f"plain_{protocol}", pickled(plain, protocol))
    for name, data in archives():
        put("zip", name, data)
    for name, data in images():
        put("image_header", name, data)
    put("label", "boxes", "0 0.5 0.5 0.25 0.25\n2 .1 .2 1e-3 1\r\n\n1.0\t0 0 1 1 \n")
    put("label", "polygon", "\ufeff0 .1 .1 .9 .1 .5 .9\n0 .1 .1 .9 .1 .5 .9\n1 0.2 0.2 0.1 0.1")
    put("label", "bad", "0 nan inf -1 2\n-1 0 0 0 0\n0 0 0 0 0 0.9\ncat 0 0 0 0\n")
    layout = {"generation": 3, "numbers": {"epoch": 2, "best": "-inf"}, "strings": {"names": "[\"cat\"]"}, "tensors": [
        {"name": "w", "type": "float32", "shape": [2, 3], "offset": 0}, {"name": "n", "type": "int64", "shape": [], "offset": 24},
        {"name": "e", "type": "bool", "shape": [0, 2], "offset": 32}]}
    put("state", "whole", json.dumps(layout))
    put("data_yaml", "plain", "path: ../coco\ntrain: images/train\nval: [a, b]\ntest:\nnc: 2\nnames:\n  0: cat\n  1: dog\n")
    put("data_yaml", "flow", "train: x\nvalidation: y\nnames: ['a b', \"c\\u00e9\", !!str 3]\ndownload: |\n  echo no\n# end\n")
    put("data_yaml", "bad", "a: &x [1, 2]\nb: *x\nb: {? [k] : v, - : -}\n--- \n...\n")


if __name__ == "__main__":
    main()
