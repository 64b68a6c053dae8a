"""Reading logs with the command line: chosen by the server, over deaths of the daemon, and when it has no descriptors."""

import base64
import json
import os
import resource
import signal
import subprocess
import threading
import time
import unittest

import harness

SLEEPY = {"run_for": 0, "hang": True}
BAR = "".join(f"\r{percent}% of 1000 images" for percent in range(101))


def box(script, *flags, **options):
    return harness.Box("--worker-path", str(harness.BIN / "fake_worker"), "--nvml", "none", *flags,
                       env={"YOKE_FAKE_WORKER": json.dumps({"events": False, **script})}, **options)


def train(daemon, device="0"):
    return daemon.submit("train", "data=server:/data.yaml", "model=yolov8n.yaml", f"device={device}", "--no-check")


def log_of(daemon, job, rank=0):
    return daemon.state / "jobs" / job / "attempts" / "1" / f"rank{rank}.log"


def follow(daemon, *words):
    return subprocess.Popen([daemon.bin / "yoke", "logs", "-f", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=daemon.env)


class Filters(unittest.TestCase):
    def test_choose_by_rank_level_pattern_and_number(self):
        script = {"run_for": 0.2, "lines_per_second": 50, "lines": ["warning: slow disk", "error: one image is damaged", "plain"]}
        with box(script) as daemon:
            job = train(daemon, "0,1")
            daemon.wait(job)

            def logs(*words):
                return daemon.yoke("logs", job, *words).stdout.splitlines()
            everything = logs()
            self.assertEqual(len(everything), 26)
            self.assertEqual(logs("--rank", "1"), [line for line in everything if "rank 0" not in line][-13:])
            self.assertEqual(logs("--rank", "0", "--level", "warning"), ["warning: slow disk", "error: one image is damaged"])
            self.assertEqual(logs("--level", "error"), ["error: one image is damaged"] * 2)
            self.assertEqual(logs("--grep", "rank [01] epoch 3 step 1?0$"), ["rank 0 epoch 3 step 10", "rank 1 epoch 3 step 10"])
            self.assertEqual(logs("--rank", "0", "--tail", "2", "--grep", "step 9$"), ["rank 0 epoch 3 step 9"])
            self.assertEqual(logs("-f", "--level", "error"), ["error: one image is damaged"] * 2)
            self.assertEqual(logs("--grep", "no such line"), [])
            for words, says in ((("--grep", "a(b"), "missing )"), (("--until", "1m", "-f"), "until"), (("--since", "yesterday"), "--since yesterday"),
                                (("--level", "loud"), "loud"), (("--raw", "--grep", "x"), "--raw")):
                refused = daemon.yoke("logs", job, *words, check=False)
                self.assertEqual((refused.returncode, refused.stdout), (2, ""), words)
                self.assertIn(says, refused.stderr)

    def test_choose_by_time_good_to_a_second(self):
        with box({"run_for": 9, "lines_per_second": 20}) as daemon:
            job = train(daemon)
            began = time.time()
            daemon.until(job, lambda found: log_of(daemon, job).exists() and log_of(daemon, job).stat().st_size)
            time.sleep(4)
            step = log_of(daemon, job).read_bytes().count(b"\n")
            middle = time.time()
            daemon.wait(job)

            def steps(*words):
                return [int(line.split()[-1]) for line in daemon.yoke("logs", job, *words).stdout.splitlines()]
            self.assertEqual(steps(), list(range(1, 181)))
            before, after = steps("--until", utc(middle)), steps("--since", utc(middle))
            self.assertEqual(before, list(range(1, len(before) + 1)))
            self.assertEqual(after, list(range(181 - len(after), 181)))
            self.assertLess(abs(len(before) - step), 45)
            self.assertLess(abs(180 - len(after) - step), 45)
            self.assertEqual(steps("--until", utc(began - 60)), [])
            self.assertEqual(steps("--since", "0s"), [])
            self.assertEqual(steps("--since", "1h"), steps())


def utc(moment):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class ProgressBars(unittest.TestCase):
    def test_come_as_their_last_state_and_do_not_flood(self):
        with box({"run_for": 1.5, "lines_per_second": 2, "lines": [BAR] * 200}) as daemon:
            job = train(daemon)
            followed = follow(daemon, job)
            shown = followed.communicate(timeout=60)[0].splitlines()
            self.assertEqual(shown[:200], ["100% of 1000 images"] * 200)
            self.assertEqual(len(shown), 203)
            self.assertEqual(daemon.yoke("logs", job).stdout.splitlines(), shown)
            self.assertEqual(daemon.yoke("logs", job, "--raw").stdout.encode(), log_of(daemon, job).read_bytes().replace(b"\r", b"\n"))

    def test_that_go_on_are_shown_once_a_second_and_never_counted_twice(self):
        with box({"run_for": 5, "lines_per_second": 0.2}) as daemon:
            job = train(daemon)
            daemon.until(job, lambda found: log_of(daemon, job).exists())
            frames = subprocess.Popen([daemon.bin / "yoke", "logs", "-f", job, "-o", "jsonl"], stdout=subprocess.PIPE, text=True, env=daemon.env)
            with open(log_of(daemon, job), "ab", buffering=0) as log:
                for count in range(3000):
                    log.write(f"\r{count} of 3000".encode())
                    time.sleep(0.001)
                log.write(b"\n")
            chunks = [json.loads(line)["chunk"] for line in frames.communicate(timeout=60)[0].splitlines() if '"chunk"' in line]
            whole = [chunk for chunk in chunks if not chunk.get("unfinished")]
            self.assertLess(len(chunks) - len(whole), 9)
            self.assertGreater(len(chunks) - len(whole), 1)
            text = "".join(base64.b64decode(chunk["data"]).decode() for chunk in whole)
            self.assertEqual(text.splitlines()[0], "2999 of 3000")


class Deaths(unittest.TestCase):
    def test_a_filtered_follower_sees_every_line_once(self):
        with box({"run_for": 4, "lines_per_second": 300}) as daemon:
            job = train(daemon, "0,1")
            followed = follow(daemon, job, "--grep", "step [0-9]*7$")
            outputs = []
            reader = threading.Thread(target=lambda: outputs.append(followed.communicate(timeout=60)))
            reader.start()
            for _ in range(4):
                time.sleep(0.5)
                daemon.kill()
                daemon.start()
            reader.join()
            self.assertEqual(followed.returncode, 0, outputs)
            lines = outputs[0][0].splitlines()
            for rank in (0, 1):
                mine = [int(line.split()[-1]) for line in lines if line.startswith(f"rank {rank} ")]
                self.assertEqual(mine, list(range(7, 1201, 10)))

    def test_a_follower_that_heard_nothing_yet_goes_on_after_the_daemon_died(self):
        with box(SLEEPY) as daemon:
            holder, waiting = train(daemon), train(daemon)
            followed = follow(daemon, waiting)
            time.sleep(0.5)
            daemon.kill()
            time.sleep(0.5)
            daemon.start()
            daemon.yoke("job", "cancel", waiting)
            said = followed.communicate(timeout=20)
            self.assertEqual(followed.returncode, 0, said)
            self.assertNotEqual(daemon.job(holder)["state"], "CANCELLED")

    def test_a_daemon_that_is_asked_to_stop_does_not_wait_for_silent_clients(self):
        with box(SLEEPY) as daemon:
            job = train(daemon)
            daemon.until(job, lambda found: found["state"] == "RUNNING")
            followers = [follow(daemon, job) for _ in range(3)]
            time.sleep(1)
            os.kill(followers[0].pid, signal.SIGSTOP)
            began = time.monotonic()
            daemon.stop()
            self.assertLess(time.monotonic() - began, 1)
            os.kill(followers[0].pid, signal.SIGCONT)
            daemon.start()
            for follower in followers:
                follower.kill()
                follower.communicate()


class Descriptors(unittest.TestCase):
    def test_new_connections_are_accepted_again_after_there_was_no_descriptor(self):
        with box(SLEEPY) as daemon:
            job = train(daemon)
            daemon.until(job, lambda found: found["state"] == "RUNNING")
            pid = daemon.daemon.pid
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), limits[1]))
            for _ in range(3):
                self.assertNotEqual(daemon.yoke("jobs", check=False).returncode, 0)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            time.sleep(0.3)
            self.assertEqual(daemon.yoke("jobs", "state=RUNNING", "-o", "name").stdout.count(job), 1)
            self.assertIsNone(daemon.daemon.poll())


if __name__ == "__main__":
    harness.main()
