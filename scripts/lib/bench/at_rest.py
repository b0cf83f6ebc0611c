"""What a node costs while nothing happens, and what the fleet sees of it."""

import time

from scene import Cost, Scene

SECONDS = 20
# Just after the start everything is asked for the first time.
SETTLE_SECONDS = 10
DOWN_AFTER_MS = [30_000, 3_000]


def measure(planes, given, results):
    for groups in given.groups:
        for down_after_ms in DOWN_AFTER_MS:
            for plane in planes:
                with Scene(plane, groups, down_after_ms, given.start_limit_s) as scene:
                    name = f"{groups} groups, down-after {down_after_ms // 1000} s"
                    results[plane.name][name] = observed(scene, given)


def observed(scene, given):
    time.sleep(given.scaled(SETTLE_SECONDS))
    costs = [Cost(process) for process in scene.plane.processes]
    scene.fleet.reset()
    before, started = [cost.cpu_s() for cost in costs], time.monotonic()
    time.sleep(given.scaled(SECONDS))
    seconds = time.monotonic() - started
    used = [(cost.cpu_s() - spent) * 100 / seconds for cost, spent in zip(costs, before)]
    seen = scene.fleet.numbers("STATS")
    return {
        "cpu %": sorted(used), "memory MiB": sorted(cost.memory_mib() for cost in costs),
        "descriptors": sorted(cost.descriptors() for cost in costs),
        "connections": seen["connections"], "commands/s": seen["commands"] / seconds,
        "known after s": scene.known_s,
    }
