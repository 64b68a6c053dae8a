"""Runs the real programs as their user does: a daemon in a folder of its own, the command line, images.

Only Python's standard library. Every test file calls harness.main(); ctest gives it the folder of the programs
in YOKE_BIN_DIR and a place for its results in YOKE_RESULT_XML.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from xml.sax.saxutils import quoteattr

BIN = pathlib.Path(os.environ.get("YOKE_BIN_DIR", "build/dev/bin")).resolve()
TEST_DATA = os.environ.get("YOKE_TEST_DATA")
# What an instrumented build may take of what is measured in seconds.
SLOWDOWN = 8 if os.environ.get("YOKE_SANITIZE") else 1
THREAD_SANITIZER = os.environ.get("YOKE_SANITIZE") == "thread"
WAIT_SECONDS = 240


def needs_test_data(function):
    return unittest.skipUnless(TEST_DATA, "YOKE_TEST_DATA is not set: real data sets and weights are not here")(function)


class Box:
    """A daemon with its state in a temporary folder. Use as a context manager: nothing outlives it."""

    def __init__(self, *flags, env=None, bin_dir=BIN, slots=2, popen=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="yoke-e2e."))
        self.socket = self.dir / "s"
        self.state = self.dir / "state"
        self.bin = pathlib.Path(bin_dir)
        self.flags = ["--cpu-slots", str(slots), *flags] if "--cpu-slots" not in flags else list(flags)
        self.env = {**os.environ, "YOKE_SERVER": f"unix://{self.socket}", "NO_COLOR": "1", **(env or {})}
        self.daemon = None
        self.popen = popen or {}  # how the daemon is started: its user, for one

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        for job in self.jobs_open():
            self.yoke("job", "cancel", job, "--grace", "1s", check=False)
            self.yoke("job", "wait", job, check=False)
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def jobs_open(self):
        answer = self.yoke("jobs", "-o", "json", check=False)
        if answer.returncode != 0:
            return []
        ended = ("SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT")
        return [job["name"] for job in json.loads(answer.stdout).get("jobs", []) if job["state"] not in ended]

    def start(self):
        log = open(self.dir / "yoked.log", "ab")
        self.daemon = subprocess.Popen([self.bin / "yoked", "--state", self.state, "--socket", self.socket, *self.flags],
                                       stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env, **self.popen)
        log.close()
        deadline = time.monotonic() + 20
        while self.yoke("jobs", check=False).returncode != 0:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("yoked did not start:\n" + (self.dir / "yoked.log").read_text())
            time.sleep(0.05)

    def stop(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            self.daemon.wait(20)

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def yoke(self, *words, check=True, timeout=WAIT_SECONDS, cwd=None, env=None):
        """Runs the command line. With `check`, a non-zero exit fails the test and shows what was printed."""
        done = subprocess.run([self.bin / "yoke", *map(str, words)], capture_output=True, text=True, timeout=timeout,
                              env={**self.env, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(f"yoke {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n"
                                 + self.evidence())
        return done

    def evidence(self):
        parts = [(self.dir / "yoked.log").read_text()[-3000:]]
        for log in sorted(self.state.glob("jobs/*/attempts/*/*.log")):
            parts.append(f"-- {log.relative_to(self.state)}\n{log.read_text(errors='replace')[-2000:]}")
        return "\n".join(parts)

    def json(self, *words, **options):
        return json.loads(self.yoke(*words, "-o", "json", **options).stdout)

    def submit(self, *words):
        return self.yoke(*words).stdout.strip()

    def job(self, job):
        return self.json("job", "show", job)

    def wait(self, job, state="SUCCEEDED"):
        self.yoke("job", "wait", job, check=False)
        found = self.job(job)
        if found["state"] != state:
            raise AssertionError(f"job ended {found['state']} ({found['reason']}: {found['message']}), not {state}\n" + self.evidence())
        return found

    def until(self, job, what, seconds=120):
        """Waits until `what(job)` holds and returns the job."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.job(job)
            if what(found):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds} s; the job is now {json.dumps(found, indent=1)}\n" + self.evidence())
            time.sleep(0.1)

    def attempt_processes(self, job):
        """Process ids whose environment carries the run id of one of the job's attempts."""
        marks = {("YOKE_RUN_ID=" + attempt["runId"]).encode() for attempt in self.job(job)["attempts"]}
        return [int(pid.name) for pid in pathlib.Path("/proc").iterdir() if pid.name.isdigit() and marks & environment(pid)]

    def rank_pids(self, job):
        """rank -> process id, of the newest attempt's ranks that live."""
        run_id = ("YOKE_RUN_ID=" + self.job(job)["attempts"][-1]["runId"]).encode()
        ranks = {}
        for pid in pathlib.Path("/proc").iterdir():
            words = environment(pid) if pid.name.isdigit() else set()
            if run_id in words:
                for word in words:
                    if word.startswith(b"RANK="):
                        ranks.setdefault(int(word[5:]), int(pid.name))
        return ranks


def environment(pid):
    try:
        return set((pid / "environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def shapes(folder, images=24, val=12, size=64, classes=3, seed=0):
    """A small drawn data set; returns its YAML."""
    subprocess.run([BIN / "yoke-shapes", "--out", folder, "--images", str(images), "--val", str(val), "--size", str(size),
                    "--classes", str(classes), "--seed", str(seed)], check=True, capture_output=True)
    return pathlib.Path(folder) / "data.yaml"


class XmlResult(unittest.TextTestResult):
    """Also keeps each test's outcome for the result file."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cases = []

    def addSuccess(self, test):
        super().addSuccess(test)
        self.cases.append((test, None, None))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.cases.append((test, "skipped", reason))

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.cases.append((test, "failure", str(error[1])))

    def addError(self, test, error):
        super().addError(test, error)
        self.cases.append((test, "error", str(error[1])))


def main():
    runner = unittest.TextTestRunner(verbosity=2, resultclass=XmlResult)
    result = unittest.main(exit=False, testRunner=runner).result
    target = os.environ.get("YOKE_RESULT_XML")
    if target:
        pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write("<testsuites>")
            for test, kind, message in result.cases:
                file.write(f"<testcase classname={quoteattr(type(test).__name__)} name={quoteattr(getattr(test, '_testMethodName', str(test)))}>")
                if kind:
                    file.write(f"<{kind} message={quoteattr(message)}/>")
                file.write("</testcase>")
            file.write("</testsuites>")
    sys.exit(0 if result.wasSuccessful() else 1)
