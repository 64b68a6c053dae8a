"""Nothing lost, nothing twice, nothing left: judged after every fault. `judge` returns what was counted."""

import json
import os
import pathlib
import re
import sqlite3
import time
import zlib

from box import SERVING_SECONDS_MAX

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT")
DEVICE_BYTES = 24 << 30  # as fake_nvml has them
STEP = re.compile(rb"(rank (\d+) epoch \d+ step (\d+)) crc ([0-9a-f]{8})")


class Violated(AssertionError):
    pass


def hold(condition, *what):
    if not condition:
        raise Violated(" ".join(map(str, what)))


def read_witness(box):
    starts, ends = {}, {}
    lines = box.witness.read_text().splitlines() if box.witness.exists() else []
    for line in lines:
        words = line.split()
        key = (words[1], int(words[2]), int(words[4]))
        if words[0] == "START":
            hold(key not in starts, "rank started twice:", key)
            starts[key] = int(words[5])
        else:
            hold(key in starts and key not in ends, "END without START, or twice:", key)
            ends[key] = int(words[5])
    return starts, ends


def attempt_folders(box, name):
    folder = box.state / "jobs" / name.removeprefix("jobs/") / "attempts"
    return sorted(folder.iterdir(), key=lambda path: int(path.name)) if folder.exists() else []


def check_truth(box, job, starts, ends):
    """The state is what the workers say came of it."""
    name = job["name"]
    kind = box.asked[job["displayName"]]
    error = job.get("error", {})
    expected = box.kinds[kind][2]
    hold(job["state"] in ENDED, name, "has not ended:", job["state"], job["message"])
    codes = {}
    for attempt in job.get("attempts", []):
        ranks = range(attempt["worldSize"])
        codes[attempt["number"]] = [ends.get((name, attempt["number"], rank)) for rank in ranks]
        hold(attempt["outcome"] != "OUTCOME_UNSPECIFIED", name, "has an attempt that never ended")
        if attempt["outcome"] == "SUCCEEDED":
            hold(codes[attempt["number"]] == [0] * len(ranks), name, "is called a success; its ranks ended", codes)
    successes = sum(attempt["outcome"] == "SUCCEEDED" for attempt in job.get("attempts", []))
    hold(successes == (job["state"] == "SUCCEEDED"), name, job["state"], "with", successes, "successful attempts")
    if job["state"] == "CANCELLED":
        hold(name in box.cancelled, name, "was cancelled by nobody")
    elif name not in box.meddled and name not in box.cancelled:
        found = (job["state"], error.get("exitCode", 0), error.get("signal", 0))
        hold(found == expected or found in box.also, name, kind, "ended", found, job["message"], "instead of", expected)
    if job["state"] == "FAILED" and error.get("exitCode") and error["rank"] >= 0:
        hold(error["exitCode"] in codes[len(job["attempts"])], name, "exit code is not the witness's", error, codes)


def read_logs(folder):
    return {log.name.removesuffix(".log").removeprefix("rank"): log.read_bytes() for log in folder.glob("rank*.log")}


def check_lines(name, folder):
    """The rank's own file is whole: what a reader is compared with."""
    count = 0
    for rank, content in read_logs(folder).items():
        step = 0
        for line in content.split(b"\n"):
            match = STEP.fullmatch(line)
            if match:
                step += 1
                count += 1
                hold(int(match[3]) == step and zlib.crc32(match[1]) == int(match[4], 16), name, folder.name, rank, "line", line)
    return count


def check_stream(box, job):
    """Logs and events through the API: every byte and number, once, in order."""
    name = job["name"]
    lines = events = 0
    place = box.dir / "read" / name.removeprefix("jobs/")
    place.mkdir(parents=True)
    logs, metrics = box.crowd.ask("logs", name=name, folder=str(place)), box.crowd.ask("metrics", name=name, folder=str(place))
    hold(logs.result(60)["gaps"] == 0, name, "has gaps in its log")
    metrics.result(60)
    seen = {}
    for line in (place / "events").read_text().splitlines():
        attempt, rank, seq = map(int, line.split())
        hold(seq == seen.get((attempt, rank), 0) + 1, name, "event", seq, "after", seen.get((attempt, rank)), "of", attempt, rank)
        seen[(attempt, rank)] = seq
    for folder in attempt_folders(box, name):
        lines += check_lines(name, folder)
        for rank, content in read_logs(folder).items():
            sent = place / f"{folder.name}.{rank}.log"
            hold((sent.read_bytes() if sent.exists() else b"") == content, name, folder.name, rank, "log differs from the file")
            written = folder / f"rank{rank}.events.jsonl"
            whole = written.read_bytes().count(b"\n") if written.exists() else 0
            hold(seen.get((int(folder.name), int(rank)), 0) == whole, name, folder.name, rank, "events:", seen, "of", whole)
            events += whole
    return lines, events


