"""Each planted mistake is reported with the settings of the real run, and what is no mistake is not."""

import os
import pathlib
import subprocess
import unittest

import harness

SOURCE = pathlib.Path(__file__).resolve().parents[2]
THREADS = os.environ["YOKE_SANITIZE"] == "thread"
PRESET = "tsan" if THREADS else "asan"
MISTAKES = {"race": "data race", "race_of_handlers": "data race"} if THREADS else {
    "use_after_free": "heap-use-after-free", "overflow": "signed integer overflow"}


class Planted(unittest.TestCase):
    def run_one(self, name):
        options = subprocess.run([SOURCE / "deploy/dev/sanitize", "--options", PRESET], check=True, capture_output=True, text=True).stdout.strip()
        env = {**os.environ, "TSAN_OPTIONS": options, "ASAN_OPTIONS": options, "UBSAN_OPTIONS": ""}
        return subprocess.run([harness.BIN / "planted_mistakes", name], capture_output=True, text=True, env=env, timeout=60)

    def test_mistakes_are_reported(self):
        for name, words in MISTAKES.items():
            with self.subTest(name):
                done = self.run_one(name)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)

    def test_a_server_without_one_is_not(self):
        done = self.run_one("none")
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    harness.main()
