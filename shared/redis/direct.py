"""Small calls over one connection that is kept: bytes out, answers in.

`shared` gives a client one, over which its scripts and the commands that do not wait go as long as they are small. The
library's pipeline takes 350 to 600 µs of CPU for ten script calls (its pool, retries, a coroutine for each answer);
this takes 100 to 170. The connection is still made by the library: TLS, passwords, Sentinels and the limit of
connections are its own. Then its bytes are read here.

- Calls that are under way at the same time share the connection; the server answers in their order. What is asked in
  one turn of the loop is written together.
- What is larger than `SMALL_BYTES` goes over a connection of its own, as the library has it: others would wait for it.
- Whoever stops waiting leaves the order as it is: the answer is thrown away when it comes.
- A connection that is lost, or that has not answered for `SOCKET_TIMEOUT_S`, is given up, and with it all who wait:
  `RedisAway`. The next call makes another.
- A cluster, and a client whose writes replicas or disks have to confirm, are not served (`Direct.of` gives None): there
  the library knows where a call goes, and `kept` what is behind it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import hiredis
from redis._parsers import BaseParser
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ReadOnlyError

from shared.redis.commands import Value
from shared.redis.redis import FOREIGN, SOCKET_TIMEOUT_S, Client, RedisAway, Script, raise_away

#: The keys of a call, and its other arguments.
Call = tuple[Sequence[str], Sequence[str | bytes | int]]
#: Of calls that share the connection: 100 MB a second is a fast network, and a millisecond is nothing to wait for.
SMALL_BYTES = 100_000


class Direct:
    """See the module."""

    def __init__(self, client: "Redis") -> None:
        self._redis = client
        self._connection: Any = None
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    def of(cls, client: Client) -> "Direct | None":
        """For that client; None if it is not for it. What is made here is closed with the client."""
        found = cast(object, client)
        shared = getattr(client, "shared", None)
        if isinstance(shared, cls):
            return shared
        return cls(found) if isinstance(found, Redis) and getattr(client, "wants", None) is None else None

    async def calls(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """The answers. Only of what may be called again when one of them failed. RedisAway; the library's own errors
        for what the server does not take."""
        if not calls:
            return []
        try:
            return await self._calls("EVALSHA", script.digest, calls)
        except NoScriptError:
            return await self._calls("EVAL", script.lua, calls)

    async def _calls(self, how: str, text: str, calls: Sequence[Call]) -> list[Any]:
        commands: list[Any] = [(how, text, len(names), *names, *args) for names, args in calls]
        return await self._asked(b"".join(map(hiredis.pack_command, commands)), len(commands))

    def takes(self, *commands: Sequence[Value]) -> Awaitable[list[Any]] | None:
        """See `redis.Shared`."""
        packed = b"".join([hiredis.pack_command(cast(Any, tuple(one))) for one in commands])
        return self._asked(packed, len(commands)) if len(packed) <= SMALL_BYTES else None

    async def _asked(self, packed: bytes, count: int) -> list[Any]:
        wire = self._wire
        if wire is None or wire.is_lost:
            wire = await self._connected()
        if wire.writable is not None:
            await asyncio.shield(wire.writable)  # others wait for it too, whoever of them stops waiting
        answers = await wire.ask(packed, count)
        for said in answers:
            if isinstance(said, Exception):
                if isinstance(said, ReadOnlyError):
                    wire.lose()  # another is the master now: Sentinels are asked anew
                raise_away(said)
                raise said
        return answers

    async def _connected(self) -> "_Wire":
        async with self._connecting:
            if self._wire is None or self._wire.is_lost:
                try:
                    await self._connect()
                except FOREIGN as error:
                    raise_away(error)
                    raise
        assert self._wire is not None
        return self._wire

    async def _connect(self) -> None:
        pool: Any = self._redis.connection_pool
        before, self._connection = self._connection, None
        if before is not None:
            await before.disconnect(nowait=True)
            await pool.release(before)
        self._connection = await pool.get_connection()
        transport = self._connection._writer.transport
        self._wire = _Wire(transport)
        transport.set_protocol(self._wire)


class _Asked:
    __slots__ = ("answered", "answers", "count", "since_s")

    def __init__(self, count: int, answered: "asyncio.Future[list[Any]]", since_s: float) -> None:
        self.count, self.answered, self.since_s = count, answered, since_s
        self.answers: list[Any] = []


class _Wire(asyncio.Protocol):
    """A connection that the library has made, and whose bytes come here from now on."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        #: Of the library, which closes the connection in the end and waits for it.
        self._before = transport.get_protocol()
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error)
        self._asked: deque[_Asked] = deque()
        #: What is written at the end of this turn of the loop.
        self._unwritten: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self.is_lost = transport.is_closing()
        #: While the server does not read what was written: until it does, or is lost.
        self.writable: asyncio.Future[None] | None = None

    def ask(self, packed: bytes, count: int) -> "asyncio.Future[list[Any]]":
        """So many answers, errors among them. RedisAway."""
        if self.is_lost:
            raise RedisAway("the connection was lost")
        now_s = self._loop.time()
        asked = _Asked(count, self._loop.create_future(), now_s)
        self._asked.append(asked)
        if self._watch is None:
            self._watch = self._loop.call_later(SOCKET_TIMEOUT_S, self._look)
        if not self._unwritten:
            self._loop.call_soon(self._write)
        self._unwritten.append(packed)
        return asked.answered

    def _write(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        if not self.is_lost:
            self._transport.write(b"".join(unwritten))

    def lose(self) -> None:
        self.is_lost = True
        self._transport.abort()

    def _look(self) -> None:
        """Whether the oldest has waited for too long; if not, again when it will have."""
        self._watch = None
        if not self._asked:
            return
        left_s = self._asked[0].since_s + SOCKET_TIMEOUT_S - self._loop.time()
        if left_s > 0:
            self._watch = self._loop.call_later(left_s, self._look)
        else:
            self.lose()

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:  # and 0 is an answer
                if not isinstance(answer, hiredis.PushNotification):
                    self._take(answer)
        except hiredis.ProtocolError:
            self.lose()

    def _take(self, answer: Any) -> None:
        if not self._asked:  # nobody asked: what it answers from here on is not to be trusted
            self.lose()
            return
        asked = self._asked[0]
        asked.answers.append(answer)
        if len(asked.answers) == asked.count:
            self._asked.popleft()
            if not asked.answered.done():  # else whoever asked has gone
                asked.answered.set_result(asked.answers)

    def pause_writing(self) -> None:
        self.writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self.writable = self.writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._watch is not None:
            self._watch.cancel()
        self.resume_writing()
        while self._asked:
            answered = self._asked.popleft().answered
            if not answered.done():
                answered.set_exception(RedisAway(f"the connection was lost{f': {exc}' if exc else ''}"))
        self._before.connection_lost(exc)


def share(client: Client) -> None:
    """From now on small calls of this client go over one connection, where that can be."""
    cast(Any, client).shared = Direct.of(client)
