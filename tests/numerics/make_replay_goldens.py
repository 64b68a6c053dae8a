#!/usr/bin/env python3
"""Records a whole training by the reference's own trainer, of batches that any program can make again.

    make_replay_goldens.py --era classic|modern --out FOLDER

yolov8n for 3 classes, 83 images of 96 px, batch 4 (the last of an epoch has 3), 11 epochs of 21 iterations, nbs 16, SGD,
float32, no augmentation; convolutions begin with goldens.fill_convolutions(first_seed=1), the rest as the era does.
Image j of the iteration `it` of the run, with s = 300000 + 8 * it + j:
    objects: whole(s, [5] + [3, 48, 48, 2**12, 2**12] * 4) is their number, then class, w, h, x, y of each, where w and h
        are 12 more, x is (x * (96 - w + 1)) >> 12 and y alike
    pixels: whole(s + 50000, [96] * n) for (3, 96, 96); in an object, in the channel of its class, 150 more (once)
The training runs three times to see what rounding alone makes of it: with one thread (NAME), with two (NAME-again), and with
one where the same formulas round otherwise (NAME-rounded; see round_otherwise). Stored of each: losses (iterations, 3), live and ema (marks, values): after every 20th iteration and the last, of each floating entry of the state in
the order of the names 4 values at i * n // 4 (fewer if it has fewer); `begin` is `live` before the first iteration.
"""
import argparse
import os
import pathlib
import tempfile
import types

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait do not spin: figures are the same, busy machines are not slow

import goldens
import numpy as np
import torch

