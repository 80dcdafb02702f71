"""How every process reaches Redis: one client for a single server or a cluster, scripts by their digest, one error.

`redis://…` is a single server, the others are told in `shared.net.redis_url`. Commands are never repeated by the
client itself: a script that took work and lost its answer must not take more, so whoever calls decides what a repeat
means. Foreign exceptions stop here: whatever the library raises for a server that is away becomes `RedisAway`, in the
client itself, so that nobody can forget it. `shared.redis.commands` has what may be called, and the types.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from errno import ECONNRESET
from hashlib import sha1
from math import inf
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import hiredis
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from shared.net import redis_url
from shared.redis import commands, kept, keys
from shared.redis.kept import Text
from shared.redis.lua import Names, named
from shared.words.errors import OperatorFault, StorageAway

Client = commands.Client
#: A command that the server does not take, or not from this user.
Refused = ResponseError
#: What a server says, or fails to say, while it restarts, fails over, is cut off or is full. Worth waiting for.
AWAY = (
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
    kept.Unconfirmed,
    OSError,
)
#: All that the library raises for what a server says, or does not say (AttributeError: see `_was_closed_in_use`).
FOREIGN = (*AWAY, ResponseError, AttributeError)
#: And errors that have no class of their own, by their first word: the disk that Redis writes to is full or broken, too
#: few replicas have what is written, a script runs for too long, a primary has become somebody's replica (UNBLOCKED:
#: while a read waited there), a script of an older server found no memory.
AWAY_WORDS = ("MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "UNBLOCKED", "OOM")
#: How a server says that it lets nobody in so. A cluster's client repeats it, but not its first word.
NOT_LET_IN = "NOAUTH|WRONGPASS|Authentication required|invalid username-password pair"
#: Longer than any blocking read (`bus.BLOCK_MS`), shorter than a user's patience.
SOCKET_TIMEOUT_S = 5.0
#: For one of several, which all know the same: the next one is asked then.
SENTINEL_TIMEOUT_S = 1.0
#: More than this that the server has not read yet, and a command waits for it (asyncio's own mark).
WRITE_BUFFER_BYTES = 65_536
#: To one server. Calls at the same time take a connection each, and one more than this would count as a server that is
#: away. Most are short; a relay has about 20 under way, more while the server is slow. A server lets in 10,000.
MAX_CONNECTIONS = 500


#: Commands that go over the connection that small calls share, if there is one: none of them waits for anything.
SHARED = frozenset(
    ("EXISTS", "GET", "HDEL", "HGET", "HGETALL", "HMGET", "HSET", "SET", "XACK", "ZCARD", "ZRANGEBYSCORE", "ZSCORE")
)


class RedisAway(StorageAway):
    """Redis does not answer, or takes nothing more for now. What was asked may or may not have happened."""


class NotLetIn(RedisAway):
    """Redis wants a password, or takes no such user or password. An operator may mend it while we wait."""


class WrongPartitions(OperatorFault):
    """The number of partitions differs from the one the data was made with."""


class NotConfirmed(RedisAway):
    """Too few replicas or disks have what was written (`shared.redis.kept`). It may be there or not."""


class NotDurable(OperatorFault):
    """The server may forget what it acknowledged, and `redis.require_durable` forbids that."""


class CannotWait(OperatorFault):
    """The server is older than WAITAOF, which `redis.wait_aof` asks for."""


class Shared(Protocol):
    """A connection that small calls share (`shared.redis.direct`)."""

    def takes(self, *commands: Sequence[commands.Value]) -> "Awaitable[list[Any]] | None":
        """The answers, in their order; None if these are too large to share it. RedisAway; the library's own errors for
        what the server does not take."""


class _Told:
    """What is away is told as RedisAway. Not of scripts: `Script` looks at the library's errors itself, and tells."""

    #: Who is to have a write before it counts; None: the server that was asked.
    wants: kept.Wants | None = None
    #: Takes what is small; None: the library alone.
    shared: Shared | None = None

    def evalsha(self, digest: str, *args: Any) -> Any:
        return self._script("EVALSHA", digest, args)

    def eval(self, lua: str, *args: Any) -> Any:
        return self._script("EVAL", lua, args)

    def _script(self, command: str, text: str, args: Sequence[Any]) -> Any:
        if self.shared is not None and (answers := self.shared.takes((command, text, *args))) is not None:
            return _only(answers)
        return super().execute_command(self._named(command, text, args), text, *args)  # type: ignore[misc]

    def _named(self, command: str, text: str, args: Sequence[Any]) -> str:
        """The first key is behind their number."""
        if self.wants is None or not isinstance(text, kept.Text):
            return command
        return kept.behind(command, args[1], self.wants)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if self.wants is not None and args[0] in kept.WRITES:
            args = (kept.behind(args[0], args[1], self.wants), *args[1:])
        if self.shared is not None and args[0] in SHARED and (answers := self.shared.takes(args)) is not None:
            return self._read(args[0], await _only(answers), options)
        try:
            return await super().execute_command(*args, **options)  # type: ignore[misc]
        except FOREIGN as error:
            raise_away(error)
            raise

    def _read(self, command: str, answer: Any, options: dict[str, Any]) -> Any:
        """As the library gives it back."""
        options.pop("keys", None)
        callbacks: Mapping[str, Any] = self.response_callbacks  # type: ignore[attr-defined]
        return callbacks[command](answer, **options) if command in callbacks else answer


