"""The supervisor reads its children's logs as they grow."""

from pathlib import Path

from services.processes import Tail


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
