"""Lookups and lists, asked by redis-benchmark."""

import csv
import io
import subprocess

from scene import Cost, Scene

SHAPES = [(1, 1), (50, 1), (1000, 1), (1, 16), (50, 16)]
GROUPS_OF_LISTS = 1_000
# Enough for some seconds each.
LOOKUPS = {1: 100_000, 50: 300_000, 1000: 200_000}


def rate(port, connections, pipeline, count, *words):
    """Answers per second, and p50 and p99 in milliseconds, as redis-benchmark sees them."""
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-c", str(connections), "-P", str(pipeline),
               "-n", str(count), "--csv", *map(str, words)]
    # It complains on stderr that a Sentinel has no CONFIG.
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    rows = list(csv.DictReader(io.StringIO(said.stdout[said.stdout.find('"test"'):])))
    if not rows:
        raise RuntimeError(f"redis-benchmark says {said.stdout[-200:]} {said.stderr[-200:]}")
    row = rows[-1]
    return float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"])


def measure(plane, given, found):
    """GET-MASTER-ADDR-BY-NAME."""
    with Scene(plane, 1) as scene:
        port = scene.plane.ports[0]
        for connections, pipeline in SHAPES:
            count = LOOKUPS[connections] * (4 if pipeline > 1 else 1)
            for _ in range(given.runs):
                numbers = rate(port, connections, pipeline, count, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "fleet-00000")
                take(found, f"{connections}x{pipeline}", numbers)
        for _ in range(given.runs):
            take(found, "replicas 50x1", rate(port, 50, 1, 100_000, "SENTINEL", "REPLICAS", "fleet-00000"))


def lists(plane, given, found):
    """MASTERS and INFO of a thousand groups; CPU of the server per answer."""
    with Scene(plane, GROUPS_OF_LISTS) as scene:
        port, cost = scene.plane.ports[0], Cost(scene.plane.processes[0])
        for name, count, words in [("masters", 400, ["SENTINEL", "MASTERS"]), ("info", 8_000, ["INFO", "sentinel"])]:
            for _ in range(given.runs):
                before = cost.cpu_s()
                take(found, name, rate(port, 10, 1, count, *words))
                found.setdefault(f"{name} cpu ms", []).append((cost.cpu_s() - before) * 1000 / count)


def take(found, name, numbers):
    for kind, number in zip(["rate", "p50", "p99"], numbers):
        found.setdefault(f"{name} {kind}", []).append(number)
