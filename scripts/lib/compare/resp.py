"""A blocking RESP2 connection, and a decoder that is fed bytes as they come."""

import socket


class Closed(Exception):
    """The other side closed the connection, or never accepted it."""


class ReplyError(str):
    """An error reply: a value, not an exception."""


class Decoder:
    """Takes bytes, gives complete replies."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data):
        """Adds bytes; answers the replies that are now complete."""
        self.buffer += data
        replies = []
        while True:
            parsed = self._parse(0)
            if parsed is None:
                return replies
            reply, end = parsed
            self.buffer = self.buffer[end:]
            replies.append(reply)

    def _parse(self, at):
        line_end = self.buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        kind, rest, after = self.buffer[at : at + 1], self.buffer[at + 1 : line_end], line_end + 2
        if kind == b"+":
            return rest.decode(), after
        if kind == b"-":
            return ReplyError(rest.decode()), after
        if kind == b":":
            return int(rest), after
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None, after
            if len(self.buffer) < after + length + 2:
                return None
            return self.buffer[after : after + length].decode(errors="replace"), after + length + 2
        if kind == b"*":
            items = []
            for _ in range(max(int(rest), 0)):
                parsed = self._parse(after)
                if parsed is None:
                    return None
                item, after = parsed
                items.append(item)
            return (items if int(rest) >= 0 else None), after
        raise Closed(f"not RESP: {self.buffer[at:at + 40]!r}")


def encode(words):
    """A request as bytes."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Connection:
    """One blocking connection to a server on loopback."""

    def __init__(self, port, timeout=5.0):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        except OSError as error:
            raise Closed(str(error)) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder = Decoder()
        self.ready = []

    def fileno(self):
        return self.socket.fileno()

    def send(self, *words):
        try:
            self.socket.sendall(encode(words))
        except OSError as error:
            raise Closed(str(error)) from error

    def receive(self):
        """What has arrived: a list of replies, empty when none is complete yet."""
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("closed by the server")
        return self.decoder.feed(data)

    def call(self, *words):
        self.send(*words)
        while not self.ready:
            self.ready = self.receive()
        return self.ready.pop(0)

    def close(self):
        self.socket.close()


def ask(port, *words, timeout=2.0):
    """One request on a connection of its own."""
    connection = Connection(port, timeout)
    try:
        return connection.call(*words)
    finally:
        connection.close()


def try_ask(port, *words):
    """Like `ask`; `None` when there is no answer."""
    try:
        return ask(port, *words)
    except Closed:
        return None


def fields(flat):
    """A flat array of pairs as a dictionary."""
    if not isinstance(flat, list):
        return {}
    return dict(zip(flat[::2], flat[1::2]))


def section(text):
    """The lines of an INFO answer as a dictionary."""
    lines = (line.partition(":") for line in str(text or "").splitlines())
    return {name: value for name, colon, value in lines if colon}
