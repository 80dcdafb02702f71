"""An import, from its bytes to its report: read it all, then apply what won, a batch at a time.

Nothing is applied before the last byte is there. So an upload that breaks off, or is not what it was meant to be, has
changed nothing; and only then is it known which line of an address is the last. Memory does not grow with the list:
what is read goes to the spool, and of it one part at a time comes back.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from services.suppression.moving.deciding import Decision, Standing, decide
from services.suppression.moving.forms import Form
from services.suppression.moving.spool import Lines, Spool
from services.suppression.moving.telling import Telling
from services.suppression.moving.wishes import Act, Wish
from shared.process.lifecycle import cancelled
from shared.tabular import signs
from shared.tabular.reader import MOST_BLANK_LINES, MOST_FAULTS, Reader
from shared.words.errors import Fault

#: Lines that are looked up and applied in one go: some 3 ms of the loop, then others have their turn.
BATCH = 250
#: And so many of these at the same time: while Redis works on some, the next ones are made.
UNDER_WAY = 4
#: Lines that are read in one go.
LINES_IN_A_GO = 200


class SoftBounces(Protocol):
    """Who counts soft bounces until they are too many."""

    async def count(self, tenant: str, softs: Sequence[tuple[str, Act]], now_ms: int) -> None:
        """One soft bounce of each address. RedisAway."""

    async def forgive(self, tenant: str, addresses: Sequence[str], now_ms: int) -> None:
        """The address works: what was counted is forgotten. RedisAway."""


class Book(Protocol):
    """The list as an import changes it. RedisAway. An address is in one of so many `places` of it; what is about one
    place takes one step."""

    @property
    def places(self) -> int: ...

    def place_of(self, tenant: str, address: str) -> int: ...

    async def standing(self, tenant: str, addresses: Sequence[str], now_ms: int) -> list[list[Standing]]: ...

    async def add(self, tenant: str, acts: Sequence[tuple[str, Act]], now_ms: int) -> list[bool]:
        """For each whether its address is new for that channel and scope."""

    async def remove(self, tenant: str, gone: Sequence[tuple[str, Standing]], now_ms: int, by: str) -> None: ...


async def _nobody() -> None:
    """Nobody wants to know."""


class NotAList(ValueError):
    """What came cannot be read as a list at all; nothing was applied. The faults say why."""

    def __init__(self, what: str, faults: Sequence[Fault]) -> None:
        super().__init__(what)
        self.faults = list(faults)


class Import:
    """One import of a tenant. `by` names it in events. Read with `read` and `end`, then `apply`; `close` it."""

    def __init__(
        self,
        form: Form,
        reader: Reader[Wish],
        book: Book,
        softs: SoftBounces,
        tenant: str,
        by: str,
        *,
        dry_run: bool = False,
    ) -> None:
        self.telling = Telling()
        self.reader = reader
        self._form = form
        self._book = book
        self._softs = softs
        self._tenant = tenant
        self._by = by
        self._dry_run = dry_run
        self._spool = Spool(partial(book.place_of, tenant), book.places)
        self._first_faults: list[Fault] = []
        self._first: bytes | None = b""
        self._lines = 0
        self._blank_lines = 0

    async def read(self, received: bytes, *, last: bool = False) -> None:
        """A piece of the file. NotAList."""
        if self._first is not None:
            self._first += received
            if len(self._first) < signs.SIGN_BYTES and not last:
                return
            received, self._first = self._first, None
            if kind := signs.kind_of(received):
                raise NotAList(f"the body is {kind}", [])
        in_a_go = 0
        for line, wish in self.reader.feed(received, last=last):
            self._take(line, wish)
            in_a_go += 1
            if in_a_go >= LINES_IN_A_GO:
                in_a_go = 0
                await asyncio.sleep(0)
        self._check(last=last)

    def _take(self, line: int, wish: Wish | Fault | None) -> None:
        if wish is None:
            self._blank_lines += 1
        elif isinstance(wish, Fault):
            self._lines += 1
            self.telling.tell(line, "", "refused", f"{wish.at}: {wish.what}")
            if len(self._first_faults) < 100:
                self._first_faults.append(wish)
        else:
            self._lines += 1
            self._spool.add(line, wish)

    def _check(self, *, last: bool) -> None:
        refused = self.telling.counts["refused"]
        faults = self._first_faults
        if refused == self._lines and (last or self.reader.is_over):
            what = f"{faults[0].at}: {faults[0].what}" if faults else "the body has no line with an address"
            raise NotAList(what, faults)
        if refused >= MOST_FAULTS and 2 * refused > self._lines:
            raise NotAList(f"{refused} of the first {self._lines} lines cannot be read; {faults[0].what}", faults)
        if self._blank_lines >= MOST_BLANK_LINES:
            raise NotAList(f"{self._blank_lines} lines have nothing in them", [])

    async def apply(self, now_ms: int, progressed: Callable[[], Awaitable[object]] = _nobody) -> None:
        """What won, of all that was read. RedisAway: what was applied stays so, and may be applied again."""
        under_way: deque[asyncio.Task[None]] = deque()
        try:
            for lines in self._batches():
                if len(under_way) == UNDER_WAY:
                    await under_way.popleft()
                    await progressed()
                under_way.append(asyncio.create_task(self._apply(lines, now_ms)))
                await asyncio.sleep(0)
            while under_way:
                await under_way.popleft()
        finally:
            await cancelled(under_way)

    def _batches(self) -> Iterator[Lines]:
        waiting: Lines = []
        for part in self._spool.last_of_each(self._replaced):
            waiting += part
            while len(waiting) >= BATCH:
                yield waiting[:BATCH]
                del waiting[:BATCH]
        if waiting:
            yield waiting

    def _replaced(self, line: int, wish: Wish, by: int) -> None:
        self.telling.tell(line, wish.address, "replaced", f"line {by} is about the same address")

    async def _apply(self, lines: Lines, now_ms: int) -> None:
        if self._dry_run or not all(wish.lists_alone for _, wish in lines):
            await self._look_and_apply(lines, now_ms)
            return
        # Most files list and nothing else: whether an address was there is known from listing it.
        adds = [(wish.address, act) for _, wish in lines for act in wish.acts]
        entered = iter(await self._book.add(self._tenant, adds, now_ms))
        for line, wish in lines:
            is_new = [next(entered) for _ in wish.acts]
            self.telling.tell(line, wish.address, "listed" if any(is_new) else "unchanged")

    async def _look_and_apply(self, lines: Lines, now_ms: int) -> None:
        standing = await self._book.standing(self._tenant, [wish.address for _, wish in lines], now_ms)
        decided = [decide(wish, found) for (_, wish), found in zip(lines, standing, strict=True)]
        if not self._dry_run:
            await self._carry_out(lines, decided, now_ms)
        for (line, wish), decision in zip(lines, decided, strict=True):
            self.telling.tell(line, wish.address, decision.word, decision.what)

    async def _carry_out(self, lines: Sequence[tuple[int, Wish]], decided: Sequence[Decision], now_ms: int) -> None:
        adds = [(wish.address, act) for (_, wish), one in zip(lines, decided, strict=True) for act in one.adds]
        gone = [(wish.address, entry) for (_, wish), one in zip(lines, decided, strict=True) for entry in one.removes]
        softs = [
            (wish.address, act)
            for (_, wish), one in zip(lines, decided, strict=True)
            if one.counts
            for act in wish.acts
            if act.verb == "soft"
        ]
        forgiven = [wish.address for (_, wish), one in zip(lines, decided, strict=True) if one.forgives]
        if gone:
            await self._book.remove(self._tenant, gone, now_ms, self._by)
        if adds:
            await self._book.add(self._tenant, adds, now_ms)
        if softs:
            await self._softs.count(self._tenant, softs, now_ms)
        if forgiven:
            await self._softs.forgive(self._tenant, forgiven, now_ms)

    @property
    def format(self) -> str:
        """What the file was found to be; "" as long as that is not known."""
        return self._form.name

    @property
    def lines(self) -> int:
        """Lines of the file that are not empty, as far as it was read."""
        return self._lines

    def close(self) -> None:
        self._spool.close()
