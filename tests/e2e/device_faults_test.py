"""GPUs that fail, vanish, hang or are used by others, as the scripted NVML library shows them; and draining by hand."""

import contextlib
import json
import os
import signal
import subprocess
import time
import unittest

import harness

FAKE_NVML = harness.BIN.parent / "lib" / "fake" / "libnvidia-ml.so.1"


class Gpus:
    """A daemon on scripted GPUs and workers; `script` can be changed while it runs."""

    def __init__(self, **worker):
        self.box = harness.Box("--nvml", FAKE_NVML, "--grace-seconds", "1", "--worker-path", harness.BIN / "fake_worker",
                               env={"YOKE_FAKE_WORKER": json.dumps({"run_for": 60, "epochs": 600, **worker})})
        self.path = self.box.dir / "nvml"
        self.box.env["YOKE_FAKE_NVML"] = str(self.path)
        self.script("")

    def __enter__(self):
        self.box.start()
        return self

    def __exit__(self, *error):
        self.script("")
        self.box.__exit__(*error)

    def script(self, text):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.path)

    def gpus(self):
        return [device for device in self.box.json("devices")["devices"] if device["kind"] == "GPU"]

    def submit(self, device, *words):
        return self.box.submit("train", "data=server:/none.yaml", "model=yolov8n.yaml", "batch=16", f"device={device}", "--no-check", *words)

    def running(self, device):
        job = self.submit(device)
        self.box.until(job, lambda now: now["state"] == "RUNNING", 20)
        return job

    def until_gpu(self, index, state, seconds=15):
        deadline = time.monotonic() + seconds
        while (found := self.gpus()[index])["state"] != state:
            if time.monotonic() > deadline:
                raise AssertionError(f"GPU {index} is {found}, not {state}\n{self.box.evidence()}")
            time.sleep(0.05)
        return found


