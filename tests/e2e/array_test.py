"""Arrays and sweeps: one row, tasks made as devices come free, once each, whatever dies between."""

import json
import signal
import subprocess
import time
import unittest

import harness

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT")


class Array(unittest.TestCase):
    def box(self, *flags, slots=2, env=None, **script):
        worker = {"YOKE_WORKER_PATH": str(harness.BIN / "fake_worker"), "YOKE_FAKE_WORKER": json.dumps({"run_for": 0.3, **script})}
        return harness.Box("--nvml", "none", "--grace-seconds", "5", *flags, env={**worker, **(env or {})}, slots=slots)

    def train(self, box, *words, check=True):
        done = box.yoke("train", "model=yolov8n.yaml", "batch=4", "device=-1", "--no-check", *words, check=check)
        return done.stdout.strip() if check else done

    def tasks(self, box, array):
        return sorted(box.json("jobs", f"array={array}").get("jobs", []), key=lambda task: task["arrayIndex"])

    def ended(self, box, job, seconds=60):
        return box.until(job, lambda job: job["state"] in ENDED, seconds)

    def test_tasks_differ_by_their_index_run_as_many_at_once_as_they_may_and_end_the_array(self):
        with self.box(slots=4, run_for=0.3 * harness.SLOWDOWN) as box:
            array = self.train(box, "data=server:/folds/{index}.yaml", "--array", "3-9%2", "--name", "folds")
            after = self.train(box, "data=server:/x.yaml", "--after", array)
            most = 0
            while True:
                waits = box.job(after)["state"]  # asked first: the array may end in between
                found = box.job(array)
                if found["state"] in ENDED:
                    break
                self.assertEqual(waits, "QUEUED")
                most = max(most, found["array"]["running"])
                time.sleep(0.05)
            self.assertEqual((found["state"], found["message"]), ("SUCCEEDED", "All 7 tasks succeeded."))
            self.assertEqual(most, 2)
            tasks = self.tasks(box, array)
            self.assertEqual([task["arrayIndex"] for task in tasks], [3, 4, 5, 6, 7, 8, 9])
            self.assertEqual([task["spec"]["train"]["data"] for task in tasks], [f"/folds/{i}.yaml" for i in range(3, 10)])
            self.assertEqual(tasks[0]["displayName"], "folds[3]")
            self.assertEqual(self.ended(box, after)["state"], "SUCCEEDED")
            rows = box.yoke("jobs").stdout.splitlines()
            self.assertEqual(len(rows), 3)  # header, array, the job after it
            self.assertRegex(rows[2], r"train x7 .*0 waiting, 0 running, 7 done, 0 failed")
            shown = box.yoke("job", "show", array).stdout
            self.assertIn("indices 3 to 9, at most 2 at once", shown)
            self.assertIn(harness_id(tasks[0]), shown)

    def test_arrays_go_with_other_jobs_in_one_file(self):
        with self.box(slots=3) as box:
            file = box.dir / "jobs.txt"
            words = "train model=yolov8n.yaml batch=4 device=-1"
            file.write_text("\n".join((f"{words} data=server:/x.yaml", f"{words} data=server:/folds/{{index}}.yaml --array 0-4%2 --name folds",
                                       f"{words} data=server:/x.yaml --sweep lr0=0.1,0.01,0.001",
                                       json.dumps({"spec": {"train": {"data": "/x.yaml"}, "device": "-1"}, "array": {"count": 2}}))) + "\n")
            one, *arrays = box.yoke("submit", file).stdout.split()
            self.assertEqual([box.job(array)["array"]["count"] for array in arrays], [5, 3, 2])
            for job in (one, *arrays):
                self.assertEqual(self.ended(box, job)["state"], "SUCCEEDED")
            self.assertEqual([task["spec"]["train"]["data"] for task in self.tasks(box, arrays[0])], [f"/folds/{i}.yaml" for i in range(5)])
            for bad, why in ((f"{words} data=server:/x.yaml --sweep lr0=1,99", "lr0=99 is out of range"), (f"{words} data=server:/x.yaml --array 9-3", "--array 9-3")):
                file.write_text(f"{words} data=server:/x.yaml\n{bad}\n")
                refused = box.yoke("submit", file, check=False)
                self.assertEqual((refused.returncode, refused.stdout), (2, ""))
                self.assertRegex(refused.stderr, r"jobs\.txt:2: .*" + why)
            self.assertEqual(len(box.json("jobs")["jobs"]), 4)

    def test_ten_thousand_tasks_are_submitted_at_once_and_cancelled_at_once(self):
        with self.box(run_for=30) as box:
            begin = time.monotonic()
            array = self.train(box, "data=server:/x.yaml", "--array", "0-9999")
            self.assertLess(time.monotonic() - begin, 2)
            box.until(array, lambda job: job["array"]["running"] == 2, 20)
            self.assertLess(box.job(array)["array"]["made"], 10)
            told = box.yoke("job", "explain", array).stdout
            self.assertIn("Of its 10000 tasks 9998 wait, 2 run, 0 have succeeded", told)
            deadline = time.monotonic() + 5
            while "Its next task is about to be made." in told and time.monotonic() < deadline:
                told = box.yoke("job", "explain", array).stdout
            self.assertRegex(told, "Its next task waits for 1 idle CPU slot")
            waiting = next(task for task in self.tasks(box, array) if task["state"] == "QUEUED")
            circle = box.yoke("job", "update", harness_id(waiting), f"after={array}", check=False)
            self.assertEqual((circle.returncode, "that job waits for this one" in circle.stderr), (2, True), circle.stderr)
            box.yoke("job", "cancel", array, "--grace", "1s")
            ended = self.ended(box, array)
            self.assertEqual(ended["state"], "CANCELLED")
            self.assertEqual({task["state"] for task in self.tasks(box, array)}, {"CANCELLED"})
            self.assertEqual(box.yoke("job", "wait", array, check=False).returncode, 11)

    def test_hold_release_priority_and_a_new_limit_reach_all_tasks(self):
        with self.box(run_for=max(1, harness.SLOWDOWN / 2), slots=2) as box:
            array = self.train(box, "data=server:/x.yaml", "--array", "0-5", "--hold")
            time.sleep(0.5)
            self.assertEqual((box.job(array)["state"], self.tasks(box, array)), ("HELD", []))
            box.yoke("job", "update", array, "parallel=1", "priority=5")
            box.yoke("job", "release", array)
            box.until(array, lambda job: job["array"]["running"] == 1, 10)
            self.assertIn("It runs as many tasks at once as it may, 1.", box.yoke("job", "explain", array).stdout)
            box.yoke("job", "hold", array)
            box.until(array, lambda job: job["array"]["running"] == 0, 10)
            held = box.job(array)
            self.assertEqual((held["state"], held["array"]["succeeded"]), ("HELD", 1))
            self.assertEqual(box.yoke("job", "requeue", array, check=False).returncode, 6)
            box.yoke("job", "release", array)
            box.yoke("job", "update", array, "parallel=")
            box.until(array, lambda job: job["array"]["running"] == 2, 10)
            self.assertEqual(self.ended(box, array)["state"], "SUCCEEDED")
            self.assertEqual({task["priority"] for task in self.tasks(box, array)}, {5})

    def test_a_sweep_shows_its_values_beside_what_came_of_them_the_best_first(self):
        values = {"0.1": 0.3, "0.01": 0.9, "0.001": 0.5}
        with self.box(slots=2, result={}) as box:
            fitness = {"0.1": 0.3, "0.01": 0.9, "0.001": 0.5}
            array = self.train(box, "data=server:/x.yaml", "--sweep", "lr0=" + ",".join(values), "--sweep", "data=server:/a.yaml,server:/b.yaml")
            self.assertEqual(self.ended(box, array)["state"], "SUCCEEDED")
            tasks = self.tasks(box, array)
            self.assertEqual(len(tasks), 6)
            seen = {(task["spec"]["train"]["lr0"], task["spec"]["train"]["data"]) for task in tasks}
            self.assertEqual(seen, {(float(lr), data) for lr in fitness for data in ("/a.yaml", "/b.yaml")})
            table = box.yoke("sweep", "results", array).stdout.splitlines()
            self.assertRegex(table[0], "INDEX +ID +STATE +lr0 +data +FITNESS")
            self.assertEqual(len(table), 7)
        # What each data set is scripted to come to decides the order.
        results = {name: {"result": {"train": {"epochs": 1, "metrics": {"fitness": value, "map50": value}}}} for name, value in (("a", 0.2), ("b", 0.8), ("c", 0.5))}
        with self.box(data=results) as box:
            array = self.train(box, "--sweep", "data=" + ",".join(f"server:/{name}.yaml" for name in results))
            self.assertEqual(self.ended(box, array)["state"], "SUCCEEDED")
            best = box.json("sweep", "results", array)["jobs"]
            self.assertEqual([job["spec"]["train"]["data"] for job in best], ["/b.yaml", "/c.yaml", "/a.yaml"])
            self.assertIn("0.8000", box.yoke("sweep", "results", array).stdout.splitlines()[1])

    def test_a_random_sweep_draws_and_a_failed_task_fails_the_array(self):
        with self.box(data={"bad": {"exit_code": 1}}) as box:
            array = self.train(box, "--sweep", "lr0=1e-4..1e-2:log", "--sweep", "data=server:/good.yaml,server:/bad.yaml", "--sweep-random", "8",
                               "--sweep-seed", "3")
            ended = self.ended(box, array)
            tasks = self.tasks(box, array)
            self.assertTrue(all(1e-4 <= task["spec"]["train"]["lr0"] <= 1e-2 for task in tasks))
            self.assertEqual(len({task["spec"]["train"]["lr0"] for task in tasks}), 8)
            bad = [task for task in tasks if task["spec"]["train"]["data"] == "/bad.yaml"]
            self.assertTrue(0 < len(bad) < 8)
            self.assertEqual((ended["state"], ended["reason"]), ("FAILED", "TASK_FAILED"))
            self.assertEqual(ended["message"], f"{len(bad)} of 8 tasks failed.")
            self.assertEqual({task["state"] for task in bad}, {"FAILED"})

    def test_a_task_is_made_and_run_once_however_often_the_daemon_dies(self):
        with self.box(run_for=0.1, slots=3) as box:
            witness = box.dir / "witness"
            box.env["YOKE_FAKE_WORKER"] = json.dumps({"run_for": 0.1, "witness": str(witness)})
            box.stop()
            box.start()
            array = self.train(box, "data=server:/x.yaml", "--array", "0-29%3")
            deaths = 0
            points = ["store.insert.before=2*off->kill9", "store.insert.after=2*off->kill9", "dispatch.start.after=3*off->kill9", "start.commit.after=2*off->kill9",
                      "launcher.finish.after=3*off->kill9", "launcher.finish.before=2*off->kill9"]
            for point in points:
                box.stop()
                box.env["YOKE_FAILPOINTS"] = point
                try:
                    box.start()
                except AssertionError:  # it may die before it was asked anything
                    self.assertEqual(box.daemon.poll(), -signal.SIGKILL)
                try:
                    box.daemon.wait(20)
                    deaths += 1
                except subprocess.TimeoutExpired:
                    pass
            del box.env["YOKE_FAILPOINTS"]
            if box.daemon.poll() is not None:
                box.start()
            ended = self.ended(box, array)
            self.assertEqual((ended["state"], ended["array"]["made"], ended["array"]["succeeded"]), ("SUCCEEDED", 30, 30))
            self.assertEqual([task["arrayIndex"] for task in self.tasks(box, array)], list(range(30)))
            starts = [line.split()[1] for line in witness.read_text().splitlines() if line.startswith("START")]
            self.assertEqual((len(starts), len(set(starts))), (30, 30))
            self.assertGreaterEqual(deaths, 4)

    def test_what_cannot_be_is_refused_before_anything_is_stored(self):
        with self.box() as box:
            for words, text in ((("--array", "9-3"), "--array 9-3"), (("--array", "0-3%0"), "FIRST-LAST%AT_ONCE"), (("--array", "0-100000"), "at most 100000 tasks"),
                                (("--sweep", "lr0"), "KEY=VALUE,VALUE"), (("--sweep", "lr00=1"), "unknown key 'lr00'"), (("--sweep", "lr0=1,99"), "lr0=99 is out of range"),
                                (("--sweep", "lr0=1e-4..1e-2"), "only a random sweep draws from a range"), (("--sweep-random", "5"), "none is named"),
                                (("--sweep", "lr0=0.1", "--sweep", "lr0=0.2"), "lr0 is swept twice"), (("--array", "0-3", "--follow"), "have a log each"),
                                (("--parallel", "3"), "there is none"), (("--sweep", "device=0,1"), "device")):
                refused = self.train(box, "data=server:/x.yaml", *words, check=False)
                self.assertEqual(refused.returncode, 2, (words, refused.stderr))
                self.assertIn(text, refused.stderr)
            self.assertEqual(box.json("jobs").get("jobs", []), [])


def harness_id(job):
    return job["name"].removeprefix("jobs/")


if __name__ == "__main__":
    harness.main()
