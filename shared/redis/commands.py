"""The commands of Redis that we use, with the types of their answers: what `redis.connect` gives knows no others.

Names, keys and values go in as text, bytes or numbers, and come back as bytes. Where the library has options that we do
not use, they are not here. Each raises `RedisAway` while the server is away.
"""

from collections.abc import Awaitable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, Protocol, overload

Value = str | bytes | int | float
#: Entries of a stream: id and fields of each; no fields where the entry was deleted while it was in hand.
Entries = list[tuple[bytes, dict[bytes, bytes]]]
#: What was read of streams: the name and the entries of each.
Streams = list[tuple[bytes, Entries]]


class Pipeline(Protocol):
    """Several commands in one round trip; in a cluster one to each server, at the same time."""

    def hmget(self, name: str, keys: Sequence[str], /) -> object: ...

    def execute(self) -> Awaitable[list[list[bytes | None]]]: ...


class Client(Protocol):
    """A client of one server, or of a cluster. Whoever holds it calls `redis.close` once."""

    # Scripts, for `redis.Script` alone: these two raise the library's own errors

    def evalsha(self, digest: str, keys: int, /, *keys_and_args: Value) -> Awaitable[Any]: ...

    def eval(self, lua: str, keys: int, /, *keys_and_args: Value) -> Awaitable[Any]: ...

    def aclose(self) -> Awaitable[None]: ...

    def pipeline(self, *, transaction: bool) -> Pipeline: ...

    def config_get(self, pattern: str, /) -> Awaitable[Mapping[str, str]]: ...

    # Keys and strings

    def get(self, name: str, /) -> Awaitable[bytes | None]: ...

    def getrange(self, key: str, start: int, end: int, /) -> Awaitable[bytes]: ...

    def set(self, name: str, value: Value, /, *, nx: bool = False, px: int | None = None) -> Awaitable[bool | None]: ...

    def delete(self, *names: str) -> Awaitable[int]: ...

    def exists(self, *names: str) -> Awaitable[int]: ...

    # Hashes

    def hget(self, name: str, key: str, /) -> Awaitable[bytes | None]: ...

    def hmget(self, name: str, keys: Sequence[str] | Value, /, *more: Value) -> Awaitable[list[bytes | None]]: ...

    def hgetall(self, name: str, /) -> Awaitable[dict[bytes, bytes]]: ...

    def hlen(self, name: str, /) -> Awaitable[int]: ...

    def hkeys(self, name: str, /) -> Awaitable[list[bytes]]: ...

    def hvals(self, name: str, /) -> Awaitable[list[bytes]]: ...

    def hset(self, name: str, key: str | bytes, value: Value, /) -> Awaitable[int]: ...

    def hsetnx(self, name: str, key: str, value: Value, /) -> Awaitable[bool]: ...

    def hdel(self, name: str, /, *keys: Value) -> Awaitable[int]: ...

    def info(self, section: str, /, **options: str) -> Awaitable[Mapping[str, Any]]: ...

    # Lists and sets

    def rpushx(self, name: str, value: Value, /) -> Awaitable[int]: ...

    def llen(self, name: str, /) -> Awaitable[int]: ...

    def smembers(self, name: str, /) -> Awaitable[AbstractSet[bytes]]: ...

    def srem(self, name: str, /, *values: Value) -> Awaitable[int]: ...

    # Sorted sets

    def zadd(self, name: str, mapping: Mapping[str, float], /) -> Awaitable[int]: ...

    def zrem(self, name: str, /, *values: Value) -> Awaitable[int]: ...

    def zcard(self, name: str, /) -> Awaitable[int]: ...

    @overload
    def zrange(self, name: str, start: int, end: int, /) -> Awaitable[list[bytes]]: ...

    @overload
    def zrange(
        self, name: str, start: int, end: int, /, *, withscores: Literal[True]
    ) -> Awaitable[list[tuple[bytes, float]]]: ...

    def zrangebyscore(
        self, name: str, low: Value, high: Value, /, *, start: int | None = None, num: int | None = None
    ) -> Awaitable[list[bytes]]: ...

    def zrevrangebyscore(
        self, name: str, high: Value, low: Value, /, *, start: int | None = None, num: int | None = None
    ) -> Awaitable[list[bytes]]: ...

    def zrangebylex(
        self, name: str, low: str, high: str, /, *, start: int | None = None, num: int | None = None
    ) -> Awaitable[list[bytes]]: ...

    def zrevrangebylex(
        self, name: str, high: str, low: str, /, *, start: int | None = None, num: int | None = None
    ) -> Awaitable[list[bytes]]: ...

    # Streams

    def xadd(self, name: str, fields: Mapping[str, Value], /) -> Awaitable[bytes]: ...

    def xdel(self, name: str, /, *ids: Value) -> Awaitable[int]: ...

    def xlen(self, name: str, /) -> Awaitable[int]: ...

    def xrange(self, name: str, first: str, last: str, /, *, count: int | None = None) -> Awaitable[Entries]: ...

    def xrevrange(
        self, name: str, last: str = "+", first: str = "-", /, *, count: int | None = None
    ) -> Awaitable[Entries]: ...

    def xtrim(self, name: str, /, *, minid: str, approximate: bool) -> Awaitable[int]: ...

    def xread(
        self, streams: Mapping[str, str], /, *, count: int | None = None, block: int | None = None
    ) -> Awaitable[Streams | None]: ...

    def xgroup_create(self, name: str, group: str, /, *, id: str, mkstream: bool) -> Awaitable[bool]: ...

    def xinfo_groups(self, name: str, /) -> Awaitable[list[dict[str, Any]]]: ...

    def xreadgroup(
        self, group: str, consumer: str, streams: Mapping[str, str], /, *, count: int, block: int | None
    ) -> Awaitable[Streams | None]: ...

    def xautoclaim(
        self, name: str, group: str, consumer: str, min_idle_ms: int, /, *, start_id: str, count: int
    ) -> Awaitable[tuple[bytes, Entries, list[bytes]]]: ...

    def xclaim(
        self,
        name: str,
        group: str,
        consumer: str,
        min_idle_ms: int,
        ids: Sequence[str],
        /,
        *,
        justid: bool,
        force: bool = False,
    ) -> Awaitable[list[bytes]]: ...

    def xack(self, name: str, group: str, /, *ids: Value) -> Awaitable[int]: ...

    def xpending(self, name: str, group: str, /) -> Awaitable[dict[str, Any]]: ...
