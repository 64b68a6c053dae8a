"""Deaths in mid-training: of the daemon, of a rank."""

import os
import signal
import subprocess
import tempfile
import time
import unittest

import harness


class Survive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="yoke-data.")
        cls.yaml = harness.shapes(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def submit(self, box, epochs, device="0,1"):
        return box.submit("train", f"data={self.yaml}", "model=yolov8n.yaml", f"epochs={epochs}", "batch=8", "imgsz=64", "workers=1",
                          f"device={device}")

    def test_a_killed_daemon_loses_nothing_and_a_follower_sees_every_line_once(self):
        with harness.Box() as box:
            job = self.submit(box, 40)
            box.until(job, lambda job: job.get("progress", {}).get("epoch", 0) >= 1)
            follower = subprocess.Popen([box.bin / "yoke", "logs", job, "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=box.env)
            time.sleep(0.5)
            ranks = box.rank_pids(job)
            self.assertEqual(sorted(ranks), [0, 1])
            box.kill()
            time.sleep(1)
            for pid in ranks.values():
                os.kill(pid, 0)  # training goes on without a daemon
            box.start()
            self.assertEqual(box.rank_pids(job), ranks)  # adopted, not started again
            ended = box.wait(job)
            self.assertEqual(len(ended["attempts"]), 1)
            printed, talk = follower.communicate(timeout=60)
            self.assertEqual(follower.returncode, 0, talk)
            attempt = box.state / "jobs" / job / "attempts" / "1"
            written = b"".join((attempt / f"rank{rank}.log").read_bytes() for rank in (0, 1))
            self.assertEqual(sorted(printed.splitlines()), sorted(written.splitlines()))

    def test_a_killed_rank_ends_its_group_and_is_named(self):
        with harness.Box() as box:
            job = self.submit(box, 200)
            box.until(job, lambda job: job["state"] == "RUNNING" and len(box.rank_pids(job["name"])) == 2)
            box.until(job, lambda job: job.get("progress", {}).get("epoch", 0) >= 1)
            os.kill(box.rank_pids(job)[1], signal.SIGKILL)
            began = time.monotonic()
            self.assertEqual(box.yoke("job", "wait", job, check=False).returncode, 10)
            self.assertLess(time.monotonic() - began, 15)
            failed = box.wait(job, "FAILED")
            self.assertEqual((failed["error"]["rank"], failed["error"]["signal"]), (1, 9))
            self.assertEqual(failed["reason"], "RANK_FAILED")
            self.assertEqual(box.attempt_processes(job), [])
            self.assertEqual({device["state"] for device in box.json("devices")["devices"]}, {"FREE"})


if __name__ == "__main__":
    harness.main()
