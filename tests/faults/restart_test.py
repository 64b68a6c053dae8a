"""A daemon comes back to something else than it left: other programs, another boot, damaged files. Nothing is lost."""

import json
import os
import shutil
import signal
import time
import unittest

import harness
import invariants
from box import FaultBox

PROGRAMS = ("yoked", "yoke-shim", "fake_worker")


def starts(box, name):
    """Moments at which the ranks 0 of a job's attempts began, as their files tell."""
    return [(folder / "started").stat().st_mtime_ns for folder in invariants.attempt_folders(box, name) if (folder / "started").exists()]


class Upgrade(unittest.TestCase):
    def put_programs(self, folder):
        """As a package manager does it: each new file takes the name of the old one, which lives on in who runs it."""
        folder.mkdir(exist_ok=True)
        for name in PROGRAMS:
            shutil.copy2(harness.BIN / name, folder / (name + ".new"))
            os.rename(folder / (name + ".new"), folder / name)

    def test_programs_are_replaced_under_jobs_that_prepare_run_and_stop(self):
        kinds = {name: ({"run_for": 3 * harness.SLOWDOWN}, ranks, ("SUCCEEDED", 0, 0)) for name, ranks in (("long", 1), ("two", 2))}
        with FaultBox(supervised=False, start=False, slots=5, kinds=kinds) as box:
            box.programs = box.dir / "bin"
            self.put_programs(box.programs)
            box.flags[box.flags.index("--worker-path") + 1] = box.programs / "fake_worker"
            script = json.loads((box.dir / "fake.json").read_text())
            (box.dir / "fake.json").write_text(json.dumps({**script, "prepare": {"run_for": 1}}))
            box.start()
            box.connect()
            runs, stops = box.run("long", "cpu:0"), box.run("ever", "cpu:1")
            for name in (runs, stops):
                box.until(name, lambda job: job["state"] == "RUNNING")
            prepares, waits = box.run("two", "cpu:2,4"), box.run("short", "cpu:2")
            box.until(prepares, lambda job: job["state"] == "STARTING" and bool(box.shims(prepares)))
            old = box.shims()
            self.assertEqual(len(old), 3)
            self.assertEqual(box.terminate(), 0)
            self.put_programs(box.programs)
            box.start()
            self.assertEqual(box.shims(), old)
            for pid in old.values():
                self.assertTrue(os.readlink(f"/proc/{pid}/exe").endswith(" (deleted)"))
            box.cancel(stops)
            new = box.run("ever", "cpu:3")
            box.until(new, lambda job: job["state"] == "RUNNING")
            (pid,) = box.shims(new).values()
            self.assertEqual(os.readlink(f"/proc/{pid}/exe"), str(box.programs / "yoke-shim"))
            self.assertEqual(box.wait(stops)["state"], "CANCELLED")
            box.drain()
            for name in (runs, prepares, waits):
                self.assertEqual([attempt["outcome"] for attempt in box.job(name)["attempts"]], ["SUCCEEDED"])
            self.assertEqual(invariants.judge(box)["rank starts"], 6)


