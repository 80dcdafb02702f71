"""To log never fails, whatever becomes of the lines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, sys
from shared.process import logs
logs.configure("relay", "info")
log = logs.get_logger()
{statement}
os.write(1, f"alive {{int(logs.LOST._value.get())}}".encode())
os._exit(0)
"""


def printed(statement: str, stderr: object) -> str:
    command = [sys.executable, "-c", CODE.format(statement=statement)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=True).stdout.decode()  # type: ignore[call-overload, no-any-return]


def test_lines_for_a_full_disk_are_lost_and_counted() -> None:
    with Path("/dev/full").open("wb") as full:
        assert printed("for n in range(3000): log.info('delivered', ordinal=n)", full) == "alive 3000"


def test_an_exception_is_logged_as_if_nothing_was() -> None:
    statement = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed')"
    with Path("/dev/full").open("wb") as full:
        assert printed(statement, full) == "alive 1"


def test_lines_for_a_closed_pipe_are_lost() -> None:
    statement = "import signal; signal.signal(signal.SIGPIPE, signal.SIG_IGN); log.info('delivered')"
    reader = subprocess.Popen([sys.executable, "-c", "pass"], stdin=subprocess.PIPE)
    reader.wait()

    assert printed(statement, reader.stdin) == "alive 1"
    reader.stdin.close()  # type: ignore[union-attr]


@pytest.mark.parametrize("bytes_left", [1, 30, 200])
def test_a_line_that_was_cut_is_ended_before_the_next(tmp_path: Path, bytes_left: int) -> None:
    log = tmp_path / "log"
    statement = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log.info("first")
resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(2).st_size + {bytes_left}, resource.RLIM_INFINITY))
log.info("second", filler="x" * 200)
log.info("third")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.info("fourth")
"""
    with log.open("wb") as out:
        assert printed(statement, out) == "alive 2"

    first, cut, fourth = log.read_bytes().splitlines()
    assert (b'"first"' in first, len(cut), b'"fourth"' in fourth) == (True, bytes_left, True)


def test_a_log_that_was_moved_away_is_gone_on_with_and_no_line_is_lost(tmp_path: Path) -> None:
    log, moved = tmp_path / "relay.log", tmp_path / "relay.log.1"
    statement = f"""
from pathlib import Path
file = Path({str(log)!r})
logs.configure("relay", "info", file)
for n in range(3000):
    log.info("delivered", attempt=n)
    if n % 1000 == 500:
        file.rename({str(moved)!r} + str(n))
"""
    with log.open("ab") as out:
        assert printed(statement, out) == "alive 0"

    files = [*(tmp_path / f"relay.log.1{n}" for n in (500, 1500, 2500)), log]
    attempts = [[json.loads(line)["attempt"] for line in file.read_text().splitlines()] for file in files]
    assert [attempt for one in attempts for attempt in one] == list(range(3000))
    assert [numbers[0] - moved_at <= 50 for numbers, moved_at in zip(attempts[1:], (500, 1500, 2500), strict=True)]
