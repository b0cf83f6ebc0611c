"""What a client of a sharding proxy sees, in milliseconds: two shards of one primary and one replica each."""

import random
import statistics
import time

import table
from measures import BEAT_SECONDS, Scene, ms
from proxies import LABEL
from shards import Outage, ShardWriter, keys_of_shards

SHARDS, REPLICAS = 2, 1
# A proxy that has not followed by then does not follow.
FOLLOW_SECONDS = 15
# Behind the first good write, so that a failure that comes back is seen.
AFTER_SECONDS = 1.0


class Front(Scene):
    """A scene with a proxy in front, and a writer for each shard."""

    def __init__(self, plane_type, kind):
        super().__init__(plane_type, SHARDS, REPLICAS, LABEL)
        self.kind = kind

    def __enter__(self):
        super().__enter__()
        try:
            self.proxy = self.kind(self)
            self.proxy.start()
            self.keys = keys_of_shards(self.proxy.port, self.groups)
            self.proxy.wait_connected()
            return self
        except BaseException:
            self.__exit__()
            raise

    def writers(self):
        return [ShardWriter(self.proxy.port, key) for key in self.keys]

    def kill_primary(self):
        """The first shard's primary ends; answers what each writer saw of it."""
        writers = self.writers()
        time.sleep(random.random() * BEAT_SECONDS)
        killed = time.monotonic()
        self.groups[0].primary.process.kill()
        writers[0].wait_good_since(time.monotonic(), FOLLOW_SECONDS)
        time.sleep(AFTER_SECONDS)
        return [Outage(writer.finish(), killed) for writer in writers]

    def kill_node(self):
        """The proxy's node ends and is started again; answers what each writer saw of it."""
        node = self.proxy.node() or 0
        writers = self.writers()
        time.sleep(random.random() * BEAT_SECONDS)
        killed = time.monotonic()
        self.plane.processes[node].kill()
        self.plane.start_node(node)
        self.plane.wait_answers(node)
        self.proxy.wait_connected()
        back = time.monotonic()
        for writer in writers:
            writer.wait_good_since(back, FOLLOW_SECONDS)
        time.sleep(AFTER_SECONDS)
        return [Outage(writer.finish(), killed) for writer in writers]


def back(outage):
    """In milliseconds; `None`: never, while it was watched."""
    return None if outage.seconds is None else ms(outage.seconds)


def primary_killed(plane_type, kind):
    with Front(plane_type, kind) as front:
        own, other = front.kill_primary()
    return {"own": back(own), "other_failed": other.failed, "other_writes": other.count, "other_gap": ms(other.longest),
            "said": dict(own.reasons), "other_said": dict(other.reasons)}


def node_killed(plane_type, kind):
    with Front(plane_type, kind) as front:
        outages = front.kill_node()
        front.plane.wait_healthy(front.groups)
        own, _ = front.kill_primary()
    return {"first": back(outages[0]), "second": back(outages[1]), "then": back(own),
            "said": [dict(outage.reasons) for outage in outages]}


# Each answers the numbers of one run.
MEASURES = {"primary_killed": primary_killed, "node_killed": node_killed}


class Row:
    """One figure of a kind. `wanted` is an upper bound by the kind's name."""

    def __init__(self, text, measure, of, wanted):
        self.text, self.measure, self.of, self.wanted = text, measure, of, wanted

    def line(self, kind, planes):
        theirs, ours = (planes.get(plane, {}).get(self.measure, {}).get(self.of, [])
                        for plane in ("redis-sentinel", "cfgserver"))
        wanted = self.wanted.get(kind)
        judged = max if wanted == 0 else statistics.median
        good = not ours or wanted is None or (None not in ours and judged(ours) <= wanted)
        verdict = "" if not ours or wanted is None else f"<= {wanted} {'reached' if good else 'MISSED'}"
        text = f"{kind + ': ' + self.text:<63} {shown(theirs):>22} {shown(ours):>22} {ratio(theirs, ours):>6}  {verdict}"
        return text.rstrip(), good


KILLED = {"bdrp": 1200, "netease": 1200, "nutcracker": 1500}
ROWS = [
    Row("primary killed, until its shard is written again", "primary_killed", "own", KILLED),
    Row("  failed writes on the other shard", "primary_killed", "other_failed", {"bdrp": 0, "netease": 0}),
    Row("  longest pause of good writes on the other shard", "primary_killed", "other_gap", {}),
    Row("the proxy's node killed and restarted, shard 0", "node_killed", "first", {"bdrp": 0, "netease": 1100, "nutcracker": 0}),
    Row("the proxy's node killed and restarted, shard 1", "node_killed", "second", {"bdrp": 0, "netease": 1100, "nutcracker": 0}),
    Row("  then primary killed, until its shard is written", "node_killed", "then", KILLED),
]


def shown(numbers):
    known = [number for number in numbers if number is not None]
    if not numbers or not known:
        return "never" if numbers else "-"
    never = f", {len(numbers) - len(known)} never" if len(known) < len(numbers) else ""
    return table.shown(known) + never


def ratio(theirs, ours):
    if not theirs or not ours or None in theirs + ours or not statistics.median(theirs):
        return "-"
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


def lines(results):
    """The table as text, and whether every figure of cfgserver that was measured is reached."""
    head = "median (lowest-highest), milliseconds"
    out, reached = [f"{head:<63} {'redis-sentinel':>22} {'cfgserver':>22} {'ratio':>6}"], True
    for kind, planes in results.items():
        measured = {name for measures in planes.values() for name in measures}
        for row in ROWS:
            if row.measure not in measured:
                continue
            text, good = row.line(kind, planes)
            out.append(text)
            reached &= good
    return out, reached
