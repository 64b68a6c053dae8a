"""The queue as its users order it: hold, after, time limits, priorities, preemption, why a job waits."""

import concurrent.futures
import json
import tempfile
import time
import unittest

import harness


class Queue(unittest.TestCase):
    def box(self, *flags, run_for=20, slots=2):
        worker = {"YOKE_WORKER_PATH": str(harness.BIN / "fake_worker"), "YOKE_FAKE_WORKER": json.dumps({"run_for": run_for})}
        return harness.Box("--nvml", "none", "--grace-seconds", "5", *flags, env=worker, slots=slots)

    def submit(self, box, device, *flags, check=True):
        done = box.yoke("train", "data=server:/none.yaml", "model=yolov8n.yaml", "batch=4", f"device={device}", "--no-check", *flags, check=check)
        return done.stdout.strip() if check else done

    def running(self, box, job):
        return box.until(job, lambda job: job["state"] == "RUNNING", 20)

    def ended(self, box, job):
        return box.until(job, lambda job: job["state"] in ("SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"), 20)

    def test_a_held_job_waits_until_it_is_released(self):
        with self.box(run_for=0.2) as box:
            job = self.submit(box, "cpu:0", "--hold")
            other = self.submit(box, "cpu:0")
            self.assertEqual(self.ended(box, other)["state"], "SUCCEEDED")
            held = box.job(job)
            self.assertEqual((held["state"], held["reason"]), ("HELD", "HELD_BY_USER"))
            box.yoke("job", "release", job)
            self.assertEqual(self.ended(box, job)["state"], "SUCCEEDED")
            refused = box.yoke("job", "hold", job, check=False)
            self.assertEqual(refused.returncode, 6)
            self.assertIn("has ended already", refused.stderr)

    def test_a_waiting_job_is_held_and_survives_a_restart_of_the_daemon(self):
        with self.box() as box:
            first = self.submit(box, "cpu:0")
            self.running(box, first)
            second = self.submit(box, "cpu:0")
            box.yoke("job", "hold", second)
            box.kill()
            box.start()
            box.yoke("job", "cancel", first, "--grace", "1s")
            self.ended(box, first)
            time.sleep(0.5)
            self.assertEqual(box.job(second)["state"], "HELD")
            self.assertEqual(box.yoke("job", "hold", first, check=False).returncode, 6)

    def test_after_waits_and_a_dependency_that_can_never_be_met_ends_the_job(self):
        with self.box(run_for=0.5) as box:
            first = self.submit(box, "cpu:0", "--hold")
            after = self.submit(box, "cpu:1", "--after", first[:8])
            not_ok = self.submit(box, "cpu:1", "--after-not-ok", first)
            whatever = self.submit(box, "cpu:1", "--after-any", f"{first},{not_ok}")
            waits = box.until(after, lambda job: job["reason"] == "WAITING_FOR_DEPENDENCY", 10)
            self.assertIn(f"waits for jobs/{first} (HELD) to succeed", waits["message"])
            box.yoke("job", "release", first)
            self.assertEqual(self.ended(box, after)["state"], "SUCCEEDED")
            failed = self.ended(box, not_ok)
            self.assertEqual((failed["state"], failed["reason"]), ("FAILED", "DEPENDENCY_FAILED"))
            self.assertIn(f"jobs/{first} had failed or been cancelled, but that job succeeded", failed["message"])
            self.assertEqual(self.ended(box, whatever)["state"], "SUCCEEDED")
            self.assertEqual(box.yoke("job", "wait", not_ok, check=False).returncode, 10)

    def test_what_nobody_can_wait_for_is_refused(self):
        with self.box() as box:
            for flags, words in ((("--after", "aaaaaaaa"), "There is no job"), (("--time-limit", "soon"), "--time-limit"),
                                 (("--time-limit", "0.1s"), "1 s to 366 days"), (("--signal-before", "1s"), "needs a time_limit"),
                                 (("--time-limit", "5s", "--signal-before", "5s"), "must be shorter"), (("--queue", "nihgt"), "there is no queue 'nihgt'")):
                refused = self.submit(box, "cpu:0", *flags, check=False)
                self.assertEqual(refused.returncode, 2, flags)
                self.assertIn(words, refused.stderr)
            self.assertEqual(box.json("jobs").get("jobs", []), [])

    def test_a_time_limit_asks_first_and_ends_the_job_as_timed_out(self):
        with self.box() as box:
            job = self.submit(box, "cpu:0", "--time-limit", "6s", "--signal-before", "3s")
            ended = self.ended(box, job)
            self.assertEqual((ended["state"], ended["reason"]), ("TIMED_OUT", "TIME_LIMIT"))
            self.assertRegex(box.yoke("job", "show", job).stdout, "time limit: +6s, asked to save 3s before")
            self.assertTrue((box.state / "jobs" / job / "run" / "weights" / "last.pt").exists())  # it was asked, and saved
            self.assertEqual(box.yoke("job", "wait", job, check=False).returncode, 7)

    def test_a_time_limit_holds_across_a_restart_of_the_daemon(self):
        with self.box() as box:
            job = self.submit(box, "cpu:0", "--time-limit", "6s", "--signal-before", "2s")
            self.running(box, job)
            box.kill()
            began = time.monotonic()
            box.start()
            self.assertEqual(self.ended(box, job)["state"], "TIMED_OUT")
            self.assertLess(time.monotonic() - began, 8)

    def test_requeue_makes_a_second_attempt_that_continues(self):
        with self.box() as box:
            job = self.submit(box, "cpu:0")
            self.running(box, job)
            box.yoke("job", "requeue", job)
            again = box.until(job, lambda job: len(job["attempts"]) == 2 and job["state"] == "RUNNING", 20)
            self.assertEqual(again["attempts"][0]["outcome"], "PREEMPTED")
            spec = json.loads((box.state / "jobs" / job / "attempts" / "2" / "spec.json").read_text())
            self.assertEqual(spec["resume_from"], str(box.state / "jobs" / job / "run"))
            waiting = self.submit(box, "cpu:0")
            refused = box.yoke("job", "requeue", waiting, check=False)
            self.assertEqual(refused.returncode, 6)
            self.assertIn("has not started", refused.stderr)

    def test_a_cancel_wins_over_a_requeue(self):
        with self.box() as box:
            job = self.submit(box, "cpu:0")
            self.running(box, job)
            box.yoke("job", "requeue", job)
            box.yoke("job", "cancel", job, check=False)
            ended = self.ended(box, job)
            self.assertEqual((ended["state"], ended["reason"]), ("CANCELLED", "CANCELLED_BY_USER"))

    def test_the_queue_is_shown_in_order_and_priority_changes_it(self):
        with self.box() as box:
            first = self.submit(box, "cpu:0", "--time-limit", "10m")
            self.running(box, first)
            second = self.submit(box, "cpu:0", "--name", "second")
            third = self.submit(box, "cpu:0", "--name", "third")
            queue = box.json("queue")
            self.assertEqual([entry["job"] for entry in queue["entries"]], [f"jobs/{second}", f"jobs/{third}"])
            self.assertEqual([entry["place"] for entry in queue["entries"]], [1, 2])
            self.assertIn("earliestStartTime", queue["entries"][0])
            self.assertNotIn("earliestStartTime", queue["entries"][1])
            box.yoke("job", "priority", "5", third)
            self.assertEqual(box.yoke("queue", "-o", "name").stdout.split(), [third, second])
            table = box.yoke("queue").stdout
            self.assertIn("1/2", table)
            self.assertIn("third", table)
            told = box.yoke("job", "explain", second).stdout
            self.assertIn(f"behind jobs/{third}" if "behind" in told else f"held by jobs/{first}", told)
            self.assertIn("Its place in the queue is 2 of 2.", told)
            self.assertIn("has no time limit", told)
            told = box.yoke("job", "explain", third).stdout
            self.assertIn(f"waits for CPU slot 0, held by jobs/{first} (train)", told)
            self.assertIn("It can start at ", told)
            self.assertIn("by the time limits", told)
            self.assertIn("It does not wait: it is RUNNING.", box.yoke("job", "explain", first).stdout)

    def test_a_short_job_passes_a_long_one_does_not(self):
        with self.box() as box:
            first = self.submit(box, "cpu:0", "--time-limit", "1h")
            self.running(box, first)
            head = self.submit(box, "cpu:0,1")
            box.until(head, lambda job: job["reason"] == "WAITING_FOR_DEVICES", 10)
            long = self.submit(box, "cpu:1")
            self.assertEqual(box.until(long, lambda job: job["reason"] != "CODE_UNSPECIFIED", 10)["state"], "QUEUED")
            short = self.submit(box, "cpu:1", "--time-limit", "1m")
            self.running(box, short)
            self.assertEqual(box.job(long)["state"], "QUEUED")

    def test_a_preemptible_job_makes_room_and_continues(self):
        with self.box("--preempt-after-seconds", "1") as box:
            low = self.submit(box, "cpu:0", "--preemptible")
            self.running(box, low)
            high = self.submit(box, "cpu:0", "--priority", "5")
            self.running(box, high)
            waits = box.until(low, lambda job: job["state"] == "QUEUED" and job["reason"] == "WAITING_FOR_DEVICES", 10)
            self.assertEqual(waits["attempts"][0]["outcome"], "PREEMPTED")
            box.yoke("job", "cancel", high, "--grace", "1s")
            self.assertEqual(len(self.running(box, low)["attempts"]), 2)

    def test_a_queue_runs_no_more_than_its_limit(self):
        with self.box("--queues", "night=1,day") as box:
            first = self.submit(box, "cpu:0", "--queue", "night")
            self.running(box, first)
            second = self.submit(box, "cpu:1", "--queue", "night")
            waits = box.until(second, lambda job: job["reason"] == "WAITING_FOR_LIMIT", 10)
            self.assertIn("queue night", waits["message"])
            other = self.submit(box, "cpu:1", "--queue", "day")
            self.running(box, other)
            box.yoke("job", "cancel", first, other, "--grace", "1s")
            self.running(box, second)

    def submit_file(self, box, lines, *words, check=True):
        file = box.dir / "jobs.txt"
        file.write_text("\n".join(lines) + "\n", errors="surrogateescape")
        return box.yoke("submit", file, *words, check=check)

    def test_a_file_of_jobs_is_submitted_as_a_whole_in_its_order(self):
        with self.box(run_for=0.2) as box:
            words = "data=server:/none.yaml model=yolov8n.yaml batch=4 device=cpu:0"
            done = self.submit_file(box, ["# three trainings", f"train {words} --name 'the first'", "",
                                          json.dumps({"spec": {"train": {"data": "/none.yaml"}, "device": "cpu:1"}, "displayName": "second"}),
                                          f"train {words} --hold --priority 7 name=third"])
            ids = done.stdout.split()
            self.assertIn("3 jobs submitted", done.stderr)
            jobs = [box.job(job) for job in ids]
            self.assertEqual([job["displayName"] for job in jobs], ["the first", "second", "third"])
            self.assertEqual((jobs[2]["state"], jobs[2]["priority"]), ("HELD", 7))
            for job in ids[:2]:
                self.assertEqual(self.ended(box, job)["state"], "SUCCEEDED")
            box.yoke("job", "cancel", ids[2])

    def test_a_file_with_a_wrong_line_submits_nothing_and_names_the_line(self):
        with self.box() as box:
            good = "train data=server:/none.yaml model=yolov8n.yaml device=cpu:0"
            for bad, words in (("trian data=a.yaml", "did you mean 'train'"), (good + " epohcs=3", "did you mean 'epochs'"), ("{\"spec\": 3}", "no CreateJobRequest"),
                               (good + " --name 'x", "is not closed"), (good + " --follow", "not for a file"), (good + " --priority 900", "--priority"),
                               (good + " epochs=0", "epochs=0"), ("train data=server:/none.yaml device=cpu:9", "CPU slot"), (good + " --after aaaaaaaa", "There is no job"),
                               (good + " --time-limit 99999999999999h", "longer than"), (good + " --name b\udcff", "not UTF-8")):
                refused = self.submit_file(box, ["", good, bad, good], check=False)
                self.assertEqual(refused.returncode, 2, (bad, refused.stderr))
                self.assertRegex(refused.stderr, r"jobs\.txt:3: ", bad)
                self.assertIn(words, refused.stderr)
                self.assertEqual(refused.stdout, "")
            self.assertEqual(self.submit_file(box, ["# nothing"], check=False).returncode, 2)
            self.assertEqual(box.yoke("submit", "/does/not/exist", check=False).returncode, 3)
            self.assertEqual(box.json("jobs").get("jobs", []), [])

    def test_a_thousand_jobs_survive_a_kill_right_after_their_answer(self):
        with self.box() as box:
            line = "train data=server:/none.yaml model=yolov8n.yaml batch=4 device=cpu:0 --hold"
            answer = json.loads(self.submit_file(box, [line] * 1200, "-o", "json").stdout)
            names = [job["name"] for job in answer["jobs"]]
            self.assertEqual(len(set(names)), 1200)
            box.kill()
            box.start()
            self.assertEqual([job["name"] for job in reversed(box.json("jobs", "--limit", "0")["jobs"])], names)
            box.kill()

    def test_a_batch_is_there_once_and_whole_wherever_the_daemon_died(self):
        line = "train data=server:/none.yaml model=yolov8n.yaml batch=4 device=cpu:0 --hold"
        for point in ("submit.before", "journal.sync.before", "store.commit.before", "store.answer.before"):
            with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(1) as pool:
                env = {"YOKE_FAILPOINTS": f"yoked:{point}=1*kill9", "YOKE_FAILPOINTS_ONCE": f"{folder}/once",
                       "YOKE_WORKER_PATH": str(harness.BIN / "fake_worker")}
                with harness.Box("--nvml", "none", env=env) as box:
                    submitted = pool.submit(self.submit_file, box, [line] * 40)
                    box.daemon.wait(20)
                    box.start()
                    ids = submitted.result(60).stdout.split()
                    self.assertEqual([job["name"] for job in reversed(box.json("jobs")["jobs"])], ["jobs/" + job for job in ids], point)
                    self.assertEqual(len(set(ids)), 40)
                    box.kill()

    def test_two_gpus_are_a_linked_pair_and_one_leaves_pairs_alone(self):
        with tempfile.NamedTemporaryFile("w", suffix=".nvml") as script:
            script.write("count 4\nlink 1 3\n")
            script.flush()
            worker = {"YOKE_WORKER_PATH": str(harness.BIN / "fake_worker"), "YOKE_FAKE_WORKER": '{"run_for": 20}', "YOKE_FAKE_NVML": script.name}
            with harness.Box("--nvml", harness.BIN.parent / "lib" / "fake" / "libnvidia-ml.so.1", env=worker) as box:
                pair = self.running(box, self.submit(box, "gpus:2"))
                uuids = [device["uuid"] for device in box.json("devices")["devices"] if device["kind"] == "GPU"]
                self.assertEqual(pair["attempts"][0]["deviceUuids"], [uuids[1], uuids[3]])
                box.yoke("job", "cancel", pair["name"], "--grace", "1s")
                self.ended(box, pair["name"])
                one = self.running(box, self.submit(box, "gpus:1"))
                self.assertEqual(one["attempts"][0]["deviceUuids"], [uuids[0]])


if __name__ == "__main__":
    harness.main()
