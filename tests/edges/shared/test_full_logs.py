"""To log never fails, whatever becomes of the lines."""

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