async def _only(answers: Awaitable[list[Any]]) -> Any:
    (answer,) = await answers
    return answer


class _Server(_Told, Redis):  # type: ignore[misc]  # what the library itself inherits twice
    pass


class _OfSentinels(_Server):
    """The master that Sentinels name. Connections to them are closed with its own."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for sentinel in cast(Any, self.connection_pool).sentinel_manager.sentinels:
            await sentinel.aclose()


class _Cluster(_Told, RedisCluster):  # type: ignore[misc]  # what the library itself inherits twice
    pass


def connect(url: str, wants: kept.Wants | None = None) -> Client:
    """A client for the URL; nothing is sent yet. `wants`: who is to have a write before it counts. ValueError names a
    URL that is neither form."""
    client = _connect(url, wants)
    client.wants = wants
    return cast(Client, client)


def _connect(url: str, wants: kept.Wants | None) -> Any:
    no_repeat = Retry(NoBackoff(), 0)
    options: dict[str, Any] = {"max_connections": MAX_CONNECTIONS, "socket_timeout": SOCKET_TIMEOUT_S}
    if redis_url.is_of_several(url):
        try:
            places = redis_url.parse(url)
        except ValueError as error:
            raise ValueError(f"redis.url: {error}") from None
        options |= {"username": places.username, "password": places.password, "retry": no_repeat}
        return _cluster(places, options, wants) if places.kind == "cluster" else _of_sentinels(places, options, wants)
    if url.startswith(("redis://", "rediss://", "unix://")):
        pool = ConnectionPool.from_url(url, retry=no_repeat, **options)
        pool.connection_class = _knowing(wants, _QUICK[pool.connection_class])
        return _Server.from_pool(pool)
    raise ValueError(
        "redis.url: expected redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://, got "
        f"{url.split('://')[0]!r}"
    )


def _knowing(wants: kept.Wants | None, kind: type) -> type:
    return kind if wants is None else kept.confirming(kind)


def _cluster(places: redis_url.Places, options: dict[str, Any], wants: kept.Wants | None) -> _Cluster:
    tls: dict[str, Any] = {"ssl": True, **places.files} if places.tls else {}
    cluster = _Cluster(startup_nodes=[ClusterNode(*node) for node in places.nodes], **options, **tls)
    # The library takes no class of ours: what it makes nodes of has its own, and those that it was given.
    cluster.connection_kwargs["connection_class"] = _knowing(wants, cluster.connection_kwargs["connection_class"])
    for node in cluster.startup_nodes:
        node.connection_class = _knowing(wants, node.connection_class)
    return cluster


def _of_sentinels(places: redis_url.Places, options: dict[str, Any], wants: kept.Wants | None) -> Any:
    """The master that Sentinels name: they are asked at each new connection, so that the next one after a fail-over is
    to the new master."""
    asked: dict[str, Any] = {"socket_timeout": SENTINEL_TIMEOUT_S, "retry": options["retry"]}
    asked |= {"username": places.sentinel_user, "password": places.sentinel_password}
    asked |= {"ssl": True, **places.files} if places.sentinel_tls else {}
    sentinels: Any = Sentinel(places.nodes, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    return sentinels.master_for(
        places.master,
        redis_class=_OfSentinels,
        connection_class=_knowing(wants, _QuickSentinelSSLConnection if places.tls else _QuickSentinelConnection),
        db=places.database,
        **options,
        **(places.files if places.tls else {}),
    )


class _Quick(AbstractConnection):
    """Commands are put together in C, and written without a task that watches the time, which is needed only where the
    server does not read what was written before: the library's own way is a tenth of what sending a mail costs."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *rest = args
        return [hiredis.pack_command((*(name.split() if isinstance(name, str) else (name,)), *rest))]

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        writer = self._writer
        if writer is None or self.health_check_interval or _is_behind(writer):
            await super().send_packed_command(command, check_health)
            return
        writer.writelines([command] if isinstance(command, bytes) else command)
        if _is_behind(writer):
            await super().send_packed_command([], check_health)  # waits, as long as the socket's time-out

    async def _send_packed_command(self, command: Any) -> None:
        # uvloop tells who writes to what is closed with a RuntimeError, which nobody takes for the server's absence.
        if cast(asyncio.StreamWriter, self._writer).transport.is_closing():
            raise ConnectionResetError(ECONNRESET, "The connection is closed")
        await super()._send_packed_command(command)


