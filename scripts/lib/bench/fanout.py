"""One event to many subscribers: when the first and the last of them had it, and whether all had."""

import json
import subprocess

from scene import Scene

SUBSCRIBERS = [100, 1_000, 5_000]
EVENTS = 10


def measure(plane, given, found):
    with Scene(plane, 1) as scene:
        port = scene.plane.ports[0]
        for count in SUBSCRIBERS:
            # A setting that changes is an event of both; the answer to it comes when it is kept.
            words = [given.load, "fanout", str(port), str(count), str(EVENTS), "fleet-00000"]
            said = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
            if said.returncode != 0:
                raise RuntimeError(f"{count} subscribers: {said.stderr.strip()}")
            for name, numbers in json.loads(said.stdout).items():
                found[f"{count} {name}"] = numbers
