"""The supervisor reads its children's logs as they grow, and finds out which of them hang."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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


@pytest.fixture
def closing() -> Iterator[Callable[[Tail], Tail]]:
    tails: list[Tail] = []

    def kept(tail: Tail) -> Tail:
        tails.append(tail)
        return tail

    yield kept
    for tail in tails:
        tail.close()


def test_a_tail_gives_whole_lines_that_are_new(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    log.write_bytes(b"before\n")
    tail = Tail(log, max_bytes=1000, files=2)

    assert tail.lines() == []
    with log.open("ab") as out:
        out.write(b"one\ntwo\nthr")
    assert tail.lines() == [b"one", b"two"]
    with log.open("ab") as out:
        out.write(b"ee\n")
    assert tail.lines() == [b"three"]


def test_a_log_that_was_moved_away_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    tail = Tail(log, max_bytes=1000, files=2)
    assert tail.lines() == []
    log.write_bytes(b"one\ntwo\n")
    assert tail.lines() == [b"one", b"two"]

    log.write_bytes(b"new\n")

    assert tail.lines() == [b"new"]


def test_a_log_that_grows_too_long_is_moved_away_and_so_many_are_kept(
    tmp_path: Path, closing: Callable[[Tail], Tail]
) -> None:
    log = tmp_path / "relay.log"
    tail = closing(Tail(log, max_bytes=4, files=2))

    shown = []
    for word in (b"one\n", b"two\n", b"three\n", b"4\n"):
        with log.open("ab") as out:
            out.write(word)
        shown += tail.lines()

    assert shown == [b"one", b"two", b"three", b"4"]
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "relay.log": b"4\n",
        "relay.log.1": b"three\n",
        "relay.log.2": b"two\n",
    }


def test_who_has_not_found_out_that_his_log_was_moved_is_heard_as_well(
    tmp_path: Path, closing: Callable[[Tail], Tail]
) -> None:
    log = tmp_path / "relay.log"
    tail = closing(Tail(log, max_bytes=4, files=2))
    with log.open("ab", buffering=0) as slow:
        slow.write(b"one\n")
        assert tail.lines() == [b"one"]

        slow.write(b"two\n")
        log.write_bytes(b"4\n")

        assert tail.lines() == [b"two", b"4"]
        assert (tmp_path / "relay.log.1").read_bytes() == b"one\ntwo\n"


def test_a_log_of_before_that_is_too_long_is_moved_and_not_emptied(
    tmp_path: Path, closing: Callable[[Tail], Tail]
) -> None:
    log = tmp_path / "relay.log"
    log.write_bytes(b"of yesterday\n")

    tail = closing(Tail(log, max_bytes=4, files=2))

    assert tail.lines() == []
    assert (tmp_path / "relay.log.1").read_bytes() == b"of yesterday\n"
    assert log.read_bytes() == b""


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


def test_how_often_a_process_was_started_is_known_to_it(tmp_path: Path) -> None:
    pulse = Pulse()
    child = Child("relay", _beating(pulse, 0), tmp_path / "log", pulse)

    for _ in range(2):
        _until(child.due)
        child.start()
        child.signal(signal.SIGKILL)
        _until(child.ended)

    assert pulse.starts == 2


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
