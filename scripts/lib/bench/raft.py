"""The log: durable writes, and what a million of them leave behind."""

import os
import time

from lookups import rate, take
from processes import wait_until
from resp import try_ask
from scene import Scene

WRITERS = [1, 16, 128]
SETTING = ["SENTINEL", "SET", "fleet-00000", "failover-timeout", "1__rand_int__"]


def writes(plane, given, found):
    """One setting changed again and again, on the leader and on a follower; each is durable on a majority."""
    with Scene(plane, 1) as scene:
        leader = scene.plane.leader()
        for name, node in [("leader", leader), ("follower", (leader + 1) % len(scene.plane.ports))]:
            for writers in WRITERS:
                for _ in range(given.runs):
                    numbers = rate(scene.plane.ports[node], writers, 1, 400 * writers, "-r", 100_000, *SETTING)
                    take(found, f"{name} {writers} writers", numbers)


def recovery(plane, given, found):
    """Disk and start of a node after many changes."""
    with Scene(plane, 1) as scene:
        port = scene.plane.ports[scene.plane.leader()]
        started = time.monotonic()
        rate(port, 128, 16, given.changes, "-r", 100_000, *SETTING)
        found["changes"], found["changes s"] = given.changes, round(time.monotonic() - started, 1)
        found["disk MiB"] = sorted(disk_mib(scene, port) for port in scene.plane.ports)
        node = (scene.plane.leader() + 1) % len(scene.plane.ports)
        scene.plane.processes[node].kill()
        restarted = time.monotonic()
        scene.plane.start_node(node)
        answers = lambda: isinstance(try_ask(scene.plane.ports[node], "SENTINEL", "MASTER", "fleet-00000"), list)
        wait_until("the node answers again", 120, answers)
        found["restart s"] = round(time.monotonic() - restarted, 2)


def disk_mib(scene, port):
    folder = os.path.join(scene.world.folder, f"node-{port}")
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.path.getsize(os.path.join(place, file))
            except FileNotFoundError:
                pass  # compacted away meanwhile
    return round(total / (1 << 20), 1)
