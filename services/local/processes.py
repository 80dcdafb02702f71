"""Child processes under a supervisor: started, started again when they die, stopped in order, never left behind.

Services are forked from the supervisor, which has imported the libraries they share: on two cores that makes the
difference between one second and four until all are up, and their memory is shared. Hence the supervisor has neither
threads nor an event loop. A fork wears the title `python -m services.<name>` and is otherwise what that command is.

A service beats once a second (`shared.process.lifecycle`): it counts in memory that it shares with its supervisor. One
that has not beaten for `hang_seconds` hangs, and is killed: it cannot be asked. Only time in which the supervisor
itself looked counts, so a machine that slept, or was as good as stopped, kills nobody; a start has longer, for it has
much to read.

On Linux the kernel kills each child when the supervisor dies, however it dies (PR_SET_PDEATHSIG). Killed, not asked:
with the supervisor gone nobody would kill what hangs, and nothing accepted is lost by kill -9.
"""

import ctypes
import importlib
import mmap
import os
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NoReturn

from setproctitle import setproctitle

from shared.process.priority import give_way

#: By how much a process that nobody waits for gives way (nice).
BEHIND = 5
#: A child that dies is started again after this long, twice as long each time it dies young.
FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 10.0
#: A child that lived as long as this has not died young.
GROWN_UP_SECONDS = 10.0
#: The first beat of a process may take so much longer than the others.
START_SECONDS = 60.0
#: Between two looks of a supervisor no more than this counts as silence.
LONGEST_LOOK_SECONDS = 1.0

_PR_SET_PDEATHSIG = 1
_HIGHEST_FD = 1024
# Loaded before any fork: a child must not search for libraries.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Pulse:
    """The beats of one process, in memory that it shares with the process that forked it; and how often that started
    it, which each fork takes with it."""

    def __init__(self) -> None:
        self._beats = mmap.mmap(-1, 8)
        self.starts = 0
        self.clear()

    def beat(self) -> None:
        struct.pack_into("<Q", self._beats, 0, self.count() + 1)

    def count(self) -> int:
        return int(struct.unpack_from("<Q", self._beats)[0])

    def clear(self) -> None:
        struct.pack_into("<Q", self._beats, 0, 0)


class Silence:
    """For how long there was no beat, as far as it was looked for."""

    def __init__(self, now: float) -> None:
        self.seconds = 0.0
        self._looked_at = now
        self._beats = 0

    def look(self, beats: int, now: float) -> float:
        """`beats` counted up to now (monotonic seconds)."""
        if beats == self._beats:
            self.seconds += min(now - self._looked_at, LONGEST_LOOK_SECONDS)
        else:
            self.seconds = 0.0
        self._looked_at, self._beats = now, beats
        return self.seconds


