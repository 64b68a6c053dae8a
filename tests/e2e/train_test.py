"""Training: two ranks in one group, metrics while it runs, queueing on disjoint devices, cancel and resume, class names."""

import csv
import json
import pathlib
import shutil
import tempfile
import unittest

import harness


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="yoke-data.")
        cls.yaml = harness.shapes(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def keys(self, **more):
        keys = {"data": self.yaml, "model": "yolov8n.yaml", "epochs": 2, "batch": 8, "imgsz": 64, "workers": 1, "optimizer": "AdamW"}
        return [f"{key}={value}" for key, value in {**keys, **more}.items()]

    def test_two_ranks_end_with_equal_weights_and_a_whole_run_folder(self):
        with harness.Box() as box:
            job = json.loads(box.yoke("train", *self.keys(device="0,1"), "--wait", "-o", "json").stdout)
            self.assertEqual(job["state"], "SUCCEEDED")
            result = job["result"]["train"]
            self.assertEqual(result["worldSize"], 2)
            self.assertEqual(result["batchPerRank"], 4)
            self.assertEqual(result["epochs"], 2)
            self.assertEqual(len(result["weightsChecksum"]), 2)
            self.assertGreater(result["weightsChecksum"][0], 0)
            self.assertEqual(result["weightsChecksum"][0], result["weightsChecksum"][1])
            self.assertIn("DDP", "\n".join(job["banner"]))
            self.assertIn("optimizer: AdamW", box.yoke("logs", job["name"], "--rank", "0").stdout)
            self.assertEqual(box.yoke("logs", job["name"], "--rank", "1").stdout, "")  # rank 0 speaks for all
            run = pathlib.Path(result["runDir"])
            pictures = ["results.png", "labels.jpg", "confusion_matrix.png", "confusion_matrix_normalized.png", "train_batch0.jpg",
                        "val_batch0_labels.jpg", "val_batch0_pred.jpg", *(f"Box{curve}_curve.png" for curve in ("PR", "P", "R", "F1"))]
            for name in ("weights/best.pt", "weights/last.pt", "results.csv", "args.yaml", *pictures):
                self.assertTrue((run / name).stat().st_size > 0, name)
            self.assertEqual(len(list(run.glob("events.out.tfevents.*"))), 1)
            rows = list(csv.DictReader(open(run / "results.csv"), skipinitialspace=True))
            self.assertEqual([int(row["epoch"]) for row in rows], [1, 2])
            events = [json.loads(line) for line in box.yoke("metrics", job["name"], "-o", "jsonl").stdout.splitlines()]
            types = {event["type"] for event in events}
            self.assertLessEqual({"banner", "step", "epoch", "checkpoint", "result"}, types)
            epoch = [e for e in events if e["type"] == "epoch"][-1]["fields"]
            self.assertAlmostEqual(epoch["map50"], float(rows[-1]["metrics/mAP50(B)"]), places=4)

    def test_jobs_on_disjoint_devices_run_at_once_and_a_third_waits_saying_why(self):
        with harness.Box() as box:
            first = box.submit("train", *self.keys(device="0", epochs=30))
            second = box.submit("train", *self.keys(device="1", epochs=2))
            third = box.submit("train", *self.keys(device="1", epochs=1))
            box.until(first, lambda job: job["state"] == "RUNNING")
            waiting = box.job(third)
            if waiting["state"] == "QUEUED":
                self.assertEqual(waiting["reason"], "WAITING_FOR_DEVICES")
                self.assertIn(second, waiting["message"])
            else:
                self.assertEqual(box.job(second)["state"], "SUCCEEDED")
            box.wait(second)
            self.assertEqual(box.job(first)["state"], "RUNNING")
            box.wait(third)
            box.yoke("job", "cancel", first)
            box.wait(first, "CANCELLED")

    def test_cancel_keeps_last_weights_and_resume_continues_at_the_next_epoch(self):
        with harness.Box() as box:
            job = box.submit("train", *self.keys(device="0", epochs=12))
            box.until(job, lambda job: job.get("progress", {}).get("epoch", 0) >= 2)
            box.yoke("job", "cancel", job)
            self.assertEqual(box.yoke("job", "wait", job, check=False).returncode, 11)
            cancelled = box.wait(job, "CANCELLED")
            run = pathlib.Path(cancelled["runDir"])
            self.assertGreater((run / "weights/last.pt").stat().st_size, 0)
            done = len(list(csv.DictReader(open(run / "results.csv"))))
            self.assertLess(done, 12)
            resumed = json.loads(box.yoke("train", *self.keys(device="0", epochs=12), f"resume={job}", "--wait", "-o", "json").stdout)
            self.assertEqual(resumed["parent"], "jobs/" + job)
            epochs = [json.loads(line)["fields"]["epoch"] for line in box.yoke("metrics", resumed["name"], "-o", "jsonl").stdout.splitlines()
                      if json.loads(line)["type"] == "epoch"]
            self.assertEqual(epochs, list(range(done + 1, 13)))
            again = box.yoke("train", *self.keys(device="0", epochs=12), f"resume={resumed['name']}", check=False)
            self.assertEqual(again.returncode, 2)
            self.assertIn("it has trained all of its 12 epochs", again.stderr)
            self.assertEqual(box.attempt_processes(job), [])

    def other(self, folder, old, new):
        """A copy of the data set whose YAML says `new` for `old`."""
        yaml = shutil.copytree(self.folder.name, folder) / "data.yaml"
        text = yaml.read_text()
        self.assertIn(old, text)
        yaml.write_text(text.replace(old, new))
        return yaml

    def test_resume_refuses_other_data_and_passes_over_a_damaged_state(self):
        with harness.Box() as box, tempfile.TemporaryDirectory(prefix="yoke-data.") as folder:
            folder = pathlib.Path(folder)
            first = json.loads(box.yoke("train", *self.keys(device="0"), "--wait", "-o", "json").stdout)
            run = pathlib.Path(first["result"]["train"]["runDir"])

            def resume(**keys):
                return box.yoke("train", *self.keys(device="0", epochs=3, **keys), f"resume={first['name']}", "--wait", "-o", "json", check=False)

            jobs = len(box.json("jobs")["jobs"])
            refused = resume(data=self.other(folder / "renamed", "square", "oblong"))
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn("class 1 was 'square' and is 'oblong'", refused.stderr)
            fewer = self.other(folder / "fewer", "square", "square")
            next((folder / "fewer" / "images" / "train").iterdir()).unlink()
            refused = resume(data=fewer)
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn("of the 24 training images 1 removed", refused.stderr)
            self.assertEqual(len(box.json("jobs")["jobs"]), jobs)

            newest = max(run.glob("checkpoints/*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
            whole = bytearray(newest.read_bytes())
            whole[len(whole) // 2] ^= 1
            newest.write_bytes(whole)
            resumed = resume()
            self.assertEqual(resumed.returncode, 0, resumed.stderr)
            name = json.loads(resumed.stdout)["name"]
            events = [json.loads(line) for line in box.yoke("metrics", name, "-o", "jsonl").stdout.splitlines()]
            self.assertEqual([event["fields"]["epoch"] for event in events if event["type"] == "epoch"], [2, 3])
            log = box.yoke("logs", name).stdout
            self.assertIn("a damaged training state is passed over", log)
            self.assertIn(newest.name, log)
            for state in run.glob("checkpoints/*.ckpt"):
                state.write_bytes(b"x" * 100)
            refused = resume()
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn("no training state verifies", refused.stderr)

    def test_class_weights_follow_class_names(self):
        with harness.Box() as box, tempfile.TemporaryDirectory(prefix="yoke-data.") as folder:
            folder = pathlib.Path(folder)
            first = json.loads(box.yoke("train", *self.keys(device="0", epochs=1), "--wait", "-o", "json").stdout)
            model = pathlib.Path(first["result"]["train"]["runDir"]) / "weights" / "last.pt"
            moved = self.other(folder / "moved", "0: circle\n  1: square", "0: Square\n  1: star")
            second = json.loads(box.yoke("train", *self.keys(device="0", epochs=1, model=model, data=moved), "--wait", "-o", "json").stdout)
            log = box.yoke("logs", second["name"]).stdout
            for line in ("class weights by name (2 of 3 classes", "1 -> 0 Square", "new -> 1 star", "2 -> 2 triangle"):
                self.assertIn(line, log)
            twice = self.other(folder / "twice", "0: circle\n  1: square", "0: square\n  1: Square")
            refused = box.yoke("train", *self.keys(device="0", model=model, data=twice), check=False)
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn("the class name 'square' stands twice in the data set (ids 0 and 1)", refused.stderr)


if __name__ == "__main__":
    harness.main()
