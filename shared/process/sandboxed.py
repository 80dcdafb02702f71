"""The inside of a sandbox: a process that works for others' sources, and dies in place of the service that asked.

    service ── frames ──→ keeper (stdin)    keeper's stdout ── frames ──→ service
                            │ forks
                          worker: reads the keeper's stdin, writes the keeper's stdout

Each way frames (`shared.process.frames`). To the service a body begins with a byte: `A`, the
answer to what was asked first and is not answered yet; `D`, the worker died over it, of this signal, or with 0 of an
error of its own; `N`, a worker had done its share and another begins. Questions are answered in their order, one after
the other, so that it is always known which one a death is of; those behind it are still in the pipe, for the next
worker.

A worker's address space is bounded, it leaves no core, and it has three clocks, each of which kills it: SIGXCPU after
the processor time of a whole question, SIGPROF after that of the part which the work itself bounds (`limit`), SIGALRM
when it took too long by the clock on the wall. Processor time is the kernel's for it as well: what takes and gives back
memory all the time costs little else. It forks from a keeper that has imported all, which takes a
millisecond or two. It has no descriptors but the two pipes. The keeper ends when its stdin does, because then the
service is gone; on Linux the kernel sees to that as well.
"""

import ctypes
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from shared.process.frames import LENGTH_BYTES, framed
from shared.process.priority import give_way

#: What a worker may take beyond what it begins with: source, tree, variables and text of a mail need some MB.
MEMORY_BYTES = 256 * 1024 * 1024
#: Processor time of one question, to which the kernel, who counts whole seconds here, adds up to one: the largest
#: honest content compiles in two thirds of it.
QUESTION_CPU_S = 1
#: By the clock on the wall; the machine may be busy.
QUESTION_WALL_S = 8.0
#: After so many questions a worker is used up: what one tenant's left behind in it does not stay for ever.
QUESTIONS = 20_000
#: And after it grew by so much.
GROWN_BYTES = 128 * 1024 * 1024
#: How often it is looked whether it did.
LOOK_EVERY = 64
#: The largest question: sources, and variables.
MAX_FRAME_BYTES = 16 * 1024 * 1024

ANSWER, DIED, NEW = b"A", b"D", b"N"

_PR_SET_PDEATHSIG = 1
_USED_UP = 3
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def limit(seconds: float) -> None:
    """The work has so much processor time from now on; 0: no more than the question's."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def serve(work: Callable[[bytes], bytes], *, nice: int = 0) -> NoReturn:
    """Keeps a worker that answers each question with what `work` says of it, until stdin ends. `nice`: by how much it
    gives way to others where processors are busy."""
    _die_with_parent()
    give_way(nice)
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        pid = os.fork()
        if pid == 0:
            _worker(work)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0 or -code == signal.SIGKILL:
            # Its stdin ended; or somebody killed it, perhaps in the middle of a frame: the service begins anew.
            os._exit(0)
        _write(framed(NEW if code == _USED_UP else DIED + bytes((max(-code, 0),))))


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _worker(work: Callable[[bytes], bytes]) -> NoReturn:
    code = 1
    try:
        keeper = os.getppid()
        _die_with_parent()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # native code prints what it panics over: others' data
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        began = _address_space_bytes()
        resource.setrlimit(resource.RLIMIT_AS, (began + MEMORY_BYTES, began + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        if os.getppid() == keeper:
            code = _answer_all(work, began)
    except BaseException:
        code = 1
    finally:
        os._exit(code)


def _answer_all(work: Callable[[bytes], bytes], began: int) -> int:
    ends_at = 0
    for number in range(QUESTIONS):
        if number % LOOK_EVERY == 0 and _address_space_bytes() - began > GROWN_BYTES:
            return _USED_UP
        head = _read(LENGTH_BYTES)
        if not head:
            return 0
        length = int.from_bytes(head, "big")
        if length > MAX_FRAME_BYTES:
            return 0
        question = _read(length)
        seconds = int(time.process_time()) + QUESTION_CPU_S + 1
        if seconds != ends_at:
            ends_at = seconds
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_REAL, QUESTION_WALL_S)
        answer = work(question)
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        _write(framed(ANSWER + answer))
    return _USED_UP


def _read(length: int) -> bytes:
    """Exactly so many bytes, so that what follows is left to whoever comes next; b"" if stdin ended."""
    pieces = []
    while length:
        piece = os.read(0, min(length, 1 << 20))
        if not piece:
            return b""
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _write(frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(1, rest) :]


def _address_space_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30
