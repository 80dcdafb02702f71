"""A disk that fills up under load, with everything on it: Redis, logs, spool. Nothing is lost, nothing doubled."""

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.smtp_server import Envelope, SmtpServer
from tests.flows.stack import Stack, job

JOBS = 6
RECIPIENTS = 250
DISK = "64m"


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


def _recipient(envelope: Envelope) -> str:
    return envelope.rcpts[0].partition("<")[2].partition(">")[0]


async def _done(stack: Stack, job_id: str) -> dict[str, Any] | None:
    try:
        status, report = await stack.call("GET", f"/v1/jobs/{job_id}")
    except (aiohttp.ClientError, TimeoutError):
        return None
    return dict(report) if status == 200 and report["state"] == "done" else None


async def test_promise_2_a_full_disk_loses_nothing_and_doubles_nothing(disk: Path) -> None:
    async with SmtpServer({"DOT": (0.02, "250 2.0.0 taken")}) as sink:
        environ = {"ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}"}
        async with Stack.running(disk / "run", environ) as stack:
            jobs = []
            for number in range(JOBS):
                status, answer = await stack.call(
                    "POST", "/v1/jobs", job(*(f"u{n}@j{number}.test" for n in range(RECIPIENTS)))
                )
                assert status == 202, answer
                jobs.append(str(answer["id"]))
            relay, redis, queueing = (stack.pid_of(name) for name in ("relay", "redis", "queueing"))

            async def taken() -> bool:
                return len(sink.envelopes) >= RECIPIENTS

            seen = {redis}

            async def redis_has_died_again_and_again() -> bool:
                with suppress(LookupError):  # between a death and the next start
                    seen.add(stack.pid_of("redis"))
                return len(seen) > 2

            await stack.until(taken)
            filling = asyncio.create_task(_filled(disk / "filler"))
            await stack.until(redis_has_died_again_and_again)
            filling.cancel()
            (disk / "filler").unlink()
            reports = [await stack.until(partial(_done, stack, job_id), 300) for job_id in jobs]

            assert (stack.pid_of("relay"), stack.pid_of("queueing")) == (relay, queueing)

    delivered = Counter(map(_recipient, sink.envelopes))
    assert set(delivered) == {f"u{n}@j{number}.test" for number in range(JOBS) for n in range(RECIPIENTS)}
    assert set(delivered.values()) == {1}
    assert sum(report["counts"]["delivered"] for report in reports) == JOBS * RECIPIENTS