class Child:
    """One process to be kept alive. `work` runs in the fork and never returns (see `service` and `program`). With a
    `pulse` it is watched, and killed when it hangs for `hang_seconds`. `ends_by`: what asks it to end."""

    def __init__(
        self,
        name: str,
        work: Callable[[], NoReturn],
        log: Path,
        pulse: Pulse | None = None,
        hang_seconds: float = 30.0,
        ends_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.ends_by = ends_by
        self._pulse = pulse
        self._hang_seconds = hang_seconds
        self._silence = Silence(0.0)
        self.log = log
        self.pid: int | None = None
        self._work = work
        self._started_at = 0.0
        self._not_before = 0.0
        self._back_off = FIRST_BACK_OFF_SECONDS

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._silence = Silence(self._started_at)
        if self._pulse is not None:
            self._pulse.clear()
            self._pulse.starts += 1
        self.pid = fork(self._work, self.log)

    def ended(self) -> str | None:
        """How it ended, once, if it has; None while it runs."""
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self.pid = None
        now = time.monotonic()
        if now - self._started_at >= GROWN_UP_SECONDS:
            self._back_off = FIRST_BACK_OFF_SECONDS
        self._not_before = now + self._back_off
        self._back_off = min(self._back_off * 2, LONGEST_BACK_OFF_SECONDS)
        code = os.waitstatus_to_exitcode(status)
        return f"ended with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"

    def killed_as_hung(self) -> bool:
        """Whether it hung, and was killed for it just now. To be asked at every look."""
        if self._pulse is None or self.pid is None:
            return False
        beats = self._pulse.count()
        patience = self._hang_seconds if beats else self._hang_seconds + START_SECONDS
        if self._silence.look(beats, time.monotonic()) < patience:
            return False
        self.signal(signal.SIGKILL)
        self._silence = Silence(time.monotonic())
        return True

    def due(self) -> bool:
        """Whether it is dead and has been so for long enough to be started again."""
        return self.pid is None and time.monotonic() >= self._not_before

    def signal(self, wanted: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, wanted)


def stop(children: Sequence[Child], deadline_seconds: float, hurried: Callable[[], bool]) -> list[str]:
    """Asks all of them to end; SIGKILL to those that run at the deadline or when `hurried`. Returns the killed ones."""
    for child in children:
        child.signal(child.ends_by)
    deadline = time.monotonic() + deadline_seconds
    while _running(children) and time.monotonic() < deadline and not hurried():
        time.sleep(0.01)
    killed = _running(children)
    for child in killed:
        child.signal(signal.SIGKILL)
    while _running(children):
        time.sleep(0.01)
    return [child.name for child in killed]


def _running(children: Sequence[Child]) -> list[Child]:
    for child in children:
        child.ended()
    return [child for child in children if child.pid is not None]


def service(
    module: str, name: str, environ: Mapping[str, str], pulse: Pulse | None = None, log: Path | None = None
) -> Callable[[], NoReturn]:
    """What `python -m <module>` does with `environ` added, and with its beats on `pulse`; it follows its `log`."""

    def work() -> NoReturn:
        # Imported here, in the child: with the supervisor's own modules it would cost every start.
        from services import settings
        from shared.process import lifecycle

        setproctitle(f"python -m {module}")
        os.environ.update(environ)
        beat = pulse.beat if pulse is not None else lambda: None
        restarts = pulse.starts - 1 if pulse is not None else 0
        lifecycle.run(importlib.import_module(f"{module}.__main__").main, name, settings.read, beat, log, restarts)

    return work


def behind(work: Callable[[], NoReturn]) -> Callable[[], NoReturn]:
    """The same, giving way to `http`, for which somebody waits: mail can be a little later."""

    def politely() -> NoReturn:
        give_way(BEHIND)
        work()

    return politely


def program(command: Sequence[str]) -> Callable[[], NoReturn]:
    """That program, found by its path."""

    def work() -> NoReturn:
        os.execv(command[0], list(command))  # noqa: S606 - a list, no shell

    return work


def lent(
    command: Callable[[int], Sequence[str]], directory: Path, account: tuple[int, int] | None
) -> Callable[[], NoReturn]:
    """A program that holds `directory` open (as that number), and runs as `account` (uid, gid) if we are root and it
    will not be."""

    def work() -> NoReturn:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(opened, True)
        os.chdir("/")
        if account is not None:
            uid, gid = account
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            _die_with_parent()  # the kernel forgets it when a process becomes somebody else
        program(command(opened))()

    return work


def fork(work: Callable[[], NoReturn], log: Path) -> int:
    """The pid of a child that does `work` with its output in `log`, and dies with this process."""
    parent = os.getpid()
    _flush()
    pid = os.fork()
    if pid:
        return pid
    code: object = 1
    try:
        _become_child(parent, log)
        work()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        with suppress(OSError):
            traceback.print_exc()
    finally:
        # Whatever happens: who came out of here would be a second supervisor, and end the children of the first.
        try:
            _flush()
        finally:
            os._exit(code if isinstance(code, int) else 1)


def say(text: str) -> None:
    """To the people at the terminal. Where that is a file on a full disk, nobody reads it: that ends no supervisor."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()


def _become_child(parent: int, log: Path) -> None:
    os.setsid()  # Ctrl-C is the supervisor's: it stops its children in order
    _die_with_parent()
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    for caught in (signal.SIGINT, signal.SIGTERM):
        signal.signal(caught, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.closerange(3, _HIGHEST_FD)  # the supervisor's lock above all
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.closerange(3, _HIGHEST_FD)


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Tail:
    """What was written to a log since the last look. One that has grown to `max_bytes` is moved away: to `<log>.1`, the
    one of that name to `<log>.2`, and so on up to `files` of them. Who writes to it goes on in the one that was moved
    until it is noticed, so that one is read as well."""

    def __init__(self, log: Path, max_bytes: int, files: int) -> None:
        self._log = log
        self._max_bytes = max_bytes
        self._files = files
        self._at = log.stat().st_size if log.exists() else 0
        self._moved: BinaryIO | None = None
        self._rest = b""

    def lines(self) -> list[bytes]:
        """The new whole lines."""
        new = b"" if self._moved is None else self._moved.read()
        with suppress(FileNotFoundError):
            new += self._new()
        *lines, self._rest = (self._rest + new).split(b"\n")
        return lines

    def _new(self) -> bytes:
        size = self._log.stat().st_size
        if size < self._at:  # another's doing
            self._at, self._rest = 0, b""
        if size == self._at and size < self._max_bytes:
            return b""
        log = self._log.open("rb")
        log.seek(self._at)
        new = log.read()
        self._at += len(new)
        if size >= self._max_bytes:
            self._move(log)
        else:
            log.close()
        return new

    def close(self) -> None:
        if self._moved is not None:
            self._moved.close()

    def _move(self, log: BinaryIO) -> None:
        self.close()
        self._moved, self._at = log, 0
        names = [self._log, *(self._log.with_name(f"{self._log.name}.{number + 1}") for number in range(self._files))]
        for older, newer in reversed([*pairwise(names)]):
            with suppress(FileNotFoundError):
                older.replace(newer)
        self._log.touch(0o600)
