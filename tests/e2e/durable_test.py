"""What the daemon accepted is never lost: damaged databases, lost attempts, with real processes and a scripted worker."""

import json
import os
import shutil
import signal
import stat
import time
import unittest

import harness

WORKER = ["--worker-path", str(harness.BIN / "fake_worker"), "--nvml", "none"]


def box(run_for=60, flags=(), **script):
    return harness.Box(*WORKER, *flags, env={"YOKE_FAKE_WORKER": json.dumps({"run_for": run_for, **script})})


def submit(b, device="0", *words):
    return b.submit("train", "data=server:/data.yaml", "model=yolov8n.yaml", f"device={device}", "--no-check", *words)


def states(b):
    return {job["name"]: job["state"] for job in b.json("jobs")["jobs"]}


def flip(path, places):
    data = bytearray(path.read_bytes())
    for place in places:
        data[int(place * len(data))] ^= 0x5A
    path.write_bytes(data)


class Damage(unittest.TestCase):
    """A job runs, one ended, one was cancelled, some wait; the daemon is killed and its database damaged."""

    def survives(self, damage, told):
        with box() as b:
            runs = submit(b)
            waiting = [submit(b) for _ in range(5)]
            cancelled = submit(b)
            b.yoke("job", "cancel", cancelled)
            b.until(runs, lambda job: int(job.get("progress", {}).get("done", 0)) > 0)
            pids = b.rank_pids(runs)
            before = states(b)
            b.kill()
            damage(b)
            b.start()
            self.assertEqual(set(states(b)), set(before))
            self.assertEqual(states(b)["jobs/" + cancelled], "CANCELLED")
            self.assertEqual(b.job(runs)["state"], "RUNNING")
            self.assertEqual(b.rank_pids(runs), pids)  # adopted, not started again
            for job in waiting:
                self.assertEqual(b.job(job)["state"], "QUEUED")
            check = b.json("check", check=False)
            warnings = [item for item in check["items"] if item["name"] == "state"]
            self.assertEqual(bool(warnings), told, warnings)
            if told:
                self.assertIn(warnings[0]["message"].split(";")[0], (b.dir / "yoked.log").read_text())
            again = submit(b)  # it goes on working
            b.yoke("job", "cancel", runs, "--grace", "1s")
            b.wait(runs, "CANCELLED")
            b.until(waiting[0], lambda job: job["state"] == "RUNNING")
            for job in [*waiting, again]:
                b.yoke("job", "cancel", job, "--grace", "1s")
            for job in [*waiting, again]:
                b.wait(job, "CANCELLED")
                self.assertEqual(b.attempt_processes(job), [])

    def test_garbled_head(self):
        self.survives(lambda b: flip(b.state / "yoke.db", [0, 0.5]), True)

    def test_length_zero_and_no_log(self):
        def damage(b):
            (b.state / "yoke.db").write_bytes(b"")
            (b.state / "yoke.db-wal").unlink()
        self.survives(damage, True)

    def test_log_deleted(self):
        self.survives(lambda b: (b.state / "yoke.db-wal").unlink(), True)

    def test_log_torn_in_the_middle(self):
        def damage(b):
            log = b.state / "yoke.db-wal"
            os.truncate(log, log.stat().st_size // 2)
        self.survives(damage, True)

    def test_stale_index_of_the_log(self):
        self.survives(lambda b: (b.state / "yoke.db-shm").write_bytes(b"x" * 32768), False)

    def test_database_and_journal_gone_the_attempts_tell(self):
        with box() as b:
            runs = submit(b)
            b.until(runs, lambda job: int(job.get("progress", {}).get("done", 0)) > 0)
            pids = b.rank_pids(runs)
            b.kill()
            for name in ("yoke.db", "yoke.db-wal", "yoke.db-shm", "submissions.journal"):
                (b.state / name).unlink()
            b.start()
            job = b.until(runs, lambda job: job["state"] == "RUNNING")
            self.assertEqual(b.rank_pids(runs), pids)
            self.assertEqual(job["spec"]["train"]["data"], "/data.yaml")
            b.yoke("job", "cancel", runs, "--grace", "1s")
            b.wait(runs, "CANCELLED")

    def test_a_job_that_ended_without_a_daemon_while_the_database_died(self):
        with box(run_for=1) as b:
            job = submit(b)
            b.until(job, lambda job: job["state"] == "RUNNING")
            b.kill()
            (b.state / "yoke.db").write_bytes(b"garbage" * 1000)
            time.sleep(2)
            b.start()
            ended = b.wait(job)
            self.assertEqual(len(ended["attempts"]), 1)
            self.assertEqual(ended["result"]["train"]["epochs"], 3)

    def test_a_database_of_a_newer_version_is_refused_untouched(self):
        with box() as b:
            job = submit(b)
            b.until(job, lambda job: job["state"] == "RUNNING")
            b.yoke("job", "cancel", job, "--grace", "1s")
            b.wait(job, "CANCELLED")
            b.stop()
            database = b.state / "yoke.db"
            data = bytearray(database.read_bytes())
            data[63] = 77
            database.write_bytes(data)
            with self.assertRaisesRegex(AssertionError, "version 77, written by a newer yoked"):
                b.start()
            self.assertEqual(database.read_bytes(), bytes(data))
            self.assertEqual(list(b.state.glob("*.damaged-*")), [])


class Backups(unittest.TestCase):
    def test_a_backup_of_a_working_daemon_is_restored_and_later_jobs_stay(self):
        with box() as b:
            runs, waits = submit(b), submit(b)
            b.until(runs, lambda job: job["state"] == "RUNNING")
            copy = b.dir / "copy.db"
            self.assertEqual(b.yoke("backup", "--to", copy).stdout.strip(), str(copy))
            again = b.yoke("backup", "--to", copy, check=False)
            self.assertNotEqual(again.returncode, 0)
            self.assertIn("exists", again.stderr)
            self.assertEqual(stat.S_IMODE(copy.stat().st_mode), 0o600)
            nowhere = b.yoke("backup", "--to", b.dir / "no" / "folder.db", check=False)
            self.assertEqual(nowhere.returncode, 3)
            self.assertIn(f"there is no folder {b.dir / 'no'}", nowhere.stderr)
            b.yoke("job", "cancel", runs, "--grace", "1s")
            b.wait(runs, "CANCELLED")
            later = submit(b, "1")
            b.until(later, lambda job: job["state"] == "RUNNING")
            pids = b.rank_pids(later)
            b.stop()
            shutil.copy(copy, b.state / "yoke.db")
            (b.state / "yoke.db-wal").unlink(missing_ok=True)
            b.start()
            self.assertEqual(set(states(b)), {"jobs/" + job for job in (runs, waits, later)})
            self.assertEqual(b.job(runs)["state"], "CANCELLED")  # as it became after the backup
            self.assertEqual(b.rank_pids(later), pids)

    def test_a_backup_alone_gives_the_jobs_back_in_an_empty_folder(self):
        with box(run_for=0.2) as b:
            done = submit(b)
            b.wait(done)
            b.yoke("backup", "--to", b.dir / "copy.db")
            b.stop()
            shutil.rmtree(b.state)
            b.state.mkdir(mode=0o700)
            shutil.copy(b.dir / "copy.db", b.state / "yoke.db")
            b.start()
            self.assertEqual(b.job(done)["state"], "SUCCEEDED")
            self.assertEqual(b.job(done)["result"]["train"]["epochs"], 3)

    def test_copies_are_made_by_themselves_and_three_are_kept(self):
        with box(run_for=0.2, flags=["--backup-seconds", "1"]) as b:
            deadline = time.monotonic() + 30
            made = set()
            while len(made) < 5:
                self.assertLess(time.monotonic(), deadline)
                b.yoke("job", "cancel", submit(b), check=False)  # something changes
                made |= {path.name for path in (b.state / "backups").glob("*.db")}
                time.sleep(0.2)
            self.assertLessEqual(len(list((b.state / "backups").iterdir())), 4)  # one may be in the making


class Retries(unittest.TestCase):
    def test_a_killed_supervisor_costs_one_try_and_the_wait_is_shown(self):
        with box(run_for=2 * harness.SLOWDOWN) as b:
            job = submit(b)
            found = b.until(job, lambda job: job["state"] == "RUNNING" and job["attempts"][0].get("shimPid", "0") != "0")
            os.kill(int(found["attempts"][0]["shimPid"]), signal.SIGKILL)
            waiting = b.until(job, lambda job: job["reason"] == "WAITING_FOR_RETRY")
            self.assertRegex(waiting["message"], r"^tries again in 1 s \(attempt 2 of 3\): ")
            if harness.SLOWDOWN == 1:  # a slow build's command line comes too late for that second
                self.assertIn("tries again in 1 s", b.yoke("jobs").stdout)
            ended = b.wait(job)
            self.assertEqual([attempt["outcome"] for attempt in ended["attempts"]], ["LOST", "SUCCEEDED"])
            spec = json.loads((b.state / "jobs" / job / "attempts" / "2" / "spec.json").read_text())
            self.assertEqual(spec["resume_from"], spec["run_dir"])

    def test_everything_killed_and_another_boot_id_the_queue_keeps_its_order(self):
        with box() as b:
            runs, first, second = submit(b), submit(b), submit(b)
            found = b.until(runs, lambda job: job["state"] == "RUNNING" and job["attempts"][0].get("shimPid", "0") != "0")
            b.kill()
            os.kill(int(found["attempts"][0]["shimPid"]), signal.SIGKILL)
            started = b.state / "jobs" / runs / "attempts" / "1" / "started"
            started.write_text(json.dumps({**json.loads(started.read_text()), "boot_id": "the-boot-before"}))
            b.start()
            job = b.until(runs, lambda job: len(job["attempts"]) == 1 and job["state"] != "RUNNING")
            self.assertIn("machine was restarted", job["attempts"][0]["error"]["message"])
            if harness.SLOWDOWN == 1:  # a slow build's command line comes too late for that second
                self.assertIn("machine was restarted", job["message"])
            # It waits; the job behind it takes the device meanwhile, and order is kept among the rest.
            b.until(first, lambda job: job["state"] == "RUNNING")
            self.assertEqual(b.job(second)["state"], "QUEUED")
            for job in (second, first, runs):
                b.yoke("job", "cancel", job, "--grace", "1s")

    def test_bad_input_is_never_tried_again(self):
        said = {"reason": "BAD_INPUT", "message": "data.yaml has no names"}
        with box(flags=["--attempts-max-failed", "5"], run_for=0, exit_code=10, error=said) as b:
            job = submit(b)
            failed = b.wait(job, "FAILED")
            self.assertEqual((failed["reason"], len(failed["attempts"])), ("BAD_INPUT", 1))

    def test_a_crash_loop_ends(self):
        with box(run_for=0.1, flags=["--attempts-max-failed", "3"], exit_code=3) as b:
            job = submit(b)
            began = time.monotonic()
            failed = b.wait(job, "FAILED")
            self.assertGreater(time.monotonic() - began, 3)  # 1 s and 2 s
            self.assertEqual(len(failed["attempts"]), 3)
            self.assertIn("It was tried 3 times.", failed["message"])


if __name__ == "__main__":
    harness.main()
