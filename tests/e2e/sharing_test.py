"""Several jobs on one GPU, by the memory that they say they take."""

import json
import sqlite3
import tempfile
import time
import unittest

import harness


class Sharing(unittest.TestCase):
    def box(self, run_for=20):
        script = self.script = tempfile.NamedTemporaryFile("w", suffix=".nvml")
        script.write("count 2\nmemory 24\n")
        script.flush()
        self.addCleanup(script.close)
        worker = {"YOKE_WORKER_PATH": str(harness.BIN / "fake_worker"), "YOKE_FAKE_WORKER": json.dumps({"run_for": run_for}), "YOKE_FAKE_NVML": script.name}
        return harness.Box("--nvml", harness.BIN.parent / "lib" / "fake" / "libnvidia-ml.so.1", "--grace-seconds", "5", env=worker)

    def train(self, box, device, *flags, check=True):
        done = box.yoke("train", "data=server:/none.yaml", "model=yolov8n.yaml", "batch=4", f"device={device}", "--no-check", *flags, check=check)
        return done.stdout.strip() if check else done

    def running(self, box, job):
        return box.until(job, lambda job: job["state"] == "RUNNING", 20)

    def cancel(self, box, job):
        box.yoke("job", "cancel", job, "--grace", "1s")
        return box.until(job, lambda job: job["state"] == "CANCELLED", 20)

    def test_shares_run_together_as_long_as_they_fit_and_over_a_death_of_the_daemon(self):
        with self.box(20 * harness.SLOWDOWN) as box:
            first, second = (self.train(box, "0", "--share-memory", "10GiB") for _ in range(2))
            self.running(box, first), self.running(box, second)
            third = self.train(box, "0", "--share-memory", "8GiB")
            alone = self.train(box, "0")
            waits = box.until(third, lambda job: job["reason"] == "WAITING_FOR_DEVICES", 10)
            self.assertIn("shared, unfenced, with 4.0 of 24.0 GiB left", waits["message"])
            self.assertIn("shared, unfenced, with 4.0 of 24.0 GiB left", box.yoke("job", "explain", third).stdout)
            gpu = next(device for device in box.json("devices")["devices"] if device["kind"] == "GPU")
            self.assertEqual({share["job"] for share in gpu["shares"]}, {f"jobs/{first}", f"jobs/{second}"})
            self.assertEqual({share["memoryBytes"] for share in gpu["shares"]}, {str(10 << 30)})
            self.assertIn("shared, unfenced: ", gpu["message"])
            self.assertIn("4.0 GiB left", box.yoke("devices", "-o", "wide").stdout)
            self.assertIn("10.0 GiB of each device, unfenced", box.yoke("job", "show", first).stdout)
            box.kill()
            box.start()
            time.sleep(0.5)
            self.assertEqual([box.job(job)["state"] for job in (first, second, third, alone)], ["RUNNING", "RUNNING", "QUEUED", "QUEUED"])
            ended = self.cancel(box, first)
            self.assertEqual(len(ended["attempts"]), 1)
            self.running(box, third)
            # The device is not taken for one that its last job still uses.
            self.assertNotIn("QUARANTINED", box.yoke("devices").stdout)
            self.assertEqual(box.job(alone)["state"], "QUEUED")
            self.cancel(box, second), self.cancel(box, third)
            self.running(box, alone)
            late = self.train(box, "0", "--share-memory", "1GiB")
            waits = box.until(late, lambda job: job["reason"] == "WAITING_FOR_DEVICES", 10)
            self.assertIn(f"held by jobs/{alone}", waits["message"])

    def test_all_that_share_a_gpu_move_when_it_fails_and_a_drained_one_is_shared_no_further(self):
        with self.box() as box:
            first, second = (self.train(box, "-1", "--share-memory", "8GiB") for _ in range(2))
            uuids = [self.running(box, job)["attempts"][0]["deviceUuids"] for job in (first, second)]
            self.assertEqual(uuids[0], uuids[1])
            time.sleep(1.2)  # until events are listened to
            self.script.write("xid 0 79\n")
            self.script.flush()
            for job in (first, second):
                moved = box.until(job, lambda now: now["state"] == "RUNNING" and len(now["attempts"]) == 2, 30)
                self.assertIn("XID 79", moved["attempts"][0]["error"]["message"])
                self.assertNotEqual(moved["attempts"][1]["deviceUuids"], uuids[0])
            box.yoke("device", "drain", "1", "--reason", "fan is loud")
            third = self.train(box, "-1", "--share-memory", "1GiB")
            box.until(third, lambda now: "drained" in now["message"], 10)
            self.assertIn("fan is loud", box.yoke("job", "explain", third).stdout)
            self.assertEqual([box.job(job)["state"] for job in (first, second, third)], ["RUNNING", "RUNNING", "QUEUED"])
            box.yoke("device", "resume", "1")
            self.assertEqual(self.running(box, third)["attempts"][0]["deviceUuids"], box.job(first)["attempts"][1]["deviceUuids"])

    def test_shares_fill_one_gpu_before_they_take_another(self):
        with self.box() as box:
            jobs = [self.train(box, "-1", "--share-memory", "12GiB") for _ in range(3)]
            uuids = [self.running(box, job)["attempts"][0]["deviceUuids"][0] for job in jobs]
            self.assertEqual(uuids[0], uuids[1])
            self.assertNotEqual(uuids[0], uuids[2])

    def test_a_waiting_job_can_be_made_to_share_and_what_cannot_be_shared_is_refused(self):
        with self.box() as box:
            first = self.train(box, "0", "--share-memory", "4GiB")
            self.running(box, first)
            second = self.train(box, "0")
            box.until(second, lambda job: job["reason"] == "WAITING_FOR_DEVICES", 10)
            self.assertEqual(box.yoke("job", "update", first, "share_memory=8GiB", check=False).returncode, 6)
            box.yoke("job", "update", second, "share_memory=4GiB")
            self.running(box, second)
            for device, size, words in (("0", "25GiB", "more than the 24576 MiB"), ("cpu:0", "1GiB", "CPU slots are not shared"),
                                        ("0", "1MiB", "at least 64MiB"), ("0", "much", "a size such as 4GiB"), ("0", "-4GiB", "a size such as 4GiB")):
                refused = self.train(box, device, f"--share-memory={size}", check=False)
                self.assertEqual(refused.returncode, 2, refused.stderr)
                self.assertIn(words, refused.stderr)

    def test_the_database_itself_refuses_a_share_beside_a_whole_device(self):
        with self.box() as box:
            whole, share = self.train(box, "0"), self.train(box, "1", "--share-memory", "4GiB")
            self.running(box, whole), self.running(box, share)
            with sqlite3.connect(box.state / "yoke.db", timeout=10) as database:
                for job, other, size in ((whole, share, 1), (share, whole, 0), (whole, share, 0)):
                    uuid = database.execute("SELECT device_uuid FROM lease WHERE job_id = ?", (job,)).fetchone()[0]
                    with self.assertRaises(sqlite3.IntegrityError):
                        database.execute("INSERT INTO lease VALUES (?, ?, 1, 0, '', ?)", (uuid, other, size))
            database.close()


if __name__ == "__main__":
    harness.main()
