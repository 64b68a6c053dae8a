"""A daemon under faults, restarted whenever it dies, with what it acknowledged written down beside it.

Three records are kept outside of what is tested: the ledger (the client's: which submissions were acknowledged, fsynced
before they count), the witness (the workers': which ranks started and ended, tests/support/fake_worker/script.h) and the
ranks' own log files. invariants.py judges by these and by /proc, never by what the daemon says of itself alone.
"""

import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid

import crowd
import harness

OPEN_STATES = ("QUEUED", "HELD", "STARTING", "RUNNING", "STOPPING")
SERVING_SECONDS_MAX = 2.0 * harness.SLOWDOWN

# What a job is asked to do, by the name of its data set; its devices; and how it must end when nobody interferes.
KINDS = {
    "short": ({"run_for": 0.2}, 1, ("SUCCEEDED", 0, 0)),
    "long": ({"run_for": 1.5}, 1, ("SUCCEEDED", 0, 0)),
    "pair": ({"run_for": 0.4}, 2, ("SUCCEEDED", 0, 0)),
    "stray": ({"run_for": 0.2, "stray": "marked"}, 1, ("SUCCEEDED", 0, 0)),
    "fail": ({"run_for": 0.2, "exit_code": 3}, 1, ("FAILED", 3, 0)),
    "bad": ({"run_for": 0.1, "exit_code": 10, "error": {"reason": "BAD_INPUT", "message": "line 3 is no label"}}, 1, ("FAILED", 10, 0)),
    "crash": ({"run_for": 0.2, "signal": 11}, 1, ("FAILED", 0, 11)),
    "hang": ({"run_for": 0.1, "hang": True}, 1, None),
    "deaf": ({"run_for": 0.1, "hang": True, "ignore_term": True}, 1, None),
    "flood": ({"run_for": 4, "lines_per_second": 2000, "events": False}, 1, ("SUCCEEDED", 0, 0)),
    "ever": ({"run_for": 600}, 1, None),
}


