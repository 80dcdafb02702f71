"""Processes in which others' templates are compiled and rendered, so that no template can take a service with it.

A service keeps a few of them (`shared.process.sandboxed`), asks the one that has least to do, and is told of each
question the answer, or why there is none: `Killed`. What stands behind a question that killed its worker is answered by
the next worker. Where it is not sure that the question was at fault (any death but by its own clock), it is asked once
more.

A question may name a source by its digest, which the process then knows already: it says so, with an empty answer,
where it does not, and gets the question whole. A source over which workers died `STRIKES` times is not asked about any
more for a while: its mails end, and others' go on. One changed byte is another source: so deaths count for the owner as
well. `OWNER_DEATHS` of them at once are free, and from then on one in `OWNER_FORGIVEN_S`: until then the owner is told
to come again, with whatever needs a worker, and with nothing else. That bounds what an owner costs others, and what it
loses: honest sources wait for seconds, and are never refused for good.

Nothing of the service goes there but the questions: no descriptors, no environment, no keys.
"""

import asyncio
import os
import signal
import sys
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

import structlog
from prometheus_client import Counter, Gauge

from shared.process import sandboxed
from shared.process.child import Child
from shared.process.frames import framed
from shared.process.lifecycle import pause
from shared.process.sandboxed import ANSWER, DIED

#: Questions that are in one pipe: it has always something to do, and little is lost with it.
ASKED_AT_A_TIME = 16
#: Digests that a process is believed to know; it keeps no more itself.
KNOWN = 64
#: A process that owes an answer for so long is killed: its own clocks should have ended it.
STUCK_S = 20.0
LOOK_S = 1.0
#: After one could not be started, or ended by itself.
RESTART_S = 0.5
#: Deaths over one source, and how long it is not asked about then.
STRIKES = 3
STRUCK_S = 600.0
SOURCES_STRUCK = 10_000
#: Deaths that an owner has free, and how long it takes until one is forgiven.
OWNER_DEATHS = 20
OWNER_FORGIVEN_S = 5.0
#: An answer is no longer: the text and the HTML of a mail, or a compiled content.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: All that the processes see of the environment.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL")

RESTARTS = Counter(
    "estafette_sandbox_restarts_total", "Workers for templates that were replaced, by cause", ["program", "cause"]
)
ANSWERS = Counter("estafette_sandbox_answers_total", "Questions to such workers, by result", ["program", "result"])
PROCESSES = Gauge("estafette_sandbox_processes", "Processes that keep workers for templates", ["program"])

_CAUSES: dict[int, tuple[str, str]] = {
    signal.SIGXCPU: ("processor_time", f"took more than {sandboxed.QUESTION_CPU_S:g} s of processor time"),
    signal.SIGPROF: ("rendering_time", "took more processor time than a rendering may"),
    signal.SIGALRM: ("wall_time", f"took more than {sandboxed.QUESTION_WALL_S:g} s"),
    signal.SIGABRT: ("memory", f"took more than {sandboxed.MEMORY_BYTES >> 20} MB of memory"),
    signal.SIGSEGV: ("crash", "brought down the process that worked on it: nested too deeply, or too large"),
}
_ERROR = ("error", f"took more than {sandboxed.MEMORY_BYTES >> 20} MB of memory, or failed otherwise")
#: Deaths after which it is certain that the question was at fault; and those of which it is certain if the worker had
#: answered nothing before, so that no other question left anything behind in it.
_CERTAIN: frozenset[int] = frozenset((signal.SIGPROF, signal.SIGXCPU))
_CERTAIN_IF_FRESH: frozenset[int] = frozenset((signal.SIGSEGV, signal.SIGABRT, 0))


#: Questions that may wait or be under way: a relay has 2,000 messages in hand. Beyond, who asks is told to come again.
MOST_WAITING = 5_000


class Killed(Exception):
    """There is no answer, and would be none later. The message says what the question did."""


class Unavailable(Exception):
    """No process can be had now. Ask again later."""


