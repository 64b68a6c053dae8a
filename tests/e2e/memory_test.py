"""Memory: it runs out in one rank, it is shared by batch=-1, images are kept in it."""

import json
import os
import pathlib
import re
import tempfile
import unittest

import harness

# The first convolution's output for one image of 160 px: 16 x 80 x 80 float32. No weight has this size, nor 8 times it.
SIDE = 160
FIRST_OUTPUT = 16 * 80 * 80 * 4


def scarce_bytes(tensor):
    """Allocations for a tensor of so many bytes: a cache line more, to align it."""
    return f"{tensor + 64}-{tensor + 65}"


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="yoke-data.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.yaml = harness.shapes(cls.folder.name)

    def train(self, box, **more):
        keys = {"data": self.yaml, "model": "yolov8n.yaml", "epochs": 2, "batch": 16, "imgsz": SIDE, "workers": 1, "optimizer": "SGD",
                "amp": "false", "device": "0,1", "plots": False, "val": False, **more}
        return box.submit("train", *(f"{key}={value}" for key, value in keys.items()))

    def log(self, box, job):
        return box.yoke("logs", job, "--rank", "0").stdout

    def test_want_of_memory_in_one_rank_halves_what_all_compute_at_once(self):
        scarce = {"LD_PRELOAD": str(harness.BIN / "scarce_memory.so"), "YOKE_SCARCE_RANK": "1",
                  "YOKE_SCARCE_BYTES": scarce_bytes(8 * FIRST_OUTPUT)}
        with harness.Box(env=scarce) as box:
            job = self.train(box)
            result = box.wait(job)["result"]["train"]
            self.assertEqual(result["microBatches"], 2)
            self.assertEqual(int(result["batch"]), 16)
            self.assertEqual(result["weightsChecksum"][0], result["weightsChecksum"][1])
            self.assertIn("out of memory at iteration 1 of epoch 1", self.log(box, job))

    def test_not_even_one_image_fits_says_so(self):
        scarce = {"LD_PRELOAD": str(harness.BIN / "scarce_memory.so"), "YOKE_SCARCE_RANK": "1",
                  "YOKE_SCARCE_BYTES": scarce_bytes(FIRST_OUTPUT)}
        with harness.Box(env=scarce) as box:
            job = self.train(box, batch=2)
            ended = box.wait(job, "FAILED")
            self.assertIn("one image", ended["message"])
            self.assertIn("smaller imgsz or model", ended["message"])

    def test_the_batch_that_fits_is_found_once_and_shared_evenly(self):
        with harness.Box() as box:
            result = box.wait(self.train(box, batch=-1))["result"]["train"]
            self.assertEqual(int(result["batch"]), 24)  # all images: there is room
            self.assertEqual(result["batchPerRank"], 12)
            again = self.train(box, batch=-1)
            box.wait(again)
            self.assertIn("measured before", self.log(box, again))
            args = pathlib.Path(box.job(again)["result"]["train"]["runDir"], "args.yaml").read_text()
            self.assertIn("batch: 24\n", args)
            # What was measured also advises the next one before it starts.
            told = box.job(self.train(box, batch=60000))
            self.assertRegex(told["warnings"][-1], r"YOLOv8n, batch 60000 on 2 CPU devices: about \d+ GB each \(as measured by batch=-1\); "
                             r"that is more than the \d+ GB of memory that a rank can have here; batch=\d+ should fit")
            box.yoke("job", "cancel", told["name"])

    def test_images_are_kept_once_for_all_ranks_and_gone_afterwards(self):
        shared = pathlib.Path(f"/dev/shm/yoke-{os.geteuid()}")
        with harness.Box() as box:
            job = self.train(box, cache="ram", epochs=100)
            box.until(job, lambda job: job["state"] == "RUNNING")
            box.until(job, lambda _: re.search("image cache: .* for 24 images in /dev/shm/", self.log(box, job)))
            held = {path for pid in box.rank_pids(job).values() for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
                    if (path := line.split()[-1]).startswith(str(shared))}
            self.assertEqual(len(held), 1, "both ranks map one file")
            for pid in box.rank_pids(job).values():
                os.kill(pid, 9)
            box.until(job, lambda job: job["state"] == "FAILED")
            self.assertFalse(pathlib.Path(held.pop()).exists(), "killed ranks leave nothing in memory")
            disk = self.train(box, cache="disk")
            box.wait(disk)
            self.assertEqual(len(list((box.state / "cache/images").iterdir())), 1)
            self.assertFalse([path for path in pathlib.Path(self.folder.name).rglob("*") if path.suffix in (".npy", ".cache", ".images")])


if __name__ == "__main__":
    harness.main()
