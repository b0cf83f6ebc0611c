"""Processes on loopback: ports that nobody shares, servers that end with the program, by process id."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Closed, ask, section, try_ask

# Below the range that the kernel draws outgoing ports from.
PORT_LOW, PORT_COUNT = 20_000, 10_000
# A port is held by listening on it at another loopback address: that excludes every other program that does
# the same, and leaves 127.0.0.1 free for the server that gets the port.
PORT_HOLDER = "127.77.77.77"


def wait_until(what, seconds, condition):
    """Waits for a condition and answers its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class World:
    """Owns a folder, ports and processes; all of it ends with `close`."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="cfgserver-compare.")
        self.holders = []
        self.processes = []
        self.next_port = random.randrange(PORT_COUNT)

    def port(self):
        for _ in range(PORT_COUNT):
            self.next_port = (self.next_port + 1) % PORT_COUNT
            port = PORT_LOW + self.next_port
            holder = socket.socket()
            try:
                holder.bind((PORT_HOLDER, port))
                holder.listen()
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            except OSError:
                holder.close()
                continue
            self.holders.append(holder)
            return port
        raise RuntimeError("no free port on 127.0.0.1")

    def start(self, name, words, last_signal=signal.SIGKILL):
        """`last_signal` ends it; another one than SIGKILL for a process that has to end others."""
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            process = Process(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                               start_new_session=True, cwd=self.folder), last_signal)
        self.processes.append(process)
        return process

    def forget_ended(self):
        self.processes = [process for process in self.processes if process.running()]

    def close(self, keep_folder=False):
        for process in self.processes:
            process.kill()
        for holder in self.holders:
            holder.close()
        if not keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class Process:
    """A child, signalled by its id."""

    def __init__(self, child, last_signal):
        self.child = child
        self.last_signal = last_signal

    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.child.pid, number)

    def kill(self):
        self.signal(self.last_signal)
        self.child.wait()


class Redis:
    """A redis-server on loopback that keeps nothing on disk."""

    program = "redis-server"

    def __init__(self, world, follow=None, options=()):
        self.port = world.port()
        self.folder = os.path.join(world.folder, f"redis-{self.port}")
        os.makedirs(self.folder)
        self.words = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder,
                      "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", *options]
        if follow:
            self.words += ["--replicaof", "127.0.0.1", str(follow)]
        self.start(world)

    def start(self, world):
        """The same again, empty."""
        self.process = world.start(f"redis-{self.port}", self.words)

    def answers(self):
        return try_ask(self.port, "PING") == "PONG"

    def follows(self, port):
        info = section(try_ask(self.port, "INFO", "replication"))
        return info.get("master_port") == str(port) and info.get("master_link_status") == "up"


class Group:
    """A primary and its replicas under a name."""

    def __init__(self, world, name, replicas, options=()):
        self.name = name
        self.primary = Redis(world, options=options)
        wait_until(f"redis {self.primary.port} answers", 10, self.primary.answers)
        self.replicas = []
        self.add_replicas(world, replicas, options)

    def add_replicas(self, world, count, options=()):
        self.replicas += [Redis(world, self.primary.port, options) for _ in range(count)]

    def wait_in_sync(self, seconds=20):
        for replica in self.replicas:
            wait_until(f"redis {replica.port} is in sync", seconds, lambda: replica.follows(self.primary.port))
        # What the replicas have received is what makes them eligible, for both planes.
        ask(self.primary.port, "SET", "born", self.name)
        for replica in self.replicas:
            wait_until(f"redis {replica.port} has the first key", 20,
                       lambda: try_ask(replica.port, "GET", "born") == self.name)

    def close(self):
        for redis in [self.primary, *self.replicas]:
            redis.process.signal(signal.SIGCONT)
            redis.process.kill()


def keys_missing(port, keys):
    """How many of the keys a server does not have."""
    from resp import Connection

    connection = Connection(port, 10.0)
    missing = 0
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        found = connection.call("EXISTS", *part)
        if isinstance(found, str):
            raise Closed(found)
        missing += len(part) - found
    connection.close()
    return missing
