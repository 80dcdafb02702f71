"""How contacts reach PostgreSQL: one pool a process, and one error for all that makes it not answer.

Foreign exceptions stop here: what the library raises for a server that is away, restarts, is full or takes too long
becomes `DatabaseAway`; what says that our own statement is wrong stays what it is, and so do violations of a constraint
that a caller asks about (`Conflict`). Nothing is repeated here: whether a statement happened whose answer was lost,
only its caller can tell.

    async with database.transaction() as sql:
        row = await sql.fetchrow("SELECT … WHERE tenant = $1", tenant)
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from typing import Any, Protocol

import asyncpg
from prometheus_client import Counter, Gauge

from shared.words.errors import OperatorFault, StorageAway

AWAY_TIMES = Counter("estafette_contacts_database_away_total", "Statements that PostgreSQL did not answer", ["why"])
IN_USE = Gauge("estafette_contacts_database_connections", "Connections to PostgreSQL in use in this process")

#: For a new connection, its TLS and its password.
CONNECT_SECONDS = 5.0
#: For one of the pool. More than this many statements' worth of waiting is no answer either.
ACQUIRE_SECONDS = 10.0
#: A connection that was not used for so long is closed: a server, or a proxy before it, forgets such ones.
IDLE_SECONDS = 300.0
#: The oldest that the SQL is written for, as the server tells it.
OLDEST = 15

#: Classes of SQLSTATE (their first two letters) that say that the server is not there, or has no room, and why.
_AWAY_CLASSES = {
    "08": "connection",
    "53": "full",
    "57": "stopping",
    "58": "its machine",
    "25": "read only",
    "40": "rolled back",
    "XX": "broken",
}
#: And states of their own.
_AWAY_STATES = {"28P01": "not let in", "28000": "not let in", "3D000": "no such database", "55P03": "locked"}
#: Of class 25 only a standby that took over from nobody is away: the rest is our own fault.
_READ_ONLY = "25006"

Conflict = asyncpg.UniqueViolationError
Row = Mapping[str, Any]


class DatabaseAway(StorageAway):
    """PostgreSQL does not answer, or takes nothing more for now. What was asked may or may not have happened. `why` is
    one of a few words."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(f"{why}: {text}" if text else why)
        self.why = why


class NotLetIn(DatabaseAway):
    """It wants another password, or has no such user or database. An operator may mend it while we wait."""


class TooOld(OperatorFault):
    """The server is older than what the statements are written for."""


class Sql(Protocol):
    """A connection, within a transaction or not. Parameters are `$1` …, and never part of the text."""

    async def fetch(self, statement: str, *parameters: Any, timeout: float | None = None) -> list[Row]:
        """All rows. `timeout` in seconds, in the place of the usual one."""
        ...

    async def fetchrow(self, statement: str, *parameters: Any) -> Row | None:
        """The first row."""
        ...

    async def fetchval(self, statement: str, *parameters: Any) -> Any:
        """The first value of the first row."""
        ...

    async def execute(self, statement: str, *parameters: Any, timeout: float | None = None) -> str:
        """What was done, as `UPDATE 3`. `timeout` in seconds, in the place of the usual one."""
        ...

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        """The statement with each, all or none."""
        ...

    async def copy_records_to_table(
        self, table_name: str, *, records: Iterable[Sequence[Any]], columns: Sequence[str]
    ) -> str:
        """Rows, in the fastest way there is."""
        ...

    async def copy_to_table(self, table_name: str, *, source: BytesIO, columns: Sequence[str]) -> str:
        """Rows that are written in the text format of COPY: faster still where there are arrays."""
        ...


class Database:
    """The pool of this process. It connects when it is first asked, and again after every loss."""

    def __init__(self, url: str, connections: int, statement_seconds: float) -> None:
        self._url = url
        self._connections = connections
        self._statement_s = statement_seconds
        self._pool: Any = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Sql]:
        """Each statement is a transaction of its own. DatabaseAway."""
        with _told():
            pool = await self._opened()
            async with pool.acquire(timeout=ACQUIRE_SECONDS) as sql:
                with IN_USE.track_inprogress():
                    yield sql

    @asynccontextmanager
    async def transaction(self, *, repeatable: bool = False) -> AsyncIterator[Sql]:
        """All of it or nothing, and seen by others at its end. `repeatable`: all its statements see the same moment.
        DatabaseAway."""
        async with self.connection() as sql:
            how = {"isolation": "repeatable_read"} if repeatable else {}
            async with sql.transaction(**how):  # type: ignore[attr-defined] # no other module begins one
                yield sql

    async def check(self) -> None:
        """That it answers, and is new enough. DatabaseAway, TooOld."""
        async with self.connection() as sql:
            number = int(await sql.fetchval("SHOW server_version_num"))
        if number // 10_000 < OLDEST:
            raise TooOld(f"contacts.url: PostgreSQL {number // 10_000} is too old: {OLDEST} or newer is needed")

    async def close(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except (TimeoutError, OSError):
                pool.terminate()

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._connections,
                    timeout=CONNECT_SECONDS,
                    command_timeout=self._statement_s + CONNECT_SECONDS,  # the server gives up first, and says so
                    max_inactive_connection_lifetime=IDLE_SECONDS,
                    server_settings={
                        "application_name": "estafette",
                        "statement_timeout": f"{int(self._statement_s * 1000)}",
                        "timezone": "UTC",
                    },
                )
        return self._pool


@contextmanager
def _told() -> Iterator[None]:
    """What is away is told as DatabaseAway."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError) as error:
        if (away := told(error)) is None:
            raise
        AWAY_TIMES.labels(away.why).inc()
        raise away from error


def told(error: BaseException) -> DatabaseAway | None:
    """What an error of the library comes to; None if it is our own fault."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        why = _AWAY_STATES.get(state) or _AWAY_CLASSES.get(state[:2])
        if why is None or (state.startswith("25") and state != _READ_ONLY):
            return None
        return (NotLetIn if why in ("not let in", "no such database") else DatabaseAway)(why, _one_line(error))
    if isinstance(error, asyncpg.InternalClientError):
        # A server that was killed in the middle of an answer leaves the library in a state that it does not know.
        return DatabaseAway("connection", _one_line(error))
    if isinstance(error, TimeoutError):
        return DatabaseAway("timeout", "no answer in time")
    if isinstance(error, asyncpg.InterfaceError) and "connection" not in str(error) and "pool" not in str(error):
        return None
    return DatabaseAway("connection", _one_line(error))


def _one_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
