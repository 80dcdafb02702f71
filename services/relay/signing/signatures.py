"""The signatures of a relay's mails: made by processes beside it, so that it can make and send others meanwhile.

An RSA signature holds a processor for longer than rendering, sending and recording the mail do together, and in a
thread it holds up the loop as well (loadtests has the figures). So a relay keeps `relay.signing_processes` of
`signing`, and asks the one that has least to do. What is asked for in one turn of the loop goes in one write.

A process is asked for a few mails at a time, and what people wait for goes before bulk here too: behind the mails of a
thousand connections a password reset would wait for most of a second.

A mail never waits for a process that is not there. Where one ended, or said nothing for `STUCK_S` (then it is killed),
what it had is signed here, in threads; another takes its place after `RESTART_S`.
"""

import asyncio
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from services.relay.signing.dkim import Draft, Signer
from services.relay.signing.process import (
    MOST_BYTES,
    Answered,
    Asked,
    packed,
)
from shared.process.child import Child
from shared.process.lifecycle import pause
from shared.redis.ready import LANES

#: The program of a process.
COMMAND = (sys.executable, "-m", "services.relay.signing.process")
#: A process that has not answered for so long will not: a mail takes it a millisecond, and it has one for each worker.
STUCK_S = 10.0
#: After one ended, or could not be started: not so often that this is all that the machine does.
RESTART_S = 1.0
#: How often it is looked whether one is stuck.
LOOK_S = 1.0
#: Mails that a process is asked for and has not answered, which is what it signs in 20 ms: it has always something to
#: do, and what goes first does not wait for long.
ASKED_AT_A_TIME = 32
#: Keys that a process is told to keep, those used last.
KEYS_KEPT = 1000

SIGNED = Counter("estafette_relay_signed_mails_total", "Mails signed, by a process beside the relay or here", ["where"])
PROCESSES = Gauge("estafette_relay_signing_processes", "Processes that sign for this relay")
WAITING = Gauge("estafette_relay_signing_waiting_mails", "Mails that wait for their signatures")
_beside, _here = SIGNED.labels("process"), SIGNED.labels("here")

#: A mail that a process has not been asked for: what to sign, and who waits for it.
_Waiting = tuple[Draft, "asyncio.Future[list[bytes]]"]
_decode = msgspec.msgpack.Decoder(Answered).decode


class _Lost(Exception):
    """The process ended before it answered."""