def _is_behind(writer: asyncio.StreamWriter) -> bool:
    return writer.transport.is_closing() or writer.transport.get_write_buffer_size() > WRITE_BUFFER_BYTES


class _QuickConnection(_Quick, Connection):
    pass


class _QuickSSLConnection(_Quick, SSLConnection):
    pass


class _QuickUnixConnection(_Quick, UnixDomainSocketConnection):
    pass


class _QuickSentinelConnection(_Quick, SentinelManagedConnection):
    pass


class _QuickSentinelSSLConnection(_Quick, SentinelManagedSSLConnection):
    pass


_QUICK: Mapping[type, type] = {
    Connection: _QuickConnection,
    SSLConnection: _QuickSSLConnection,
    UnixDomainSocketConnection: _QuickUnixConnection,
}


async def close(client: Client) -> None:
    await client.aclose()


class Script:
    """A Lua script. All its keys carry one hash tag. Called by digest; the text travels once per server. `names`: the
    records whose fields it names (`shared.redis.lua`). `kept`: a promise rests on what it writes, which is answered
    when those have it that settings name (`shared.redis.kept`)."""

    def __init__(self, lua: str, names: Names | None = None, kept: bool = False) -> None:
        text: type[str] = Text if kept else str
        self.lua = text(lua if names is None else named(lua, names))
        self.digest = text(sha1(self.lua.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def of(cls, module: str, *files: str, begins: str = "", names: Names | None = None, kept: bool = False) -> "Script":
        """What stands in `<file>.lua` beside the module (its `__file__`), read once, at import. Of several files the
        later ones go on where the earlier end, and see their locals: so do scripts share a beginning. `begins` is one
        that another module offers."""
        return cls(begins + lua_of(module, *files), names, kept)

    async def __call__(self, client: Client, key_names: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        try:
            try:
                return await client.evalsha(self.digest, len(key_names), *key_names, *args)
            except NoScriptError:
                return await client.eval(self.lua, len(key_names), *key_names, *args)
        except FOREIGN as error:
            raise_away(error)
            raise

    async def many(
        self,
        client: Client,
        calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]],
        command: Sequence[commands.Value] = (),
    ) -> list[Any]:
        """The answers of several calls, each with its keys and arguments, in one round trip; in a cluster one to each
        server, at the same time. Last, if there is one, that of a `command` which goes along. Only of what may be
        called again when one of them failed, and where nothing of it is to be `kept`: it is not waited for here."""
        try:
            return await self._many(client, ("EVALSHA", self.digest), calls, command)
        except NoScriptError:
            return await self._many(client, ("EVAL", self.lua), calls, command)

    async def each(
        self, client: Client, calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]]
    ) -> list[Any]:
        """As `many`, also of what is to be `kept`: where that has to be confirmed, the calls are under way at the same
        time, each by itself."""
        if getattr(client, "wants", None) is None:
            return await self.many(client, calls)
        return await asyncio.gather(*(self(client, *call) for call in calls))

    async def _many(
        self,
        client: Client,
        how: tuple[str, str],
        calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]],
        command: Sequence[commands.Value],
    ) -> list[Any]:
        if not calls and not command:
            return []
        asked: list[tuple[Any, ...]] = [(*how, len(key_names), *key_names, *args) for key_names, args in calls]
        asked += [tuple(command)] if command else []
        return await together(client, asked)


async def together(client: Client, asked: Sequence[Sequence[commands.Value]]) -> list[Any]:
    """The answers of several commands, as the server gives them, in one round trip; in a cluster one to each server.
    RedisAway; the library's own errors for what the server does not take."""
    shared: Shared | None = getattr(client, "shared", None)
    if shared is not None and (answers := shared.takes(*asked)) is not None:
        return await answers
    pipeline = client.pipeline(transaction=False)
    for one in asked:  # the library's methods for scripts refuse a cluster
        pipeline.execute_command(*one)
    found: list[Any] = await answer(pipeline.execute())
    return found


def lua_of(module: str, *files: str) -> str:
    """The text in `<file>.lua` beside the module (its `__file__`), of several one behind the other."""
    return "\n".join(Path(module).with_name(f"{file}.lua").read_text("utf-8") for file in files)


T = TypeVar("T")


