"""A client that writes to a group without pause, in a process of its own, and knows what was acknowledged."""

import multiprocessing
import select
import time

from resp import Closed, Connection, ask


class Writer:
    """Writes key after key to whatever a node calls the primary."""

    def __init__(self, node_port, group_name):
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=write, args=(node_port, group_name, theirs), daemon=True)
        self.process.start()
        self.pipe.recv()

    def finish(self):
        """Stops; answers the acknowledged keys and the longest pause between two acknowledged writes."""
        self.pipe.send("stop")
        acknowledged, longest = self.pipe.recv()
        self.process.join()
        return acknowledged, longest


def write(node_port, group_name, pipe):
    """As a careful client library does: asks for the primary, and moves when an event says so."""
    acknowledged, longest, last = [], 0.0, time.monotonic()
    events = Connection(node_port)
    events.send("SUBSCRIBE", "+switch-master")
    connection, number = None, 0
    while not pipe.poll():
        try:
            if select.select([events], [], [], 0)[0] and moved(events, group_name) and connection:
                connection.close()
                connection = None
            if connection is None:
                address = ask(node_port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", group_name)
                connection = Connection(int(address[1]), 2.0)
            number += 1
            key = f"w:{number}"
            if connection.call("SET", key, "x") == "OK":
                now = time.monotonic()
                longest, last = max(longest, now - last), now
                acknowledged.append(key)
                if len(acknowledged) == 1:
                    longest = 0.0
                    pipe.send("writing")
            else:
                connection.close()
                connection = None
        except (Closed, TypeError):
            connection = None
            time.sleep(0.001)
    pipe.recv()
    pipe.send((acknowledged, longest))


def moved(events, group_name):
    messages = [message for message in events.receive() if message[0] == "message"]
    return any(message[2].startswith(group_name + " ") for message in messages)
