"""Durable changes: how many and how fast, how soon after the loss of the leader, and what a million of them leave."""

import os
import time

from lookups import rate, take
from processes import wait_until
from resp import Closed, ask, try_ask
from scene import Cfgserver, Scene, name_of, say, side_by_side

WRITERS = [1, 16, 128]
SETTING = ["SENTINEL", "SET", name_of(0), "failover-timeout", "1__rand_int__"]
LOSSES = 20


def writes(planes, given, results):
    """One setting changed again and again. A Sentinel keeps it on its own disk; cfgserver on those of a majority."""
    with side_by_side(planes, 1) as scenes:
        for writers in WRITERS:
            for scene in scenes * given.runs:
                # A Sentinel makes them one after the other, some dozen per second.
                count = max(given.scaled(400) * (writers if scene.plane.name == Cfgserver.name else 1), writers)
                for name, port in places(scene):
                    numbers = rate(port, writers, 1, count, "-r", 100_000, *SETTING)
                    take(results[scene.plane.name], f"{writers} writers{name}", numbers)


def places(scene):
    if scene.plane.name != Cfgserver.name:
        return [("", scene.plane.ports[0])]
    leader = scene.plane.leader()
    ports = scene.plane.ports
    return [("", ports[leader]), (" on a follower", ports[(leader + 1) % len(ports)])]


def leader_loss(planes, given, results):
    """The leader is killed; the time until somebody else has made a change."""
    if Cfgserver not in planes:
        return
    found = results[Cfgserver.name]
    with Scene(Cfgserver, 1) as scene:
        for number in range(given.scaled(LOSSES)):
            leader = scene.plane.leader()
            others = [port for node, port in enumerate(scene.plane.ports) if node != leader]
            # Each change is another one than the one before.
            value = str(200_000 + number)
            started = time.monotonic()
            scene.plane.processes[leader].kill()
            found.setdefault("next commit ms", []).append(round((changed_at(others, value) - started) * 1000, 1))
            scene.plane.start_node(leader)
            scene.plane.wait_answers(leader)
            wait_in_touch(scene, leader)


def changed_at(ports, value):
    """Asks each of them in turn until one has made the change."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for port in ports:
            try:
                if ask(port, "SENTINEL", "SET", name_of(0), "failover-timeout", value, timeout=10) == "OK":
                    return time.monotonic()
            except Closed:
                pass
        time.sleep(0.005)
    raise TimeoutError("no change within 30 s after the loss of the leader")


def wait_in_touch(scene, node):
    """The node that came back has what the others have."""
    value = str(int(time.monotonic() * 1000))
    port = scene.plane.ports[node]
    wait_until("the node that came back takes part", 30,
               lambda: try_ask(port, "SENTINEL", "SET", name_of(0), "failover-timeout", value) == "OK")


def recovery(planes, given, results):
    """Disk and start of a node after many changes."""
    if Cfgserver not in planes:
        return
    found = results[Cfgserver.name]
    with Scene(Cfgserver, 1) as scene:
        port = scene.plane.ports[scene.plane.leader()]
        started = time.monotonic()
        count = max(given.changes, 128 * 16)
        rate(port, 128, 16, count, "-r", 100_000, *SETTING)
        found["changes"], found["changes s"] = count, round(time.monotonic() - started, 1)
        found["disk MiB"] = sorted(disk_mib(scene, port) for port in scene.plane.ports)
        node = (scene.plane.leader() + 1) % len(scene.plane.ports)
        for _ in range(given.runs):
            scene.plane.processes[node].kill()
            restarted = time.monotonic()
            scene.plane.start_node(node)
            answers = lambda: isinstance(try_ask(scene.plane.ports[node], "SENTINEL", "MASTER", name_of(0)), list)
            wait_until("the node answers again", 120, answers)
            found.setdefault("restart s", []).append(round(time.monotonic() - restarted, 2))
        say(f"    {found}")


def disk_mib(scene, port):
    folder = os.path.join(scene.world.folder, f"node-{port}")
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                # What it takes, not what it could hold: logs are made in advance.
                total += os.stat(os.path.join(place, file)).st_blocks * 512
            except FileNotFoundError:
                pass  # compacted away meanwhile
    return round(total / (1 << 20), 1)