class Penalised(Unavailable):
    """Nor by this owner, over whose sources too many workers died. `after_s`: when to ask again."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"{OWNER_DEATHS} processes that worked on templates of this tenant had to be ended")
        self.after_s = after_s


@dataclass(slots=True, eq=False)
class _Question:
    full: bytes
    light: bytes | None
    source: bytes
    answer: "asyncio.Future[bytes]"
    owner: str = ""
    deaths: int = 0
    must_be_full: bool = False
    begun: bool = False


class _Turns:
    """Questions that wait: each owner's in their order, the owners in turns. What was begun comes first."""

    def __init__(self) -> None:
        self._again: deque[_Question] = deque()
        self._owners: OrderedDict[str, deque[_Question]] = OrderedDict()

    def __iter__(self) -> Iterator[_Question]:
        return chain(self._again, *self._owners.values())

    def append(self, question: _Question) -> None:
        self._owners.setdefault(question.owner, deque()).append(question)

    def again(self, *questions: _Question) -> None:
        self._again.extendleft(reversed(questions))

    def take(self, most_of: Callable[[str], int | None], asked: Mapping[str, int]) -> _Question | None:
        """The next one whose owner has not as many under way as it may."""
        if self._again:
            return self._again.popleft()
        for owner, waiting in self._owners.items():
            if (most := most_of(owner)) is None or asked.get(owner, 0) < most:
                question = waiting.popleft()
                del self._owners[owner]
                if waiting:
                    self._owners[owner] = waiting
                return question
        return None


@dataclass(slots=True)
class _Struck:
    times: int = 0
    until: float = 0.0
    why: str = field(default="")