class Reboot(unittest.TestCase):
    def test_all_that_ran_is_tried_again_once_and_the_queue_keeps_its_order(self):
        kinds = {"long": ({"run_for": 2}, 1, ("SUCCEEDED", 0, 0)), "pair": ({"run_for": 2}, 2, ("SUCCEEDED", 0, 0))}
        with FaultBox(supervised=False, kinds=kinds) as box:
            ran = [box.run("long", "cpu:0"), box.run("long", "cpu:1"), box.run("pair", "cpu:2,3")]
            waited = [box.run("short", "cpu:0") for _ in range(5)]
            for name in ran:
                box.until(name, lambda job: job["state"] == "RUNNING")
            # Power off: everything at once, and what lay in memory is gone.
            box.daemon.send_signal(signal.SIGSTOP)
            for pid in box.own_processes():
                os.kill(pid, signal.SIGKILL)
            box.kill()
            box.socket.unlink()
            for record in box.state.glob("jobs/*/attempts/*/started"):
                record.write_text(json.dumps({**json.loads(record.read_text()), "boot_id": "the-boot-before"}))
            box.start()
            for name in ran:
                job = box.until(name, lambda job: job["state"] != "RUNNING")
                self.assertIn("restarted", job["message"])
            box.drain()
            for name in ran:
                job = box.job(name)
                self.assertEqual([attempt["outcome"] for attempt in job["attempts"]], ["LOST", "SUCCEEDED"], job)
                spec = json.loads((invariants.attempt_folders(box, name)[1] / "spec.json").read_text())
                self.assertEqual(spec["resume_from"], spec["run_dir"])
            order = [starts(box, name) for name in waited]
            self.assertEqual([len(each) for each in order], [1] * len(waited))
            self.assertEqual(order, sorted(order))
            invariants.judge(box)


class Damage(unittest.TestCase):
    """Each kind of damage in turn to one daemon's files, while a job runs, some wait and others ended."""

    def states(self, box):
        return {job["name"]: job["state"] for job in box.persist("list")["jobs"]}

    def cut(self, path, size):
        os.truncate(path, max(0, size))

    def flip(self, path, *places):
        with open(path, "r+b") as file:
            for place in places:
                file.seek(place)
                byte = file.read(1)
                file.seek(place)
                file.write(bytes([byte[0] ^ 0x5A]))

    def kinds(self, box):
        database, log, index = (box.state / f"yoke.db{end}" for end in ("", "-wal", "-shm"))
        size, written = database.stat().st_size, log.stat().st_size
        yield "a flipped byte in the head", lambda: self.flip(database, 17)
        yield "flipped bytes in the middle", lambda: self.flip(database, *range(size // 2, size // 2 + 600, 50))
        yield "a database cut in half", lambda: self.cut(database, size // 2)
        yield "a database cut to a page", lambda: self.cut(database, 4096)
        yield "an empty database", lambda: self.cut(database, 0)
        yield "no database", lambda: database.unlink()
        yield "no log", lambda: log.unlink()
        yield "an index of another time", lambda: index.write_bytes(b"x" * 32768)
        for share in (1, 24, 4096, 4120, written // 4, written // 2, written - 32, written):
            yield f"a log that lost its last {share} bytes", lambda share=share: self.cut(log, written - share)
        yield "a garbled log", lambda: self.flip(log, *range(written // 3, written // 3 + 300, 20))

    def test_each_is_found_and_every_job_is_as_it_was(self):
        with FaultBox(supervised=False, slots=2) as box:
            runs = box.run("ever", "cpu:0")
            for kind in ("short", "fail"):
                box.wait(box.run(kind, "cpu:1"))
            waiting = [box.run("short", "cpu:0") for _ in range(6)]
            box.until(runs, lambda job: job["state"] == "RUNNING")
            shims = box.shims()
            number = 0
            while True:
                # Something new each time, so that there is always a log to damage.
                waiting.append(box.run("short", "cpu:0"))
                box.cancel(waiting.pop(0))
                box.wait(box.run("short", "cpu:1"))
                before = self.states(box)
                box.kill()
                kinds = list(self.kinds(box))
                if number == len(kinds):
                    break
                name, damage = kinds[number]
                number += 1
                damage()
                box.start()
                # What only the attempts' files tell is known a moment later.
                deadline = time.monotonic() + 10
                while (after := self.states(box)) != before and time.monotonic() < deadline:
                    self.assertEqual(after.keys(), before.keys(), name)
                    time.sleep(0.02)
                self.assertEqual(after, before, name)
                self.assertEqual(box.shims(), shims, name)
            box.start()
            box.drain()
            counts = invariants.judge(box)
            invariants.report(f"{number} kinds of damage", counts)


if __name__ == "__main__":
    harness.main()
