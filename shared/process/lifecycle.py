"""The life of a process: start, ready, drain on SIGTERM with a deadline, close in order.

A service's `__main__` is:

    async def main(life: Lifecycle) -> None:
        settings = life.settings                        # read and checked already
        client = redis.connect(settings.redis.url)
        life.push_close(client.aclose)                  # closed last, after everything that uses it
        service = Relay(…)
        async with life.serving(settings.relay.metrics_port):     # /metrics, /healthz, /readyz
            life.spawn(service.run(), "leases")         # as many as wanted
            life.ready()
            await life.stopping.wait()
            await service.drain()                       # or have run() look at life.stopping itself

    if __name__ == "__main__":
        run(main, "relay", read)                        # of services.settings

What happens then:

- `run` reads the settings (exit code 2 and all faults on stderr if they are wrong, each or together), configures logs,
  starts uvloop.
- SIGTERM or SIGINT sets `life.stopping`; from that moment /readyz answers 503. Where `main` has said
  `life.keep_serving()`, /readyz answers 503 at once and `life.stopping` is set `lifecycle.grace_seconds` later: until
  then all goes on as before, for proxies that have not asked /readyz yet. A process that never was ready has
  nothing in flight: everything is cancelled at once. Otherwise `main` and the spawned tasks have
  `lifecycle.drain_seconds` to end by themselves; what is left then is cancelled; a second signal cancels at once.
- SIGHUP reads settings again (`reloading`): the level of the log, and what `life.also_reload(part)` names. It ends
  nothing, also when a terminal sends it that is closed.
- An exception in `main` or in a spawned task is logged as `crashed`, stops the process in the same orderly way, and
  makes its exit code 1: a process with a dead part is worse than a restarted one. A task that merely returns is done.
  What nobody but the operator can mend (`OperatorFault`; what the machine refuses before the process was ever ready, as
  a port that is taken) is logged as `cannot_run`, in words and without a traceback; the exit code is 2.
- When `main` and all tasks have ended, what was pushed is closed, the last pushed first, each within `CLOSE_SECONDS`.
  Hence push what tasks use, rather than leaving it to an `async with` in `main`, which ends before they do.
- Once a second the loop beats, for a supervisor that watches (`beat` of `run`): what beats no more is killed.
  `life.also_alive(check)` adds what a turning loop does not show; while a check tells a reason there is no beat, and
  /healthz answers 503.
- `life.not_ready("redis does not answer")` turns /readyz to 503 and `life.ready()` back; only changes are logged.
"""

import asyncio
import contextlib
import gc
import inspect
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from prometheus_client import Gauge

from shared.net.connections import Connections
from shared.net.server import raise_descriptors
from shared.process import coherence, logs, metrics
from shared.process.reload import Part
from shared.process.reloading import Reloading, again
from shared.process.settings import Settings, SettingsError, settings_file
from shared.words.errors import OperatorFault

#: A close that takes longer is given up: a server that hangs must not hang its clients' ends.
CLOSE_SECONDS = 3.0
#: Between two beats: a small part of what a supervisor waits for one (`lifecycle.hang_seconds`).
BEAT_SECONDS = 1.0

RESTARTS = Gauge("estafette_process_restarts", "How often the supervisor started this process again")

Close = Callable[[], Awaitable[object] | None]
#: What goes on until the event is set.
Run = Callable[[asyncio.Event], Coroutine[Any, Any, object]]


