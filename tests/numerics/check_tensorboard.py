#!/usr/bin/env python3
"""Reads a run folder's TensorBoard file with the `tensorboard` package and compares it with results.csv. Run by hand.

    check_tensorboard.py RUN_FOLDER
"""
import csv
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    run = pathlib.Path(sys.argv[1])
    events = EventAccumulator(str(run))
    events.Reload()
    rows = list(csv.DictReader(open(run / "results.csv")))
    names = [name for name in rows[0] if name not in ("epoch", "time")]
    if sorted(events.Tags()["scalars"]) != sorted(names):
        sys.exit(f"tags {events.Tags()['scalars']}, columns {names}")
    for name in names:
        read = {event.step: event.value for event in events.Scalars(name)}
        for row in rows:
            if abs(read[int(row["epoch"])] - float(row[name])) > 1e-5 * max(1, abs(float(row[name]))):
                sys.exit(f"{name}, epoch {row['epoch']}: {read[int(row['epoch'])]} and {row[name]}")
    print(f"{len(names)} scalars of {len(rows)} epochs are equal")


if __name__ == "__main__":
    main()
