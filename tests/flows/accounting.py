"""What tests that kill something count: submitted (answered 202), delivered (taken by the sink), recorded (reports).

Lost is what was submitted and never delivered; doubled is what the sink took twice.
"""

from collections import Counter
from typing import Any

import aiohttp

from services.client.client import Client
from shared.redis import keys, redis
from tests.fakes.smtp_server import Envelope, SmtpServer
from tests.flows.stack import Stack, job

#: Of a `Stack`.
PARTITIONS = 4
#: A caller repeats so often, for some minutes in all; a test gives up then.
TRIES = 11


class Sink(SmtpServer):
    """Takes everything, a little slowly."""

    def __init__(self) -> None:
        super().__init__({"DOT": (0.02, "250 2.0.0 taken")})

    def delivered(self) -> Counter[str]:
        return Counter(map(recipient, self.envelopes))

    async def has_taken(self, number: int) -> bool:
        return len(self.envelopes) >= number


def recipient(envelope: Envelope) -> str:
    return envelope.rcpts[0].partition("<")[2].partition(">")[0]


def addresses(number: int, recipients: int) -> list[str]:
    """Of job `number`, whose recipients are at one site."""
    return [f"u{n}@j{number}.test" for n in range(recipients)]


async def submitted(stack: Stack, number: int, recipients: int) -> str:
    """The id of job `number`, as a careful caller posts it: with the same key until there is an answer."""
    async with Client(stack.base, stack.key, tries=TRIES) as mail:
        accepted = await mail.send(job(*addresses(number, recipients)), idempotency_key=f"job {number}")
    return accepted.id


async def done(stack: Stack, job_id: str) -> dict[str, Any] | None:
    """The report once it is final; None as long as it is not, or cannot be had."""
    try:
        status, report = await stack.call("GET", f"/v1/jobs/{job_id}")
    except (aiohttp.ClientError, TimeoutError):
        return None
    assert status in (200, 503), report
    return dict(report) if status == 200 and report["state"] == "done" else None


async def recorded(url: str, until_ms: int) -> int:
    """The deliveries that were on record then."""
    client: Any = redis.connect(url)
    try:
        streams = map(keys.events, range(PARTITIONS))
        entries: list[Any] = [await client.xrange(stream, max=str(until_ms)) for stream in streams]
    finally:
        await redis.close(client)
    return sum(fields[b"t"] == b"Delivered" for stream in entries for _, fields in stream)
