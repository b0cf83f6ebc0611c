"""A primary without persistence is killed and started again, empty: who is faster, the promotion of a replica that still
has the data, or the replicas that copy the emptiness?"""

import itertools
import os
import random
import statistics
import time

from measures import say
from planes import Cfgserver, Sentinel
from processes import Group, World, wait_until
from resp import Closed, ask, section, try_ask
from watch import Watch

# How long the outcome is waited for after the restart.
OUTCOME_SECONDS = 25
# What may be asked for; the first of each holds where nothing is said.
CASES = {
    "keys": [10_000, 1_000_000],
    "restart-after-ms": [0, 500, 2000],
    "down-after-milliseconds": [1000, 30000],
    "refused-after-milliseconds": [0, 50],
    "repl-diskless-sync": ["yes", "no"],
    "repl-diskless-sync-delay": [0, 5],
    "repl-diskless-load": ["disabled", "on-empty-db", "swapdb"],
}
# The cases that tell something, by what is different in them.
BOTH = [
    {},
    {"keys": 1_000_000},
    {"repl-diskless-sync-delay": 5},
    {"restart-after-ms": 500},
    {"restart-after-ms": 2000},
]
OWN = [
    {"down-after-milliseconds": 30000},
    {"refused-after-milliseconds": 50},
    {"refused-after-milliseconds": 50, "restart-after-ms": 500},
    {"repl-diskless-sync": "no"},
    {"repl-diskless-sync": "no", "keys": 1_000_000},
    {"repl-diskless-load": "on-empty-db"},
    {"repl-diskless-load": "swapdb"},
    {"repl-diskless-load": "swapdb", "keys": 1_000_000},
]
SETTINGS = {
    Cfgserver: ("down-after-milliseconds", "refused-after-milliseconds"),
    Sentinel: ("down-after-milliseconds",),
}


class Emptied:
    """One case, on one plane of nodes, with fresh groups."""

    def __init__(self, world, plane, case, serial):
        self.world, self.plane, self.case = world, plane, case
        self.group = Group(world, f"emptied{serial}", 0, self.options())
        populate(self.group.primary.port, case["keys"])
        self.group.add_replicas(world, 2, self.options())
        self.group.wait_in_sync(60)
        settings = [word for name in SETTINGS[type(plane)] for word in (name, case[name])]
        plane.monitor(self.group, settings)
        plane.wait_healthy([self.group])

    def options(self):
        """The delay counts only where no file is copied from."""
        given = [(name, value) for name, value in self.case.items() if name.startswith("repl-")]
        return [word for name, value in given for word in (f"--{name}", str(value))]

    def run(self):
        """What came of it: milliseconds since the restarted primary answered; less than none: before."""
        time.sleep(random.random())
        replicas = [replica.port for replica in self.group.replicas]
        watch = Watch(self.plane.alive(), [])
        self.group.primary.process.kill()
        self.forget_copies()
        watch.run(lambda _: False, self.case["restart-after-ms"] / 1000)
        self.group.primary.start(self.world)
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

    def forget_copies(self):
        """Where replicas copy from a file the primary keeps that, and would load it: not empty, but of long ago."""
        file = os.path.join(self.group.primary.folder, "dump.rdb")
        if os.path.exists(file):
            os.remove(file)

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


def cases(plane, only):
    """The cases of a plane; `only` picks values, by the name of the setting, and then all of their combinations."""
    usual = {name: values[0] for name, values in CASES.items()}
    if only:
        values = [only.get(name, [usual[name]]) for name in CASES]
        return [dict(zip(CASES, combination)) for combination in itertools.product(*values)]
    return [usual | case for case in BOTH + (OWN if plane is Cfgserver else [])]


def measure(planes, runs, failed, only=None):
    """All cases."""
    results, serial = [], 0
    for kind in planes:
        world = World()
        try:
            version = redis_version(world)
            plane = kind(world)
            plane.start()
            for case in cases(kind, only):
                say(f"measuring {kind.name}: {case}")
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
                results.append({"redis": version, "plane": kind.name, "case": case, "runs": found})
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
    out.append("| " + " | ".join(["", *CASES, "saved", "switched", "first replica empty"]) + " |")
    out.append("|" + "---|" * (len(CASES) + 4))
    reached = True
    for result in results:
        runs, case = result["runs"], result["case"]
        saved = sum(run["saved"] for run in runs)
        cells = [result["plane"], *map(str, case.values()), f"{saved} of {len(runs)}",
                 shown([run["switched"] for run in runs]), shown([run["wiped"] for run in runs])]
        out.append("| " + " | ".join(cells) + " |")
        late = result["plane"] == Cfgserver.name and case["repl-diskless-sync-delay"] > 0
        reached &= not late or case["repl-diskless-sync"] == "no" or saved == len(runs)
    return out, reached
