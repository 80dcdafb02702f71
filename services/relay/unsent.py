"""What ends unsent counts for nobody: marketing presses on nobody, and the place in an operation is free again. It is
given back before its end is recorded, so that a crash between the two gives it back twice and not never."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from services.relay.message.mail import End
from shared.redis.once import Mark
from shared.redis.pressure import Mail
from shared.words.consent import MARKETING_STREAM
from shared.words.pressure import is_unsent


class Pressure(Protocol):
    async def give_back(self, tenant: str, stream: str, job: str, mails: Sequence[Mail]) -> None: ...


class Once(Protocol):
    async def give_back(self, tenant: str, job: str, marks: Sequence[Mark]) -> None: ...


class Unsent:
    """What the recorder calls with ends before it records them."""

    def __init__(self, pressure: Pressure, once: Once) -> None:
        self._pressure = pressure
        self._once = once

    async def give_back(self, ends: Sequence[End]) -> None:
        """What counts of those that are ends of what was not sent. RedisAway; may be repeated."""
        pressing: dict[tuple[str, str], list[Mail]] = defaultdict(list)
        placed: dict[tuple[str, str], list[Mark]] = defaultdict(list)
        for end in ends:
            ready = end.mail.ready
            if not is_unsent(end.fact):
                continue
            if ready.stream == MARKETING_STREAM:
                pressing[ready.tenant, ready.job].append(Mail(ready.ordinal, ready.email))
            if ready.once:
                placed[ready.tenant, ready.job].append(Mark(ready.ordinal, ready.once))
        for (tenant, job), mails in pressing.items():
            await self._pressure.give_back(tenant, MARKETING_STREAM, job, mails)
        for (tenant, job), marks in placed.items():
            await self._once.give_back(tenant, job, marks)
