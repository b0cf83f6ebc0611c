"""What a connection, and a subscriber, costs in memory."""

import socket

from resp import encode
from scene import Cost, side_by_side

CONNECTIONS = 2_000


def measure(planes, given, results):
    count = given.scaled(CONNECTIONS)
    with side_by_side(planes, 1) as scenes:
        for scene in scenes:
            found, cost, port = results[scene.plane.name], Cost(scene.plane.processes[0]), scene.plane.ports[0]
            for name, words in [("connection", ["PING"]), ("subscriber", ["SUBSCRIBE", "+switch-master"])]:
                before = cost.memory_mib()
                sockets = [asked(port, words) for _ in range(count)]
                found[f"KiB of a {name}"] = round((cost.memory_mib() - before) * 1024 / count, 2)
                for one in sockets:
                    one.close()


def asked(port, words):
    """A connection that has asked once and had its answer."""
    one = socket.create_connection(("127.0.0.1", port), 30)
    one.sendall(encode(words))
    if not one.recv(4096):
        raise RuntimeError("a connection was closed")
    return one
