"""One event to many subscribers: when the first and the last of them had it, and whether all had."""

import json
import subprocess

from scene import name_of, side_by_side

SUBSCRIBERS = [100, 1_000, 5_000]
EVENTS = 10


def measure(planes, given, results):
    with side_by_side(planes, 1) as scenes:
        for count in SUBSCRIBERS:
            count = given.scaled(count)
            for scene in scenes * given.runs:
                # A setting that changes is an event of both; the answer to it comes when it is kept.
                words = [given.load, "fanout", str(scene.plane.ports[0]), str(count), str(EVENTS), name_of(0)]
                said = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
                if said.returncode != 0:
                    raise RuntimeError(f"{count} subscribers of {scene.plane.name}: {said.stderr.strip()}")
                for name, numbers in json.loads(said.stdout).items():
                    found = results[scene.plane.name].setdefault(f"{count} {name}", [])
                    found += numbers if isinstance(numbers, list) else [numbers]
