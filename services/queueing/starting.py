"""What is looked at when an open job is started, or a scheduled one is changed: whether somebody has each variable that
the job does not do without, and whether it is a test, which waits for no time.

Recipients are read chunk by chunk until each variable was seen, which mostly takes the first; only where one is
misspelt all of them are.
"""

import zlib
from collections.abc import Mapping
from typing import Protocol

import msgspec

from services.queueing import undefined
from services.queueing.aside import Aside
from services.queueing.lacking import has
from services.queueing.store import Changeable, Head
from shared.redis.recipients import Chunk
from shared.words import variables
from shared.words.errors import Fault


class _Said(msgspec.Struct, frozen=True):
    """Of what a job was made from."""

    test: bool = False


class Store(Protocol):
    async def changeable(self, job: str) -> Changeable: ...

    async def undefined(self, job: str) -> bytes: ...

    async def nth_chunk(self, job: str, number: int) -> Chunk | None: ...


async def lacking(store: Store, aside: Aside, tenant: str, job: str) -> list[Fault]:
    """What nobody of an open job's recipients has, if it refuses that. RedisAway."""
    return await had_by_nobody(store, aside, tenant, job, undefined.of_open_job(await store.undefined(job)))


async def goes_at_once(store: Store, aside: Aside, head: Head, job: str) -> bool:
    """Whether an open job says that it is a test, which goes at once whatever time it is started for. RedisAway."""
    if not (head.test and head.sandbox):
        return head.test
    # Those of the sandbox count as tests, all of them; what this one was made from says whether it is one.
    source = (await store.changeable(job)).source
    return bool(source) and await aside.do(head.tenant, len(source), is_test, source)


def is_test(source: bytes) -> bool:
    return msgspec.json.decode(zlib.decompress(source), type=_Said).test


async def had_by_nobody(store: Store, aside: Aside, tenant: str, job: str, wanted: Mapping[str, Fault]) -> list[Fault]:
    """Those of the wanted variables that no recipient has whom the job keeps. RedisAway."""
    number = 0
    while wanted:
        chunk = await store.nth_chunk(job, number)
        if chunk is None or chunk.slim:
            break  # all were asked; or it was started meanwhile, and whoever starts it says so
        wanted = await aside.do(tenant, len(chunk.body), still_wanted, wanted, chunk)
        number += 1
    return list(wanted.values()) if number else []


def still_wanted(wanted: Mapping[str, Fault], chunk: Chunk) -> dict[str, Fault]:
    """Those of them that nobody in the chunk has. Who is rejected does not count."""
    left = {tuple(path.split(".")): fault for path, fault in wanted.items()}
    for one in chunk.waiting():
        if not left:
            break
        if one.rejected is None:
            try:
                values = variables.decoded(one.variables)
            except variables.TooDeep:
                continue  # the rendering says so
            values |= {"name": one.name} if one.name else {}
            left = {path: fault for path, fault in left.items() if not has(values, path)}
    return {".".join(path): fault for path, fault in left.items()}
