"""Stored templates in Redis: each change is a version that never changes, and is found by its number.

    templates       what there is, with the numbers, times and sizes of its versions: `Head`
    template        the versions themselves, compressed

What is written depends on what was there: it is decided here, from the head, and the script writes it if the head is
still the same. That a layout is there, and that nobody stands in what is removed, is seen by the scripts themselves:
whoever puts and removes at once leaves no template without its layout. A number is given once: after a template was
removed, numbers of any of that name go on behind it.
"""

import zlib
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from services.queueing.templates import Kept, Used, in_layout
from shared.net.remembered import Remembered
from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.words import ids

#: Of a tenant.
MOST_TEMPLATES = 500
#: Of a template: the oldest goes when one more comes.
MOST_VERSIONS = 100
#: Versions that a process remembers, decoded.
REMEMBERED = 100
#: Ones no larger.
REMEMBERED_BYTES = 200_000

_PUT = Script.of(__file__, "template_store_put", kept=True)
_REMOVE = Script.of(__file__, "template_store_remove", kept=True)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class Version(msgspec.Struct, frozen=True, array_like=True):
    number: int
    at_ms: int
    size_bytes: int


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Of one template: its versions, the newest last, and what is shown in a list. `digest` is that of the newest, of
    16 bytes; a script reads what stands up to `layout`."""

    versions: list[Version]
    digest: bytes
    subject: str = ""
    layout: str = ""
    is_layout: bool = False
    languages: list[str] = []

    @property
    def newest(self) -> Version:
        return self.versions[-1]


_decode_head = msgspec.msgpack.Decoder(Head).decode


class InUse(Exception):
    """Others stand in it."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = list(names)


class TooMany(Exception):
    """The tenant has as many as there may be."""


class NoLayout(Exception):
    """It stands in one that is not there any more."""


class Packed(NamedTuple):
    """A version, as it is stored, and by what it is known."""

    data: bytes
    digest: bytes


def packed(kept: Kept) -> Packed:
    raw = _encode(kept)
    return Packed(zlib.compress(raw, 6), blake2b(raw, digest_size=16).digest())


class TemplateStore:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._partitions = partitions
        self._known = Remembered[tuple[str, str, int], Kept](REMEMBERED, monotonic)

    def _partition(self, tenant: str) -> int:
        return ids.name_partition(tenant, self._partitions)

    async def heads(self, tenant: str) -> dict[str, Head]:
        """By name."""
        found = await self._client.hgetall(keys.templates(self._partition(tenant), tenant))
        return {name.decode(): _decode_head(packed) for name, packed in sorted(found.items()) if name != b"(last)"}

    async def head(self, tenant: str, name: str) -> Head | None:
        packed = await self._client.hget(keys.templates(self._partition(tenant), tenant), name)
        return None if packed is None else _decode_head(packed)

    async def version(self, tenant: str, name: str, number: int) -> Kept | None:
        known = self._known.known((tenant, name, number))
        if known is not None:
            return known
        packed = await self._client.hget(keys.template(self._partition(tenant), tenant, name), str(number))
        if packed is None:
            return None
        raw = zlib.decompress(packed)
        found = _decode(raw)
        if len(raw) <= REMEMBERED_BYTES:
            self._known.keep((tenant, name, number), found)
        return found

    async def find(self, tenant: str, name: str, number: int | None = None) -> tuple[Version, Kept] | None:
        """The newest version, or that one."""
        head = await self.head(tenant, name)
        if head is None:
            return None
        version = head.newest if number is None else next((one for one in head.versions if one.number == number), None)
        kept = None if version is None else await self.version(tenant, name, version.number)
        return None if version is None or kept is None else (version, kept)

    async def whole(self, tenant: str, name: str, number: int | None = None) -> tuple[Kept, Used] | None:
        """A template in its layout, as a job gets it. LookupError: it names a layout that is not there."""
        found = await self.find(tenant, name, number)
        if found is None:
            return None
        version, kept = found
        if not kept.layout:
            return kept, Used(name, version.number)
        framed = await self.find(tenant, kept.layout)
        if framed is None:
            raise LookupError(kept.layout)
        return in_layout(kept, framed[1]), Used(name, version.number, kept.layout, framed[0].number)

    async def put(self, tenant: str, name: str, kept: Kept, packed: Packed, now_ms: int) -> tuple[Head, bool, bool]:
        """Its head; whether it is new; whether anything changed: what is the newest version already makes no other.
        TooMany, NoLayout."""
        p = self._partition(tenant)
        where = keys.templates(p, tenant)
        while True:
            before, last = await self._client.hmget(where, [name, "(last)"])
            old = None if before is None else _decode_head(before)
            if old is not None and old.digest == packed.digest:
                return old, False, False
            number = (old.newest.number if old is not None else int(last or 0)) + 1
            versions = [*(old.versions if old is not None else ()), Version(number, now_ms, len(packed.data))]
            dropped, versions = versions[:-MOST_VERSIONS], versions[-MOST_VERSIONS:]
            languages = sorted([*([kept.language] if kept.language else []), *kept.translations])
            head = Head(versions, packed.digest, kept.wording.subject[:200], kept.layout, kept.is_layout, languages)
            names = [where, keys.template(p, tenant, name), keys.use(p, tenant)]
            args: list[str | bytes | int] = [name, before or b"", MOST_TEMPLATES, kept.layout, _encode(head), number]
            more = len(packed.data) - sum(one.size_bytes for one in dropped)
            word = await _PUT(self._client, names, [*args, packed.data, more, *(one.number for one in dropped)])
            if word == b"full":
                raise TooMany
            if word == b"alone":
                raise NoLayout
            if word == b"put":
                return head, old is None, True

    async def remove(self, tenant: str, name: str) -> bool:
        """Whether there was one. InUse: it is the layout of others."""
        p = self._partition(tenant)
        while True:
            stored = await self._client.hget(keys.templates(p, tenant), name)
            if stored is None:
                return False
            head = _decode_head(stored)
            names = [keys.templates(p, tenant), keys.template(p, tenant, name), keys.use(p, tenant)]
            size = sum(one.size_bytes for one in head.versions)
            removed = await _REMOVE(self._client, names, [name, stored, size, head.newest.number])
            if isinstance(removed, list):
                raise InUse(sorted(user.decode() for user in removed))
            if removed:
                return True
