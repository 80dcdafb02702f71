"""A host that takes every mail and writes each down: when, and to whom.

    python -m loadtests.tally <port> <file>

A line a mail, `<ms since 1970> <local part>`, written before the mail is answered: so nobody has been told of a mail
that is not in the file, whatever is killed.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import uvloop

from loadtests.many_hosts import BACKLOG, MARK, Record, Session


class Taken(NamedTuple):
    """A mail that the host took."""

    at_ms: int
    name: str


class Written(Record):
    """The record of this host is the file."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def took(self, name: str) -> None:
        self._file.write(b"%d %b\n" % (time.time_ns() // 1_000_000, name.encode("ascii")))


def taken(file: Path) -> Iterator[Taken]:
    """What it took, in that order."""
    with file.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                at_ms, name = line.split()
                yield Taken(int(at_ms), name.decode("ascii"))


def address(number: int) -> str:
    """Of a recipient whose mails are written down."""
    return f"{MARK}{number}@domain.example"


async def serve(port: int, file: Path) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_stop.set)
    with file.open("ab", buffering=0) as written:
        record = Written(written)
        await loop.create_server(lambda: Session(record, loop), "127.0.0.1", port, backlog=BACKLOG)
        await told_to_stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
