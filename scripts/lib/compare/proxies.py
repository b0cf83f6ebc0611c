"""The sharding proxies that follow a control plane by themselves; each is run from a binary that is already there."""

import json
import os
import signal

from planes import Cfgserver, Sentinel
from processes import wait_until
from resp import try_ask

POOL = "sigma"
# The group of a shard is POOL-SHARD..., for BDRP's sake, which wants the pool and the server in the name.
LABEL = f"{POOL}-shard"
START_SECONDS = 20
TCP_ESTABLISHED = "01"


class Proxy:
    """One proxy in front of all groups of a scene. A kind says how its file looks and how it is started.

    A further kind is a class with `name`, `planes`, `settings` and `command`, an option that gives its `binary`, and
    its place in `KINDS`.
    """

    name = None
    # The control planes that it can be measured with.
    planes = [Sentinel, Cfgserver]
    # The file to run; `None`: not measured.
    binary = None
    # What ends it.
    last_signal = signal.SIGKILL

    def __init__(self, scene):
        self.scene = scene
        self.port, self.stats_port = scene.world.port(), scene.world.port()
        # Some kinds rewrite their file: each proxy has its own.
        self.file = os.path.join(scene.world.folder, f"{self.name}-{self.port}.yml")
        self.process = None

    def start(self):
        write_lines(self.file, self.settings())
        self.process = self.scene.world.start(f"{self.name}-{self.port}", self.command(), self.last_signal)
        wait_until(f"{self.name} serves", START_SECONDS, self.serves)

    def serves(self):
        if not self.process.running():
            raise RuntimeError(f"{self.name} ended, see {self.scene.world.folder}")
        return try_ask(self.port, "SET", "key0", "x") == "OK"

    def pool(self, *lines):
        """A pool on this proxy's port, with a kind's own lines."""
        return [f"{POOL}:", f"  listen: 127.0.0.1:{self.port}", "  hash: crc16", *lines]

    def common_words(self):
        return [self.binary, "-c", self.file, "-a", "127.0.0.1", "-s", str(self.stats_port)]

    def node(self):
        """The place of the node that the proxy is connected to; `None` when it has no connection."""
        ports = self.scene.plane.ports
        connected = [ports.index(port) for port in peers(self.process.child.pid) if port in ports]
        return connected[0] if connected else None

    def wait_connected(self):
        """Answers whether the proxy has a connection to a node in time."""
        try:
            wait_until(f"{self.name} is connected", START_SECONDS, lambda: self.node() is not None)
        except TimeoutError:
            return False
        return True


class Bdrp(Proxy):
    """Baidu's nutcracker 0.2.4: one node, addresses from its own file until that node says otherwise."""

    name = "bdrp"

    def settings(self):
        lines = ["  redis: true", "  auto_eject_hosts: false", "  distribution: slot", "  preconnect: true",
                 "  server_retry_timeout: 2000", "  servers:"]
        for group in self.scene.groups:
            lines += [f"   - {group.name.removeprefix(POOL + '-')}", f"     127.0.0.1:{group.primary.port}:1"]
        return self.pool(*lines)

    def command(self):
        return self.common_words() + ["-A", "127.0.0.1", "-S", str(self.scene.plane.ports[0])]


class Netease(Proxy):
    """NetEase's twemproxy 0.4.1: all nodes in turn, no addresses of its own."""

    name = "netease"

    def settings(self):
        nodes = [f"   - 127.0.0.1:{port} node{number}" for number, port in enumerate(self.scene.plane.ports)]
        groups = [f"   - {group.name}" for group in self.scene.groups]
        return self.pool("  distribution: modula", "  groups:", *groups, "  sentinels:", *nodes)

    def command(self):
        return self.common_words()


class Stock(Proxy):
    """Stock twemproxy, run by cfgserver's agent, which knows all nodes."""

    name = "nutcracker"
    planes = [Cfgserver]
    # The agent ends the proxy before itself.
    last_signal = signal.SIGTERM

    def settings(self):
        lines = ["  redis: true", "  distribution: ketama", "  servers:"]
        servers = [f"   - 127.0.0.1:{group.primary.port}:1 {group.name}" for group in self.scene.groups]
        return self.pool(*lines, *servers)

    def command(self):
        nodes = [f"127.0.0.1:{port}" for port in self.scene.plane.ports]
        agent = f"{self.file}.agent.toml"
        # A list of plain strings is the same in JSON and in TOML.
        write_lines(agent, [f"nodes = {json.dumps(nodes)}", "[proxy]", 'kind = "nutcracker"',
                            f"template = {json.dumps(self.file)}", f"check = {json.dumps([self.binary, '-t', '-c', '{file}'])}",
                            f"run = {json.dumps(self.common_words())}"])
        return [Cfgserver.binary, "agent", "--config", agent]


KINDS = [Bdrp, Netease, Stock]


def write_lines(path, lines):
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


def peers(pid):
    """The ports on 127.0.0.1 that a process has connections to, as the kernel tells."""
    own, ports = set(), []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            own.add(os.readlink(entry.path))
        except FileNotFoundError:  # closed meanwhile
            continue
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            words = line.split()
            if words[3] == TCP_ESTABLISHED and f"socket:[{words[9]}]" in own:
                ports.append(int(words[2].partition(":")[2], 16))
    return ports
