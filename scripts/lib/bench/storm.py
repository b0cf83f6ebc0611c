"""Many primaries of a fleet are lost at once, or asked to hand over: when each group was switched, on each node."""

import select
import statistics
import time

from processes import wait_until
from resp import Closed, Connection, try_ask
from scene import Scene, name_of, say

DOWN_AFTER_MS = 3_000
LIMIT_SECONDS = 150
WELL_SECONDS = 60
# Both ask for INFO every ten seconds: after that long what they know of their replicas is not of the first moment.
SETTLE_SECONDS = 10
DEEDS = ["kill", "hang", "planned"]


def measure(planes, given, results):
    for groups in given.storm_groups:
        for plane in planes:
            with Scene(plane, groups, DOWN_AFTER_MS, given.start_limit_s) as scene:
                time.sleep(given.scaled(SETTLE_SECONDS))
                for name, numbers, deed in plan(groups, given):
                    wait_well(scene)
                    keep(results, scene, name, storm(scene, numbers, deed))
                    scene.fleet.tell("REVIVE", "ALL")
            if given.storm_all and groups > 1:
                with Scene(plane, groups, DOWN_AFTER_MS, given.start_limit_s) as scene:
                    time.sleep(given.scaled(SETTLE_SECONDS))
                    keep(results, scene, "all, kill", storm(scene, range(groups), "kill"))


def plan(groups, given):
    """Each storm has groups of its own: a Sentinel lets a group rest for minutes after a failover."""
    if groups == 1:
        return [("one, kill", range(1), "kill")]
    storms, first = [], 0
    for share, count in {"one": 1, "10 %": max(1, groups // 10)}.items():
        for deed in given.deeds:
            storms.append((f"{share}, {deed}", range(first, first + count), deed))
            first += count
    return [storm for storm in storms if storm[1].stop <= groups]


def keep(results, scene, name, found):
    name = f"{scene.groups} groups, {name}"
    results[scene.plane.name][name] = found
    say(f"    {scene.plane.name}: {name}: " + ", ".join(f"{what} {value}" for what, value in found.items()))


def wait_well(scene):
    """Every primary has its replica, and every node sees them."""
    wait_until("the fleet is well", WELL_SECONDS,
               lambda: scene.fleet.numbers("STATUS")["groups-well"] == scene.groups or time.sleep(0.2))
    for port in scene.plane.ports:
        wait_until(f"{scene.plane.name} on {port} sees the fleet well", WELL_SECONDS, lambda: scene.known(port))


def storm(scene, numbers, deed):
    """Times in milliseconds from the deed to +switch-master, on the node that told first and on the one that told last."""
    ears = [Ear(port) for port in scene.plane.ports]
    poll = select.poll()
    by_number = {ear.connection.fileno(): ear for ear in ears}
    for number in by_number:
        poll.register(number, select.POLLIN)
    names = {name_of(number) for number in numbers}
    started = time.monotonic()
    begin(scene, numbers, deed)
    while any(not names <= ear.told.keys() for ear in ears) and time.monotonic() < started + LIMIT_SECONDS:
        for number, _ in poll.poll(100):
            by_number[number].hear(started)
    for ear in ears:
        ear.connection.close()
    heard = {name: [ear.told[name] for ear in ears if name in ear.told] for name in names}
    first = sorted(min(times) for times in heard.values() if times)
    everywhere = sorted(max(times) for times in heard.values() if len(times) == len(ears))
    if not first:
        raise TimeoutError(f"no switch within {LIMIT_SECONDS} s")
    return {
        "first ms": first[0], "median ms": statistics.median(first), "last ms": first[-1],
        "last node told ms": everywhere[-1] if len(everywhere) == len(names) else None,
        "not switched": len(names) - len(first), "others switched": len(set().union(*(ear.told for ear in ears)) - names),
    }


def begin(scene, numbers, deed):
    if deed == "planned":
        connection = Connection(scene.plane.ports[0], 60)
        for number in numbers:
            connection.send("SENTINEL", "FAILOVER", name_of(number))
        # The answers are read by nobody: what counts are the switches.
        scene.planned = connection
        return
    changed = scene.fleet.tell(deed.upper(), "PRIMARIES", f"{numbers.start}-{numbers.stop - 1}")
    if changed != len(numbers):
        raise RuntimeError(f"{changed} of {len(numbers)} primaries were there")


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
