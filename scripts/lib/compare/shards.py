"""A client that writes one key through a proxy without pause, in a process of its own, and remembers every attempt."""

import collections
import ctypes
import multiprocessing
import time

from processes import wait_until
from resp import Closed, Connection, try_ask

PAUSE_SECONDS = 0.002
# Longer than any pause that a proxy makes while it is healthy.
ANSWER_SECONDS = 5.0

# One write: seconds of the monotonic clock, and the reply or what happened to the connection.
Attempt = collections.namedtuple("Attempt", "started ended good said")


class ShardWriter:
    """Writes to one shard until `finish`."""

    def __init__(self, proxy_port, key):
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.last_good = context.Value(ctypes.c_double, 0.0)
        self.process = context.Process(target=write, args=(proxy_port, key, theirs, self.last_good), daemon=True)
        self.process.start()
        wait_until(f"a first write of {key} through the proxy", 20, lambda: self.last_good.value)

    def wait_good_since(self, moment, seconds):
        """Answers whether a write was acknowledged after this moment, in time."""
        try:
            wait_until("a good write", seconds, lambda: self.last_good.value > moment)
        except TimeoutError:
            return False
        return True

    def finish(self):
        self.pipe.send("stop")
        attempts = self.pipe.recv()
        self.process.join()
        return [Attempt(*one) for one in attempts]


def write(proxy_port, key, pipe, last_good):
    connection, attempts = None, []
    while not pipe.poll():
        started, good = time.monotonic(), False
        try:
            connection = connection or Connection(proxy_port, ANSWER_SECONDS)
            said = connection.call("SET", key, len(attempts))
            good = said == "OK"
        except Closed as closed:
            connection, said = None, f"connection: {closed}"
        ended = time.monotonic()
        attempts.append((started, ended, good, said))
        if good:
            last_good.value = started
        time.sleep(PAUSE_SECONDS)
    pipe.recv()
    pipe.send(attempts)


class Outage:
    """What one writer saw from a moment on."""

    def __init__(self, attempts, since):
        after = [attempt for attempt in attempts if attempt.ended >= since]
        failed = [attempt for attempt in after if not attempt.good]
        self.count, self.failed = len(after), len(failed)
        self.reasons = collections.Counter(attempt.said for attempt in failed)
        # Until the first good write behind the last failed one: 0 when none failed, None when none was good again.
        self.seconds = 0.0
        if failed:
            good = [attempt.ended for attempt in after if attempt.good and attempt.started >= failed[-1].ended]
            self.seconds = good[0] - since if good else None
        good = [attempt.ended for attempt in attempts if attempt.good]
        pauses = [late - early for early, late in zip(good, good[1:]) if late >= since]
        # Between two good writes, the first of them perhaps before that moment.
        self.longest = max(pauses, default=0.0)


def keys_of_shards(proxy_port, groups):
    """One key for each group, found by writing through the proxy and looking where it arrived."""
    found = {}
    for number in range(1000):
        key = f"key{number}"
        connection = Connection(proxy_port)
        if connection.call("SET", key, "x") == "OK":
            for group in groups:
                if try_ask(group.primary.port, "EXISTS", key) == 1:
                    found.setdefault(group.name, key)
        connection.close()
        if len(found) == len(groups):
            return [found[group.name] for group in groups]
    raise RuntimeError("the proxy does not reach every shard")
