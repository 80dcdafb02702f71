"""What causes trouble by itself until somebody ends it: a busy client of Redis, a file that fills a disk."""

import asyncio
import threading
import time
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

#: What the busy client is called, as CLIENT LIST shows it.
BUSY_NAME = "nightly-export"
#: Redis does nothing else for about so long, then others have a moment.
BUSY_S, MOMENT_S = 0.7, 0.02
#: Scripts have no clock everywhere, so it is tried how long this takes.
_SCRIPT, _ROUNDS = "for _ = 1, ARGV[1] do end", 5_000_000
#: Pieces in which a disk is filled: to its last byte.
_PIECES = (1 << 20, 1 << 12, 1)


async def keep_busy(url: str) -> int:
    """Keeps a Redis busy with slow scripts, one after the other, until its connection is ended; the client's id."""
    client = redis.Redis.from_url(url, single_connection_client=True, retry=Retry(NoBackoff(), 0))

    def run(rounds: str) -> None:
        with suppress(redis.ConnectionError), client:
            while True:
                client.eval(_SCRIPT, 0, rounds)
                time.sleep(MOMENT_S)

    def start() -> int:
        client.client_setname(BUSY_NAME)
        number = int(client.client_id())
        began = time.monotonic()
        client.eval(_SCRIPT, 0, str(_ROUNDS))
        rounds = int(_ROUNDS * BUSY_S / (time.monotonic() - began))
        threading.Thread(target=run, args=(str(rounds),), name=BUSY_NAME, daemon=True).start()
        return number

    return await asyncio.to_thread(start)


async def fill(file: Path) -> None:
    """Writes to it until its disk is full."""

    def write() -> None:
        with file.open("ab", buffering=0) as out:
            for size in _PIECES:
                with suppress(OSError):
                    while out.write(b"x" * size):
                        pass

    await asyncio.to_thread(write)
