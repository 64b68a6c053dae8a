"""Ranks that make no progress any more, with real processes and a scripted worker."""

import json
import os
import random
import signal
import time
import unittest

import harness

LIMIT = 1 if harness.SLOWDOWN == 1 else 6  # seconds
STOPS = 100 if os.environ.get("YOKE_TEST_TIER") == "long" else 8 if harness.SLOWDOWN == 1 else 4
AT_ONCE, RANKS = 4, 3


class Hang(unittest.TestCase):
    def test_names_the_stopped_rank_keeps_evidence_and_is_tried_again(self):
        script = {"run_for": max(4, 2 * harness.SLOWDOWN), "collective": True, "lines_per_second": 50}
        with harness.Box("--worker-path", str(harness.BIN / "fake_worker"), "--nvml", "none", "--hang-seconds", str(LIMIT), "--grace-seconds", "1",
                         env={"YOKE_FAKE_WORKER": json.dumps(script)}) as box:
            job = box.submit("train", "data=server:/data.yaml", "model=yolov8n.yaml", "device=0,1", "--no-check")
            box.until(job, lambda now: int(now.get("progress", {}).get("done", 0)) > 0 or now.get("progress", {}).get("phase") == "train")
            box.until(job, lambda now: len(box.rank_pids(job)) == 2)
            time.sleep(0.5)
            stopped = time.monotonic()
            os.kill(box.rank_pids(job)[1], signal.SIGSTOP)
            waiting = box.until(job, lambda now: now["attempts"][0]["outcome"] == "FAILED")
            self.assertLess(time.monotonic() - stopped, LIMIT + 4 * harness.SLOWDOWN)  # and the grace, and the daemon's turn
            if harness.SLOWDOWN == 1:  # a slow build's command line comes too late for that second
                self.assertEqual(waiting["reason"], "WAITING_FOR_RETRY")
                self.assertIn("(attempt 2 of 3)", waiting["message"])
            self.assertEqual(waiting["attempts"][0]["error"]["rank"], 1)
            evidence = box.state / "jobs" / job / "attempts" / "1" / "hang"
            self.assertIn("slots.json", os.listdir(evidence))
            ended = box.wait(job)
            self.assertEqual([attempt["outcome"] for attempt in ended["attempts"]], ["FAILED", "SUCCEEDED"])
            self.assertEqual(box.attempt_processes(job), [])

    def test_every_stopped_rank_is_the_one_that_is_named_and_in_time(self):
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        script = {"run_for": 600, "collective": True, "lines_per_second": 50}
        with harness.Box("--worker-path", str(harness.BIN / "fake_worker"), "--nvml", "none", "--hang-seconds", str(LIMIT), "--grace-seconds", "1",
                         "--attempts-max", "1", env={"YOKE_FAKE_WORKER": json.dumps(script)}, slots=AT_ONCE * RANKS) as box:
            latest = 0
            for _ in range(STOPS // AT_ONCE):
                jobs = [box.submit("train", "data=server:/data.yaml", "model=yolov8n.yaml", "batch=6", "--no-check",
                                   "device=cpu:" + ",".join(str(place * RANKS + rank) for rank in range(RANKS))) for place in range(AT_ONCE)]
                stopped = {}
                for job in jobs:
                    logs = [box.state / "jobs" / job / "attempts" / "1" / f"rank{rank}.log" for rank in range(RANKS)]
                    box.until(job, lambda now: all(log.exists() and "step 2" in log.read_text() for log in logs), 30)
                    time.sleep(chance.random() / 2)
                    rank = chance.randrange(RANKS)
                    os.kill(box.rank_pids(job)[rank], signal.SIGSTOP)
                    stopped[job] = rank, time.time()
                for job, (rank, since) in stopped.items():
                    failed = box.wait(job, "FAILED")
                    self.assertEqual(failed["attempts"][0]["error"]["rank"], rank, f"seed {seed}: {failed['message']}")
                    named = (box.state / "jobs" / job / "attempts" / "1" / "hang" / "slots.json").stat().st_mtime - since
                    self.assertLess(named, LIMIT + 2 * harness.SLOWDOWN, f"seed {seed}")
                    latest = max(latest, named)
                    self.assertEqual(box.attempt_processes(job), [])
            print(f"{STOPS} of {STOPS} stopped ranks named, the latest after {latest:.2f} s of a limit of {LIMIT} s; seed {seed}")


if __name__ == "__main__":
    harness.main()
