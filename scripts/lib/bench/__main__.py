"""Measures a node of cfgserver and a Redis Sentinel in the same run: lookups, fan-out, cost at rest, storms, the log."""

import argparse
import json
import os
import platform
import signal
import sys
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compare"))

import at_rest
import fanout
import lookups
import plot
import raft
import storm
import table
from processes import wait_until  # noqa: F401  (fails early where the shared modules are missing)
from resp import Closed
from scene import Cfgserver, Sentinel, say

PAIRED = {"lookups": lookups.measure, "lists": lookups.lists, "fanout": fanout.measure, "rest": at_rest.measure,
          "storm": storm.measure}
OWN = {"raft": raft.writes, "recovery": raft.recovery}


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--measure", action="append", choices=[*PAIRED, *OWN], help="measure only this (repeatable)")
    parser.add_argument("--only", choices=["redis-sentinel", "cfgserver"], help="measure one of the two")
    parser.add_argument("--groups", default="100,1000", metavar="N,N",
                        help="sizes of fleets for rest and storm (default 100,1000; 5000 needs many descriptors)")
    parser.add_argument("--runs", type=int, default=3, help="how often each rate is measured (default 3)")
    parser.add_argument("--changes", type=int, default=1_000_000, help="changes before the recovery (default 1,000,000)")
    parser.add_argument("--minutes", type=float, default=60, help="give up after this long (default 60)")
    parser.add_argument("--raw", default=None, help="file for the raw numbers (default: target/bench/<time>.json); "
                        "the plot is the same name with .svg")
    parser.add_argument("--binary", default=None, help="the cfgserver to measure (default: built here)")
    parser.add_argument("--no-install", action="store_true", help="install no packages")
    parser.add_argument("--load", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        given.groups = [int(size) for size in given.groups.split(",")]
    except ValueError:
        parser.error("--groups takes numbers, separated by commas")
    return given


def give_up(*_):
    raise TimeoutError("the time for the benchmark is over")


def main():
    given = arguments()
    Cfgserver.binary = given.binary
    planes = [plane for plane in [Sentinel, Cfgserver] if given.only in (None, plane.name)]
    raw = given.raw or time.strftime("target/bench/%Y%m%d-%H%M%S.json")
    os.makedirs(os.path.dirname(raw) or ".", exist_ok=True)
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(given.minutes * 60))
    results, failed = {plane.name: {} for plane in planes}, []
    wanted = given.measure or [*PAIRED, *OWN]
    try:
        for name, run in {**PAIRED, **OWN}.items():
            for plane in planes if name in PAIRED else [plane for plane in planes if plane is Cfgserver]:
                if name in wanted:
                    once(f"{name} with {plane.name}", results[plane.name].setdefault(name, {}), failed,
                         lambda found: run(plane, given, found))
    except TimeoutError as error:
        failed.append(str(error))
    finally:
        with open(raw, "w", encoding="utf-8") as file:
            facts = {"machine": platform.platform(), "cpus": os.cpu_count(), "runs": given.runs, "results": results}
            json.dump(facts, file, indent=1)
    print()
    print("\n".join(table.lines(results)))
    picture = os.path.splitext(raw)[0] + ".svg"
    if plot.write(picture, results):
        print(f"plot: {picture}")
    print(f"raw numbers: {raw}")
    for failure in failed:
        print(f"failed: {failure}")
    return 1 if failed else 0


def once(what, found, failed, run):
    """Lets one measurement fill `found`; a line in `failed` when it could not be made whole."""
    say(f"measuring {what}")
    started = time.monotonic()
    try:
        run(found)
    except (RuntimeError, OSError, Closed) as error:  # a TimeoutError is an OSError
        if "time for the benchmark" in str(error):
            raise
        failed.append(f"{what}: {error}")
        say(f"    failed: {error}")
        return
    say(f"    {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
