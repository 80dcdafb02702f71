"""What is looked at when an open job is started, or a scheduled one is changed: whether somebody has each variable that
the job does not do without.

Recipients are read chunk by chunk until each variable was seen, which mostly takes the first; only where one is
misspelt all of them are.
"""

from collections.abc import Mapping
from typing import Protocol

from services.queueing import undefined
from services.queueing.aside import Aside
from services.queueing.lacking import has
from shared.redis.recipients import Chunk
from shared.words import variables
from shared.words.errors import Fault


class Store(Protocol):
    async def undefined(self, job: str) -> bytes: ...

    async def nth_chunk(self, job: str, number: int) -> Chunk | None: ...


async def lacking(store: Store, aside: Aside, tenant: str, job: str) -> list[Fault]:
    """What nobody of an open job's recipients has, if it refuses that. RedisAway."""
    return await had_by_nobody(store, aside, tenant, job, undefined.of_open_job(await store.undefined(job)))


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