class DeviceFaults(unittest.TestCase):
    def test_a_gpu_that_fails_is_drained_and_its_job_moves_while_others_go_on(self):
        with Gpus() as world:
            box = world.box
            free, bound, other = world.running("gpus:1"), world.running("1"), world.running("2")
            self.assertEqual(world.gpus()[0]["holder"], "jobs/" + free)
            time.sleep(1.2)  # until events are listened to
            world.script("xid 0 79\nxid 1 48\n")
            moved = box.until(free, lambda now: now["state"] == "RUNNING" and len(now["attempts"]) == 2, 30)
            self.assertEqual(moved["attempts"][0]["error"]["message"].count("XID 79 (it has fallen off the bus)"), 1)
            self.assertEqual(world.gpus()[3]["holder"], "jobs/" + free)
            waits = box.until(bound, lambda now: now["state"] == "QUEUED" and "which is drained" in now["message"], 30)
            self.assertIn("XID 48", waits["message"])
            self.assertEqual([gpu["state"] for gpu in world.gpus()], ["DRAINED", "DRAINED", "LEASED", "LEASED"])
            untouched = box.job(other)
            self.assertEqual((untouched["state"], len(untouched["attempts"])), ("RUNNING", 1))
            refused = box.yoke("train", "data=server:/none.yaml", "model=yolov8n.yaml", "device=0", "--no-check", check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("XID 79", refused.stderr)
            # Neither a new reading nor a new daemon gives it out again, only the operator.
            box.kill()
            box.start()
            self.assertEqual(world.gpus()[1]["state"], "DRAINED")
            self.assertEqual(box.job(other)["state"], "RUNNING")
            box.yoke("device", "resume", "1")
            box.until(bound, lambda now: now["state"] == "RUNNING", 20)

    def test_a_rank_that_dies_of_its_gpus_fault_is_tried_again_elsewhere(self):
        with Gpus() as world:
            job = world.running("gpus:1")
            time.sleep(1.2)
            rank = world.box.rank_pids(job)[0]
            world.script("xid 0 31\n")
            # Whichever is seen first, the fault or the rank that died of it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(rank, signal.SIGKILL)
            found = world.box.until(job, lambda now: now["attempts"][0].get("outcome") in ("FAILED", "PREEMPTED"), 20)
            self.assertIn("XID 31", found["attempts"][0]["error"]["message"])
            again = world.box.until(job, lambda now: len(now["attempts"]) == 2, 20)
            self.assertNotEqual(again["attempts"][0]["deviceUuids"], again["attempts"][1]["deviceUuids"])

    def test_a_gpu_that_vanishes_is_drained_and_one_that_changes_its_place_is_not(self):
        with Gpus() as world:
            job, other = world.running("gpus:1"), world.running("3")
            uuids = [gpu["uuid"] for gpu in world.gpus()]
            world.script("order 3 2 1 0\n")
            time.sleep(2.2)
            self.assertEqual([gpu["uuid"] for gpu in world.gpus()], uuids)
            self.assertEqual([gpu["state"] for gpu in world.gpus()], ["LEASED", "FREE", "FREE", "LEASED"])
            world.script("order 3 2 1\n")
            world.box.until(job, lambda now: now["state"] == "RUNNING" and len(now["attempts"]) == 2, 30)
            gone = world.gpus()[0]
            self.assertEqual((gone["state"], gone["uuid"]), ("DRAINED", uuids[0]))
            self.assertIn("no longer lists it", gone["message"])
            still = world.box.yoke("device", "resume", uuids[0], check=False)
            self.assertEqual(still.returncode, 6)
            self.assertIn("nvidia-smi", still.stderr)
            self.assertEqual(len(world.box.job(other)["attempts"]), 1)

    def test_a_driver_that_hangs_stops_no_job_and_holds_up_nobody(self):
        with Gpus() as world:
            running = world.running("0")
            world.script("hang 60\n")
            hung = world.until_gpu(1, "DRAINED")
            self.assertIn("has not answered", hung["message"])
            waits = world.submit("gpus:1")
            began = time.monotonic()
            world.box.until(waits, lambda now: "has not answered" in now["message"], 20)
            cpu = world.running("cpu:0")
            self.assertLess(time.monotonic() - began, 10)
            self.assertEqual(world.box.job(running)["state"], "RUNNING")
            # What ends meanwhile cannot be proven to have left its GPU.
            world.box.yoke("job", "cancel", running)
            world.box.wait(running, "CANCELLED")
            world.box.yoke("job", "cancel", cpu, waits)
            world.box.stop()  # nobody waits for the driver
            world.script("")
            world.box.start()
            world.until_gpu(0, "FREE", 20)

    def test_a_gpu_used_from_outside_the_queue_is_waited_for(self):
        with Gpus() as world, subprocess.Popen(["sleep", "600"]) as foreign:
            try:
                world.script(f"count 1\nprocess 0 {foreign.pid}\n")
                world.box.stop()
                world.box.start()
                busy = world.until_gpu(0, "BUSY_FOREIGN")
                self.assertIn(f"process {foreign.pid} (sleep)", busy["message"])
                job = world.submit("0")
                waits = world.box.until(job, lambda now: "is busy" in now["message"], 10)
                self.assertIn(str(foreign.pid), waits["message"])
            finally:
                foreign.kill()
            world.script("count 1\n")
            world.box.until(job, lambda now: now["state"] == "RUNNING", 20)

    def test_a_device_is_quarantined_until_its_last_job_is_proven_gone(self):
        with Gpus(run_for=2) as world, subprocess.Popen(["sleep", "600"], env={"YOKE_RUN_ID": "x"}) as holder:
            try:
                job = world.running("0")
                world.script(f"process 0 {holder.pid}\n")
                time.sleep(1.2)
                world.box.wait(job)
                kept = world.until_gpu(0, "QUARANTINED")
                self.assertIn(f"process {holder.pid} still uses it", kept["message"])
                later = world.submit("0")
                waits = world.box.until(later, lambda now: "is quarantined" in now["message"], 10)
                self.assertEqual(waits["state"], "QUEUED")
            finally:
                holder.kill()
            world.script("")
            world.box.wait(later)


class Draining(unittest.TestCase):
    def test_a_drained_device_is_given_to_no_further_job_until_it_is_resumed(self):
        with Gpus(run_for=max(4, 2 * harness.SLOWDOWN)) as world:
            box = world.box
            job = world.running("0")
            said = box.yoke("device", "drain", "0", "--reason", "fan is loud")
            self.assertIn("fan is loud", said.stderr)
            self.assertIn("runs on it still", said.stderr)
            self.assertEqual(box.job(job)["state"], "RUNNING")
            waits = world.submit("0")
            box.until(waits, lambda now: "held by" in now["message"], 10)
            box.wait(job)
            box.until(waits, lambda now: "which is drained: fan is loud" in now["message"], 10)
            elsewhere = box.until(world.submit("gpus:1"), lambda now: now["state"] == "RUNNING", 10)
            self.assertNotEqual(elsewhere["attempts"][0]["deviceUuids"], [world.gpus()[0]["uuid"]])
            box.stop()
            box.start()
            shown = world.gpus()[0]
            self.assertEqual((shown["state"], "failed" in shown and shown["failed"]), ("DRAINED", False))
            self.assertIn("fan is loud", box.yoke("devices").stdout)
            resumed = json.loads(box.yoke("device", "resume", "0", "-o", "json").stdout)["state"]
            self.assertIn(resumed, ("FREE", "LEASED"))  # the job that waits for it is quick
            box.wait(waits)

    def test_cpu_slots_too_and_nonsense_is_refused(self):
        with Gpus(run_for=0.3) as world:
            box = world.box
            self.assertEqual(box.yoke("device", "drain", "cpu:1", "-o", "name").stdout, "cpu:1\n")
            job = world.submit("cpu:1")
            box.until(job, lambda now: "is drained" in now["message"], 10)
            box.yoke("device", "resume", "cpu:1")
            box.wait(job)
            for wrong in ("9", "cpu:7", "GPU-", "", "0,1", "-5"):
                refused = box.yoke("device", "drain", wrong, check=False)
                self.assertEqual(refused.returncode, 2, refused)
            self.assertEqual(box.yoke("device", "drain", "0", "--reason", "x" * 300, check=False).returncode, 2)
            self.assertEqual([gpu["state"] for gpu in world.gpus()], ["FREE"] * 4)


if __name__ == "__main__":
    harness.main()
