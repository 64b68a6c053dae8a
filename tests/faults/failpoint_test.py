"""Death at every failpoint: whatever a process was doing, nothing is lost and the rest goes on."""

import concurrent.futures
import os
import pathlib
import subprocess
import time
import unittest

import failpoints
import harness
import invariants
from box import FaultBox

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LONG = os.environ.get("YOKE_TEST_TIER") == "long"
ROUNDS = 25 if LONG else 1
AT_ONCE = 3


def lives(box):
    """Comes past every point: jobs that end well and badly, wait, are cancelled and read; a stop and an adoption."""
    box.submit("ever", "cpu:0")
    time.sleep(0.1)
    box.submit("short", "cpu:0")
    box.submit("fail", "cpu:1")
    pair = box.submit("pair", "cpu:2,3")
    name = pair.result(60)["job"]["name"]
    place = box.dir / "follower"
    place.mkdir()
    follower = box.crowd.ask("logs", name=name, folder=str(place))
    box.until(name, lambda job: job["state"] not in ("QUEUED", "STARTING"))
    with box.lock:  # an upgrade: stopped in good order, started again; then a death without a cause
        if box.daemon.poll() is None:
            box.terminate()
        box.start()
        box.kill()
    box.drain()
    follower.result(60)
    for folder in invariants.attempt_folders(box, name):
        for rank, content in invariants.read_logs(folder).items():
            read = place / f"{folder.name}.{rank}.log"
            invariants.hold((read.read_bytes() if read.exists() else b"") == content, "the follower missed or repeated something")


def visits():
    with FaultBox(once=False) as box:
        lives(box)
        counts = invariants.judge(box)
        return sorted(set(box.visited.read_text().split())), counts


def death_at(point, skip):
    """True if it was reached so often that somebody died."""
    plan = f"{point}={skip}*off->1*kill9"
    try:
        with FaultBox(failpoints=plan) as box:
            if point == "yoke-shim:spawn.exec.before":
                box.also = (("FAILED", 0, 9),)  # what dies there is a rank
            lives(box)
            return box.once.exists(), invariants.judge(box)
    except Exception as error:
        raise AssertionError(f"{plan}: {error}") from error


class EveryFailpoint(unittest.TestCase):
    def test_is_come_past_and_a_death_there_loses_nothing(self):
        listed = failpoints.listed(SOURCE)
        reached, _ = visits()
        points = [point for point in reached if not point.startswith("fake_worker:")]
        unvisited = set(listed) - {point.split(":")[1] for point in points}
        self.assertEqual(unvisited, set(), "failpoints that no test comes past")
        tasks = [(point, skip) for point in points for skip in range(ROUNDS)]
        total, deaths = {}, 0
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for point, (died, counts) in zip(tasks, pool.map(lambda task: death_at(*task), tasks)):
                if point[1] == 0:
                    self.assertTrue(died, f"{point[0]} killed nobody")
                deaths += died
                for name, value in counts.items():
                    total[name] = max(total.get(name, 0), value) if name.startswith("slowest") else total.get(name, 0) + value
        invariants.report(f"{deaths} deaths at {len(points)} points of {len(listed)} names", total)

    def test_a_specification_that_cannot_be_read_ends_the_process(self):
        for wrong in ("store.commit.after", "a=b", "a=kill9(1)", "a=error(EWHAT)", "a=x*kill9", "a=delay"):
            done = subprocess.run([harness.BIN / "yoked", "--state", "/proc/none", "--socket", "/proc/none/s"], capture_output=True, text=True,
                                  env={**os.environ, "YOKE_FAILPOINTS": wrong}, timeout=20)
            self.assertEqual(done.returncode, 125, wrong + done.stderr)


if __name__ == "__main__":
    harness.main()