async def answer(call: Awaitable[T]) -> T:
    """The answers of a pipeline, with a server that is away raised as RedisAway."""
    try:
        return await call
    except FOREIGN as error:
        raise_away(error)
        raise


def raise_away(error: Exception) -> None:
    """Raises RedisAway if this error of the library means that; else returns."""
    if is_away(error):
        raise _away(error) from error


def is_away(error: Exception) -> bool:
    """The server only refuses for now; else it is a fault of whoever asked. A script that fails on its way says so
    behind words of its own."""
    if isinstance(error, AttributeError):
        return _was_closed_in_use(error)
    return isinstance(error, AWAY) or any(re.search(rf"(^|: )-?{word}\b", str(error)) for word in AWAY_WORDS)


def _was_closed_in_use(error: AttributeError) -> bool:
    """A cluster's client closes the connections to a node that failed it once, and those that others of its calls are
    just opening or writing to: these then find no socket, deep in the library."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = at.tb_frame.f_globals.get("__name__", "") if at is not None else ""
    return place == "asyncio.streams" or place.startswith(("redis.asyncio.", "redis._parsers."))


def _away(error: Exception) -> RedisAway:
    """A cluster's client tells of all its nodes, and of what each said."""
    said = str(error)
    if isinstance(error, kept.Unconfirmed):
        return NotConfirmed(said)
    if isinstance(error, MasterNotFoundError):
        return _no_master(said)
    if not isinstance(error, AuthenticationError) and not re.search(NOT_LET_IN, said):
        return RedisAway(said)
    # The library cuts off the word with which the server begins.
    if "WRONGPASS" in said or "invalid" in said:
        return NotLetIn("Redis takes no such user or password (WRONGPASS): see redis.url")
    if "without any password" in said:
        return NotLetIn("Redis has no password: take the one in redis.url out, or give the server one")
    return NotLetIn("Redis wants a password (NOAUTH): write it into redis.url, redis://:password@host:port/0")


def _no_master(said: str) -> RedisAway:
    """The library tells of every Sentinel at length, and by the class of its error alone what each said."""
    if AuthenticationError.__name__ in said:
        return NotLetIn(
            "the Sentinels let nobody in so: see sentinel_user and sentinel_password behind the ? of redis.url, which"
            " are not those of Redis itself"
        )
    return RedisAway(said.partition(" : ")[0])


async def stored_partitions(client: Client) -> int:
    """The number that the data was made with; 0 if there is none."""
    return int(await client.get(keys.partitions()) or 0)


async def fullest(client: Client) -> tuple[int, int]:
    """Bytes that the server uses and may use (0: any number); of a cluster, the fullest master's. RedisAway."""
    found = [(int(node["used_memory"]), int(node.get("maxmemory", 0))) for node in await _of_masters(client, "memory")]
    return max(found, key=lambda node: node[0] / (node[1] or inf))


async def check_wait(client: Client) -> None:
    """CannotWait where a master has no WAITAOF and the client is to use it. RedisAway."""
    wants: kept.Wants | None = getattr(client, "wants", None)
    if wants is None or not wants.disk:
        return
    for node in await _of_masters(client, "server"):
        if kept.too_old(version := str(node.get("redis_version", ""))):
            raise CannotWait(
                f"redis.wait_aof (ESTAFETTE_REDIS_WAIT_AOF): this Redis is {version}, and WAITAOF came with 7.2: take a"
                " newer one, or redis.wait_replicas alone with `appendfsync always`"
            )


async def _of_masters(client: Client, section: str) -> list[Mapping[str, Any]]:
    """That part of INFO, of the server or of each master of a cluster."""
    is_cluster = isinstance(cast(object, client), RedisCluster)
    said = await client.info(section, **({"target_nodes": RedisCluster.PRIMARIES} if is_cluster else {}))
    return list(said.values()) if is_cluster and all(isinstance(one, Mapping) for one in said.values()) else [said]


async def durability(client: Client) -> tuple[bool, str]:
    """Whether an acknowledged write survives a kill -9 of the server, and the reason as a sentence."""
    try:
        config = await client.config_get("append*")
    except RedisAway:
        raise
    except Exception as refused:  # a hosted Redis may refuse CONFIG: then nothing is known, and so nothing is promised
        return False, f"the server does not tell how it persists ({refused})"
    appendonly, fsync = config.get("appendonly"), config.get("appendfsync")
    if appendonly == "yes" and fsync == "always":
        return True, "appendonly yes, appendfsync always"
    wants: kept.Wants | None = getattr(client, "wants", None)
    if appendonly == "yes" and wants is not None and wants.disk:
        return True, f"appendonly yes, appendfsync {fsync}, and WAITAOF before an answer"
    return False, f"appendonly {appendonly}, appendfsync {fsync}"
