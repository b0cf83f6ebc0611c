"""What a node costs while nothing happens, and what the fleet sees of it."""

import time

from scene import Cost, Scene

SECONDS = 20
# Just after the start everything is asked for the first time.
SETTLE_SECONDS = 10


def measure(plane, given, found):
    for groups in given.groups:
        for down_after_ms in (30_000, 3_000):
            with Scene(plane, groups, down_after_ms) as scene:
                time.sleep(SETTLE_SECONDS)
                costs = [Cost(process) for process in scene.plane.processes]
                scene.fleet.reset()
                before, started = [cost.cpu_s() for cost in costs], time.monotonic()
                time.sleep(SECONDS)
                seconds = time.monotonic() - started
                used = [(cost.cpu_s() - spent) * 100 / seconds for cost, spent in zip(costs, before)]
                seen = scene.fleet.numbers("STATS")
                name = f"{groups} groups, down-after {down_after_ms // 1000} s"
                found[name] = {
                    "cpu %": sorted(used), "memory MiB": sorted(cost.memory_mib() for cost in costs),
                    "descriptors": sorted(cost.descriptors() for cost in costs),
                    "connections": seen["connections"], "commands/s": seen["commands"] / seconds,
                    "known after s": scene.known_s,
                }