def spans(box, name):
    """(devices, begin, end) of each attempt that ran, by the files that shim and ranks wrote."""
    for folder in attempt_folders(box, name):
        started = folder / "started"
        logs = list(folder.glob("rank*.log"))
        if not started.exists() or not logs:
            continue
        devices = {device for rank in json.loads((folder / "spec.json").read_text())["ranks"] for device in rank["devices"]}
        yield devices, started.stat().st_mtime_ns, max(log.stat().st_mtime_ns for log in logs)


def check_alone(box, jobs):
    """No two attempts on one device, unless both share it and fit, nor two of one job, at once."""
    by_device = {}
    for job in jobs:
        before = 0
        share = int(job.get("scheduling", {}).get("shareMemoryBytes", 0))
        for devices, begin, end in spans(box, job["name"]):
            hold(begin >= before, job["name"], "has attempts that overlap")
            before = end
            for device in devices:
                by_device.setdefault(device, []).append((begin, end, job["name"], share))
    for device, taken in by_device.items():
        taken.sort()
        live = []
        for one in taken:
            live = [other for other in live if other[1] > one[0]] + [one]
            hold(len(live) == 1 or all(other[3] for other in live), device, "is held by two at once:", live)
            hold(sum(other[3] for other in live) <= DEVICE_BYTES, device, "is shared by more than fit:", live)


def check_database(box):
    with sqlite3.connect(f"file:{box.state}/yoke.db?mode=ro", uri=True, timeout=10) as database:
        hold(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "integrity_check")
        hold(database.execute("PRAGMA foreign_key_check").fetchall() == [], "foreign_key_check")
        leases = database.execute("SELECT * FROM lease").fetchall()
    database.close()
    hold(leases == [], "leases of ended jobs:", leases)


def check_leftovers(box):
    left = [str(path.relative_to(box.state)) for path in box.state.rglob("*.tmp.*")]
    left += [str(path.relative_to(box.state)) for path in box.state.glob("scratch/*")]
    hold(not left, "files left behind:", left)
    deadline = time.monotonic() + 5
    while (processes := box.own_processes() + box.zombies()) and time.monotonic() < deadline:
        time.sleep(0.02)
    hold(not processes, "processes left behind:", processes)
    hold(not groups(box), "control groups left behind:", groups(box))


def cgroup_folder():
    """Of the control group of this process, if it may make groups below."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            own = next((word[3:] for word in pathlib.Path("/proc/self/cgroup").read_text().split() if word.startswith("0::")), None)
            folder = pathlib.Path(line.split()[4] + (own or ""))
            return folder if own and os.access(folder, os.W_OK) and os.geteuid() == 0 else None
    return None


def groups(box):
    """The control groups of this box's attempts."""
    folder = cgroup_folder()
    ids = {json.loads(spec.read_text())["run_id"] for spec in box.state.glob("jobs/*/attempts/*/spec.json")}
    # Of each attempt by its name: other daemons make and remove theirs meanwhile.
    found = (daemon / id for daemon in (folder.glob("yoke-*") if folder else ()) for id in ids)
    return [group for group in found if group.exists()]


def judge(box, streams=True):
    """REQUIRES: the box was drained. Returns a dictionary of counts; raises Violated."""
    hold(not box.trouble, *box.trouble)
    jobs = box.persist("list")["jobs"]
    by_name = {job["name"]: job for job in jobs}
    lost = [name for name in box.ledger if name not in by_name]
    hold(not lost, "acknowledged and lost:", lost)
    requests = [job["displayName"] for job in jobs]
    hold(len(requests) == len(set(requests)) and set(requests) <= set(box.asked), "more jobs than requests")
    starts, ends = read_witness(box)
    hold({key[0] for key in starts} <= by_name.keys(), "a rank of no job started")
    lines = events = 0
    for job in jobs:
        check_truth(box, job, starts, ends)
        if streams:
            counted = check_stream(box, job)
            lines, events = lines + counted[0], events + counted[1]
    check_alone(box, jobs)
    check_leftovers(box)
    check_database(box)
    slowest = max(box.serving_seconds)
    hold(slowest < SERVING_SECONDS_MAX, f"served only after {slowest:.2f} s")
    return {"acknowledged": len(box.ledger), "rank starts": len(starts), "lines": lines, "events": events,
            "starts": box.starts, "slowest start ms": round(slowest * 1000)}


def settle(box, fresh, fds, threads, seconds=20):
    """The daemon is back at what a fresh one holds, but for so many descriptors and threads."""
    deadline = time.monotonic() + seconds
    while True:
        now = box.usage()
        if now[0] <= fresh[0] + fds and now[1] <= fresh[1] + threads:
            return now
        hold(time.monotonic() < deadline, f"descriptors {fresh[0]} -> {now[0]}, threads {fresh[1]} -> {now[1]}")
        time.sleep(0.1)


def report(what, counts):
    """N beside every zero."""
    print(f"{what}: 0 lost of {counts['acknowledged']} acknowledged, 0 started twice of {counts['rank starts']} rank starts, 0 missing or "
          f"double of {counts['lines']} log lines and {counts['events']} events, 0 orphans, 0 wrong ends; {counts['starts']} starts of "
          f"the daemon, slowest {counts['slowest start ms']} ms", flush=True)
