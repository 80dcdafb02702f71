"""The links to reports in Redis: which there are of a job, so that each can be shown and taken back."""

from collections.abc import Sequence

import msgspec

from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.words import ids

#: Of one job that are not over.
MOST = 100
_ADD = Script.of(__file__, "report_link_store_add")


class KeptLink(msgspec.Struct, frozen=True, array_like=True):
    """A link that somebody made: over at `over_ms`; `note` is for whom, in their words."""

    id: bytes
    created_ms: int
    over_ms: int
    note: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeptLink)


class ReportLinks:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def add(self, job: str, link: KeptLink) -> bool:
        """Whether there was room for it."""
        args: list[str | bytes | int] = [link.created_ms, _encoder.encode(link), link.over_ms, MOST]
        return bool(await _ADD(self._client, [self._key(job)], args))

    async def all(self, job: str, now_ms: int) -> Sequence[KeptLink]:
        """Those that are not over, the first to be over first."""
        found = await self._client.zrangebyscore(self._key(job), f"({now_ms}", "+inf")
        return [_decoder.decode(packed) for packed in found]

    async def find(self, job: str, link: bytes, now_ms: int) -> KeptLink | None:
        return next((one for one in await self.all(job, now_ms) if one.id == link), None)

    async def remove(self, job: str, link: bytes, now_ms: int) -> bool:
        """Whether there was one."""
        found = await self.find(job, link, now_ms)
        return found is not None and bool(await self._client.zrem(self._key(job), _encoder.encode(found)))

    def _key(self, job: str) -> str:
        return keys.report_links(ids.job_partition(job, self._partitions), job)
