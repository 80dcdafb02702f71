"""The supervisor reads its children's logs as they grow, and finds out which of them hang."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from services.local import processes
from services.local.processes import (
    Child,
    Pulse,
    Silence,
    Tail,
)


def test_a_tail_gives_whole_lines_that_are_new(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    log.write_bytes(b"before\n")
    tail = Tail(log)

    assert tail.lines() == []
    with log.open("ab") as out:
        out.write(b"one\ntwo\nthr")
    assert tail.lines() == [b"one", b"two"]
    with log.open("ab") as out:
        out.write(b"ee\n")
    assert tail.lines() == [b"three"]


def test_a_log_that_was_moved_away_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    tail = Tail(log)
    assert tail.lines() == []
    log.write_bytes(b"one\ntwo\n")
    assert tail.lines() == [b"one", b"two"]

    log.write_bytes(b"new\n")

    assert tail.lines() == [b"new"]


def test_a_log_that_grows_too_long_is_emptied(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    tail = Tail(log, max_bytes=10)
    log.write_bytes(b"0123456789\nabc\n")

    assert tail.lines() == [b"0123456789", b"abc"]

    assert log.stat().st_size == 0
    log.write_bytes(b"x\n")
    assert tail.lines() == [b"x"]


def test_silence_is_the_time_since_the_last_beat() -> None:
    silence = Silence(100.0)

    heard = [silence.look(beats, now) for beats, now in [(0, 100.5), (0, 101.0), (1, 101.5), (1, 102.0)]]

    assert heard == [0.5, 1.0, 0.0, 0.5]


def test_time_in_which_the_supervisor_did_not_look_itself_is_hardly_silence() -> None:
    silence = Silence(100.0)

    assert silence.look(0, 4_000.0) == processes.LONGEST_LOOK_SECONDS


def _beating(pulse: Pulse, beats: int) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        for _ in range(beats):
            pulse.beat()
        while True:
            time.sleep(1)

    return work


T = TypeVar("T")


def _until(condition: Callable[[], T]) -> T:
    """What it answers, once that is true."""
    deadline = time.monotonic() + 30
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


@pytest.mark.parametrize("beats", [0, 3], ids=["never was up", "stopped beating"])
def test_a_process_that_hangs_is_killed_once_and_may_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beats: int
) -> None:
    monkeypatch.setattr(processes, "START_SECONDS", 0.2)
    pulse = Pulse()
    child = Child("relay", _beating(pulse, beats), tmp_path / "log", pulse, hang_seconds=0.2)
    child.start()
    pid = child.pid

    _until(child.killed_as_hung)
    again = child.killed_as_hung()
    ended = _until(child.ended)

    assert pid is not None
    assert not again
    assert ended == "was killed by SIGKILL"
    _until(child.due)
    child.start()
    assert (child.pid not in (None, pid), child.killed_as_hung()) == (True, False)
    child.signal(signal.SIGKILL)
    _until(child.ended)


def test_a_process_that_cannot_beat_is_not_watched(tmp_path: Path) -> None:
    child = Child("redis", _beating(Pulse(), 0), tmp_path / "log", hang_seconds=0.0)
    child.start()

    assert child.pid is not None
    assert not child.killed_as_hung()
    os.kill(child.pid, signal.SIGKILL)
    _until(child.ended)


_FORKING = """
import os, sys
from pathlib import Path
from services.local.processes import fork, say

def work():
    sys.stdout.write("nobody will read this")
    raise ValueError("nor this")

_, status = os.waitpid(fork(work, Path("/dev/full")), 0)
print("the child ended with", os.waitstatus_to_exitcode(status), flush=True)
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
say("relay ended")
_, status = os.waitpid(fork(work, Path("/dev/full")), 0)
print("its sister with", os.waitstatus_to_exitcode(status), flush=True)
os._exit(0)
"""


def test_a_full_disk_ends_neither_the_supervisor_nor_makes_another_of_its_child() -> None:
    ended = subprocess.run([sys.executable, "-c", _FORKING], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stdout == "the child ended with 1\nits sister with 1\n"
