"""Many primaries of a fleet die at once: when each group was switched, on each node."""

import select
import statistics
import time

from resp import Closed, Connection
from scene import Scene

DOWN_AFTER_MS = 3_000
LIMIT_SECONDS = 150
SHARES = {"one": lambda groups: 1, "10 %": lambda groups: max(1, groups // 10), "all": lambda groups: groups}


def measure(plane, given, found):
    for groups in given.groups:
        for share, count_of in SHARES.items():
            for how in ("KILL", "HANG"):
                if share == "all" and how == "HANG":
                    continue
                with Scene(plane, groups, DOWN_AFTER_MS) as scene:
                    found[f"{groups} groups, {share}, {how.lower()}"] = storm(scene, count_of(groups), how)


def storm(scene, count, how):
    """Times in milliseconds from the deed to +switch-master, of the first node and of the last one that told."""
    ears = [Ear(port) for port in scene.plane.ports]
    poll = select.poll()
    by_number = {ear.connection.fileno(): ear for ear in ears}
    for number in by_number:
        poll.register(number, select.POLLIN)
    started = time.monotonic()
    changed = scene.fleet.tell(how, "PRIMARIES", f"0-{count - 1}")
    if changed != count:
        raise RuntimeError(f"{changed} of {count} primaries were there")
    while any(len(ear.told) < count for ear in ears) and time.monotonic() < started + LIMIT_SECONDS:
        for number, _ in poll.poll(100):
            by_number[number].hear(started)
    for ear in ears:
        ear.connection.close()
    names = set().union(*(ear.told for ear in ears))
    first = sorted(min(ear.told[name] for ear in ears if name in ear.told) for name in names)
    everywhere = [max(ear.told[name] for ear in ears) for name in names if all(name in ear.told for ear in ears)]
    if not first:
        raise TimeoutError(f"no switch within {LIMIT_SECONDS} s")
    return {
        "first": first[0], "median": statistics.median(first), "last": first[-1],
        "everywhere": max(everywhere, default=None), "switched": len(first), "of": count,
    }


class Ear:
    """A subscriber of one node."""

    def __init__(self, port):
        self.connection = Connection(port, 10)
        self.told = {}
        self.connection.send("SUBSCRIBE", "+switch-master")
        while not self.connection.receive():
            pass

    def hear(self, started):
        at = round((time.monotonic() - started) * 1000, 1)
        try:
            messages = self.connection.receive()
        except Closed as error:
            raise RuntimeError(f"a subscriber was closed: {error}") from error
        for message in messages:
            if message[0] == "message":
                self.told.setdefault(message[2].split(" ")[0], at)
