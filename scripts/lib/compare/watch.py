"""Listens to all nodes and asks the candidates for their role, in one loop and with one clock."""

import select
import time

from resp import Closed, Connection


class Watch:
    """Subscribers on some nodes and, for some instances, a record of when each first said that it is a master."""

    ROLE_PAUSE_SECONDS = 0.001

    def __init__(self, node_ports, candidate_ports):
        self.nodes = {}
        for port in node_ports:
            connection = Connection(port)
            connection.send("SUBSCRIBE", "+switch-master")
            while not connection.receive():
                pass
            self.nodes[connection.fileno()] = (port, connection)
        # (group, node port) -> when, and the new port
        self.switches = {}
        self.candidates = {port: Candidate(port) for port in candidate_ports}

    def run(self, done, seconds):
        """Watches until `done` says so; answers whether it did in time."""
        poll = select.poll()
        for number in self.nodes:
            poll.register(number, select.POLLIN)
        deadline = time.monotonic() + seconds
        while not done(self):
            if time.monotonic() > deadline:
                return False
            pause_ms = 1 if self.candidates else 20
            for number, _ in poll.poll(pause_ms):
                at = time.monotonic()
                port, connection = self.nodes[number]
                try:
                    messages = connection.receive()
                except Closed:
                    poll.unregister(number)
                    continue
                for message in messages:
                    self.take(port, message, at)
            for candidate in self.candidates.values():
                candidate.ask()
        return True

    def take(self, port, message, at):
        if message[0] != "message":
            return
        group, _, _, _, new_port = message[2].split(" ")
        self.switches.setdefault((group, port), (at, int(new_port)))

    def told(self, group):
        """The nodes' times for a group, in no order."""
        return [at for (name, _), (at, _) in self.switches.items() if name == group]

    def first(self, group):
        return min(self.told(group), default=None)

    def last(self, group):
        return max(self.told(group), default=None)

    def new_port(self, group):
        return next(port for (name, _), (_, port) in self.switches.items() if name == group)

    def announced_early(self, group):
        """Whether a request that was sent after the first event was still answered by a replica."""
        candidate = self.candidates[self.new_port(group)]
        return candidate.last_replica_sent is not None and candidate.last_replica_sent > self.first(group)

    def close(self):
        for _, connection in self.nodes.values():
            connection.close()
        for candidate in self.candidates.values():
            candidate.close()


class Candidate:
    """Asks one instance for its role again and again, also after a promotion closed its connections."""

    def __init__(self, port):
        self.port = port
        self.connection = None
        self.first_master = None
        self.last_replica_sent = None

    def ask(self):
        if self.first_master is not None:
            return
        sent = time.monotonic()
        try:
            if self.connection is None:
                self.connection = Connection(self.port, 1.0)
            role = self.connection.call("ROLE")[0]
        except Closed:
            self.connection = None
            return
        if role == "master":
            self.first_master = time.monotonic()
        else:
            self.last_replica_sent = sent

    def close(self):
        if self.connection:
            self.connection.close()
