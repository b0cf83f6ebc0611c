"""Measures cfgserver beside Redis Sentinel: the same groups on the same machine in the same run."""

import argparse
import json
import os
import platform
import signal
import sys
import time

import measures
import table
from measures import say
from planes import Cfgserver, Sentinel

PAIRED = {"killed": measures.killed, "hung": measures.hung, "planned": measures.planned, "many": measures.many}
OWN = {"leader_killed": measures.leader_killed, "leader_and_primary": measures.leader_and_primary}


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/compare", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how often each thing is measured (default 10)")
    parser.add_argument("--many-runs", type=int, default=None, help="how often 50 groups at once (default: runs / 3)")
    parser.add_argument("--only", choices=["redis-sentinel", "cfgserver"], help="measure one of the two")
    parser.add_argument("--measure", action="append", choices=[*PAIRED, *OWN], help="measure only this (repeatable)")
    parser.add_argument("--minutes", type=float, default=45, help="give up after this long (default 45)")
    parser.add_argument("--raw", default=None, help="file for the raw numbers (default: target/compare/<time>.json)")
    parser.add_argument("--binary", default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def give_up(*_):
    raise TimeoutError("the time for the comparison is over")


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    given = arguments()
    Cfgserver.binary = given.binary
    planes = [Sentinel, Cfgserver]
    if given.only:
        planes = [plane for plane in planes if plane.name == given.only]
    wanted = given.measure or [*PAIRED, *OWN]
    many_runs = given.many_runs or max(1, given.runs // 3)
    raw = given.raw or time.strftime("target/compare/%Y%m%d-%H%M%S.json")
    os.makedirs(os.path.dirname(raw) or ".", exist_ok=True)

    signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGTERM, interrupted)
    signal.alarm(int(given.minutes * 60))
    results = {plane.name: {} for plane in planes}
    failed = []

    def measure(plane, name, run):
        say(f"measuring {name} with {plane.name}")
        started = time.monotonic()
        try:
            results[plane.name][name] = run()
        except (RuntimeError, OSError) as error:  # a TimeoutError is an OSError
            failed.append(f"{name} with {plane.name}: {error}")
            say(f"    failed: {error}")
            if "time for the comparison" in str(error):
                raise
            return
        say(f"    {time.monotonic() - started:.0f} s: {json.dumps(results[plane.name][name])}")

    try:
        for name, run in PAIRED.items():
            for plane in planes:
                if name in wanted:
                    runs = many_runs if name == "many" else given.runs
                    measure(plane, name, lambda: run(plane, runs))
        for name, run in OWN.items():
            if name in wanted and Cfgserver in planes:
                measure(Cfgserver, name, lambda: run(given.runs))
    except TimeoutError:
        pass
    finally:
        with open(raw, "w", encoding="utf-8") as file:
            facts = {"machine": platform.platform(), "cpus": os.cpu_count(), "runs": given.runs, "results": results}
            json.dump(facts, file, indent=1)
    text, reached = table.lines(results)
    print()
    print("\n".join(text))
    print(f"raw numbers: {raw}")
    for failure in failed:
        print(f"failed: {failure}")
    return 0 if reached and not failed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