class FaultBox:
    """Use as a context manager: nothing outlives it. `seed` decides everything random and is printed on failure."""

    def __init__(self, slots=4, seed=None, failpoints="", once=True, flags=(), env=None, supervised=True, start=True, kinds=None, lines_per_second=200):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="yoke-faults."))
        self.socket, self.state, self.witness = self.dir / "s", self.dir / "state", self.dir / "witness"
        self.once, self.visited = self.dir / "once", self.dir / "visited"
        self.programs = harness.BIN
        self.slots = slots
        self.seed = random.randrange(1 << 32) if seed is None else seed
        self.random = random.Random(self.seed)
        self.kinds = {**KINDS, **(kinds or {})}
        script = {"lines_per_second": lines_per_second, "checked": True, "witness": str(self.witness), "epochs": 2,
                  "data": {name: kind[0] for name, kind in self.kinds.items()}}
        (self.dir / "fake.json").write_text(json.dumps(script))
        self.flags = ["--nvml", "none", "--cpu-slots", str(slots), "--attempts-max", "3", "--worker-path", harness.BIN / "fake_worker", *flags]
        self.env = {**os.environ, "YOKE_FAKE_WORKER": str(self.dir / "fake.json"), "NOTIFY_SOCKET": str(self.dir / "n"),
                    "YOKE_FAILPOINTS": failpoints, "YOKE_FAILPOINTS_VISITED": str(self.visited),
                    **({"YOKE_FAILPOINTS_ONCE": str(self.once)} if once else {}), **(env or {})}
        self.ready_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ready_socket.bind(str(self.dir / "n"))
        self.ready_socket.setblocking(False)
        self.daemon, self.starts, self.serving_seconds = None, 0, []
        self.supervised, self.started, self.wanted = supervised, start, False
        self.lock = threading.RLock()
        self.asked, self.ledger, self.cancelled, self.meddled = {}, {}, set(), set()
        self.ledger_file = open(self.dir / "ledger", "ab")
        self.crowd, self.keeper, self.trouble = None, None, []
        self.submissions = []
        self.also = ()  # ends that are no fault either, as in KINDS

    def __enter__(self):
        if not self.started:
            return self  # by the test
        self.start()
        self.connect()
        if self.supervised:
            self.keeper = threading.Thread(target=self.keep)
            self.keeper.start()
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            print(f"\nseed {self.seed}, failpoints '{self.env['YOKE_FAILPOINTS']}'\n{self.evidence()}", flush=True)
        self.wanted = False
        if self.keeper:
            self.keeper.join()
        if self.crowd:
            self.crowd.end()
        self.kill()
        for pid in self.own_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.ready_socket.close()
        self.ledger_file.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def connect(self):
        self.crowd = crowd.Crowd(harness.BIN / "yoke-crowd", f"unix://{self.socket}")

    # The daemon.

    def start(self, tries=5):
        """Returns once it serves; a daemon that a failpoint kills on its way is started again, as a service manager would."""
        with self.lock:
            self.wanted = True
            for _ in range(tries):
                if self.start_once():
                    return
            raise AssertionError("yoked did not start:\n" + self.evidence())

    def start_once(self, patience=20 * harness.SLOWDOWN):
        """False if it died before it served."""
        self.drain_ready()
        self.spawn()
        began = time.monotonic()
        while not self.drain_ready():
            if self.daemon.poll() is not None:
                return False
            if time.monotonic() - began > patience:
                raise AssertionError(f"yoked does not serve after {patience} s:\n" + self.evidence())
            time.sleep(0.002)
        self.serving_seconds.append(time.monotonic() - began)
        return True

    def spawn(self):
        with open(self.dir / "yoked.log", "ab") as log:
            self.daemon = subprocess.Popen([self.programs / "yoked", "--state", self.state, "--socket", self.socket, *self.flags],
                                           stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
        self.starts += 1

    def start_once_and_kill(self, seconds):
        """Kills a daemon so long after it was started, whether it serves by then or not."""
        self.spawn()
        time.sleep(seconds)
        self.kill()

    def drain_ready(self):
        ready = False
        while True:
            try:
                ready |= self.ready_socket.recv(100).startswith(b"READY=1")
            except BlockingIOError:
                return ready

    def keep(self):
        """Starts the daemon again whenever it is gone though it is wanted."""
        while self.wanted or self.lock_busy():
            time.sleep(0.01)
            with self.lock:
                if not self.wanted or self.daemon.poll() is None:
                    continue
                try:
                    self.start()
                except AssertionError as error:
                    self.trouble.append(str(error))
                    return

    def lock_busy(self):
        if self.lock.acquire(blocking=False):
            self.lock.release()
            return False
        return True

    def kill(self):
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
        if self.daemon is not None:
            self.daemon.wait()

    def terminate(self, seconds=20):
        self.daemon.terminate()
        return self.daemon.wait(seconds)

    def evidence(self):
        log = self.dir / "yoked.log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""

    # Submissions.

    def submit(self, kind, device=None):
        """A future of the job's name; acknowledged ones are in the ledger before it is done. Repeated with the same id
        for as long as nothing but UNAVAILABLE is heard."""
        request = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        if device is None:
            first = self.random.randrange(self.slots)
            device = f"cpu:{first}" if self.kinds[kind][1] == 1 else f"cpu:{first},{(first + 1) % self.slots}"
        self.asked[request] = kind
        future = self.crowd.ask("create", data=f"/sets/{kind}.yaml", device=device, request_id=request, display_name=request)
        future.add_done_callback(lambda done: self.acknowledge(request, kind, done))
        self.submissions.append(future)
        return future

    def acknowledge(self, request, kind, future):
        if future.exception() is not None:
            return
        name = future.result()["job"]["name"]
        self.ledger_file.write(f"{request} {name} {kind}\n".encode())
        self.ledger_file.flush()
        os.fsync(self.ledger_file.fileno())
        self.ledger[name] = kind

    def run(self, kind, device=None):
        """Submits and returns the job's name."""
        return self.submit(kind, device).result(60)["job"]["name"]

    def persist(self, do, seconds=30, **fields):
        """A call that is repeated while the daemon is away."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.crowd.call(do, **fields)
            except crowd.Refused as error:
                if error.code not in ("UNAVAILABLE", "CANCELLED") or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def cancel(self, name, grace=1):
        self.cancelled.add(name)
        try:
            self.persist("cancel", name=name, grace=grace)
        except crowd.Refused as error:
            if error.code != "FAILED_PRECONDITION":  # it has ended by itself
                raise

    def job(self, name):
        return self.persist("get", name=name)["job"]

    def wait(self, name, seconds=60):
        return self.crowd.call("wait", timeout=seconds + 30, name=name, seconds=seconds)["job"]

    def open_jobs(self):
        """Those that have not ended."""
        return self.persist("list", filter=" OR ".join(f"state = {state}" for state in OPEN_STATES))["jobs"]

    def until(self, name, holds, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            found = self.job(name)
            if holds(found):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds} s: {json.dumps(found)}")
            time.sleep(0.02)

    def drain(self, seconds=90):
        """Waits until everything stored has ended; what would never end is cancelled."""
        concurrent.futures.wait(self.submissions, seconds)
        jobs = self.persist("list")["jobs"]
        for job in jobs:
            if self.kinds[self.asked[job["displayName"]]][2] is None:
                self.cancel(job["name"])
        waits = [self.crowd.ask("wait", name=job["name"], seconds=seconds) for job in jobs if job["state"] in OPEN_STATES]
        for future in waits:
            future.result(seconds + 30)

    # What /proc says.

    def own_processes(self):
        """Processes that carry this box's worker script in their environment: daemon's children of any age."""
        mark = ("YOKE_FAKE_WORKER=" + str(self.dir / "fake.json")).encode()
        daemon = self.daemon.pid if self.daemon and self.daemon.poll() is None else None
        return [int(pid.name) for pid in pathlib.Path("/proc").iterdir()
                if pid.name.isdigit() and int(pid.name) != daemon and mark in harness.environment(pid)]

    def zombies(self):
        """Children of the daemon that ended and were not asked how."""
        found = []
        for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = status.read_text().rpartition(") ")[2].split()[:2]
            except OSError:
                continue
            if state == "Z" and int(parent) == self.daemon.pid:
                found.append(int(status.parent.name))
        return found

    def shims(self, name=None):
        """attempt folder -> pid of its live shim, as the shims themselves wrote it."""
        found = {}
        for record in self.state.glob(f"jobs/{name.removeprefix('jobs/') if name else '*'}/attempts/*/started"):
            try:
                pid = json.loads(record.read_text())["pid"]
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                # A number may be another shim's by now.
                if b"yoke-shim" in words[0] and os.fsencode(record.parent / "spec.json") in words:
                    found[record.parent] = pid
            except (OSError, ValueError):
                continue
        return found

    def ranks(self):
        """(job, pid) of the ranks that live, as the witness names them."""
        lines = self.witness.read_text().splitlines() if self.witness.exists() else []
        alive = set(self.own_processes())
        found = []
        for words in map(str.split, lines):
            # The run id tells a process from an earlier one of its number.
            if words[0] == "START" and int(words[5]) in alive and f"YOKE_RUN_ID={words[3]}".encode() in harness.environment(pathlib.Path("/proc") / words[5]):
                found.append((words[1], int(words[5])))
        return found

    def usage(self):
        """Open descriptors, threads and resident MiB of the daemon."""
        proc = pathlib.Path(f"/proc/{self.daemon.pid}")
        resident = int(next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
        return len(list((proc / "fd").iterdir())), len(list((proc / "task").iterdir())), resident
