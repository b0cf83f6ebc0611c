"""Three nodes of one plane, and a pretend fleet that they watch."""

import collections
import contextlib
import os
import time

import planes
from planes import NODES, QUORUM
from processes import World, wait_until
from resp import Closed, Connection, ReplyError, ask, fields, section, try_ask

# What one process of a fleet may hold: descriptors may be capped at 20,000.
GROUPS_PER_PROCESS = {"redis-sentinel": 1_200, "cfgserver": 2_000}
# The fleets of both may run at the same time.
FLEET_PORTS = {"redis-sentinel": 7000, "cfgserver": 7001}
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def say(text):
    print(text, flush=True)


def name_of(number):
    """The name of a group of the fleet."""
    return f"fleet-{number:05}"


class Fleet:
    """A pretend fleet of so many groups of two for one plane, in as many processes as it needs."""

    def __init__(self, world, binary, plane, count):
        self.world, self.count, self.controls = world, count, []
        self.port, per_process = FLEET_PORTS[plane], GROUPS_PER_PROCESS[plane]
        for first in range(0, count, per_process):
            control = world.port()
            words = [binary, "fleet", "--groups", str(min(per_process, count - first)), "--first-group", str(first),
                     "--control", f"127.0.0.1:{control}", "--port", str(self.port), "--log-level", "warn"]
            process = world.start(f"fleet-{first}", words)
            self.controls.append((process, control))
        for process, control in self.controls:
            wait_until("the fleet answers", 30, lambda: self.answers(process, control))

    def answers(self, process, control):
        if not process.running():
            raise RuntimeError(f"the fleet ended, see {self.world.folder}")
        return try_ask(control, "PING") == "PONG"

    def tell(self, *words):
        """The same to every process; their numbers added up."""
        return sum(ask(control, "FLEET", *words, timeout=30) for _, control in self.controls)

    def numbers(self, what):
        """STATUS or STATS of all processes, added up."""
        total = {}
        for _, control in self.controls:
            for name, number in fields(ask(control, "FLEET", what, timeout=30)).items():
                total[name] = total.get(name, 0) + number
        return total

    def reset(self):
        for _, control in self.controls:
            ask(control, "FLEET", "STATS", "RESET")

    @staticmethod
    def address(number):
        return f"127.100.{number // 250}.{number % 250 + 1}"


class Sentinel(planes.Sentinel):
    """Its groups are in its file from the start: telling it a thousand one by one takes minutes."""

    def start_node(self, node):
        folder = os.path.join(self.world.folder, f"sentinel-{self.ports[node]}")
        file = os.path.join(folder, "sentinel.conf")
        if not os.path.exists(file):
            os.makedirs(folder, exist_ok=True)
            with open(file, "w", encoding="ascii") as conf:
                conf.write(f"port {self.ports[node]}\nbind 127.0.0.1\ndir {folder}\nmaxclients 19900\n")
                for number in range(self.fleet.count):
                    name = name_of(number)
                    conf.write(f"sentinel monitor {name} {Fleet.address(number)} {self.fleet.port} {QUORUM}\n")
                    conf.write(f"sentinel down-after-milliseconds {name} {self.down_after_ms}\n")
        super().start_node(node)

    def watch_fleet(self):
        """Nothing to do."""


class Cfgserver(planes.Cfgserver):
    """Its groups are told to one node while it runs, over one connection, without waiting for each answer."""

    IN_FLIGHT = 64

    def watch_fleet(self):
        connection = Connection(self.ports[0], 60)
        # Where a cluster without a leader did nothing, it is told again.
        to_tell, told = collections.deque(range(self.fleet.count)), collections.deque()
        while to_tell or told:
            while to_tell and len(told) < self.IN_FLIGHT:
                number = to_tell.popleft()
                connection.send("CFG", "MONITOR", name_of(number), Fleet.address(number), self.fleet.port, QUORUM,
                                "down-after-milliseconds", self.down_after_ms)
                told.append(number)
            for reply in connection.receive():
                number = told.popleft()
                if isinstance(reply, ReplyError):
                    if "Nothing was done" not in reply:
                        raise RuntimeError(f"CFG MONITOR: {reply}")
                    to_tell.append(number)
        connection.close()


class Scene:
    """A fleet and three nodes that know all of it; all of it ends with the block."""

    def __init__(self, plane_type, groups, down_after_ms=30_000, limit_s=180):
        self.plane_type, self.groups, self.down_after_ms, self.limit_s = plane_type, groups, down_after_ms, limit_s

    def __enter__(self):
        self.world = World()
        try:
            self.fleet = Fleet(self.world, Cfgserver.binary, self.plane_type.name, self.groups)
            self.plane = self.plane_type(self.world)
            self.plane.fleet, self.plane.down_after_ms = self.fleet, self.down_after_ms
            self.plane.answer_limit_s = self.limit_s
            started = time.monotonic()
            self.plane.start()
            self.plane.watch_fleet()
            self.known_s = self.wait_known(started)
            return self
        except BaseException:
            self.world.close(keep_folder=bool(os.environ.get("CFGSERVER_BENCH_KEEP")))
            raise

    def __exit__(self, *_):
        self.world.close(keep_folder=bool(os.environ.get("CFGSERVER_BENCH_KEEP")))

    def wait_known(self, started):
        """Waits until every node knows all replicas and nodes of all groups; answers how long that took."""
        for port in self.plane.ports:
            wait_until(f"{self.plane.name} on {port} knows everything", self.limit_s, lambda: self.known(port))
        return round(time.monotonic() - started, 2)

    def known(self, port):
        """INFO is cheap on both; it counts what the lists hold."""
        info = section(try_ask(port, "INFO", "sentinel"))
        lines = [line for name, line in info.items() if name.startswith("master") and name[6:].isdigit()]
        good = [line for line in lines if "status=ok" in line and line.endswith(f"slaves=1,sentinels={NODES}")]
        if len(good) == self.groups:
            return True
        time.sleep(0.1)
        return False


@contextlib.contextmanager
def side_by_side(planes, groups):
    """A scene of each plane, all at the same time: what is measured in turn has the same neighbours."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Scene(plane, groups)) for plane in planes]


class Cost:
    """What the process of a node has used."""

    def __init__(self, process):
        self.pid = process.child.pid

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            words = file.read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / CLOCK_TICKS

    def memory_mib(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE_BYTES / (1 << 20)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


__all__ = ["Cfgserver", "Closed", "Cost", "Fleet", "Scene", "Sentinel", "ask", "name_of", "say",
           "side_by_side"]
