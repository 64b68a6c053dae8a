"""Ranks that make no progress any more, with real processes and a scripted worker."""

import json
import os
import signal
import time
import unittest

import harness

LIMIT = 1


class Hang(unittest.TestCase):
    def test_names_the_stopped_rank_keeps_evidence_and_is_tried_again(self):
        script = {"run_for": 4, "collective": True, "lines_per_second": 50}
        with harness.Box("--worker-path", str(harness.BIN / "fake_worker"), "--nvml", "none", "--hang-seconds", str(LIMIT), "--grace-seconds", "1",
                         env={"YOKE_FAKE_WORKER": json.dumps(script)}) as box:
            job = box.submit("train", "data=server:/data.yaml", "model=yolov8n.yaml", "device=0,1", "--no-check")
            box.until(job, lambda now: int(now.get("progress", {}).get("done", 0)) > 0 or now.get("progress", {}).get("phase") == "train")
            box.until(job, lambda now: len(box.rank_pids(job)) == 2)
            time.sleep(0.5)
            stopped = time.monotonic()
            os.kill(box.rank_pids(job)[1], signal.SIGSTOP)
            waiting = box.until(job, lambda now: now["state"] == "QUEUED")
            self.assertLess(time.monotonic() - stopped, LIMIT + 2 + 2)  # and the grace, and the daemon's turn
            self.assertEqual(waiting["reason"], "WAITING_FOR_RETRY")
            self.assertIn("(attempt 2 of 3)", waiting["message"])
            self.assertEqual(waiting["attempts"][0]["outcome"], "FAILED")
            self.assertEqual(waiting["attempts"][0]["error"]["rank"], 1)
            evidence = box.state / "jobs" / job / "attempts" / "1" / "hang"
            self.assertIn("slots.json", os.listdir(evidence))
            ended = box.wait(job)
            self.assertEqual([attempt["outcome"] for attempt in ended["attempts"]], ["FAILED", "SUCCEEDED"])
            self.assertEqual(box.attempt_processes(job), [])


if __name__ == "__main__":
    harness.main()
