"""The measurements. Each answers raw numbers, in milliseconds unless it says otherwise."""

import os
import random
import signal
import time

from planes import Cfgserver
from processes import Group, World, keys_missing, wait_until
from watch import Watch
from writer import Writer

SETTINGS = ("down-after-milliseconds", 1000)
EVENT_SECONDS = 30
# Between two runs: so that a run does not always fall on the same beat of a timer.
BEAT_SECONDS = 1.0


def say(text):
    print(text, flush=True)


class Scene:
    """A fresh plane with fresh groups; all of it ends with the block."""

    def __init__(self, plane_type, count, replicas, label="group"):
        self.plane_type, self.count, self.replicas, self.label = plane_type, count, replicas, label

    def __enter__(self):
        self.world = World()
        try:
            self.groups = [Group(self.world, f"{self.label}{number}", self.replicas) for number in range(self.count)]
            for group in self.groups:
                group.wait_in_sync()
            self.plane = self.plane_type(self.world)
            self.plane.start()
            for group in self.groups:
                self.plane.monitor(group, SETTINGS)
            self.plane.wait_healthy(self.groups)
            return self
        except BaseException:
            self.world.close(keep_folder=bool(os.environ.get("CFGSERVER_COMPARE_KEEP")))
            raise

    def __exit__(self, *_):
        self.world.close(keep_folder=bool(os.environ.get("CFGSERVER_COMPARE_KEEP")))

    def watch(self, group):
        return Watch(self.plane.alive(), [replica.port for replica in group.replicas])

    def done_with(self, group):
        self.plane.remove(group)
        group.close()
        self.world.forget_ended()


def ms(seconds):
    return round(seconds * 1000, 1)


def primary_lost(plane_type, runs, how):
    """One primary after the other is ended with a signal."""
    result = {"first": [], "last": [], "spread": [], "lead": [], "early": 0}
    with Scene(plane_type, runs, 2) as scene:
        for group in scene.groups:
            time.sleep(random.random() * BEAT_SECONDS)
            watch = scene.watch(group)
            started = time.monotonic()
            group.primary.process.signal(how)
            everywhere = lambda watch: len(watch.told(group.name)) == len(watch.nodes)
            if not watch.run(everywhere, EVENT_SECONDS):
                raise TimeoutError(f"{scene.plane.name}: no +switch-master on every node for {group.name}")
            first, last = watch.first(group.name), watch.last(group.name)
            promoted = watch.candidates[watch.new_port(group.name)].first_master
            result["first"].append(ms(first - started))
            result["last"].append(ms(last - started))
            result["spread"].append(ms(last - first))
            result["lead"].append(ms(first - promoted) if promoted else None)
            result["early"] += watch.announced_early(group.name)
            watch.close()
            scene.done_with(group)
    return result


def killed(plane_type, runs):
    return primary_lost(plane_type, runs, signal.SIGKILL)


def hung(plane_type, runs):
    return primary_lost(plane_type, runs, signal.SIGSTOP)


def planned(plane_type, runs):
    """SENTINEL FAILOVER under a writer."""
    from resp import ask

    result = {"first": [], "last": [], "lost": [], "acknowledged": [], "pause": [], "early": 0}
    with Scene(plane_type, runs, 2) as scene:
        for group in scene.groups:
            writer = Writer(scene.plane.ports[0], group.name)
            time.sleep(0.3 + random.random() * BEAT_SECONDS)
            watch = scene.watch(group)
            started = time.monotonic()
            reply = ask(scene.plane.ports[1], "SENTINEL", "FAILOVER", group.name, timeout=10)
            if reply != "OK":
                raise RuntimeError(f"{scene.plane.name}: SENTINEL FAILOVER says {reply}")
            everywhere = lambda watch: len(watch.told(group.name)) == len(watch.nodes)
            if not watch.run(everywhere, EVENT_SECONDS):
                raise TimeoutError(f"{scene.plane.name}: no +switch-master on every node for {group.name}")
            new_port = watch.new_port(group.name)
            # The old primary must follow before anything can be said about what was lost.
            wait_until("the old primary follows", 30, lambda: group.primary.follows(new_port))
            time.sleep(0.3)
            acknowledged, pause = writer.finish()
            result["first"].append(ms(watch.first(group.name) - started))
            result["last"].append(ms(watch.last(group.name) - started))
            result["acknowledged"].append(len(acknowledged))
            result["lost"].append(keys_missing(new_port, acknowledged))
            result["pause"].append(ms(pause))
            result["early"] += watch.announced_early(group.name)
            watch.close()
            scene.done_with(group)
    return result


def many(plane_type, runs, count=50):
    """All groups lose their primaries at once."""
    result = {"last": [], "median": []}
    for _ in range(runs):
        with Scene(plane_type, count, 1) as scene:
            time.sleep(random.random() * BEAT_SECONDS)
            watch = Watch(scene.plane.ports, [])
            names = [group.name for group in scene.groups]
            started = time.monotonic()
            for group in scene.groups:
                group.primary.process.signal(signal.SIGKILL)
            everyone = lambda watch: all(watch.told(name) for name in names)
            if not watch.run(everyone, 2 * EVENT_SECONDS):
                raise TimeoutError(f"{scene.plane.name}: not every group was switched")
            firsts = sorted(watch.first(name) - started for name in names)
            result["last"].append(ms(firsts[-1]))
            result["median"].append(ms(firsts[len(firsts) // 2]))
            watch.close()
    return result


def leader_killed(runs):
    """The leader is killed; until the next write is acknowledged."""
    result = {"write": []}
    with Scene(Cfgserver, 1, 1) as scene:
        plane, group = scene.plane, scene.groups[0]
        for _ in range(runs):
            leader = plane.leader()
            time.sleep(random.random() * BEAT_SECONDS)
            started = time.monotonic()
            plane.processes[leader].kill()
            result["write"].append(ms(plane.write_until_accepted(group, EVENT_SECONDS) - started))
            plane.start_node(leader)
            plane.wait_answers(leader)
            plane.wait_healthy([group])
    return result


def leader_and_primary(runs):
    """Leader and primary are killed together."""
    result = {"first": [], "last": [], "early": 0}
    with Scene(Cfgserver, runs, 2) as scene:
        plane = scene.plane
        for group in scene.groups:
            leader = plane.leader()
            survivors = [port for node, port in enumerate(plane.ports) if node != leader]
            time.sleep(random.random() * BEAT_SECONDS)
            watch = Watch(survivors, [replica.port for replica in group.replicas])
            started = time.monotonic()
            plane.processes[leader].signal(signal.SIGKILL)
            group.primary.process.signal(signal.SIGKILL)
            everywhere = lambda watch: len(watch.told(group.name)) == len(watch.nodes)
            if not watch.run(everywhere, EVENT_SECONDS):
                raise TimeoutError(f"no +switch-master on every survivor for {group.name}")
            result["first"].append(ms(watch.first(group.name) - started))
            result["last"].append(ms(watch.last(group.name) - started))
            result["early"] += watch.announced_early(group.name)
            watch.close()
            plane.processes[leader].kill()
            scene.done_with(group)
            plane.start_node(leader)
            plane.wait_answers(leader)
            plane.wait_healthy([one for one in scene.groups if one.primary.process.running()])
    return result