class Sandbox:
    """`command` is the program, which calls `sandboxed.serve`; `program` its name in metrics. `run` keeps so many
    `processes`. `monotonic` in seconds. `most_of_one`: so many of one owner are under way at a time, so that whoever
    asks for what takes longest leaves room for others; None: any number. `at_once`: they are there before somebody
    asks; else the first question starts them, and they cost nothing where nobody asks."""

    def __init__(
        self,
        command: Sequence[str],
        program: str,
        processes: int,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        most_of_one: int | None = None,
        at_once: bool = True,
    ) -> None:
        self._command = command
        self._program = program
        self._wanted = processes
        self._monotonic = monotonic
        self._most_of_one = most_of_one
        self._waiting = _Turns()
        self._count = 0
        self._processes: list[_Process] = []
        self._struck: OrderedDict[bytes, _Struck] = OrderedDict()
        #: Deaths that are not forgiven, and as of when.
        self._deaths: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._will_ask = False
        self._stopped = False
        #: Somebody has asked, or may at any time.
        self._needed = asyncio.Event()
        if at_once:
            self._needed.set()
        self._log = structlog.get_logger("sandbox")

    async def ask(self, full: bytes, *, source: bytes, light: bytes | None = None, owner: str = "") -> bytes:
        """The answer. `source` names what would be at fault; `light` is the question for a process that knows it;
        `owner` is whose it is: owners take turns. Killed, Unavailable, Penalised."""
        struck = self._struck.get(source)
        if struck is not None and struck.times >= STRIKES and self._monotonic() < struck.until:
            ANSWERS.labels(self._program, "refused").inc()
            raise Killed(f"{struck.why} {STRIKES} times, and is not tried again for now")
        if (penalty_s := self._penalty_s(owner)) > 0:
            ANSWERS.labels(self._program, "penalised").inc()
            raise Penalised(penalty_s)
        if self._stopped or len(full) > sandboxed.MAX_FRAME_BYTES:
            raise Unavailable("stopping") if self._stopped else Killed("it is too large")
        if self._count >= MOST_WAITING:
            raise Unavailable("too many wait already")
        question = _Question(full, light, source, asyncio.get_running_loop().create_future(), owner)
        self._waiting.append(question)
        self._needed.set()
        self.look()
        self._count += 1
        try:
            return await question.answer
        finally:
            self._count -= 1

    async def run(self, stopping: asyncio.Event) -> None:
        """Keeps the processes until `stopping`, then ends them."""
        try:
            await self._until_needed(stopping)
            async with asyncio.TaskGroup() as group:
                for _ in range(self._wanted):
                    group.create_task(self._keep(stopping))
        finally:
            self._stopped = True
            for question in self._waiting:
                if not question.answer.done():
                    question.answer.set_exception(Unavailable("stopping"))
            self._waiting = _Turns()

    async def _until_needed(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._needed, stopping)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _keep(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                process = await self._started()
            except OSError as error:
                self._log.error("sandbox_not_started", program=self._program, reason=str(error))
                await pause(stopping, RESTART_S)
                continue
            self._processes.append(process)
            PROCESSES.labels(self._program).set(len(self._processes))
            self.look()
            try:
                await self._watch(process, stopping)
            finally:
                self._processes.remove(process)
                PROCESSES.labels(self._program).set(len(self._processes))
                await process.close(kill=True)
            if not stopping.is_set():
                RESTARTS.labels(self._program, "ended").inc()
                self._log.error("sandbox_ended", program=self._program)
                await pause(stopping, RESTART_S)

    async def _started(self) -> "_Process":
        _, protocol = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Process(self, self._monotonic), *self._command,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=None, close_fds=True,
            start_new_session=True, env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )  # fmt: skip
        return protocol

    async def _watch(self, process: "_Process", stopping: asyncio.Event) -> None:
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stop.done() and not process.ended.done():
                await asyncio.wait((stop, process.ended), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if process.asked and self._monotonic() - process.heard_at > STUCK_S:
                    self._log.error("sandbox_stuck", program=self._program)
                    return
        finally:
            stop.cancel()

    # What the processes tell

    def look(self) -> None:
        """Gives out what waits, once this turn of the loop is over."""
        if not self._will_ask:
            self._will_ask = True
            asyncio.get_running_loop().call_soon(self._give_out)

    def _give_out(self) -> None:
        self._will_ask = False
        asked: dict[str, int] = defaultdict(int)
        for owner in (under_way.owner for one in self._processes for under_way in one.asked):
            asked[owner] += 1
        while (process := self._freest()) is not None:
            question = self._waiting.take(self._most_of, asked)
            if question is None:
                break
            if question.answer.done():
                continue
            if not question.begun and (penalty_s := self._penalty_s(question.owner)) > 0:
                # Asked before the penalty began.
                ANSWERS.labels(self._program, "penalised").inc()
                question.answer.set_exception(Penalised(penalty_s))
                continue
            asked[question.owner] += 1
            process.put(question)
        for process in self._processes:
            process.send()

    def _freest(self) -> "_Process | None":
        free = [one for one in self._processes if not one.is_gone and len(one.asked) < ASKED_AT_A_TIME]
        return min(free, key=lambda one: len(one.asked), default=None)

    def answered(self, question: _Question, answer: bytes) -> None:
        if not answer and not question.must_be_full:
            question.must_be_full = True
            self._waiting.again(question)
        elif not question.answer.done():
            ANSWERS.labels(self._program, "answered").inc()
            question.answer.set_result(answer)

    def used_up(self) -> None:
        RESTARTS.labels(self._program, "used_up").inc()

    def died(self, question: _Question | None, number: int, *, is_fresh: bool = False) -> None:
        """A worker, of this signal, over the question. `is_fresh`: over the first that it had."""
        cause, why = _CAUSES.get(number, _ERROR)
        RESTARTS.labels(self._program, cause).inc()
        if question is None:
            return
        question.deaths += 1
        question.must_be_full = True
        self._blame(question.owner)
        is_certain = number in _CERTAIN or (is_fresh and number in _CERTAIN_IF_FRESH)
        struck = self._struck.get(question.source)
        was_struck = struck is not None and self._monotonic() < struck.until
        if is_certain or was_struck or question.deaths > 1:
            self._strike(question.source, why)
            ANSWERS.labels(self._program, "killed").inc()
            if not question.answer.done():
                question.answer.set_exception(Killed(why))
        else:
            self._waiting.again(question)

    def lost(self, questions: Sequence[_Question]) -> None:
        """By a process that is gone: the first may be why, the others are not."""
        if questions:
            self.died(questions[0], 0)
        self._waiting.again(*questions[1:])
        if not self._stopped:
            self.look()

    def _unforgiven(self, owner: str) -> float:
        deaths, at = self._deaths.get(owner, (0.0, 0.0))
        return max(0.0, deaths - (self._monotonic() - at) / OWNER_FORGIVEN_S)

    def _most_of(self, owner: str) -> int | None:
        """How many of the owner's may be under way: one, where the next death begins a penalty."""
        return 1 if self._unforgiven(owner) > OWNER_DEATHS - 2 else self._most_of_one

    def _penalty_s(self, owner: str) -> float:
        """How long this owner has to wait; 0 if not at all."""
        return max(0.0, self._unforgiven(owner) - OWNER_DEATHS + 1) * OWNER_FORGIVEN_S if owner in self._deaths else 0.0

    def _blame(self, owner: str) -> None:
        if not owner:
            return
        # What was under way when the penalty began adds nothing to it.
        self._deaths[owner] = min(self._unforgiven(owner) + 1, OWNER_DEATHS), self._monotonic()
        self._deaths.move_to_end(owner)
        if len(self._deaths) > SOURCES_STRUCK:
            self._deaths.popitem(last=False)

    def _strike(self, source: bytes, why: str) -> None:
        struck = self._struck.pop(source, None) or _Struck()
        if self._monotonic() >= struck.until:
            struck.times = 0
        struck.times, struck.until, struck.why = struck.times + 1, self._monotonic() + STRUCK_S, why
        self._struck[source] = struck
        if len(self._struck) > SOURCES_STRUCK:
            self._struck.popitem(last=False)


class _Process(Child):
    """One process, and what it has not answered yet, in order."""

    def __init__(self, sandbox: Sandbox, monotonic: Callable[[], float]) -> None:
        super().__init__(monotonic, MAX_ANSWER_BYTES)
        self._sandbox = sandbox
        self.asked: deque[_Question] = deque()
        #: Answers of the worker that there is now.
        self._answers = 0
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._unsent: list[bytes] = []

    def put(self, question: _Question) -> None:
        if not self.asked:
            self.heard_at = self._monotonic()
        self.asked.append(question)
        question.begun = True
        is_light = question.light is not None and question.source in self._known and not question.must_be_full
        self._known[question.source] = None
        self._known.move_to_end(question.source)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        self._unsent.append(framed(question.light if is_light and question.light is not None else question.full))

    def send(self) -> None:
        if self._unsent and not self.is_gone:
            self.write(b"".join(self._unsent))
        self._unsent.clear()

    def kill(self) -> None:
        """The keeper and its worker: they are a process group of their own."""
        if self._transport.get_returncode() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)

    # What is told of it

    def answered(self, body: bytes) -> None:
        kind = body[:1]
        question = self.asked.popleft() if self.asked and kind in (ANSWER, DIED) else None
        if kind != ANSWER:
            self._known.clear()
        is_fresh, self._answers = self._answers == 0, self._answers + 1 if kind == ANSWER else 0
        if kind == DIED:
            self._sandbox.died(question, body[1], is_fresh=is_fresh)
        elif kind != ANSWER:
            self._sandbox.used_up()
        elif question is not None:
            self._sandbox.answered(question, body[1:])

    def all_answered(self) -> None:
        self._sandbox.look()

    def lost(self) -> None:
        lost, self.asked = list(self.asked), deque()
        self._sandbox.lost(lost)


def program(module: str) -> tuple[str, ...]:
    """The command that runs a module as such a process."""
    return (sys.executable, "-m", module)
