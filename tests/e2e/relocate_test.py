"""The built programs run from wherever they are copied to."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness


class Relocate(unittest.TestCase):
    def test_a_read_only_copy_elsewhere_trains_and_names_no_other_place(self):
        with tempfile.TemporaryDirectory(prefix="yoke-moved.", dir=harness.BIN.parent) as folder:
            moved = pathlib.Path(folder) / "some where" / "else"
            # Hard links stand for the copy: the same bytes under another path.
            for part in ("bin", "lib"):
                shutil.copytree(harness.BIN.parent / part, moved / part, copy_function=os.link, symlinks=True)
            data = harness.shapes(pathlib.Path(folder) / "data", images=8, val=4)
            for part in (moved / "bin", moved / "lib", moved):
                part.chmod(0o555)
            try:
                with harness.Box(bin_dir=moved / "bin") as box:
                    job = json.loads(box.yoke("train", f"data={data}", "model=yolov8n.yaml", "epochs=1", "batch=4", "imgsz=64", "device=0,1", "--wait",
                                              "-o", "json").stdout)
                    self.assertEqual(job["state"], "SUCCEEDED")
                    for words in subprocess.run(["grep", "-rl", str(harness.BIN), str(box.state)], capture_output=True, text=True).stdout.split():
                        self.fail(f"{words} names the folder the programs were built in")
            finally:
                for part in (moved, moved / "bin", moved / "lib"):
                    part.chmod(0o755)


if __name__ == "__main__":
    harness.main()
