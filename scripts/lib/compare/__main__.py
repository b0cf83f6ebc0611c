"""Measures cfgserver beside Redis Sentinel: the same groups on the same machine in the same run."""

import argparse
import json
import os
import platform
import signal
import sys
import time

import emptied
import measures
import proxied
import table
from measures import say
from planes import Cfgserver, Sentinel
from processes import Redis
from proxies import KINDS
from resp import Closed

PAIRED = {"killed": measures.killed, "hung": measures.hung, "planned": measures.planned, "many": measures.many}
OWN = {"leader_killed": measures.leader_killed, "leader_and_primary": measures.leader_and_primary}


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/compare", description=__doc__)
    parser.add_argument("--runs", type=int, default=None,
                        help="how often each thing is measured (default 10, through proxies 5)")
    parser.add_argument("--many-runs", type=int, default=None, help="how often 50 groups at once (default: runs / 3)")
    parser.add_argument("--only", choices=["redis-sentinel", "cfgserver"], help="measure one of the two")
    parser.add_argument("--measure", action="append", choices=[*PAIRED, *OWN, *proxied.MEASURES],
                        help="measure only this (repeatable)")
    parser.add_argument("--minutes", type=float, default=45, help="give up after this long (default 45)")
    parser.add_argument("--raw", default=None, help="file for the raw numbers (default: target/compare/<time>.json)")
    parser.add_argument("--proxies", action="store_true", help="measure what clients of a proxy see instead")
    parser.add_argument("--emptied", action="store_true",
                        help="measure what becomes of the data when a primary comes back empty")
    parser.add_argument("--case", action="append", default=[], metavar="NAME=VALUE,...",
                        help="with --emptied: only these values of a setting, and the usual one of every other (repeatable)")
    parser.add_argument("--redis", metavar="FILE", help="the redis-server that is watched (default: the one in the path)")
    for kind in KINDS:
        parser.add_argument(f"--{kind.name}", metavar="FILE", help=f"binary of the proxy {kind.name}")
    parser.add_argument("--binary", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.proxies and not any(getattr(given, kind.name) for kind in KINDS):
        parser.error("--proxies needs the binary of one: " + " or ".join(f"--{kind.name} FILE" for kind in KINDS))
    return given


def give_up(*_):
    raise TimeoutError("the time for the comparison is over")


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    given = arguments()
    Cfgserver.binary = given.binary
    if given.redis:
        Redis.program = os.path.abspath(given.redis)
    planes = [plane for plane in [Sentinel, Cfgserver] if given.only in (None, plane.name)]
    raw = given.raw or time.strftime("target/compare/%Y%m%d-%H%M%S.json")
    os.makedirs(os.path.dirname(raw) or ".", exist_ok=True)

    signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGTERM, interrupted)
    signal.alarm(int(given.minutes * 60))
    results, failed = {}, []
    try:
        if given.emptied:
            results = emptied.measure(planes, given.runs or 5, failed, cases(given.case))
        elif given.proxies:
            through_proxies(given, planes, results, failed)
        else:
            directly(given, planes, results, failed)
    except TimeoutError as error:
        failed.append(str(error))
    finally:
        with open(raw, "w", encoding="utf-8") as file:
            facts = {"machine": platform.platform(), "cpus": os.cpu_count(), "runs": given.runs, "results": results}
            json.dump(facts, file, indent=1)
    page = emptied if given.emptied else proxied if given.proxies else table
    text, reached = page.lines(results)
    print()
    print("\n".join(text))
    print(f"raw numbers: {raw}")
    for failure in failed:
        print(f"failed: {failure}")
    return 0 if reached and not failed else 1


def cases(given):
    """What is asked for, by the name of the setting."""
    known = {name: {str(value): value for value in values} for name, values in emptied.CASES.items()}
    chosen = {}
    for text in given:
        name, _, values = text.partition("=")
        try:
            chosen[name] = [known[name][value] for value in values.split(",")]
        except KeyError as error:
            raise SystemExit(f"--case {text}: what is {error}? known: {emptied.CASES}") from error
    return chosen


def directly(given, planes, results, failed):
    """Measures the planes themselves."""
    wanted = given.measure or [*PAIRED, *OWN]
    runs = given.runs or 10
    many_runs = given.many_runs or max(1, runs // 3)
    results.update((plane.name, {}) for plane in planes)

    def measure(plane, name, run):
        found = once(f"{name} with {plane.name}", run, failed)
        if found is not None:
            results[plane.name][name] = found

    for name, run in PAIRED.items():
        for plane in planes:
            if name in wanted:
                measure(plane, name, lambda: run(plane, many_runs if name == "many" else runs))
    for name, run in OWN.items():
        if name in wanted and Cfgserver in planes:
            measure(Cfgserver, name, lambda: run(runs))


def through_proxies(given, planes, results, failed):
    """Measures what clients of the proxies see that were given."""
    for kind in KINDS:
        binary = getattr(given, kind.name)
        kind.binary = binary and os.path.abspath(binary)
        if not kind.binary:
            continue
        for name, run in proxied.MEASURES.items():
            for plane in planes:
                if plane not in kind.planes or name not in (given.measure or proxied.MEASURES):
                    continue
                found = results.setdefault(kind.name, {}).setdefault(plane.name, {}).setdefault(name, {})
                for _ in range(given.runs or 5):
                    numbers = once(f"{name} through {kind.name} with {plane.name}", lambda: run(plane, kind), failed)
                    for key, number in (numbers or {}).items():
                        found.setdefault(key, []).append(number)


def once(what, run, failed):
    """The numbers of one measurement; `None`, and a line in `failed`, when it could not be made."""
    say(f"measuring {what}")
    started = time.monotonic()
    try:
        numbers = run()
    except (RuntimeError, OSError, Closed) as error:  # a TimeoutError is an OSError
        if "time for the comparison" in str(error):
            raise
        failed.append(f"{what}: {error}")
        say(f"    failed: {error}")
        return None
    say(f"    {time.monotonic() - started:.0f} s: {json.dumps(numbers)}")
    return numbers


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
