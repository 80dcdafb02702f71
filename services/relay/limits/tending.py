"""Keeps what limits know alive: the slots of open connections, and what other relays have found out."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from shared.process.lifecycle import pause
from shared.redis.redis import RedisAway
from shared.words.pace import TOLD_MS

#: How old what other relays have learned may be here.
TEND_S = TOLD_MS / 1000


class Tended(Protocol):
    async def tend(self) -> None:
        """To be called every `TEND_S`. RedisAway."""


async def tend(parts: Sequence[Tended], closed: asyncio.Event) -> None:
    """Until the last connection is closed: slots are counted for as long."""
    log = structlog.get_logger("relay")
    while not closed.is_set():
        for part in parts:
            try:
                await part.tend()
            except RedisAway as away:
                log.warning("limits_not_tended", reason=str(away))
            except Exception:  # ours, or a server that refuses: slots would end one after the other
                log.exception("limits_not_tended")
        await pause(closed, TEND_S)
