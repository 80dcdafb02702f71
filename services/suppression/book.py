"""The suppression list as imports change it and exports read it, a batch in one go."""

from collections.abc import AsyncIterator, Sequence

from services.suppression.moving.deciding import Standing
from services.suppression.moving.wishes import Act
from services.suppression.store import Addition, Lists, Removal
from shared.redis import keys
from shared.redis.addressed import Addressed
from shared.redis.redis import Client
from shared.redis.suppression import entries
from shared.redis.suppression_file import SuppressionFile
from shared.words import scopes
from shared.words.ids import address_partition

#: On whose word imports take something off the list.
BY = "import"


class Book:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, lists: Lists) -> None:
        self._lists = lists
        self._map = Addressed(client, partitions, keys.suppressions)
        self._file = SuppressionFile(client, partitions)
        self.places = partitions

    def place_of(self, tenant: str, address: str) -> int:
        return address_partition(tenant, address, self.places)

    async def standing(self, tenant: str, addresses: Sequence[str], now_ms: int) -> list[list[Standing]]:
        stored = await self._map.get_many([(tenant, address) for address in addresses])
        return [
            [
                Standing(one.channel, one.scope, one.reason, scopes.is_protected(one))
                for one in scopes.alive(entries(value), now_ms)
            ]
            if value is not None
            else []
            for value in stored
        ]

    async def add(self, tenant: str, acts: Sequence[tuple[str, Act]], now_ms: int) -> list[bool]:
        additions: list[Addition] = []
        again: list[Addition] = []
        for address, act in acts:
            last_ms = act.last_ms or act.since_ms or now_ms
            one = Addition(
                tenant,
                address,
                act.reason,
                act.since_ms or last_ms,
                act.scope,
                act.channel,
                act.source,
                act.said,
                act.expires_at_ms,
                is_told=False,
            )
            additions.append(one)
            if one.at_ms != last_ms:  # an entry lasts from the first time that it was said to the last
                again.append(one._replace(at_ms=last_ms))
        entered = await self._lists.add(additions)
        if again:
            await self._lists.add(again)
        return entered

    async def remove(self, tenant: str, gone: Sequence[tuple[str, Standing]], now_ms: int, by: str) -> None:
        await self._lists.remove(
            [
                Removal(
                    tenant,
                    address,
                    now_ms,
                    BY,
                    by,
                    entry.channel,
                    entry.scope,
                    frozenset((entry.reason,)),
                )
                for address, entry in gone
            ]
        )

    def lines(self, tenant: str, delimiter: str, now_ms: int) -> AsyncIterator[str]:
        """The whole list as rows of CSV, some at a time; what is on it all the time is in it once."""
        return self._file.lines(tenant, delimiter, now_ms)
