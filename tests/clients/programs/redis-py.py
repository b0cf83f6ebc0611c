"""redis-py: the primary through master_for, a replica through slave_for. Arguments: the group, the key to write, the ports of the nodes."""

import itertools
import json
import os
import sys
import threading
import time

import redis
from redis.sentinel import Sentinel

PAUSE_S = 0.02
LOOK_S = 0.2


def tell(**happening):
    sys.stdout.write(json.dumps(happening) + "\n")
    sys.stdout.flush()


def end_with_standard_input():
    sys.stdin.read()
    # Even a call that hangs ends here.
    os._exit(0)


def look(role, handle):
    """Where this handle leads, again and again."""
    while True:
        try:
            tell(**{role: handle.info("server")["tcp_port"]})
        except redis.RedisError as error:
            tell(trouble=f"{role}: {error!r}")
        time.sleep(LOOK_S)


group, key, *ports = sys.argv[1:]
threading.Thread(target=end_with_standard_input, daemon=True).start()
sentinel = Sentinel([("127.0.0.1", int(port)) for port in ports])
tell(client="redis-py", version=redis.__version__)
for role, handle in ("primary", sentinel.master_for(group)), ("replica", sentinel.slave_for(group)):
    threading.Thread(target=look, args=(role, handle), daemon=True).start()
primary = sentinel.master_for(group)
for value in itertools.count(1):
    try:
        primary.sadd(key, value)
        tell(wrote=value)
    except redis.RedisError as error:
        tell(failed=value, why=repr(error))
    time.sleep(PAUSE_S)
