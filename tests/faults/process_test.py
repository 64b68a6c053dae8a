"""Processes that stop, hide, multiply or eat all memory; process ids that come back; programs that cannot be started."""

import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

import harness
import invariants
from box import FaultBox
from invariants import cgroup_folder, groups

NOBODY = 65534


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


def user_of(box):
    """The environment of somebody who uses the box's daemon."""
    return {**os.environ, "YOKE_SERVER": f"unix://{box.socket}"}


def eventually(test, holds, what, seconds=10):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            test.fail(f"not in {seconds} s: {what}")
        time.sleep(0.02)


class Stopped(unittest.TestCase):
    def test_a_stopped_shim_that_is_asked_to_stop_is_continued_after_the_grace(self):
        with FaultBox() as box:
            name = box.run("ever", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            shim = next(iter(box.shims().values()))
            os.kill(shim, signal.SIGSTOP)
            box.cancel(name)
            self.assertEqual(box.wait(name)["state"], "CANCELLED")
            self.assertIn("is stopped (SIGSTOP)", box.evidence())
            box.drain()
            invariants.judge(box)

    def test_a_stopped_shim_leaves_its_job_alone_and_ends_it_when_it_goes_on(self):
        with FaultBox(supervised=False) as box:
            name = box.run("ever", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            shim, log = next(iter(box.shims().items()))[1], next(box.state.glob("jobs/*/attempts/1/rank0.log"))
            os.kill(shim, signal.SIGSTOP)
            before = log.stat().st_size
            box.cancel(name)
            time.sleep(1)
            self.assertGreater(log.stat().st_size, before)
            self.assertEqual(box.job(name)["state"], "STOPPING")
            other = box.run("short", "cpu:1")
            self.assertEqual(box.wait(other)["state"], "SUCCEEDED")
            os.kill(shim, signal.SIGCONT)
            self.assertEqual(box.wait(name, 10)["state"], "CANCELLED")
            box.drain()
            invariants.judge(box)

    def test_a_stopped_daemon_holds_up_its_clients_and_nothing_else(self):
        with FaultBox(supervised=False, kinds={"long": ({"run_for": 3}, 1, ("SUCCEEDED", 0, 0))}) as box:
            name = box.run("long", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            log = next(box.state.glob("jobs/*/attempts/1/rank0.log"))
            os.kill(box.daemon.pid, signal.SIGSTOP)
            before = log.stat().st_size
            asked = subprocess.Popen([harness.BIN / "yoke", "jobs"], stdout=subprocess.DEVNULL, env=user_of(box))
            time.sleep(2)
            self.assertGreater(log.stat().st_size, before)
            self.assertIsNone(asked.poll())
            os.kill(box.daemon.pid, signal.SIGCONT)
            self.assertEqual(asked.wait(20), 0)
            ended = box.wait(name)
            self.assertEqual((ended["state"], len(ended["attempts"])), ("SUCCEEDED", 1))
            invariants.judge(box)


class Killed(unittest.TestCase):
    def test_daemon_and_shim_at_once_and_the_job_is_tried_again(self):
        with FaultBox(supervised=False) as box:
            name = box.run("long", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            pids = [box.daemon.pid, *box.shims().values()]
            box.meddled.add(name)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            box.daemon.wait()
            eventually(self, lambda: not box.own_processes(), "the ranks are gone", 2)
            box.start()
            ended = box.wait(name)
            self.assertEqual([attempt["outcome"] for attempt in ended["attempts"]], ["LOST", "SUCCEEDED"])
            self.assertEqual(groups(box), [])
            invariants.judge(box)

    def test_the_process_group_of_the_daemon_without_its_jobs(self):
        with FaultBox(supervised=False) as box:
            box.kill()
            box.daemon = subprocess.Popen([harness.BIN / "yoked", "--state", box.state, "--socket", box.socket, *map(str, box.flags)],
                                          stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=box.env, start_new_session=True)
            eventually(self, box.drain_ready, "it serves")
            name = box.run("long", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            os.killpg(box.daemon.pid, signal.SIGKILL)
            box.daemon.wait()
            box.start()
            ended = box.wait(name)
            self.assertEqual([attempt["outcome"] for attempt in ended["attempts"]], ["SUCCEEDED"])
            invariants.judge(box)


class Hidden(unittest.TestCase):
    def stray(self, kind, containment, kill_shim):
        """The pid of a process that left its rank's group, once its job is over."""
        kinds = {"hider": ({"run_for": 60, "stray": kind}, 1, None)}
        with FaultBox(supervised=False, flags=("--containment", containment), kinds=kinds) as box:
            name = box.run("hider", "cpu:0")
            file = box.state / "jobs" / name.removeprefix("jobs/") / "run" / "stray.pid"
            eventually(self, file.exists, "the process has left")
            pid = int(file.read_text())
            self.assertTrue(alive(pid))
            box.meddled.add(name)
            if kill_shim:
                os.kill(next(iter(box.shims().values())), signal.SIGKILL)
                box.until(name, lambda job: job["attempts"][0]["outcome"] == "LOST")
                self.assertFalse(alive(pid), f"{kind}, {containment}")
            box.cancel(name)
            self.assertEqual(box.wait(name)["state"], "CANCELLED")
            self.assertFalse(alive(pid), f"{kind}, {containment}")
            self.assertEqual(box.own_processes(), [])
            self.assertEqual(groups(box), [])
            invariants.check_leftovers(box)

    def test_one_that_forked_twice_into_its_own_session_ends_with_its_job(self):
        self.stray("marked", "subreaper", kill_shim=False)
        self.stray("bare", "subreaper", kill_shim=False)
        self.stray("marked", "subreaper", kill_shim=True)

    @unittest.skipUnless(cgroup_folder(), "no control groups may be made here")
    def test_in_a_control_group_not_even_one_without_a_mark_outlives_its_shim(self):
        self.stray("bare", "auto", kill_shim=False)
        self.stray("bare", "auto", kill_shim=True)

    @unittest.skipUnless(cgroup_folder(), "no control groups may be made here")
    def test_what_dead_daemons_and_shims_left_in_control_groups_is_ended_and_removed(self):
        with FaultBox(supervised=False) as box:
            name = box.run("ever", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            group = groups(box)[0]
            self.assertIn("containment: cgroup (", box.evidence())
            # As a daemon leaves it that dies between the making of a group and the start of its shim.
            orphaned, populated = group.parent / "run-of-nobody", group.parent / "run-of-a-sleeper"
            orphaned.mkdir()
            populated.mkdir()
            with subprocess.Popen(["sleep", "600"]) as sleeper:
                (populated / "cgroup.procs").write_text(str(sleeper.pid))
                box.meddled.add(name)
                box.kill()
                box.start()
                self.assertEqual(sleeper.wait(5), -signal.SIGKILL)
            self.assertEqual(box.job(name)["state"], "RUNNING")
            self.assertEqual([folder.name for folder in group.parent.iterdir() if folder.is_dir()], [group.name])
            box.cancel(name)
            box.wait(name)
            self.assertEqual(groups(box), [])
            box.terminate()
            self.assertFalse(group.parent.exists())

    def test_the_system_check_says_how_processes_are_kept_together(self):
        for flag, word in (("auto", "cgroup (" if cgroup_folder() else "subreaper ("), ("subreaper", "subreaper (")):
            with harness.Box("--nvml", "none", "--containment", flag) as box:
                items = {item["name"]: item["message"] for item in box.json("check", check=False)["items"]}
                self.assertTrue(items["containment"].startswith(word), items["containment"])


class Multiplied(unittest.TestCase):
    def bomb(self, containment):
        script = {"run_for": 0.2, "data": {"bomb": {"fork_bomb": True, "exit_code": 1}}}
        # The kernel lets the superuser have as many processes as he likes.
        popen = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        box = harness.Box("--nvml", "none", "--worker-path", harness.BIN / "fake_worker", "--processes-max", "150", "--grace-seconds", "1",
                          "--containment", containment, env={"YOKE_FAKE_WORKER": json.dumps(script)}, popen=popen)
        if popen:
            os.chown(box.dir, NOBODY, NOBODY)
        with box:
            bomb = box.submit("train", "data=server:/sets/bomb.yaml", "model=yolov8n.yaml", "device=cpu:0", "--no-check")
            eventually(self, lambda: len(box.attempt_processes(bomb)) > 50, "it has multiplied", 20)
            began = time.monotonic()
            other = box.submit("train", "data=server:/sets/good.yaml", "model=yolov8n.yaml", "device=cpu:1", "--no-check")
            box.wait(other)
            self.assertLess(time.monotonic() - began, 10)
            ended = box.wait(bomb, "FAILED")
            self.assertEqual(ended["error"]["exitCode"], 1)
            self.assertEqual(box.attempt_processes(bomb), [])
            self.assertIsNone(box.daemon.poll())

    @unittest.skipIf(harness.THREAD_SANITIZER, "a worker under the thread sanitizer takes terabytes of addresses, and minutes to multiply")
    def test_a_fork_bomb_meets_its_limit_and_is_cleared_away_while_the_daemon_serves(self):
        self.bomb("subreaper")


class Memory(unittest.TestCase):
    def out_of_memory(self, script, message, device="cpu:0", **ends):
        with FaultBox(supervised=False, kinds={"eater": ({"run_for": 0.2, **script}, 1, ("FAILED", ends.get("code", 0), ends.get("signal", 0)))}) as box:
            name = box.run("eater", device)
            ended = box.wait(name)
            self.assertEqual((ended["state"], ended["reason"]), ("FAILED", "OUT_OF_MEMORY"), ended)
            self.assertRegex(ended["message"], message)
            self.assertEqual(len(ended["attempts"]), 1)
            self.assertIsNone(box.daemon.poll())
            peak = int(ended["message"].split("its resident memory was at most ")[1].split(" MiB")[0])
            self.assertGreater(peak, 50)
            self.assertLess(peak, 400)
            self.assertEqual(box.wait(box.run("short", device))["state"], "SUCCEEDED")
            invariants.judge(box)

    @unittest.skipIf(harness.THREAD_SANITIZER, "a worker under the thread sanitizer takes terabytes of addresses, and minutes to multiply")
    def test_an_allocation_that_fails_and_that_nobody_catches(self):
        self.out_of_memory({"eat": 150}, r"^Rank 0 ran out of memory and was killed by signal 6 \(SIGABRT\)", signal=6)

    @unittest.skipIf(harness.THREAD_SANITIZER, "a worker under the thread sanitizer takes terabytes of addresses, and minutes to multiply")
    def test_one_that_the_worker_catches(self):
        self.out_of_memory({"eat": 150, "eat_caught": True}, r"^out of memory; lower batch\. Rank 0 ran out of memory and ended with exit code 13", code=13)

    def test_a_kill_by_the_kernel(self):
        parent = pathlib.Path("/sys/fs/cgroup/memory")
        if not (parent / "cgroup.procs").exists() or os.geteuid() != 0:
            self.skipTest("no version 1 memory cgroup here")
        group = parent / f"yoke-test-{os.getpid()}"
        group.mkdir()
        try:
            (group / "memory.limit_in_bytes").write_text(str(150 << 20))
            self.out_of_memory({"eat": 1 << 30, "eat_in": str(group)}, r"^Rank 0 ran out of memory and was killed by signal 9 \(SIGKILL\)", signal=9)
        finally:
            group.rmdir()

    def test_ranks_go_before_their_shim_and_that_before_the_daemon(self):
        with FaultBox(supervised=False) as box:
            name = box.run("ever", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            eventually(self, box.ranks, "its rank has begun")
            score = lambda pid: int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())
            daemon, shim, rank = score(box.daemon.pid), score(next(iter(box.shims().values()))), score(box.ranks()[0][1])
            self.assertEqual(rank, 500)
            self.assertLessEqual(daemon, shim)
            self.assertIn((daemon, shim), ((-900, -800), (0, 0)))  # granted, or not
            box.drain()


class Unstartable(unittest.TestCase):
    def test_a_machine_out_of_processes_costs_the_job_no_try(self):
        with FaultBox(failpoints="yoked:spawn.before=2*error(EAGAIN)", once=False, supervised=False) as box:
            began = time.monotonic()
            name = box.run("short", "cpu:0")
            shown = box.until(name, lambda job: "Cannot be started yet" in job.get("message", ""))
            self.assertIn("Resource temporarily unavailable", shown["message"])
            ended = box.wait(name)
            self.assertEqual((ended["state"], len(ended["attempts"])), ("SUCCEEDED", 1))
            self.assertGreater(time.monotonic() - began, 3)  # 1 s, then 2 s
            invariants.judge(box)

    def test_a_start_whose_job_cannot_be_read_is_carried_out_later(self):
        # Read twice for a start: when it is taken up, and for what the shim is told.
        for skipped in (0, 1):
            with FaultBox(failpoints=f"yoked:launcher.read.before={skipped}*off->1*error(EMFILE)", once=False, supervised=False) as box:
                name = box.run("short", "cpu:0")
                ended = box.wait(name)
                self.assertEqual((ended["state"], len(ended["attempts"])), ("SUCCEEDED", 1))
                invariants.judge(box)

    def test_a_worker_that_is_missing_or_no_program_fails_the_job_and_frees_the_device(self):
        with FaultBox(supervised=False, start=False) as box:
            text = box.dir / "no-program"
            text.write_bytes(b"\x00\x01 neither a program nor a script\n")
            text.chmod(0o755)
            for path, why in ((box.dir / "none", "No such file"), (text, "Exec format error")):
                box.flags[box.flags.index("--worker-path") + 1] = path
                box.start()
                box.connect()
                ended = box.wait(box.run("short", "cpu:0"))
                self.assertEqual((ended["state"], ended["reason"]), ("FAILED", "SPAWN_FAILED"), ended)
                self.assertIn(why, ended["error"]["message"])
                devices = json.loads(subprocess.run([harness.BIN / "yoke", "devices", "-o", "json"], capture_output=True, check=True, env=user_of(box)).stdout)["devices"]
                self.assertEqual({device["state"] for device in devices}, {"FREE"})
                box.crowd.end()
                box.terminate()


class ReusedIds(unittest.TestCase):
    def test_a_process_that_has_the_id_of_a_dead_shim_is_left_alone_and_the_attempt_is_lost(self):
        with FaultBox(supervised=False) as box, subprocess.Popen(["sleep", "600"]) as stranger:
            try:
                name = box.run("long", "cpu:0")
                box.until(name, lambda job: job["state"] == "RUNNING")
                box.meddled.add(name)
                for pid in (box.daemon.pid, *box.shims().values()):
                    os.kill(pid, signal.SIGKILL)
                box.daemon.wait()
                record = next(box.state.glob("jobs/*/attempts/1/started"))
                record.write_text(json.dumps({**json.loads(record.read_text()), "pid": stranger.pid}))
                box.start()
                ended = box.wait(name)
                self.assertEqual([attempt["outcome"] for attempt in ended["attempts"]], ["LOST", "SUCCEEDED"])
                self.assertIsNone(stranger.poll())
                invariants.judge(box)
            finally:
                stranger.kill()

    def test_a_lock_that_is_held_by_another_does_not_make_it_ours(self):
        """The record names a process that lives, and somebody holds the lock: neither is enough."""
        with FaultBox(supervised=False) as box, subprocess.Popen(["sleep", "600"]) as stranger:
            try:
                name = box.run("ever", "cpu:0")
                box.until(name, lambda job: job["state"] == "RUNNING")
                box.kill()
                record = next(box.state.glob("jobs/*/attempts/1/started"))
                said = json.loads(record.read_text())
                record.write_text(json.dumps({**said, "pid": stranger.pid}))
                box.start()
                box.cancel(name)
                time.sleep(1)
                self.assertIsNone(stranger.poll())
                self.assertEqual(box.job(name)["state"], "STOPPING")
                record.write_text(json.dumps(said))
                self.assertEqual(box.wait(name, 10)["state"], "CANCELLED")
                box.meddled.add(name)
                invariants.judge(box)
            finally:
                stranger.kill()


if __name__ == "__main__":
    harness.main()
