"""redis-py's asyncio half: the same as redis-py.py."""

import asyncio
import itertools
import json
import os
import sys

import redis
from redis.asyncio.sentinel import Sentinel

PAUSE_S = 0.02
LOOK_S = 0.2


def tell(**happening):
    sys.stdout.write(json.dumps(happening) + "\n")
    sys.stdout.flush()


async def end_with_standard_input():
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


async def look(role, handle):
    while True:
        try:
            tell(**{role: (await handle.info("server"))["tcp_port"]})
        except redis.RedisError as error:
            tell(trouble=f"{role}: {error!r}")
        await asyncio.sleep(LOOK_S)


async def write(primary, key):
    for value in itertools.count(1):
        try:
            await primary.sadd(key, value)
            tell(wrote=value)
        except redis.RedisError as error:
            tell(failed=value, why=repr(error))
        await asyncio.sleep(PAUSE_S)


async def main():
    group, key, *ports = sys.argv[1:]
    sentinel = Sentinel([("127.0.0.1", int(port)) for port in ports])
    tell(client="redis-py asyncio", version=redis.__version__)
    primary, replica = sentinel.master_for(group), sentinel.slave_for(group)
    await asyncio.gather(end_with_standard_input(), look("primary", primary), look("replica", replica), write(primary, key))


asyncio.run(main())
