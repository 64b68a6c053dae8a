"""What the scripts that record goldens share: the generator of their inputs, the file format, the pinned versions."""
import struct

import numpy as np

VERSIONS = {"classic": "8.1.34", "modern": "8.4.190"}  # of the PyPI package ultralytics, each with torch 2.11.0


def check_version(era):
    """Ends the script when the installed reference is not the one the era is recorded with."""
    import ultralytics

    if ultralytics.__version__ != VERSIONS[era]:
        raise SystemExit(f"era {era} is recorded with ultralytics {VERSIONS[era]}, not {ultralytics.__version__}")


def uniform(seed, count):
    """The documented generator: a 32-bit integer hash of (seed, index); floats in [0, 1) with 24 bits."""
    x = (np.arange(count, dtype=np.uint64) + seed * 1000003) & 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x7FEB352D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    x ^= x >> 16
    return ((x >> 8).astype(np.float32)) * np.float32(2**-24)


def whole(seed, below):
    """Integers in [0, below[i]): the generator's 24 bits times below[i], the upper bits of it."""
    below = np.asarray(below, dtype=np.int64)
    return ((uniform(seed, len(below)) * np.float32(2**24)).astype(np.int64) * below) >> 24


def fill_convolutions(model, first_seed):
    """Sets all weights that PyTorch would draw, within its bounds; the rest is not random. Seeds follow the order of the names."""
    import torch

    names = sorted(n for n, p in model.named_parameters() if p.ndim == 4 and ".dfl." not in n)
    parameters = dict(model.named_parameters())
    for number, name in enumerate(names):
        parameter = parameters[name]
        bound = np.float32(2 / parameter[0].numel() ** 0.5)
        values = (uniform(first_seed + number, parameter.numel()) - np.float32(0.5)) * bound
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values).view_as(parameter))


def write(path, tensors):
    """Magic, then per tensor: name length (u32), name, dimensions (u32), sizes (i64 each), float32 data; little endian."""
    with open(path, "wb") as f:
        f.write(b"YOKEGLD1")
        for name, tensor in tensors.items():
            data = np.asarray(tensor.detach() if hasattr(tensor, "detach") else tensor, dtype=np.float32)
            f.write(struct.pack("<I", len(name)) + name.encode() + struct.pack("<I", data.ndim))
            f.write(struct.pack(f"<{data.ndim}q", *data.shape) + data.astype("<f4").tobytes())
    print(path, path.stat().st_size)
