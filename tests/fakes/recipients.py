"""The recipients of jobs, in memory."""

from collections.abc import Mapping, Sequence

from shared.redis.recipients import Recipient
from shared.redis.redis import RedisAway


class Jobs:
    """Addresses by job and ordinal; `away` does not answer."""

    def __init__(self, addresses: Mapping[tuple[str, int], str] | None = None, away: bool = False) -> None:
        self._addresses = addresses or {}
        self._away = away

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        if self._away:
            raise RedisAway("gone")
        places = {ordinal: self._addresses.get((job, ordinal)) for ordinal in ordinals}
        return {ordinal: Recipient(address) for ordinal, address in places.items() if address is not None}
