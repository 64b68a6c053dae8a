"""A full disk: what was accepted stays, running jobs end, nothing new is taken in, and all goes on once there is space."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import harness

WORKER = ["--worker-path", str(harness.BIN / "fake_worker"), "--nvml", "none"]


class FullDisk(unittest.TestCase):
    def setUp(self):
        self.disk = pathlib.Path(tempfile.mkdtemp(prefix="yoke-disk."))
        self.addCleanup(self.disk.rmdir)
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", self.disk],
                                               capture_output=True).returncode != 0:
            self.skipTest("needs root and a tmpfs to mount: a disk that can be filled")
        self.addCleanup(subprocess.run, ["umount", self.disk], check=True)

    def fill(self):
        with open(self.disk / "filler", "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    pass

    def submit(self, box, device="0", check=True):
        return box.yoke("train", "data=server:/d.yaml", "model=yolov8n.yaml", f"device={device}", "--no-check", check=check)

    def test_submissions_are_refused_jobs_end_and_all_resumes_without_a_restart(self):
        script = {"run_for": 600, "events": False, "lines_per_second": 2}
        box = harness.Box(*WORKER, slots=3, env={"YOKE_FAKE_WORKER": json.dumps(script)})
        box.state = self.disk / "state"
        with box:
            runs, through = self.submit(box).stdout.strip(), self.submit(box, "2").stdout.strip()
            for job in (runs, through):
                box.until(job, lambda job: job["state"] == "RUNNING")
            ranks = box.rank_pids(through)
            self.assertTrue((box.state / "reserve").exists())
            held = box.yoke("train", "data=server:/d.yaml", "model=yolov8n.yaml", "device=1", "--no-check", "--hold").stdout.strip()
            accepted = [runs, through, held]
            self.fill()
            for _ in range(200):
                answer = self.submit(box, check=False)
                if answer.returncode != 0:
                    break
                accepted.append(answer.stdout.strip())
                self.fill()
            self.assertNotEqual(answer.returncode, 0, "200 jobs fit on a full disk")
            self.assertIn("full", answer.stderr)
            for _ in range(3):
                self.assertNotEqual(self.submit(box, check=False).returncode, 0)
            listed = {job["name"] for job in box.json("jobs")["jobs"]}
            self.assertEqual(listed, {"jobs/" + job for job in accepted})
            # What could start says why it does not.
            box.yoke("job", "release", held)
            deadline = time.monotonic() + 10
            while "nothing can be started: the disk" not in (told := box.yoke("job", "explain", held).stdout):
                self.assertLess(time.monotonic(), deadline, told)
                time.sleep(0.1)
            # What runs can still be stopped, and its end is kept.
            box.yoke("job", "cancel", runs, "--grace", "2s")
            box.wait(runs, "CANCELLED")
            free = next((job for job in accepted[2:]), None)
            if free:
                box.yoke("job", "cancel", free)
                box.wait(free, "CANCELLED")

            # A daemon that dies now starts again, and knows what it knew.
            self.fill()
            box.kill()
            box.start()
            self.assertEqual({job["name"] for job in box.json("jobs")["jobs"]}, listed)
            self.assertEqual(box.job(runs)["state"], "CANCELLED")
            self.assertNotEqual(self.submit(box, check=False).returncode, 0)

            (self.disk / "filler").unlink()
            deadline = time.monotonic() + 10
            while (answer := self.submit(box, "1", check=False)).returncode != 0:
                self.assertLess(time.monotonic(), deadline, answer.stderr)
                time.sleep(0.2)
            last = answer.stdout.strip()
            # One that ran all the time, and could not write its log, goes on and writes it again.
            log = box.state / "jobs" / through / "attempts" / "1" / "rank0.log"
            size = log.stat().st_size
            while log.stat().st_size == size:
                self.assertLess(time.monotonic(), deadline + 10)
                time.sleep(0.1)
            self.assertEqual(box.rank_pids(through), ranks)
            box.until(last, lambda job: job["state"] == "RUNNING", 20)
            self.assertTrue((box.state / "reserve").exists())
            box.kill()
            box.start()
            self.assertEqual({job["name"] for job in box.json("jobs")["jobs"]}, {"jobs/" + job for job in [*accepted, last]})
            self.assertEqual(box.job(runs)["state"], "CANCELLED")
            self.assertFalse(any(item["name"] == "state" for item in box.json("check", check=False)["items"]))


if __name__ == "__main__":
    harness.main()
