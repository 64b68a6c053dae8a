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
    made = harness.Box("--worker-path", str(harness.BIN / "fake_worker"), "--nvml", "none", *flags, **options)
    made.env["YOKE_FAKE_WORKER"] = str(made.dir / "fake.json")
    (made.dir / "fake.json").write_text(json.dumps({"events": False, **script}))
    return made


def train(daemon, device="0"):
    return daemon.submit("train", "data=server:/data.yaml", "model=yolov8n.yaml", f"device={device}", "--no-check")


def log_of(daemon, job, rank=0):
    return daemon.state / "jobs" / job / "attempts" / "1" / f"rank{rank}.log"


def follow(daemon, *words):
    return subprocess.Popen([daemon.bin / "yoke", "logs", "-f", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=daemon.env)

def append(log, numbers):
    with open(log, "ab", buffering=0) as file:
        for number in numbers:
            file.write(f"{number} {'x' * 1000}\n".encode())


class Frames:
    """A follower of a job of one rank: the numbers its lines begin with, and the gaps."""

    def __init__(self, daemon, job, *words):
        self.process = subprocess.Popen([daemon.bin / "yoke", "logs", "-f", job, "-o", "jsonl", *words], stdout=subprocess.PIPE, text=True, env=daemon.env)
        self.numbers, self.gaps = [], []
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            frame = json.loads(line)
            if "gap" in frame:
                self.gaps.append(frame["gap"])
            if "chunk" in frame and not frame["chunk"].get("unfinished"):
                words = [shown.split(b" ")[0] for shown in base64.b64decode(frame["chunk"]["data"]).splitlines()]
                self.numbers += [int(word) for word in words if word.isdigit()]

    def until(self, holds, seconds=30):
        deadline = time.monotonic() + seconds
        while not holds(self.numbers):
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds} s: {len(self.numbers)} lines, {self.numbers[-3:]} are the last; gaps {self.gaps}")
            time.sleep(0.01)
        return self.numbers

    def end(self):
        self.process.kill()
        self.thread.join()
        self.process.communicate()


class Follower:
    """Reads lines "NUMBER MOMENT": which numbers, and how late the latest came."""

    def __init__(self, daemon, job, *words):
        self.process = follow(daemon, job, "--tail", "0", *words)
        self.numbers, self.latest = [], 0
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            number, moment = line.split()
            self.latest = max(self.latest, time.monotonic() - float(moment))
            self.numbers.append(int(number))

    def end(self):
        self.process.kill()
        self.thread.join()
        self.process.communicate()
        return self.numbers


class Told(unittest.TestCase):
    """Lines come when they are written: nobody is found by the look once a second."""

    def test_followers_that_come_and_go_beside_others_that_stay(self):
        with box(SLEEPY, "--hang-seconds", "0") as daemon:
            job = train(daemon)
            daemon.until(job, lambda found: found["state"] == "RUNNING" and log_of(daemon, job).exists())
            stay = [Follower(daemon, job) for _ in range(3)] + [Follower(daemon, job, "--grep", "^[0-9]*[02468] ")]
            time.sleep(1.5)
            passing, latest, number = [], 0, 0
            with open(log_of(daemon, job), "ab", buffering=0) as log:
                # 2,000 lines a second, then one a second, and again.
                for lines, rate in ((6000, 2000), (5, 1), (4000, 2000), (6, 2)):
                    began = time.monotonic()
                    for line in range(lines):
                        log.write(f"{number} {time.monotonic():.6f}\n".encode())
                        number += 1
                        time.sleep(max(0, began + (line + 1) / rate - time.monotonic()))
                        if number % 400 == 0 or rate < 10:
                            passing.append(Follower(daemon, job))
                        while len(passing) > 3:
                            old = passing.pop(0)
                            seen = old.end()
                            latest = max(latest, old.latest)
                            self.assertEqual(seen, list(range(seen[0], seen[0] + len(seen))) if seen else [])
            time.sleep(3)  # by then what was found by looking is told of
            latest = max([latest, *(one.latest for one in stay + passing)])
            for one in stay[:3]:
                self.assertEqual(one.end(), list(range(number)))
            self.assertEqual(stay[3].end(), list(range(0, number, 2)))
            for one in passing:
                one.end()
            print(f"{number} lines; the latest came after {1000 * latest:.0f} ms")
            self.assertLess(latest, 0.7 * harness.SLOWDOWN)
            self.assertNotIn("was not told", (daemon.dir / "yoked.log").read_text())


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
        # Its own line comes after all of these.
        with box({"run_for": 5 * harness.SLOWDOWN, "lines_per_second": 0.2 / harness.SLOWDOWN}) as daemon:
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


class Cap(unittest.TestCase):
    def test_the_oldest_part_of_a_long_log_is_given_up_and_the_job_goes_on(self):
        line = "x" * 1000
        with box({"run_for": 4, "lines_per_second": 5, "lines": [f"{number} {line}" for number in range(4000)]}, "--log-megabytes-max", "1") as daemon:
            job = train(daemon)
            daemon.wait(job)
            log = log_of(daemon, job)
            self.assertGreater(log.stat().st_size, 4_000_000)
            self.assertLess(log.stat().st_blocks * 512, 1_200_000)
            read = daemon.yoke("logs", job)
            self.assertRegex(read.stderr, r"bytes 0 to [0-9]+ of rank 0 are no longer kept")
            lines = read.stdout.splitlines()
            self.assertEqual(lines[-1], "rank 0 epoch 3 step 20")
            self.assertGreater(len(lines), 600)
            self.assertEqual([int(kept.split()[0]) for kept in lines[1:-20]], list(range(4000 - len(lines[1:-20]), 4000)))

    def test_readers_that_are_behind_hear_of_the_gap_and_get_the_rest_once(self):
        with box(SLEEPY, "--log-megabytes-max", "1", "--hang-seconds", "0") as daemon:
            job = train(daemon)
            daemon.until(job, lambda found: found["state"] == "RUNNING" and log_of(daemon, job).exists())
            log = log_of(daemon, job)
            readers = [Frames(daemon, job) for _ in range(2)]
            append(log, range(10))
            for reader in readers:
                reader.until(lambda numbers: len(numbers) == 10)
            os.kill(readers[0].process.pid, signal.SIGSTOP)
            daemon.kill()
            begin = log.stat().st_size
            append(log, range(10, 6000))
            deadline = time.monotonic() + 20
            while log.stat().st_blocks * 512 > 1_200_000:
                self.assertLess(time.monotonic(), deadline, "nothing is given up")
                time.sleep(0.1)
            daemon.start()
            os.kill(readers[0].process.pid, signal.SIGCONT)
            append(log, range(6000, 6010))
            for reader in readers:
                numbers = reader.until(lambda numbers: numbers and numbers[-1] == 6009)
                self.assertEqual(numbers[:10], list(range(10)))
                # The line that was cut in the middle has no number.
                self.assertEqual(numbers[10:], list(range(6010 - len(numbers[10:]), 6010)))
                self.assertGreater(len(numbers), 600)
                self.assertLess(len(numbers), 3000)
                self.assertEqual([int(gap["from"]) for gap in reader.gaps], [begin])
                self.assertGreater(int(reader.gaps[0]["to"]), begin + 3_000_000)
                reader.end()


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
            self.addCleanup(followers[0].kill)
            os.kill(followers[0].pid, signal.SIGSTOP)
            began = time.monotonic()
            daemon.stop()
            self.assertLess(time.monotonic() - began, harness.SLOWDOWN)
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