IMAGES, BATCH, SIZE, CLASSES, EPOCHS, NBS = 83, 4, 96, 3, 11, 16
EVERY, SAMPLES, OBJECTS = 20, 4, 4
RATES = dict(lr0=0.0002, warmup_bias_lr=0.002, weight_decay=0.02)
ITERATIONS = -(-IMAGES // BATCH)


def image_of(seed):
    numbers = goldens.whole(seed, [OBJECTS + 1] + [CLASSES, 48, 48, 2**12, 2**12] * OBJECTS)
    pixels = goldens.whole(seed + 50000, [96] * (3 * SIZE * SIZE)).reshape(3, SIZE, SIZE)
    lit = np.zeros(pixels.shape, dtype=bool)
    rows = []
    for kind, w, h, x, y in numbers[1:].reshape(OBJECTS, 5)[: numbers[0]]:
        w, h = w + 12, h + 12
        x, y = (x * (SIZE - w + 1)) >> 12, (y * (SIZE - h + 1)) >> 12
        lit[kind, y : y + h, x : x + w] = True
        rows.append([kind, (x + w / 2) / SIZE, (y + h / 2) / SIZE, w / SIZE, h / SIZE])
    return (pixels + 150 * lit).astype(np.uint8), np.array(rows, dtype=np.float32).reshape(-1, 5)


class Images:
    labels = ()

    def __len__(self):
        return IMAGES


class Batches:
    """Stands for the data loader."""

    def __init__(self):
        self.iteration = 0
        self.num_workers, self.batch_size, self.drop_last = 0, BATCH, False
        self.sampler = range(IMAGES)
        self.dataset = Images()

    def __len__(self):
        return ITERATIONS

    def reset(self):
        pass

    def __iter__(self):
        for position in range(ITERATIONS):
            count = min(BATCH, IMAGES - position * BATCH)
            made = [image_of(300000 + 8 * self.iteration + j) for j in range(count)]
            self.iteration += 1
            rows = np.concatenate([np.insert(labels, 0, j, axis=1) for j, (_, labels) in enumerate(made)])
            rows = torch.from_numpy(rows.astype(np.float32))
            yield {"img": torch.from_numpy(np.stack([pixels for pixels, _ in made])), "batch_idx": rows[:, 0],
                   "cls": rows[:, 1:2], "bboxes": rows[:, 2:], "im_file": [""] * count}


def sampled(module):
    values = []
    for _, tensor in sorted(module.state_dict().items()):
        if tensor.is_floating_point():
            flat, count = tensor.detach().flatten(), min(SAMPLES, tensor.numel())
            values.append(flat[torch.arange(count) * flat.numel() // count].numpy())
    return np.concatenate(values)


def round_otherwise():
    """The same formulas in another order of summation: CIoU in float64, convolutions over channels last."""
    from ultralytics.nn import tasks
    from ultralytics.utils import loss, tal

    for module in (loss, tal):
        single = module.bbox_iou
        module.bbox_iou = lambda a, b, single=single, **rest: single(a.double(), b.double(), **rest).float()
    forward = tasks.DetectionModel.forward

    def channels_last(model, x, *args, **kwargs):
        if isinstance(x, dict):
            x["img"] = x["img"].contiguous(memory_format=torch.channels_last)
        return forward(model, x, *args, **kwargs)

    tasks.DetectionModel.forward = channels_last


def train(era, threads, tensors, suffix):
    from ultralytics.models.yolo.detect import DetectionTrainer

    losses, live, ema = [], [], []

    class Validator:
        metrics = types.SimpleNamespace(keys=[])
        args = types.SimpleNamespace(plots=False)
        dataloader = None

        def __call__(self, trainer=None, model=None):
            return {"fitness": 0.5}

    class Replay(DetectionTrainer):
        def get_dataloader(self, *args, **kwargs):
            return Batches()

        def get_model(self, *args, **kwargs):
            model = super().get_model(*args, **kwargs)
            goldens.fill_convolutions(model, 1)
            tensors["begin" + suffix] = sampled(model)
            return model

        def get_validator(self):
            self.loss_names = "box_loss", "cls_loss", "dfl_loss"
            return Validator()

        def save_model(self):
            pass

        def final_eval(self):
            pass

    def after_batch(trainer):
        items = trainer.loss_items
        items = list(items.values()) if isinstance(items, dict) else items
        losses.append([float(item) for item in items])
        if len(losses) % EVERY == 0 or len(losses) == EPOCHS * ITERATIONS:
            live.append(sampled(trainer.model))
            ema.append(sampled(trainer.ema.ema))

    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "images").mkdir()
        (root / "data.yaml").write_text(f"path: {root}\ntrain: images\nval: images\nnames: [a, b, c]\n")
        torch.set_num_threads(threads)
        trainer = Replay(overrides=dict(model="yolov8n.yaml", data=str(root / "data.yaml"), imgsz=SIZE, batch=BATCH, nbs=NBS, epochs=EPOCHS,
                                        optimizer="SGD", **RATES, device="cpu", workers=0, amp=False, plots=False, val=False, pretrained=False,
                                        project=folder, name="run", seed=0))
        torch.set_num_threads(threads)
        trainer.add_callback("on_train_batch_end", after_batch)
        trainer.train()
    assert len(losses) == EPOCHS * ITERATIONS, len(losses)
    tensors.update({"losses" + suffix: np.array(losses), "live" + suffix: np.stack(live), "ema" + suffix: np.stack(ema)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--era", choices=goldens.VERSIONS, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    goldens.check_version(options.era)
    tensors = {}
    train(options.era, 1, tensors, "")
    train(options.era, 2, tensors, "-again")
    round_otherwise()
    train(options.era, 1, tensors, "-rounded")
    del tensors["begin-again"], tensors["begin-rounded"]
    goldens.write(options.out / f"replay_{options.era}.golden", tensors)
    far = np.linalg.norm(tensors["live"] - tensors["begin"], axis=1)
    for other in ("-again", "-rounded"):
        print(other, *(f"{d:.1e}" for d in np.linalg.norm(tensors["live"] - tensors["live" + other], axis=1) / far))


if __name__ == "__main__":
    main()
