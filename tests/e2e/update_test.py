"""What can be changed of a job that was submitted, and what is refused."""

import json
import unittest

import harness


class Update(unittest.TestCase):
    def box(self, *flags, run_for=20, slots=2):
        worker = {"YOKE_WORKER_PATH": str(harness.BIN / "fake_worker"), "YOKE_FAKE_WORKER": json.dumps({"run_for": run_for})}
        return harness.Box("--nvml", "none", "--grace-seconds", "5", *flags, env=worker, slots=slots)

    def submit(self, box, device, *flags):
        return box.submit("train", "data=server:/none.yaml", "model=yolov8n.yaml", "batch=4", f"device={device}", "--no-check", *flags)

    def running(self, box, job):
        return box.until(job, lambda job: job["state"] == "RUNNING", 20)

    def ended(self, box, job):
        return box.until(job, lambda job: job["state"] in ("SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"), 20)

    def refused(self, box, code, words, *command):
        answer = box.yoke("job", "update", *command, check=False)
        self.assertEqual(answer.returncode, code, answer.stderr)
        self.assertIn(words, answer.stderr)

    def test_a_waiting_job_changes_and_keeps_it_over_a_death_of_the_daemon(self):
        with self.box("--queues", "night=1") as box:
            first = self.submit(box, "cpu:0")
            self.running(box, first)
            job = self.submit(box, "cpu:0", "--name", "old", "--time-limit", "10m")
            box.yoke("job", "update", job, "name=new", "priority=7", "queue=night", "preemptible=True", "time_limit=1h", f"after_any={first[:8]}")
            box.kill()
            box.start()
            found = box.job(job)
            self.assertEqual((found["displayName"], found["priority"]), ("new", 7))
            scheduling = found["scheduling"]
            self.assertEqual((scheduling["queue"], scheduling["preemptible"], scheduling["timeLimit"]), ("night", True, "3600s"))
            self.assertEqual(scheduling["signalBefore"], "60s")  # followed the limit: nobody had chosen another
            self.assertEqual(scheduling["dependencies"], [{"job": f"jobs/{first}", "condition": "ANY"}])
            waits = box.until(job, lambda job: job["reason"] == "WAITING_FOR_DEPENDENCY", 10)
            self.assertIn(first, waits["message"])
            self.assertIn(f"jobs/{first}", box.yoke("job", "explain", job).stdout)
            box.yoke("job", "update", job, "after_any=", "time_limit=")
            found = box.job(job)["scheduling"]
            self.assertEqual((found["dependencies"], "timeLimit" in found), ([], False))
            box.until(job, lambda job: job["reason"] == "WAITING_FOR_DEVICES", 10)

    def test_a_running_job_gets_a_shorter_limit_and_ends_by_it(self):
        with self.box() as box:
            job = self.submit(box, "cpu:0", "--time-limit", "1h")
            self.running(box, job)
            self.refused(box, 6, "scheduling.queue cannot change any more", job, "queue=default")
            self.refused(box, 6, "scheduling.dependencies cannot change any more", job, "after=")
            box.yoke("job", "update", job, "time_limit=2s", "signal_before=1s")
            self.assertEqual(self.ended(box, job)["state"], "TIMED_OUT")
            self.refused(box, 6, "the job has ended already, it is TIMED_OUT", job, "time_limit=1h")
            box.yoke("job", "update", job, "name=too short")
            self.assertEqual(box.job(job)["displayName"], "too short")

    def test_what_a_submission_could_not_have_is_refused(self):
        with self.box() as box:
            first = self.submit(box, "cpu:0")
            second = self.submit(box, "cpu:0", "--after", first)
            third = self.submit(box, "cpu:0", "--after", second, "--hold")
            before = box.job(third)
            self.refused(box, 2, "there is no queue 'nihgt'", third, "queue=nihgt")
            self.refused(box, 2, "needs a time_limit", third, "signal_before=5s")
            self.refused(box, 2, "must be shorter", third, "time_limit=5s", "signal_before=5s")
            self.refused(box, 2, "priority=101 is out of range", third, "priority=101")
            self.refused(box, 2, "There is no job", third, "after=aaaaaaaa")
            self.refused(box, 2, "did you mean 'time_limit'?", third, "time_limits=5s")
            self.refused(box, 2, "no job is named", "priority=1")
            self.refused(box, 2, "nothing to change", third)
            self.refused(box, 2, "that is the job itself", third, f"after={third}")
            self.refused(box, 2, f"jobs/{third}: that job waits for this one", second, f"after_any={first},{third}")
            self.assertEqual(box.job(third), before)

    def test_devices_that_the_machine_lost_are_named_as_they_were_asked_for(self):
        with self.box() as box:
            job = self.submit(box, "-1,-1", "--hold")
            box.stop()
            box.flags[1] = "1"
            box.start()
            box.yoke("job", "release", job)
            waits = box.until(job, lambda job: job["reason"] == "WAITING_FOR_DEVICES", 10)
            self.assertIn("waits for device=-1,-1, which this machine does not have now: 2 CPU slots not available. "
                          "Only 1 CPU slot(s) detected.", waits["message"])
            self.assertNotIn("2147483647", box.yoke("job", "explain", job).stdout)


if __name__ == "__main__":
    harness.main()
