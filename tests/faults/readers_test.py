"""Readers of logs that are slow, absent, half open or very many: the job and the other readers do not notice."""

import os
import resource
import select
import signal
import socket
import subprocess
import threading
import time
import unittest

import crowd
import harness
import invariants
from box import FaultBox

LONG = os.environ.get("YOKE_TEST_TIER") == "long"
MANY = 1000


class HalfOpen:
    """A connection of a client through a relay that reads nothing any more once it is cut, and closes nothing either."""

    def __init__(self, target):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.target, self.cut, self.ends = target, threading.Event(), []
        self.thread = threading.Thread(target=self.relay, daemon=True)
        self.thread.start()

    def relay(self):
        client, server = self.ends = [self.listening.accept()[0], socket.create_connection(self.target)]
        while not self.cut.is_set():
            for one in select.select(self.ends, [], [], 0.05)[0]:
                data = one.recv(65536)
                if not data:
                    return
                (server if one is client else client).sendall(data)

    def close(self):
        self.cut.set()
        self.thread.join(10)
        for one in [self.listening, *self.ends]:
            one.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def log_of(box, name):
    return box.state / name / "attempts" / "1" / "rank0.log"


def lines_of(box, name):
    return log_of(box, name).read_bytes().count(b"\n")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Readers(unittest.TestCase):
    def seconds_until_closed(self, box, connections):
        """Until the daemon has so many descriptors less."""
        began, connected = time.monotonic(), box.usage()[0]
        while box.usage()[0] > connected - connections:
            self.assertLess(time.monotonic() - began, 60, "connections to nobody were kept for a minute")
            time.sleep(0.1)
        return time.monotonic() - began

    def test_one_that_never_reads_and_one_that_is_frozen_hold_up_nothing(self):
        with FaultBox() as box:
            name = box.run("flood", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            before = box.usage()
            stalled = [box.crowd.ask("stall", name=name, seconds=3) for _ in range(20)]
            frozen = crowd.Crowd(harness.BIN / "yoke-crowd", f"unix://{box.socket}")
            self.addCleanup(frozen.process.kill)
            for number in range(10):
                place = box.dir / f"frozen{number}"
                place.mkdir()
                frozen.ask("logs", name=name, folder=str(place))
            time.sleep(0.5)
            os.kill(frozen.process.pid, signal.SIGSTOP)
            place = box.dir / "reader"
            place.mkdir()
            reading = box.crowd.ask("logs", name=name, folder=str(place))
            began = time.monotonic()
            box.wait(name)
            reading.result(30)
            self.assertLess(time.monotonic() - began, 15)
            grown = box.usage()[2] - before[2]
            if not harness.THREAD_SANITIZER:  # it keeps several times as much beside what is used
                self.assertLess(grown, 30 * 0.25 + 16, "MiB for 30 followers")
            for future in stalled:
                future.result(30)
            os.kill(frozen.process.pid, signal.SIGCONT)
            frozen.end()
            box.drain()
            invariants.judge(box)
            print(f"30 followers that do not read cost {grown:.1f} MiB")

    @unittest.skipUnless(LONG, "takes a minute; with YOKE_TEST_TIER=long")
    def test_a_client_that_is_frozen_is_let_go_of_within_a_minute_and_goes_on_where_it_was(self):
        with FaultBox() as box:
            name = box.run("ever", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            fresh = box.usage()
            frozen = crowd.Crowd(harness.BIN / "yoke-crowd", f"unix://{box.socket}")
            for number in range(10):
                place = box.dir / f"frozen{number}"
                place.mkdir()
                frozen.ask("logs", name=name, folder=str(place))
            time.sleep(1)
            self.assertGreaterEqual(box.usage()[0], fresh[0] + 10)
            os.kill(frozen.process.pid, signal.SIGSTOP)
            print(f"10 followers of a frozen client were cut off after {self.seconds_until_closed(box, 10):.0f} s")
            written = log_of(box, name).read_bytes()
            os.kill(frozen.process.pid, signal.SIGCONT)
            deadline = time.monotonic() + 20
            for number in range(10):
                while len(read := (box.dir / f"frozen{number}" / "1.0.log").read_bytes()) < len(written):
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.1)
                self.assertEqual(read[:len(written)], written)
            frozen.end()
            box.drain()
            invariants.judge(box)

    def test_a_thousand_absent_ones_cost_little_and_the_next_one_is_served_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 3 * MANY:
            self.skipTest(f"only {hard} descriptors are allowed here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        kinds = {"silent": ({"run_for": 3600, "lines_per_second": 0.001, "lines": ["begun"], "events": False}, 1, None)}
        with FaultBox(kinds=kinds, flags=("--hang-seconds", "0")) as box:
            name = box.run("silent", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            many = crowd.Crowd(harness.BIN / "yoke-crowd", f"unix://{box.socket}")
            self.addCleanup(many.end)
            before = box.usage()
            for _ in range(MANY):
                many.ask("stall", name=name, seconds=3600)
            deadline = time.monotonic() + 60 * harness.SLOWDOWN
            while box.usage()[0] < before[0] + MANY:
                self.assertLess(time.monotonic(), deadline, f"{box.usage()[0] - before[0]} of {MANY} connections")
                time.sleep(0.1)
            time.sleep(2)
            with_them, began = box.usage(), cpu_seconds(box.daemon.pid)
            time.sleep(5)
            busy = (cpu_seconds(box.daemon.pid) - began) / 5
            place = box.dir / "late"
            place.mkdir()
            asked = time.monotonic()
            box.crowd.ask("logs", name=name, folder=str(place))
            while not (place / "1.0.log").exists() or not (place / "1.0.log").stat().st_size:
                self.assertLess(time.monotonic() - asked, 5 * harness.SLOWDOWN)
                time.sleep(0.005)
            first = time.monotonic() - asked
            print(f"{MANY} silent followers: {with_them[1] - before[1]} threads, {with_them[2] - before[2]:.0f} MiB, {100 * busy:.1f} % of a core; "
                  f"one more read after {1000 * first:.0f} ms")
            self.assertLess(with_them[1] - before[1], 30)
            self.assertLess(busy, 0.25 * harness.SLOWDOWN)
            if harness.SLOWDOWN == 1:
                self.assertLess(with_them[2] - before[2], 250)
            many.end()
            invariants.settle(box, before, fds=24, threads=8)
            box.drain()
            invariants.judge(box)

    def test_cost_the_job_nothing(self):
        """The same job alone, and under readers that never read, are frozen, or take a line a second."""
        kinds = {"busy": ({"run_for": 3, "lines_per_second": 1000, "events": False}, 1, ("SUCCEEDED", 0, 0))}
        with FaultBox(kinds=kinds) as box:
            seconds = []
            for readers in (0, 1, 0, 1):
                name = box.run("busy", "cpu:0")
                box.until(name, lambda job: job["state"] == "RUNNING")
                others = []
                if readers:
                    for _ in range(20):
                        box.crowd.ask("stall", name=name, seconds=2)
                    env = {**os.environ, "YOKE_SERVER": f"unix://{box.socket}"}
                    others = [subprocess.Popen([harness.BIN / "yoke", "logs", "-f", name], stdout=subprocess.PIPE, env=env) for _ in range(4)]
                    time.sleep(0.3)
                    os.kill(others[0].pid, signal.SIGSTOP)
                begin = lines_of(box, name), time.monotonic()
                time.sleep(1.5)
                seconds.append((time.monotonic() - begin[1]) / (lines_of(box, name) - begin[0]) * 1000)
                for other in others[1:]:
                    other.stdout.readline()
                self.assertEqual(box.wait(name)["state"], "SUCCEEDED")
                for other in others:
                    other.kill()
                    other.communicate()
            alone, watched = min(seconds[0::2]), min(seconds[1::2])
            print(f"a step takes {alone:.3f} ms alone and {watched:.3f} ms under 24 bad readers")
            self.assertLess(watched, 1.5 * alone)
            box.drain()
            invariants.judge(box)

    def test_half_open_ones_hold_up_nothing_and_are_let_go_of(self):
        port = free_port()
        with FaultBox(flags=("--listen", f"127.0.0.1:{port}")) as box:
            name = box.run("ever", "cpu:0")
            box.until(name, lambda job: job["state"] == "RUNNING")
            fresh = box.usage()
            relays = [HalfOpen(("127.0.0.1", port)) for _ in range(4)]
            for relay in relays:
                self.addCleanup(relay.close)
            env = {**os.environ, "YOKE_TOKEN_FILE": str(box.state / "token")}
            lost = [subprocess.Popen([harness.BIN / "yoke", "logs", "-f", name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                     env={**env, "YOKE_SERVER": f"127.0.0.1:{relay.port}"}) for relay in relays]
            self.addCleanup(lambda: [(one.kill(), one.communicate()) for one in lost])
            time.sleep(1)
            for relay, one in zip(relays, lost):
                self.assertIsNone(one.poll(), one.poll() is not None and one.stderr.read())
                relay.cut.set()
            place = box.dir / "reader"
            place.mkdir()
            box.crowd.ask("logs", name=name, folder=str(place))
            time.sleep(1)
            slowest = 0
            for _ in range(20):
                written, began = lines_of(box, name), time.monotonic()
                while (place / "1.0.log").read_bytes().count(b"\n") < written:
                    self.assertLess(time.monotonic() - began, 5 * harness.SLOWDOWN)
                    time.sleep(0.002)
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.05)
            self.assertLess(slowest, 0.7 * harness.SLOWDOWN)
            print(f"beside 4 half-open readers a line came within {1000 * slowest:.0f} ms")
            if LONG:
                self.assertGreaterEqual(box.usage()[0], fresh[0] + 4)
                print(f"half-open readers were let go of after {self.seconds_until_closed(box, 4):.0f} s")
            box.drain()
            invariants.judge(box)


if __name__ == "__main__":
    harness.main()
