"""yoked under a service manager: the unit, and what it tells through NOTIFY_SOCKET."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness

UNIT = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "yoked.service"
LIMIT = 0.9


class Manager:
    """Listens as a service manager does."""

    def __init__(self, **env):
        self.box = harness.Box("--nvml", "none", "--worker-path", harness.BIN / "fake_worker",
                               env={"YOKE_FAKE_WORKER": json.dumps({"run_for": 2}), "WATCHDOG_USEC": str(int(LIMIT * 1e6)), **env})
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = str(self.box.dir / "notify")
        self.socket.bind(path)
        self.box.env["NOTIFY_SOCKET"] = path

    def __enter__(self):
        self.box.start()
        return self

    def __exit__(self, *error):
        self.box.__exit__(*error)
        self.socket.close()

    def listen(self, seconds):
        """What is heard within that time, in order."""
        heard, deadline = [], time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                heard.append(self.socket.recv(4096).decode())
            except TimeoutError:
                break
        return heard


class Service(unittest.TestCase):
    def test_ready_then_signs_of_life_then_stopping(self):
        with Manager() as manager:
            heard = manager.listen(LIMIT * 2)
            self.assertEqual(heard[0], "READY=1")
            self.assertGreaterEqual(heard.count("WATCHDOG=1"), 4)
            self.assertEqual(set(heard), {"READY=1", "WATCHDOG=1"})
            # Not to jobs: theirs would count as the daemon's.
            job = manager.box.submit("train", "data=server:/data.yaml", "model=yolov8n.yaml", "device=cpu:0", "--no-check")
            manager.box.until(job, lambda now: now["state"] == "RUNNING")
            for pid in manager.box.attempt_processes(job):
                names = {word.split(b"=")[0] for word in harness.environment(pathlib.Path(f"/proc/{pid}"))}
                self.assertFalse(names & {b"NOTIFY_SOCKET", b"WATCHDOG_USEC", b"WATCHDOG_PID"})
            manager.box.wait(job)
            manager.listen(0.1)
            manager.box.stop()
            self.assertEqual(manager.listen(0.5)[-1], "STOPPING=1")

    def test_no_sign_of_life_from_a_daemon_that_is_stopped_or_stuck(self):
        with Manager() as manager:
            os.kill(manager.box.daemon.pid, signal.SIGSTOP)
            manager.listen(0.2)
            self.assertEqual(manager.listen(LIMIT), [])
            os.kill(manager.box.daemon.pid, signal.SIGCONT)
            self.assertIn("WATCHDOG=1", manager.listen(LIMIT))

    def test_a_launcher_that_does_not_get_on_is_told_apart(self):
        with Manager(YOKE_FAILPOINTS="yoked:launcher.sweep.before=1*delay(4000)") as manager:
            job = manager.box.submit("train", "data=server:/data.yaml", "model=yolov8n.yaml", "device=cpu:0", "--no-check")
            deadline = time.monotonic() + 15
            heard = []
            while not any(word.startswith("STATUS=the launcher") for word in heard) and time.monotonic() < deadline:
                heard = manager.listen(0.5)
            if not any(word.startswith("STATUS=") for word in heard) and manager.box.job(job)["state"] == "SUCCEEDED":
                self.skipTest("this build has no failpoints")
            self.assertTrue(any(word.startswith("STATUS=the launcher has been at the same work") for word in heard), heard)
            self.assertEqual(manager.box.yoke("jobs").returncode, 0)  # it serves all the same
            manager.listen(0.2)
            self.assertNotIn("WATCHDOG=1", manager.listen(LIMIT / 2))
            manager.box.wait(job)
            self.assertIn("WATCHDOG=1", manager.listen(LIMIT))

    def test_a_watchdog_meant_for_another_process_is_none(self):
        with Manager(WATCHDOG_PID="1") as manager:
            self.assertEqual(manager.listen(LIMIT), ["READY=1"])

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
    def test_the_unit_is_one(self):
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder) / "yoked.service"
            unit.write_text(UNIT.read_text().replace("/opt/yoke/bin/yoked", str(harness.BIN / "yoked")))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit], capture_output=True, text=True)
            about = [line for line in done.stderr.splitlines() if "yoked" in line]
            self.assertEqual((done.returncode, about), (0, []), done.stderr)

    def test_the_unit_says_what_jobs_rely_on(self):
        lines = set(UNIT.read_text().splitlines())
        self.assertLessEqual({"Type=notify", "KillMode=process", "Delegate=yes", "WatchdogSec=30", "Restart=always", "RuntimeDirectoryPreserve=yes",
                              "ProtectControlGroups=no", "OOMScoreAdjust=-900", "TasksMax=infinity"}, lines)


if __name__ == "__main__":
    harness.main()
