"""A primary without persistence is killed and started again at once, empty: who is faster, the promotion of a replica
that still has the data, or the replicas that copy the emptiness?"""

import itertools
import os
import random
import statistics
import time

from measures import say
from planes import Cfgserver
from processes import Group, World, wait_until
from resp import Closed, ask, section, try_ask
from watch import Watch

# How long the outcome is waited for after the restart.
OUTCOME_SECONDS = 25
CASES = {
    "keys": [10_000, 1_000_000],
    "down-after-milliseconds": [1000, 30000],
    "refused-after-milliseconds": [0, 50],
    "repl-diskless-sync-delay": [0, 5],
    "repl-diskless-load": ["disabled", "swapdb"],
}


class Emptied:
    """One case, on one plane of nodes, with fresh groups."""

    def __init__(self, world, plane, case, serial):
        self.world, self.plane, self.case = world, plane, case
        self.group = Group(world, f"emptied{serial}", 0, self.options())
        populate(self.group.primary.port, case["keys"])
        self.group.add_replicas(world, 2, self.options())
        self.group.wait_in_sync(60)
        settings = [word for name in ("down-after-milliseconds", "refused-after-milliseconds")
                    for word in (name, case[name])]
        plane.monitor(self.group, settings)
        plane.wait_healthy([self.group])

    def options(self):
        """6.2 copies from a file unless it is told otherwise, and only then the delay counts."""
        given = {"repl-diskless-sync": "yes"}
        given.update((name, self.case[name]) for name in ("repl-diskless-sync-delay", "repl-diskless-load"))
        return [word for name, value in given.items() for word in (f"--{name}", str(value))]

    def run(self):
        """What came of it: milliseconds since the restarted primary answered."""
        time.sleep(random.random())
        replicas = [replica.port for replica in self.group.replicas]
        watch = Watch(self.plane.alive(), [])
        self.group.primary.restart(self.world)
        wait_until("the primary answers again", 10, self.group.primary.answers)
        started = time.monotonic()
        wiped = {}

        def look(_):
            for port in replicas:
                if port not in wiped and size(port) == 0:
                    wiped[port] = time.monotonic()
            return watch.told(self.group.name) or len(wiped) == len(replicas)

        watch.run(look, OUTCOME_SECONDS)
        told = watch.told(self.group.name)
        # A switch may still come after the last copy is gone, and a copy may still be under way.
        watch.run(lambda watch: watch.told(self.group.name), 0 if told else 2)
        told = watch.told(self.group.name)
        primary = self.primary()
        saved = wait_or_not(3, lambda: size(primary) >= self.case["keys"])
        return {
            "saved": bool(saved),
            "switched": round((min(told) - started) * 1000, 1) if told else None,
            "wiped": round((min(wiped.values()) - started) * 1000, 1) if wiped else None,
        }

    def primary(self):
        return int(ask(self.plane.alive()[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.group.name)[1])

    def close(self):
        self.plane.remove(self.group)
        self.group.close()
        self.world.forget_ended()


def populate(port, keys):
    """Keys with values of 16 bytes, in the server itself: before there are replicas, which copy them."""
    script = "for i = 1, ARGV[1] do redis.call('SET', 'key:' .. i, 'value:0123456789') end"
    said = ask(port, "EVAL", script, 0, keys, timeout=60)
    if said is not None:
        raise RuntimeError(f"EVAL: {said}")


def size(port):
    found = try_ask(port, "DBSIZE")
    return found if isinstance(found, int) else -1


def wait_or_not(seconds, condition):
    try:
        return wait_until("", seconds, condition)
    except TimeoutError:
        return False


def measure(runs, failed, only=None):
    """All cases; `only` picks values, by the name of the setting."""
    names = list(CASES)
    values = [only.get(name, CASES[name]) if only else CASES[name] for name in names]
    results, serial = [], 0
    world = World()
    try:
        version = redis_version(world)
        plane = Cfgserver(world)
        plane.start()
        for combination in itertools.product(*values):
            case = dict(zip(names, combination))
            say(f"measuring {case}")
            found = []
            for _ in range(runs):
                serial += 1
                try:
                    emptied = Emptied(world, plane, case, serial)
                    try:
                        found.append(emptied.run())
                    finally:
                        emptied.close()
                except (RuntimeError, OSError, Closed) as error:
                    if "time for the comparison" in str(error):
                        raise
                    failed.append(f"{case}: {error}")
            say(f"    {found}")
            results.append({"redis": version, "case": case, "runs": found})
    finally:
        world.close(keep_folder=bool(os.environ.get("CFGSERVER_COMPARE_KEEP")))
    return results


def redis_version(world):
    group = Group(world, "version", 0)
    version = section(ask(group.primary.port, "INFO", "server")).get("redis_version", "?")
    group.close()
    return version


def shown(numbers):
    numbers = [number for number in numbers if number is not None]
    if not numbers:
        return "-"
    return f"{statistics.median(numbers):.0f} ({min(numbers):.0f}-{max(numbers):.0f})"


def lines(results):
    """The table. With the copy delayed by seconds everything is saved; that much is asserted."""
    versions = sorted({result["redis"] for result in results})
    out = [f"Redis {', '.join(versions)}; milliseconds since the restarted primary answered, median (lowest-highest)", ""]
    out.append("| " + " | ".join([*CASES, "saved", "switched", "first replica empty"]) + " |")
    out.append("|" + "---|" * (len(CASES) + 3))
    reached = True
    for result in results:
        runs, case = result["runs"], result["case"]
        saved = sum(run["saved"] for run in runs)
        cells = [*map(str, case.values()), f"{saved} of {len(runs)}",
                 shown([run["switched"] for run in runs]), shown([run["wiped"] for run in runs])]
        out.append("| " + " | ".join(cells) + " |")
        reached &= case["repl-diskless-sync-delay"] == 0 or saved == len(runs)
    return out, reached
