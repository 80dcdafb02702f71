"""Whose data a Redis holds: the id of an installation, kept in Redis and remembered by every process that has seen it.

A Redis that was emptied looks like one at a first start, and another installation's looks like ours; work on either
would be a silent loss. So the id is made once, at the first start of all, and from then on a process that remembers it
is not ready while Redis has another, or none. It is remembered by the process itself, in `<data.dir>/installation`
where there is a data directory, and by the operator in `redis.installation`, which processes without a disk of their
own need: without any memory an empty Redis is taken for a first start, because it may be one.

In Redis the id stands with what the installation shares, and once in every partition, so that a node of a cluster that
lost its data is noticed, too. It is made in an order that may break off anywhere and be gone through by several at
once: the id first, which whoever comes first decides; then the partitions, each unless it has one; then a mark that all
have it. After the mark nobody adds what is missing. Files of processes come last.

Beside the id stands the schema of the data: a number that is raised when an older program would misread what a newer
one writes. A field more on a message is no such thing: every reader takes it (`docs/architecture.md`). An older program
on newer data is refused; a newer one on older data notes its own number and says so, and what it converts stands at
`SCHEMA`.

`accept` is the operator's word that what Redis holds now, or that it holds nothing, is what to go on with.
"""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from shared.redis import keys, redis
from shared.words.errors import OperatorFault

#: Of the data that this program reads and writes. 1: the first that is noted; data from before (0) is of the same
#: kind. 2: suppression lists of entries by channel and scope, to which those of before are converted
#: (`shared.redis.conversion`).
SCHEMA = 2
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
#: Partitions that one look asks, in turns: a process looks once a second.
ASKED_AT_A_TIME = 32
#: What to do about it.
ADVICE = "to go on with it as it is: estafette installation accept"

_FIND = redis.Script.of(__file__, "installation_find", kept=True)


class NewerData(OperatorFault):
    """A newer program has worked on the data, and this one would misread it."""


class NotOurs(Exception):
    """Redis does not hold the data that was worked on before. The message says what it holds, and what to do."""


class Installation:
    """Of one process. `new_id` makes an id for a first start; `memory` is the file, if there is a directory for it."""

    def __init__(
        self, client: redis.Client, partitions: int, new_id: Callable[[], str], *, given: str = "", memory: Path
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._new_id = new_id
        self._memory = memory
        self._given = given
        self.id = given or _read(memory)
        #: Of the data as it was found.
        self.former_schema = SCHEMA
        self._next = 0

    @property
    def is_kept(self) -> bool:
        """Whether another process, after this one, will know."""
        return bool(self._given) or _read(self._memory) == self.id

    async def find(self) -> None:
        """At a start: the data is ours, or there was none. NotOurs, NewerData, WrongPartitions, RedisAway."""
        found = await _FIND(
            self._client,
            [keys.installation(), keys.partitions()],
            [self._partitions, self._new_id(), self.id, SCHEMA],
        )
        known, stored, whole, also = _text(found[0]), int(found[1] or 0), bool(found[2]), bool(found[3])
        self.former_schema = int(found[4])
        if self.id and self.id != known and not also:
            raise NotOurs(self._words(known))
        if self.former_schema > SCHEMA:
            raise NewerData(_newer(self.former_schema))
        if stored != self._partitions:
            raise redis.WrongPartitions(
                f"redis.partitions is {self._partitions}, but the data was made with {stored or 'another number'}"
            )
        if not whole:
            for partition in range(self._partitions):
                await self._client.set(keys.installation_mark(partition), known, nx=True)
            await self._client.hset(keys.installation(), "whole", "1")
        self.id = self.id or known
        self._remember()
        for first in range(0, self._partitions, ASKED_AT_A_TIME):
            await self._look_at_marks(known, range(first, min(first + ASKED_AT_A_TIME, self._partitions)))

    async def still(self) -> None:
        """While it runs. NotOurs, RedisAway."""
        kept = await self._client.hgetall(keys.installation())
        ids = {_text(name): _text(value) for name, value in kept.items()}
        known = ids.get("id", "")
        if self.id and self.id != known and f"also:{self.id}" not in ids:
            raise NotOurs(self._words(known))
        if (schema := int(ids.get("schema", 0))) > SCHEMA:
            raise NotOurs(_newer(schema))
        stored = await redis.stored_partitions(self._client)
        if stored != self._partitions:
            raise NotOurs(f"the data in redis has {stored} partitions, not {self._partitions} any more; {ADVICE}")
        count = min(ASKED_AT_A_TIME, self._partitions)
        asked = [(self._next + number) % self._partitions for number in range(count)]
        self._next = (self._next + count) % self._partitions
        await self._look_at_marks(known, asked)

    async def stored(self) -> str:
        """The id that Redis has; "" if it has none."""
        return _text(await self._client.hget(keys.installation(), "id") or "")

    async def accept(self, others: Sequence[str] = ()) -> str:
        """What Redis holds is what to go on with, for processes that remember this one's id or one of `others`, too.
        The id that it has from now on."""
        remembered = [one for one in (self.id, *others) if one]
        made = remembered[0] if remembered else self._new_id()
        await self._client.hsetnx(keys.installation(), "id", made)
        known = _text(await self._client.hget(keys.installation(), "id") or made)
        for one in remembered:
            await self._client.hset(keys.installation(), f"also:{one}", "1")
        await self._client.set(keys.partitions(), self._partitions, nx=True)
        for partition in range(self._partitions):
            await self._client.set(keys.installation_mark(partition), known)
        await self._client.hset(keys.installation(), "whole", "1")
        return known

    async def _look_at_marks(self, known: str, partitions: Sequence[int]) -> None:
        asked = (self._client.get(keys.installation_mark(one)) for one in partitions)
        marks = await asyncio.gather(*asked)
        gone = [str(one) for one, mark in zip(partitions, marks, strict=True) if mark is None]
        if gone:
            raise NotOurs(f"the data of partition {', '.join(gone[:5])} is gone from redis; {ADVICE}")
        if any(_text(mark or b"") != known for mark in marks):
            raise NotOurs(f"a partition in redis has the data of another installation; {ADVICE}")

    def _words(self, known: str) -> str:
        if not known:
            return f"the data of this installation ({self.id}) is gone from redis; {ADVICE}"
        return f"redis holds the data of another installation ({known}, not {self.id}); {ADVICE}"

    def _remember(self) -> None:
        """For its next start. Where there is no directory, or none that may be written, it is not: see `is_kept`."""
        if self._given or not self._memory.parent.is_dir() or _read(self._memory) == self.id:
            return
        new = self._memory.with_name(f"{self._memory.name}.{os.getpid()}.new")
        with suppress(OSError):
            new.write_text(f"{self.id}\n", "ascii")
            new.replace(self._memory)


def _newer(schema: int) -> str:
    return (
        f"redis holds data of schema {schema}, and this program knows {SCHEMA}: a newer one has worked on it. Run that,"
        " or restore a copy of the data from before"
    )


def _read(memory: Path) -> str:
    """What is not an id is as if there were none: a start that was killed left it."""
    try:
        text = memory.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    return text if ID.fullmatch(text) else ""


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