class Signatures:
    """`processes`: how many sign; 0: all is signed here and now. `run` keeps them."""

    def __init__(
        self, processes: int, monotonic: Callable[[], float], command: Sequence[str] = COMMAND, stuck_s: float = STUCK_S
    ) -> None:
        self._wanted = processes
        self._monotonic = monotonic
        self._command = command
        self._stuck_s = stuck_s
        self._processes: list[_Process] = []
        self._log = structlog.get_logger("relay")
        WAITING.set_function(lambda: sum(process.waiting for process in self._processes))

    @property
    def processes(self) -> int:
        """How many there are to ask."""
        return len(self._processes)

    async def fields(self, draft: Draft, lane: int = 0) -> bytes:
        """The DKIM-Signature fields of a mail, each with its CRLF. `lane`: 0 goes before 1 (`shared.redis.ready`)."""
        if not self._wanted:
            return _signed_here(draft)
        if self._processes:
            process = min(self._processes, key=lambda one: one.waiting)
            with suppress(_Lost):
                signatures = await process.sign(draft, lane)
                _beside.inc()
                return draft.fields(signatures)
        return await asyncio.to_thread(_signed_here, draft)

    async def run(self, closed: asyncio.Event) -> None:
        """Keeps so many processes until the last connection is `closed`, then ends them."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._wanted):
                group.create_task(self._keep(closed))

    async def _keep(self, closed: asyncio.Event) -> None:
        while not closed.is_set():
            try:
                process = await self._started()
            except OSError as error:
                self._log.error("signing_process_not_started", reason=str(error))
                await pause(closed, RESTART_S)
                continue
            self._processes.append(process)
            PROCESSES.set(len(self._processes))
            try:
                await self._watch(process, closed)
            finally:
                self._processes.remove(process)
                PROCESSES.set(len(self._processes))
                await process.close()
            if not closed.is_set():
                self._log.error("signing_process_ended", code=process.code)
                await pause(closed, RESTART_S)

    async def _started(self) -> "_Process":
        loop = asyncio.get_running_loop()
        _, protocol = await loop.subprocess_exec(
            lambda: _Process(self._monotonic), *self._command, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=None,
        )  # fmt: skip
        return protocol

    async def _watch(self, process: "_Process", closed: asyncio.Event) -> None:
        """Until it has ended, is stuck, or shall end."""
        stop = asyncio.create_task(closed.wait())
        try:
            while not stop.done() and not process.ended.done():
                await asyncio.wait((stop, process.ended), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if process.silent_s() > self._stuck_s:
                    self._log.error("signing_process_stuck", waiting=process.waiting)
                    process.kill()
                    return
        finally:
            stop.cancel()


def _signed_here(draft: Draft) -> bytes:
    _here.inc()
    return draft.signed()


class _Process(Child):
    """One process, and what it has not answered yet."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(monotonic, MOST_BYTES)
        self._loop = asyncio.get_running_loop()
        #: Mails that it has not been asked for, by lane; and those that it has, by number.
        self._lanes: tuple[deque[_Waiting], ...] = tuple(deque() for _ in {*LANES.values()})
        self._asked: dict[int, asyncio.Future[list[bytes]]] = {}
        self._keys: OrderedDict[Signer, int] = OrderedDict()
        self._last_key = self._last_mail = 0
        self._will_ask = False

    @property
    def waiting(self) -> int:
        return len(self._asked) + sum(map(len, self._lanes))

    def silent_s(self) -> float:
        """How long it has owed an answer and said nothing."""
        return self._monotonic() - self.heard_at if self._asked else 0.0

    def sign(self, draft: Draft, lane: int) -> "asyncio.Future[list[bytes]]":
        """The signatures of a mail, in the order of its signers; or _Lost."""
        signed: asyncio.Future[list[bytes]] = self._loop.create_future()
        if self.is_gone:
            signed.set_exception(_Lost())
            return signed
        self._lanes[lane].append((draft, signed))
        if not self._will_ask:
            self._will_ask = True
            self._loop.call_soon(self._ask)
        return signed

    def _ask(self) -> None:
        """For as many as it may have."""
        self._will_ask = False
        if not self._asked:
            self.heard_at = self._monotonic()
        asked = Asked([], [], [])
        while len(self._asked) < ASKED_AT_A_TIME and (lane := next(filter(None, self._lanes), None)) is not None:
            draft, signed = lane.popleft()
            if signed.done():
                continue  # who asked has stopped waiting
            self._last_mail += 1
            self._asked[self._last_mail] = signed
            pairs = zip(draft.signers, draft.digests, strict=True)
            asked.mails.append((self._last_mail, [(self._number(signer, asked), digest) for signer, digest in pairs]))
        if asked.mails:
            self.write(packed(asked))

    def _number(self, signer: Signer, asked: Asked) -> int:
        """Of the key, which the process has, or gets with this question."""
        number = self._keys.get(signer)
        if number is None:
            self._last_key += 1
            number = self._keys[signer] = self._last_key
            asked.keys.append((number, signer.pem))
            if len(self._keys) > KEYS_KEPT:
                asked.forgotten.append(self._keys.popitem(last=False)[1])
        else:
            self._keys.move_to_end(signer)
        return number

    # What is told of it

    def answered(self, body: bytes) -> None:
        for number, signatures in _decode(body).mails:
            signed = self._asked.pop(number, None)
            if signed is not None and not signed.done():  # who asked may have stopped waiting
                signed.set_result(signatures)

    def all_answered(self) -> None:
        if not self._will_ask:
            self._ask()

    def lost(self) -> None:
        lost = [*self._asked.values(), *(signed for lane in self._lanes for _, signed in lane)]
        self._asked.clear()
        for lane in self._lanes:
            lane.clear()
        for signed in lost:
            if not signed.done():
                signed.set_exception(_Lost())
