"""GPUs as the scripted NVML library shows them."""

import json
import unittest

import harness

FAKE_NVML = harness.BIN.parent / "lib" / "fake" / "libnvidia-ml.so.1"


class FakeGpus(unittest.TestCase):
    def box(self):
        worker = {"YOKE_WORKER_PATH": str(harness.BIN / "fake_worker"), "YOKE_FAKE_WORKER": json.dumps({"run_for": 20})}
        return harness.Box("--nvml", FAKE_NVML, env=worker)

    def test_four_gpus_their_drop_down_and_the_refusal_of_a_fifth(self):
        with self.box() as box:
            answer = box.json("devices")
            gpus = [device for device in answer["devices"] if device["kind"] == "GPU"]
            self.assertEqual([gpu["name"] for gpu in gpus], ["NVIDIA GeForce RTX 4090"] * 4)
            labels = [choice["label"] for choice in answer["choices"]]
            self.assertEqual(labels[0], "Auto (All 4 GPUs)")
            self.assertEqual(labels[1], "GPU 0: NVIDIA GeForce RTX 4090")
            self.assertEqual(labels[-2:], ["CPU", "Custom..."])
            refused = box.yoke("selftest", "device=5", check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("GPU 5 not available. Only 4 GPU(s) detected.", refused.stderr)

    def test_a_job_on_0_2_leaves_1_3_free(self):
        with self.box() as box:
            job = box.submit("train", "data=server:/none.yaml", "model=yolov8n.yaml", "batch=16", "device=0,2", "--no-check")
            box.until(job, lambda job: job["state"] == "RUNNING")
            gpus = [device for device in box.json("devices")["devices"] if device["kind"] == "GPU"]
            self.assertEqual([gpu["state"] for gpu in gpus], ["LEASED", "FREE", "LEASED", "FREE"])
            self.assertEqual(gpus[0]["holder"], "jobs/" + job)
            other = box.submit("train", "data=server:/none.yaml", "model=yolov8n.yaml", "batch=16", "device=1,3", "--no-check")
            box.until(other, lambda job: job["state"] == "RUNNING")

    def test_the_recommended_preset_resolves_for_four_gpus(self):
        with self.box() as box:
            plan = json.loads(box.yoke("process", "source=server:/raw", "out=server:/set", "preset=recommended", "device=auto",
                                       "--dry-run", "-o", "json").stdout)
            train = plan["spec"]["process"]["train"]
            want = {"epochs": 100, "batch": 64, "imgsz": 640, "workers": 8, "patience": 50, "lr0": 0.01}
            self.assertEqual({key: train[key] for key in want}, want)
            self.assertIn("yolov8x", train["model"])
            banner = "\n".join(plan["banner"])
            for word in ("4", "64", "16", "DDP"):
                self.assertIn(word, banner)


if __name__ == "__main__":
    harness.main()
