"""Whose address facts are about that name their message alone: their recipients are looked up."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from shared.redis.recipients import Recipient, of_jobs
from shared.words import events


class Recipients(Protocol):
    """Keeps what it has read, within bounds, so that several readers of one batch ask once."""

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        """Those that the job has. RedisAway."""


async def addresses(recipients: Recipients, facts: Iterable[events.Fact]) -> Mapping[tuple[str, int | None], str]:
    """By job and ordinal, of the facts that bring no address along; without those whose job is not kept any more.
    RedisAway."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for fact in facts:
        if not fact.email and fact.ordinal is not None:
            wanted[fact.job].add(fact.ordinal)
    return {message: one.email for message, one in (await of_jobs(recipients, wanted)).items()}
