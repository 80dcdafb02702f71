"""Marketing that ends unsent presses on nobody: it is given back, before its end is recorded, so that a crash between
the two gives it back twice and not never."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from services.relay.message.mail import End
from shared.redis.pressure import Mail
from shared.words.consent import MARKETING_STREAM
from shared.words.pressure import is_unsent


class Pressure(Protocol):
    async def give_back(self, tenant: str, stream: str, job: str, mails: Sequence[Mail]) -> None: ...


class Unsent:
    """What the recorder calls with ends before it records them."""

    def __init__(self, pressure: Pressure) -> None:
        self._pressure = pressure

    async def give_back(self, ends: Sequence[End]) -> None:
        """Those that are ends of marketing that was not sent. RedisAway; may be repeated."""
        by_job: dict[tuple[str, str], list[Mail]] = defaultdict(list)
        for end in ends:
            ready = end.mail.ready
            if ready.stream == MARKETING_STREAM and is_unsent(end.fact):
                by_job[ready.tenant, ready.job].append(Mail(ready.ordinal, ready.email))
        for (tenant, job), mails in by_job.items():
            await self._pressure.give_back(tenant, MARKETING_STREAM, job, mails)
