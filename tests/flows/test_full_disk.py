"""A disk that fills up under load, with everything on it: Redis, logs, spool. Nothing is lost, nothing doubled; if the
relay dies as well, at most what was in flight.

`FULL_DISK_JOBS=88` in the environment makes it 22,000 mails.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.flows.accounting import Sink, addresses, done, recorded
from tests.flows.stack import Stack, job

JOBS = int(os.environ.get("FULL_DISK_JOBS", "6"))
RECIPIENTS = 250
CONNECTIONS = 10
#: Room for what is kept of a mail, and for all else.
DISK = f"{60 + JOBS}m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one of its own."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(where)], check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("only root mounts a disk")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


async def _filled(file: Path) -> None:
    """Until cancelled: whatever becomes free is taken, to the last byte."""
    with file.open("ab", buffering=0) as out:
        while True:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while out.write(b"x" * size):
                        pass
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("dies", [False, True], ids=["all live", "the relay dies"])
async def test_promise_2_a_full_disk_loses_nothing_and_doubles_nothing(disk: Path, dies: bool) -> None:
    in_flight = 0
    async with Sink() as sink:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
            "ESTAFETTE_RELAY_CONNECTIONS_PER_SITE": str(CONNECTIONS),
        }
        async with Stack.running(disk / "run", environ) as stack:
            jobs = []
            for number in range(JOBS):
                status, answer = await stack.call("POST", "/v1/jobs", job(*addresses(number, RECIPIENTS)))
                assert status == 202, answer
                jobs.append(str(answer["id"]))
            relay, redis, queueing = (stack.pid_of(name) for name in ("relay", "redis", "queueing"))
            seen = {redis}

            async def redis_has_died_again_and_again() -> bool:
                with suppress(LookupError):  # between a death and the next start
                    seen.add(stack.pid_of("redis"))
                return len(seen) > 2

            await stack.until(partial(sink.has_taken, RECIPIENTS))
            filling = asyncio.create_task(_filled(disk / "filler"))
            await stack.until(redis_has_died_again_and_again)
            killed_at_ms, taken = time.time_ns() // 1_000_000, len(sink.envelopes)
            if dies:
                stack.kill("relay")
            filling.cancel()
            (disk / "filler").unlink()
            reports = [await stack.until(partial(done, stack, job_id), 300) for job_id in jobs]
            if dies:
                url = (stack.directory / "redis.url").read_text().strip()
                in_flight = CONNECTIONS + taken - await recorded(url, killed_at_ms)
            else:
                assert stack.pid_of("relay") == relay
            assert stack.pid_of("queueing") == queueing

    delivered = sink.delivered()
    doubled = sum(count - 1 for count in delivered.values())
    print(f"full disk: doubled {doubled} of {JOBS * RECIPIENTS}, in flight {in_flight}")

    assert set(delivered) == {address for number in range(JOBS) for address in addresses(number, RECIPIENTS)}
    assert doubled <= in_flight
    assert sum(report["counts"]["delivered"] for report in reports) == JOBS * RECIPIENTS
