"""What redis-cli shows behind the cursor while somebody types. Arguments: the port, the lines to type."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios

PATIENCE_S = 10
HINT = re.compile(rb"\x1b\[0;90;49m(.*?)\x1b\[0m")


def read_until(terminal, enough):
    """Everything that is printed until `enough` says so; fails when nothing more comes."""
    printed = b""
    while not enough(printed):
        ready, _, _ = select.select([terminal], [], [], PATIENCE_S)
        if not ready:
            raise SystemExit(f"redis-cli stopped at {printed!r}")
        printed += os.read(terminal, 65536)
    return printed


port, *lines = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.environ["TERM"] = "xterm"
    os.execvp("redis-cli", ["redis-cli", "-p", port])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
prompt = f"127.0.0.1:{port}> ".encode()
read_until(terminal, lambda printed: prompt in printed)
for line in lines:
    os.write(terminal, line.encode())
    # The line is drawn anew after each key: its last picture has the hint for all of it.
    shown = prompt + line.encode() + b"\x1b"
    printed = read_until(terminal, lambda printed: shown in printed and printed[printed.rindex(shown):].count(b"\x1b") >= 3)
    hint = HINT.search(printed, printed.rindex(shown))
    print(json.dumps({"typed": line, "hint": hint.group(1).decode().strip() if hint else None}), flush=True)
    os.write(terminal, b"\x15")
os.write(terminal, b"\x04")
os.waitpid(child, 0)
