"""The two control planes that are compared, behind one face: three nodes that watch groups."""

import os
import time

from processes import wait_until
from resp import Closed, ask, fields, section, try_ask

NODES = 3
QUORUM = 2
SETTLE_SECONDS = 60


class Plane:
    """Three nodes. `settings` go to every group."""

    # How long a node may take until it answers: a Sentinel writes its file anew for each group that it starts with.
    answer_limit_s = 20

    def __init__(self, world):
        self.world = world
        self.ports = [world.port() for _ in range(NODES)]
        self.processes = [None] * NODES

    def start(self):
        for node in range(NODES):
            self.start_node(node)
        for node in range(NODES):
            self.wait_answers(node)

    def wait_answers(self, node):
        wait_until(f"{self.name} node {node + 1} answers", self.answer_limit_s, lambda: self.knows_groups(node))

    def knows_groups(self, node):
        if not self.processes[node].running():
            raise RuntimeError(f"{self.name} node {node + 1} ended, see {self.world.folder}")
        return isinstance(try_ask(self.ports[node], "SENTINEL", "MASTERS"), list)

    def alive(self):
        return [port for port, process in zip(self.ports, self.processes) if process and process.running()]

    def close(self):
        for process in self.processes:
            if process:
                process.kill()

    def healthy(self, port, group):
        """Whether one node sees a group complete, and the other nodes too."""
        primary = fields(try_ask(port, "SENTINEL", "MASTER", group.name))
        if primary.get("flags") != "master" or primary.get("num-other-sentinels") != str(NODES - 1):
            return False
        listed = [fields(one) for one in try_ask(port, "SENTINEL", "REPLICAS", group.name) or []]
        good = [one for one in listed if one.get("flags") == "slave" and one.get("master-link-status") == "ok"]
        return len(good) == len(group.replicas) == len(listed)

    def wait_healthy(self, groups):
        for group in groups:
            for port in self.alive():
                wait_until(f"{self.name} on {port} sees {group.name} healthy", SETTLE_SECONDS,
                           lambda: self.healthy(port, group))


class Sentinel(Plane):
    """Redis Sentinel: every node is told everything, one by one."""

    name = "redis-sentinel"

    def start_node(self, node):
        folder = os.path.join(self.world.folder, f"sentinel-{self.ports[node]}")
        os.makedirs(folder, exist_ok=True)
        file = os.path.join(folder, "sentinel.conf")
        # A node that starts again finds what it has written there itself.
        if not os.path.exists(file):
            with open(file, "w", encoding="ascii") as conf:
                conf.write(f"port {self.ports[node]}\nbind 127.0.0.1\ndir {folder}\n")
        words = ["redis-server", file, "--sentinel"]
        self.processes[node] = self.world.start(f"sentinel-{self.ports[node]}", words)

    def monitor(self, group, settings):
        for port in self.ports:
            expect_ok(ask(port, "SENTINEL", "MONITOR", group.name, "127.0.0.1", group.primary.port, QUORUM))
            expect_ok(ask(port, "SENTINEL", "SET", group.name, *settings))

    def remove(self, group):
        for port in self.alive():
            try_ask(port, "SENTINEL", "REMOVE", group.name)


class Cfgserver(Plane):
    """cfgserver: any node is told once."""

    name = "cfgserver"
    binary = None

    def start_node(self, node):
        peers = ",".join(f"{number + 1}=127.0.0.1:{port}" for number, port in enumerate(self.ports))
        words = [self.binary, "serve", "--node-id", str(node + 1), "--listen", f"127.0.0.1:{self.ports[node]}",
                 "--data-dir", os.path.join(self.world.folder, f"node-{self.ports[node]}"), "--peers", peers]
        self.processes[node] = self.world.start(f"node-{self.ports[node]}", words)

    def start(self):
        super().start()
        wait_until("cfgserver has a leader", 20, self.leader_or_none)

    def leader_or_none(self):
        """The place of the leader plus one, so that the first place counts as found."""
        for node, port in enumerate(self.ports):
            process = self.processes[node]
            if process and process.running():
                info = section(try_ask(port, "INFO", "everything"))
                if info.get("raft_role") == "leader":
                    return node + 1
        return None

    def leader(self):
        return wait_until("cfgserver has a leader", 20, self.leader_or_none) - 1

    def monitor(self, group, settings):
        port = self.ports[0]
        said = ask(port, "SENTINEL", "MONITOR", group.name, "127.0.0.1", group.primary.port, QUORUM, timeout=10)
        expect_ok(said)
        expect_ok(ask(port, "SENTINEL", "SET", group.name, *settings, timeout=10))

    def remove(self, group):
        expect_ok(ask(self.alive()[0], "SENTINEL", "REMOVE", group.name, timeout=10))

    def write_until_accepted(self, group, seconds):
        """Tries one write on every living node in turn until one is acknowledged; answers when it was."""
        deadline = time.monotonic() + seconds
        value = 1
        while time.monotonic() < deadline:
            for port in self.alive():
                try:
                    if ask(port, "SENTINEL", "SET", group.name, "parallel-syncs", value, timeout=6) == "OK":
                        return time.monotonic()
                except Closed:
                    pass
            time.sleep(0.005)
        raise TimeoutError(f"no write was accepted within {seconds} s")


def expect_ok(reply):
    if reply != "OK":
        raise RuntimeError(f"expected OK, got {reply}")
