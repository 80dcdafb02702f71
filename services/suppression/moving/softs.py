"""Soft bounces of files, where nothing in this installation counts them (yet): told in the log, so that nobody thinks
that they were."""

from collections.abc import Sequence

from services.suppression.moving.wishes import Act
from shared.process import logs

_log = logs.get_logger()


class Softs:
    """`importing.SoftBounces` that counts nothing."""

    async def count(self, tenant: str, softs: Sequence[tuple[str, Act]], now_ms: int) -> None:
        _log.warning("soft_bounces_not_counted", tenant=tenant, addresses=len(softs), at_ms=now_ms)

    async def forgive(self, tenant: str, addresses: Sequence[str]) -> None:
        """There is nothing to forget."""
