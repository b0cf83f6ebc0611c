"""Lookups and lists, asked by redis-benchmark of both planes in turn."""

import csv
import io
import subprocess

from scene import Cost, name_of, side_by_side

SHAPES = [(1, 1), (50, 1), (1000, 1), (1, 16), (50, 16), (1000, 16)]
GROUPS_OF_LISTS = 1_000
# Enough for some seconds each.
LOOKUPS = {1: 100_000, 50: 300_000, 1000: 200_000}


def rate(port, connections, pipeline, count, *words):
    """Answers per second, and p50 and p99 in milliseconds, as redis-benchmark sees them."""
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-c", str(connections), "-P", str(pipeline),
               "-n", str(count), "--csv", *map(str, words)]
    # It complains on stderr that a Sentinel has no CONFIG.
    said = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    rows = list(csv.DictReader(io.StringIO(said.stdout[said.stdout.find('"test"'):])))
    if not rows:
        raise RuntimeError(f"redis-benchmark says {said.stdout[-200:]} {said.stderr[-200:]}")
    row = rows[-1]
    return float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"])


def measure(planes, given, results):
    """GET-MASTER-ADDR-BY-NAME, and REPLICAS."""
    with side_by_side(planes, 1) as scenes:
        for connections, pipeline in SHAPES:
            count = given.scaled(LOOKUPS[connections] * (4 if pipeline > 1 else 1))
            for scene in scenes * given.runs:
                asked(scene, results, f"{connections}x{pipeline}", connections, pipeline, count,
                      "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name_of(0))
        for scene in scenes * given.runs:
            asked(scene, results, "replicas 50x1", 50, 1, given.scaled(100_000), "SENTINEL", "REPLICAS", name_of(0))


def asked(scene, results, name, connections, pipeline, count, *words):
    """The rate, and the CPU of the server for each answer: on a busy machine only that can be compared."""
    count = max(count, connections * pipeline)  # each of them asks
    found, cost = results[scene.plane.name], Cost(scene.plane.processes[0])
    before = cost.cpu_s()
    take(found, name, rate(scene.plane.ports[0], connections, pipeline, count, *words))
    found.setdefault(f"{name} cpu us", []).append((cost.cpu_s() - before) * 1e6 / count)


def lists(planes, given, results):
    """MASTERS and INFO of a thousand groups; CPU of the server per answer."""
    with side_by_side(planes, given.scaled(GROUPS_OF_LISTS)) as scenes:
        for name, count, words in [("masters", 400, ["SENTINEL", "MASTERS"]), ("info", 8_000, ["INFO", "sentinel"])]:
            count = given.scaled(count)
            for scene in scenes * given.runs:
                asked(scene, results, name, 10, 1, count, *words)


def take(found, name, numbers):
    for kind, number in zip(["rate", "p50", "p99"], numbers):
        found.setdefault(f"{name} {kind}", []).append(number)
