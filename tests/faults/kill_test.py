"""kill -9 of the daemon at random moments, also while it recovers, also under followers of logs."""

import os
import time
import unittest

import harness
import invariants
from box import FaultBox

LONG = os.environ.get("YOKE_TEST_TIER") == "long"
KILLS = 1000 if LONG else 200 // harness.SLOWDOWN
LIVE_JOBS = 20
MIX = ("short", "long", "pair", "stray", "fail", "bad", "crash", "hang", "deaf")
FOLLOWERS, FOLLOWED_KILLS = (200, 10) if LONG else (20, 3)
# Eight connections that read the database have two descriptors each; gRPC keeps a few threads more than it began with.
SETTLED_FDS, SETTLED_THREADS = 16, 8


class KilledDaemon(unittest.TestCase):
    def test_at_random_moments_with_twenty_live_jobs(self):
        with FaultBox(slots=LIVE_JOBS, lines_per_second=50) as box:
            fresh = box.usage()
            kills = in_recovery = 0
            while kills < KILLS:
                self.top_up(box)
                time.sleep(box.random.uniform(0, 0.45))
                with box.lock:
                    box.kill()
                    kills += 1
                    # Of every three, one dies again before or just after it serves: recovery of a recovery.
                    while box.random.random() < 1 / 3:
                        box.start_once_and_kill(box.random.uniform(0, 0.06))
                        kills += 1
                        in_recovery += 1
                    box.start()
            box.drain()
            counts = invariants.judge(box)
            invariants.settle(box, fresh, SETTLED_FDS, SETTLED_THREADS)
            invariants.report(f"{kills} kills, {in_recovery} of them during recovery, seed {box.seed}", counts)

    def top_up(self, box):
        open_jobs = box.open_jobs()
        for job in open_jobs:
            if box.asked[job["displayName"]] in ("hang", "deaf") and box.random.random() < 0.3 and job["name"] not in box.cancelled:
                box.cancelled.add(job["name"])
                box.crowd.ask("cancel", name=job["name"], grace=0.3)  # it may get lost; the drain asks again
        for _ in range(LIVE_JOBS - len(open_jobs)):
            box.submit(box.random.choice(MIX))


class Clients(unittest.TestCase):
    def test_hear_from_a_daemon_that_is_back_within_two_seconds(self):
        with FaultBox() as box:
            name = box.run("ever", "cpu:0")
            place = box.dir / "follower"
            place.mkdir()
            box.crowd.ask("logs", name=name, folder=str(place))
            log = place / "1.0.log"
            slowest = [0, 0]
            for _ in range(10):
                with box.lock:
                    box.terminate()
                    box.start()
                    box.kill()
                began = time.monotonic()
                box.persist("get", name=name)
                slowest[0] = max(slowest[0], time.monotonic() - began)
                size = log.stat().st_size if log.exists() else 0
                while not log.exists() or log.stat().st_size == size:
                    self.assertLess(time.monotonic() - began, 20 * harness.SLOWDOWN)
                    time.sleep(0.01)
                slowest[1] = max(slowest[1], time.monotonic() - began)
            print(f"after 10 restarts a call was answered within {slowest[0]:.2f} s, a follower went on within {slowest[1]:.2f} s")
            self.assertLess(max(slowest), 2 * harness.SLOWDOWN)
            box.drain()
            invariants.judge(box)


class Followers(unittest.TestCase):
    def test_see_every_byte_once_over_kills(self):
        with FaultBox(slots=4) as box:
            names = [box.run("flood", f"cpu:{slot}") for slot in range(4)]
            readers = []
            for number in range(FOLLOWERS):
                name, place = names[number % 4], box.dir / f"follower{number}"
                place.mkdir()
                readers.append((name, place, box.crowd.ask("logs", name=name, folder=str(place))))
            for _ in range(FOLLOWED_KILLS):
                time.sleep(box.random.uniform(0.3, 0.9))
                box.kill()
            compared = 0
            for name, place, reading in readers:
                self.assertEqual(reading.result(120)["gaps"], 0)
                for folder in invariants.attempt_folders(box, name):
                    for rank, content in invariants.read_logs(folder).items():
                        self.assertGreater(content.count(b"\n"), 1000)
                        self.assertEqual((place / f"{folder.name}.{rank}.log").read_bytes(), content, f"seed {box.seed}")
                        compared += content.count(b"\n")
            box.drain()
            counts = invariants.judge(box)
            print(f"{FOLLOWERS} followers over {box.starts - 1} kills: 0 gaps, 0 doubles in {compared} lines read")
            invariants.report("floods", counts)


if __name__ == "__main__":
    harness.main()
