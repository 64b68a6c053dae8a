"""One fault at a time, each with what must come of it."""

import errno
import json
import os
import resource
import subprocess
import time
import unittest
import uuid

import crowd
import harness
import invariants
from box import FaultBox

LONG = os.environ.get("YOKE_TEST_TIER") == "long"
DISK_CALLS = {"open": 24, "write": 72, "sync": 32, "rename": 4}
DISK_STEP = 1 if LONG else 4


def request_id():
    return str(uuid.uuid4())


def create(box, request, once=True, kind="short"):
    box.asked[request] = kind
    return box.crowd.call("create", data=f"/sets/{kind}.yaml", device="cpu:0", request_id=request, display_name=request, once=once)["job"]["name"]


class Submission(unittest.TestCase):
    def repeat_after_death(self, point, stored):
        """The daemon dies while it answers; the same id afterwards is one job, which runs once."""
        with FaultBox(failpoints=f"yoked:{point}=1*kill9", supervised=False) as box:
            request = request_id()
            with self.assertRaises(crowd.Refused) as refused:
                create(box, request)
            self.assertEqual(refused.exception.code, "UNAVAILABLE")
            box.daemon.wait(10)
            box.start()
            before = [job["name"] for job in box.persist("list")["jobs"]]
            self.assertEqual(len(before), stored)
            name = create(box, request, once=False)
            self.assertEqual(create(box, request), name)
            self.assertTrue(not before or before == [name])
            box.ledger[name] = "short"
            box.drain()
            self.assertEqual(invariants.judge(box)["rank starts"], 1)

    def test_killed_before_anything_is_stored_and_asked_again(self):
        self.repeat_after_death("journal.write.before", stored=0)

    def test_killed_when_only_the_journal_has_it_and_asked_again(self):
        self.repeat_after_death("store.commit.before", stored=1)

    def test_killed_between_commit_and_answer_and_asked_again(self):
        self.repeat_after_death("store.commit.after", stored=1)
        self.repeat_after_death("submit.after", stored=1)

    def test_a_client_killed_while_it_submits_and_follows_leaves_nothing_open(self):
        with FaultBox() as box:
            name = box.run("ever", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            fresh = box.usage()
            for _ in range(10):
                others = crowd.Crowd(harness.BIN / "yoke-crowd", f"unix://{box.socket}")
                for _ in range(4):
                    request = request_id()
                    box.asked[request] = "short"
                    others.ask("create", data="/sets/short.yaml", device="cpu:1", request_id=request, display_name=request)
                    others.ask("logs", name=name, folder=str(box.dir))
                time.sleep(box.random.uniform(0.01, 0.2))
                others.end()
            box.drain()
            invariants.settle(box, fresh, fds=16, threads=8)
            box.drain()  # what was still being submitted then
            invariants.judge(box)


class Daemon(unittest.TestCase):
    def test_an_upgrade_leaves_running_jobs_alone_and_a_shim_of_another_version_too(self):
        with FaultBox(supervised=False, kinds={"long": ({"run_for": 3}, 1, ("SUCCEEDED", 0, 0))}) as box:
            name, other = box.run("long", "cpu:0"), box.run("long", "cpu:1")
            for job in (name, other):
                box.until(job, lambda found: found["state"] == "RUNNING")
            shims = box.shims()
            self.assertEqual(box.terminate(), 0)
            # The next daemon meets a shim that says it is of a later version.
            record = next(folder for folder in shims if other.removeprefix("jobs/") in str(folder)) / "started"
            said = json.loads(record.read_text())
            record.write_text(json.dumps({**said, "protocol": said["protocol"] + 1, "later": True}))
            time.sleep(0.3)
            for pid in shims.values():
                os.kill(pid, 0)
            box.start()
            self.assertEqual(box.shims(), shims)
            box.until(other, lambda found: "left alone" in box.evidence())
            box.drain()
            self.assertEqual(invariants.judge(box)["rank starts"], 2)

    def test_a_second_one_on_the_same_state_ends_at_once_and_touches_nothing(self):
        def times():
            return {path: path.stat().st_mtime_ns for path in box.state.glob("*") if path.name != "yoke.db-shm"}

        # A job that reports nothing, once its start is written: then nobody else touches the files.
        with FaultBox(kinds={"still": ({"run_for": 0, "hang": True}, 1, None)}) as box:
            name = box.run("still", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            before = None
            while before != (before := times()):
                time.sleep(2)
            for socket in (box.socket, box.dir / "other"):
                began = time.monotonic()
                done = subprocess.run([harness.BIN / "yoked", "--state", box.state, "--socket", socket, *map(str, box.flags)], capture_output=True,
                                      text=True, env={**box.env, "NOTIFY_SOCKET": ""}, timeout=10)
                self.assertLess(time.monotonic() - began, harness.SLOWDOWN)
                self.assertEqual(done.returncode, 6)
                self.assertIn(f"locked by pid {box.daemon.pid}", done.stderr)
                self.assertFalse((box.dir / "other").exists())
            self.assertEqual({path: time for path, time in times().items() if path in before}, before)
            self.assertEqual(box.job(name)["state"], "RUNNING")
            box.drain()
            invariants.judge(box)

    def test_without_descriptors_running_jobs_and_open_connections_go_on(self):
        with FaultBox(supervised=False, kinds={"long": ({"run_for": 3}, 1, ("SUCCEEDED", 0, 0))}) as box:
            name = box.run("long", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            limits = resource.prlimit(box.daemon.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(box.daemon.pid, resource.RLIMIT_NOFILE, (box.usage()[0], limits[1]))
            answers = [box.submit("short", "cpu:1") for _ in range(8)]
            extra = [crowd.Crowd(harness.BIN / "yoke-crowd", f"unix://{box.socket}") for _ in range(4)]
            asked = [other.ask("get", name=name) for other in extra]
            time.sleep(1.5)
            self.assertIsNone(box.daemon.poll())
            resource.prlimit(box.daemon.pid, resource.RLIMIT_NOFILE, limits)
            for future in answers + asked:
                future.exception(60)  # refused or served: never silent
            for other in extra:
                other.end()
            others = crowd.Crowd(harness.BIN / "yoke-crowd", f"unix://{box.socket}")
            self.assertEqual(others.call("get", name=name)["job"]["name"], name)
            others.end()
            later = box.run("short", "cpu:2")
            box.drain()
            self.assertIsNone(box.daemon.poll())
            self.assertEqual(box.job(later)["state"], "SUCCEEDED")
            self.assertEqual(box.job(name)["state"], "SUCCEEDED")
            box.also = (("FAILED", 0, 0),)  # one whose shim could not be started, and says so
            for job in box.persist("list")["jobs"]:
                if job["state"] == "FAILED":
                    self.assertEqual(job["reason"], "SPAWN_FAILED", job)
            invariants.judge(box)

    def test_a_check_of_data_dies_with_the_daemon_at_the_latest_when_it_is_back(self):
        script = json.dumps({"prepare": {"hang": True}})
        with FaultBox(supervised=False) as box:
            (box.dir / "fake.json").write_text(script)
            asked = box.crowd.ask("create", data="/sets/short.yaml", device="cpu:0", request_id=request_id(), once=True, check=True)
            deadline = time.monotonic() + 10
            while not box.own_processes() and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertTrue(box.own_processes())
            box.kill()
            self.assertIsNotNone(asked.exception(20))
            box.start()
            invariants.check_leftovers(box)


class Launcher(unittest.TestCase):
    def test_looks_at_an_attempt_only_when_something_happened_to_it(self):
        """One that looks on while it waits dies of it: a wait without rest is a thousand looks."""
        with FaultBox(supervised=False, failpoints="yoked:launcher.tell.before=150*off->1*kill9") as box:
            self.assertEqual(box.wait(box.run("short", "cpu:0"))["state"], "SUCCEEDED")
            self.assertIsNone(box.daemon.poll())
            self.assertIn("yoked:launcher.tell.before", box.visited.read_text().split())
            invariants.judge(box)


class Disk(unittest.TestCase):
    def one(self, plan):
        """The outcome as a word; whatever it is, what was acknowledged is kept and what was refused is not there."""
        with FaultBox(supervised=False, start=False) as box:
            box.env.update(LD_PRELOAD=str(harness.BIN / "failing_disk.so"), YOKE_FAILING_PROGRAM="yoked", YOKE_FAILING_DISK=f"{plan}:{box.state}")
            started = box.start_once()
            box.connect()
            refused = []
            for kind in ("short", "fail", "short") if started else ():
                request = request_id()
                try:
                    box.ledger[create(box, request, kind=kind)] = kind
                except crowd.Refused as error:
                    refused.append((request, error.code))
            if started:
                time.sleep(0.6)  # what was accepted runs into the fault, too
            died = started and box.daemon.poll() is not None
            box.kill()
            for name in ("LD_PRELOAD", "YOKE_FAILING_DISK"):
                del box.env[name]
            box.start()
            known = {job["displayName"] for job in box.persist("list")["jobs"]}
            for request, code in refused:
                self.assertTrue(code == "UNAVAILABLE" or request not in known, f"{plan}: refused with {code}, but stored")
            create(box, request_id(), once=False)
            box.drain()
            box.also = (("FAILED", 0, 0),)
            for job in box.persist("list")["jobs"]:
                if job["state"] == "FAILED" and job["error"]["exitCode"] == 0:
                    self.assertEqual(job["reason"], "SPAWN_FAILED", f"{plan}: {job}")
            invariants.judge(box)
            return "no start" if not started else "death" if died else "refused" if refused else "unnoticed"

    def test_any_single_failure_is_told_or_overcome_never_a_silent_success(self):
        outcomes = {}
        for number, (call, last) in enumerate(DISK_CALLS.items()):
            for n in range(1 + number % DISK_STEP, last + 1, DISK_STEP):
                for code in (errno.EIO, errno.ENOSPC) if LONG else ((errno.EIO, errno.ENOSPC)[n % 2],):
                    word = self.one(f"{call}:{n}:{code}")
                    outcomes[word] = outcomes.get(word, 0) + 1
        print(f"{sum(outcomes.values())} single failures of the disk: {outcomes}; 0 lost, 0 refused but stored")
        self.assertGreater(len(outcomes), 2)

    def test_a_disk_that_fails_or_is_read_only_from_now_on_acknowledges_nothing_and_ends_no_job(self):
        for call, code in (("write", errno.EIO), ("write", errno.EROFS), ("sync", errno.EIO), ("open", errno.EROFS)):
            with FaultBox(supervised=False, start=False, kinds={"long": ({"run_for": 2}, 1, ("SUCCEEDED", 0, 0))}) as box:
                box.env.update(LD_PRELOAD=str(harness.BIN / "failing_disk.so"), YOKE_FAILING_PROGRAM="yoked",
                               YOKE_FAILING_DISK=f"{call}:60-:{code}:{box.state}")
                box.start()
                box.connect()
                name = box.run("long", "cpu:1")
                deadline = time.monotonic() + 10
                while not list(box.state.glob("jobs/*/attempts/1/rank0.log")) and time.monotonic() < deadline:
                    time.sleep(0.02)
                asked = failed = 0
                while asked < 60 and failed < 3:
                    asked += 1
                    failed += box.submit("short", "cpu:0").exception(60) is not None
                box.kill()
                for variable in ("LD_PRELOAD", "YOKE_FAILING_DISK"):
                    del box.env[variable]
                box.start()
                box.drain()
                self.assertEqual(box.job(name)["state"], "SUCCEEDED")
                box.also = (("FAILED", 0, 0),)
                self.assertEqual(invariants.judge(box)["acknowledged"], 1 + asked - failed)
                if call != "open":
                    self.assertGreater(failed, 0)



if __name__ == "__main__":
    harness.main()