class Lifecycle:
    """What `main` is handed. Made by `run`; a test makes its own and calls `live`. `read` gives the settings as they
    are when SIGHUP comes."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        beat: Callable[[], None] = lambda: None,
        read: Callable[[], Settings] | None = None,
    ) -> None:
        self.name = name
        self._beat = beat
        self._liveness: list[metrics.Liveness] = []
        self.settings = settings
        #: All that this process takes over HTTP, whatever the port.
        self.connections = Connections(settings.http.max_connections, settings.http.max_connections_per_peer)
        #: Set once, at the first signal, crash or `stop`: take nothing new, finish what is in flight.
        self.stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._grace_s = 0.0
        self._is_leaving = False
        self._was_ready = False
        self._reason: str | None = "starting"
        self._checks: list[metrics.Readiness] = []
        self._closes: list[Close] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._code = 0
        self._reloading = Reloading(name, settings, read or (lambda: settings))
        self._log = logs.get_logger()

    # Ready

    def ready(self) -> None:
        self._set_reason(None)

    def not_ready(self, reason: str) -> None:
        self._set_reason(reason)

    def also_check(self, readiness: metrics.Readiness) -> None:
        """Asked at each /readyz, once the process itself is ready."""
        self._checks.append(readiness)

    def also_alive(self, liveness: metrics.Liveness) -> None:
        """Asked at each beat and each /healthz."""
        self._liveness.append(liveness)

    def liveness(self) -> str | None:
        """Why this process hangs although its loop turns; None when it does not."""
        return next((reason for check in self._liveness if (reason := check()) is not None), None)

    async def _beat_on(self) -> None:
        hung = False
        while True:
            reason = self.liveness()
            if reason is None:
                self._beat()
            elif not hung:
                self._log.error("hangs", reason=reason)
            hung = reason is not None
            await asyncio.sleep(BEAT_SECONDS)

    async def readiness(self) -> str | None:
        """Why this process is not ready; None when it is."""
        if self._is_leaving or self.stopping.is_set():
            return "draining"
        if self._reason is not None:
            return self._reason
        for check in self._checks:
            if (reason := await check()) is not None:
                return reason
        return None

    def _set_reason(self, reason: str | None) -> None:
        if reason != self._reason:
            self._reason = reason
            if reason is None:
                self._log.info("ready")
            else:
                self._log.warning("not_ready", reason=reason)
        self._was_ready = self._was_ready or reason is None

    def keep_serving(self) -> None:
        """Said by who has callers: it takes them for `lifecycle.grace_seconds` after /readyz begins to say 503."""
        self._grace_s = float(self.settings.lifecycle.grace_seconds)

    def also_reload(self, part: Part) -> None:
        """Of `main`, before it awaits anything: at SIGHUP it is asked what changes."""
        self._reloading.also(part)

    # Parts

    def push_close(self, close: Close) -> None:
        """A function, or a function that returns an awaitable; the last pushed is closed first."""
        self._closes.append(close)

    def spawn(self, work: Coroutine[Any, Any, object], name: str) -> asyncio.Task[Any]:
        """Runs beside `main`; its failure is the process's."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[int]:
        """/metrics, /healthz and /readyz on `settings.metrics.host` as long as the block runs; yields the real port."""
        server = await metrics.serve(
            self.settings.metrics.host,
            port,
            self.readiness,
            liveness=self.liveness,
            places=self.connections.probes,
        )
        self._log.info("serving_metrics", host=server.host, port=server.port)
        try:
            yield server.port
        finally:
            await server.close()

    def stop(self, reason: str) -> None:
        """As a signal does. Calling it again changes nothing."""
        if not self.stopping.is_set():
            self._log.info("stopping", reason=reason)
            self.stopping.set()

    # The run of a life

    async def live(
        self, main: Callable[["Lifecycle"], Coroutine[Any, Any, None]], hangups: Collection[int] = ()
    ) -> int:
        """Runs `main` to its end and returns the exit code. `hangups` gathers each SIGHUP that comes before this."""
        loop = asyncio.get_running_loop()
        for signalled in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signalled, self._signalled, signalled)
        loop.add_signal_handler(signal.SIGHUP, self._reloading.ask)
        self._log.info("started", pid=os.getpid())
        beating = loop.create_task(self._beat_on(), name="beat")
        self.spawn(main(self), "main").add_done_callback(lambda _body: self.stop("main has ended"))
        if hangups:
            self._reloading.ask()
        reloading = loop.create_task(self._reloading.run(), name="reload")  # behind `main`, which names its parts
        await self.stopping.wait()
        reloading.cancel()
        await self._drain(loop.time() + (self.settings.lifecycle.drain_seconds if self._was_ready else 0))
        await self._close()
        beating.cancel()
        self._log.info("stopped", code=self._code)
        return self._code

    def _signalled(self, signalled: signal.Signals) -> None:
        is_second = self._is_leaving or self.stopping.is_set()
        if is_second:
            self._hurry.set()
        self._is_leaving = True
        if is_second or not self._grace_s or not self._was_ready:
            self.stop(signalled.name)
            return
        self._log.info("leaving", reason=signalled.name, grace_seconds=self._grace_s)
        asyncio.get_running_loop().call_later(self._grace_s, self.stop, signalled.name)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, OperatorFault) or (isinstance(error, OSError) and not self._was_ready):
            self._code = self._code or 2
            self._log.error("cannot_run", why=str(error))
            self.stop("it cannot run")
            return
        self._code = 1
        self._log.error("crashed", task=task.get_name(), error=type(error).__name__, exc_info=error)
        self.stop(f"{task.get_name()} has crashed")

    async def _drain(self, deadline: float) -> None:
        """Until every task has ended; at the deadline or a second signal those that have not are cancelled."""
        loop = asyncio.get_running_loop()
        hurry = loop.create_task(self._hurry.wait())
        while self._tasks and not hurry.done() and (left := deadline - loop.time()) > 0:
            await asyncio.wait({*self._tasks, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if late := set(self._tasks):
            if self._was_ready:
                self._log.warning("drain_cut_short", tasks=sorted(task.get_name() for task in late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=CLOSE_SECONDS)

    async def _close(self) -> None:
        while self._closes:
            close = self._closes.pop()
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    closing = close()
                    if inspect.isawaitable(closing):
                        await closing
            except Exception as error:
                self._log.warning(
                    "close_failed", part=getattr(close, "__qualname__", repr(close)), error=type(error).__name__
                )


def run(
    main: Callable[[Lifecycle], Coroutine[Any, Any, None]],
    name: str,
    read: Callable[[], Settings],
    beat: Callable[[], None] = lambda: None,
    log_file: Path | None = None,
    restarts: int = 0,
) -> NoReturn:
    """The whole life of a process: ends by SystemExit with 0 drained, 1 crashed, 2 for the operator to mend. `read`
    gives its settings (`services.settings.read`); `beat` is called once a second while the process does not hang;
    `log_file` is where its standard error leads, if that may be moved away (`logs.configure`);
    `restarts` is how often it was started again."""
    hangups: list[int] = []  # from here on one is not lost; it ends nobody
    signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))
    file = settings_file(os.environ)
    try:
        settings = read()
        coherence.refuse(settings, name)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    logs.configure(name, settings.logs.level, log_file)
    for doubt in coherence.doubts(settings, name):
        logs.get_logger().warning("settings_doubtful", about=doubt)
    RESTARTS.set(restarts)
    os.umask(0o077)  # what is written is ours alone
    raise_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        made = partial(Lifecycle, name, settings, beat, again(read, file))
        raise SystemExit(runner.run(_live(main, made, hangups)))


def settle() -> None:
    """For a busy process that has started: what there is now stays for its life, and the collector, which would look
    through all of it again and again, leaves it alone and comes less often. Cycles are few: tasks that failed."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Waits so long, or until the process shall stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


async def cancelled(tasks: Collection[asyncio.Task[Any]], again_after_s: float = 0.05) -> None:
    """Cancels until all are gone: before Python 3.12 a cancellation is lost if it meets the end of an
    `asyncio.wait_for`, and the Redis client sends each command in one. What they failed with is nobody's any more."""
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=again_after_s)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # or it is told as one that nobody looked at


def beside(*runs: Run) -> Run:
    """All of them as one, until the event is set."""

    async def run(stopping: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for one in runs:
                group.create_task(one(stopping))

    return run


async def _live(
    main: Callable[[Lifecycle], Coroutine[Any, Any, None]], made: Callable[[], Lifecycle], hangups: Collection[int]
) -> int:
    return await made().live(main, hangups)
