"""Measures cfgserver and Redis Sentinel in the same run: lookups, lists, fan-out, cost at rest, storms, changes."""

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
import limits
import lookups
import plot
import raft
import storm
import table
from resp import Closed
from scene import Cfgserver, Sentinel, say

SECTIONS = {"lookups": lookups.measure, "lists": lookups.lists, "fanout": fanout.measure, "limits": limits.measure,
            "rest": at_rest.measure, "storm": storm.measure, "writes": raft.writes, "leader-loss": raft.leader_loss, "recovery": raft.recovery}
# What --quick and --smoke do to counts and seconds.
QUICK, SMOKE = 0.2, 0.005


class Given(argparse.Namespace):
    """What the command line says."""

    def scaled(self, count):
        """A count, or seconds, as far as the run is to be quick."""
        return max(1, int(count * self.scale)) if self.scale < 1 else count


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--measure", action="append", choices=list(SECTIONS), help="measure only this (repeatable)")
    parser.add_argument("--only", choices=[Sentinel.name, Cfgserver.name], help="measure one of the two")
    parser.add_argument("--groups", type=sizes, default=None, metavar="N,N",
                        help="sizes of fleets for rest (default 100,1000; 5000 needs 20,000 descriptors a process)")
    parser.add_argument("--storm-groups", type=sizes, default=None, metavar="N,N",
                        help="sizes of fleets for storm (default 1,50,200,1000)")
    parser.add_argument("--deeds", type=deeds, default=storm.DEEDS, metavar="DEED,DEED",
                        help="what a storm does to primaries (default kill,hang,planned)")
    parser.add_argument("--runs", type=int, default=None, help="how often each rate is measured (default 3)")
    parser.add_argument("--changes", type=int, default=None, help="changes before the recovery (default 1,000,000)")
    parser.add_argument("--minutes", type=float, default=90, help="give up after this long (default 90)")
    parser.add_argument("--quick", action="store_true", help="a fifth of everything, once, and small fleets")
    parser.add_argument("--smoke", action="store_true", help="shows only that everything can be measured")
    parser.add_argument("--raw", default=None, help="file for the raw numbers (default: target/bench/<time>.json); "
                        "the plot is the same name with .svg")
    parser.add_argument("--binary", default=None, help="the cfgserver to measure (default: built here)")
    parser.add_argument("--no-install", action="store_true", help="install no packages")
    parser.add_argument("--load", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args(namespace=Given())
    given.scale = SMOKE if given.smoke else QUICK if given.quick else 1
    given.storm_all = given.scale == 1
    short = [[2], [3], 1, 200] if given.smoke else [[100], [50], 1, 20_000] if given.quick else None
    usual = short or [[100, 1000], [1, 50, 200, 1000], 3, 1_000_000]
    for name, value in zip(["groups", "storm_groups", "runs", "changes"], usual):
        if getattr(given, name) is None:
            setattr(given, name, value)
    # A Sentinel takes a minute for a thousand groups.
    given.start_limit_s = 600
    return given


def sizes(text):
    return [int(size) for size in text.split(",")]


def deeds(text):
    found = text.split(",")
    if not set(found) <= set(storm.DEEDS):
        raise argparse.ArgumentTypeError(f"{text} is not of {', '.join(storm.DEEDS)}")
    return found


def give_up(*_):
    raise KeyboardInterrupt


def main():
    given = arguments()
    Cfgserver.binary = given.binary
    planes = [plane for plane in [Sentinel, Cfgserver] if given.only in (None, plane.name)]
    raw = given.raw or time.strftime("target/bench/%Y%m%d-%H%M%S.json")
    os.makedirs(os.path.dirname(raw) or ".", exist_ok=True)
    # The processes that were started end with it, however it ends.
    for number in [signal.SIGALRM, signal.SIGTERM, signal.SIGHUP]:
        signal.signal(number, give_up)
    signal.alarm(int(given.minutes * 60))
    results, failed = {plane.name: {} for plane in planes}, []
    try:
        for name, measure in SECTIONS.items():
            if name in (given.measure or SECTIONS):
                found = {plane.name: results[plane.name].setdefault(name, {}) for plane in planes}
                once(name, measure, planes, given, found, failed)
    except KeyboardInterrupt:
        failed.append("ended before all was measured")
    finally:
        signal.alarm(0)
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


def once(name, measure, planes, given, found, failed):
    """Lets one section fill `found`; a line in `failed` when it could not be made whole."""
    say(f"measuring {name}")
    started = time.monotonic()
    try:
        measure(planes, given, found)
    except (RuntimeError, OSError, Closed) as error:  # a TimeoutError is an OSError
        failed.append(f"{name}: {error}")
        say(f"    failed: {error}")
        return
    say(f"    {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
