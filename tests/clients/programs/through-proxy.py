"""redis-py without Sentinel, behind a proxy. Arguments: the group, the key to write, the ports for primary and replicas."""

import itertools
import json
import os
import sys
import threading
import time

import redis

PAUSE_S = 0.02
LOOK_S = 0.2


def tell(**happening):
    sys.stdout.write(json.dumps(happening) + "\n")
    sys.stdout.flush()


def end_with_standard_input():
    sys.stdin.read()
    os._exit(0)


def look(role, port):
    handle = redis.Redis(port=port)
    while True:
        try:
            tell(**{role: handle.info("server")["tcp_port"]})
        except redis.RedisError as error:
            tell(trouble=f"{role}: {error!r}")
        time.sleep(LOOK_S)


_, key, primary, replica = sys.argv[1:]
threading.Thread(target=end_with_standard_input, daemon=True).start()
tell(client="redis-py", version=redis.__version__)
threading.Thread(target=look, args=("primary", int(primary)), daemon=True).start()
threading.Thread(target=look, args=("replica", int(replica)), daemon=True).start()
writer = redis.Redis(port=int(primary))
for value in itertools.count(1):
    try:
        writer.sadd(key, value)
        tell(wrote=value)
    except redis.RedisError as error:
        tell(failed=value, why=repr(error))
    time.sleep(PAUSE_S)
