"""Soft bounces of files, counted with those of mails (`escalating.py`)."""

from collections.abc import Sequence

from services.suppression.escalating import Escalation, Sign
from services.suppression.escalation import Person, Soft
from services.suppression.moving.wishes import Act

_DAY_MS = 86_400_000


class Softs:
    """`importing.SoftBounces`, on the counts."""

    def __init__(self, escalation: Escalation) -> None:
        self._escalation = escalation

    async def count(self, tenant: str, softs: Sequence[tuple[str, Act]], now_ms: int) -> None:
        """A file does not say of which mail it speaks: of an address one bounce a day counts, however often it, or the
        same file, comes in."""
        times = [(address, act.last_ms or act.since_ms or now_ms) for address, act in softs]
        await self._escalation.count(
            [Sign(tenant, address, Soft(at_ms, f"file {at_ms // _DAY_MS}", "soft_bounces")) for address, at_ms in times]
        )

    async def forgive(self, tenant: str, addresses: Sequence[str], now_ms: int) -> None:
        """Who says that an address works has seen a sign of life of it."""
        await self._escalation.count([Sign(tenant, address, Person(now_ms)) for address in addresses])
