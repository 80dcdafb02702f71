"""The hours at which each address of a tenant opens and clicks (`shared.words.usual_hours`), as suppression notes them:
the look-up."""

from collections.abc import Sequence

from shared.redis import keys
from shared.redis.addressed import Addressed
from shared.redis.redis import Client
from shared.redis.suppression import normalised
from shared.words import usual_hours
from shared.words.usual_hours import UsualHours


class UsualHoursList:
    """Raises RedisAway."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._map = Addressed(client, partitions, keys.usual_hours)

    async def of(self, tenant: str, addresses: Sequence[str]) -> list[UsualHours]:
        """Of each address, however it is spelt; in one round trip, in a cluster one to each server."""
        if not addresses:
            return []
        found = await self._map.get_many([(tenant, normalised(address)) for address in addresses])
        return [usual_hours.decode(stored) for stored in found]
