"""Joining and leaving a tenant's lists: what it does to the list, to the suppression list, and what else holds.

Joining takes away that the address left this list, and nothing else that stops it; leaving is an unsubscription from
this list, and leaves everything else as it is. Both are told as facts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.suppression.store import Addition, Lists, Removal
from shared.redis.members import Members
from shared.redis.suppression import Asked, SuppressionList
from shared.words import quotas, scopes
from shared.words.scopes import Reason

#: What joining takes away. What somebody else than the recipient said of a list, or an operator, stays.
_LEFT: frozenset[Reason] = frozenset(("unsubscribed",))
#: What is sent to members of a list.
_STREAM = "bulk"
#: To the quota `lists`: somebody has to do with fewer.
RETRY_AFTER_S = 60


class Joined(NamedTuple):
    """What joining did: `is_new` to the list (None: an entry of the list keeps the address off); `came_back`: they had
    left it; `stopped`: the reason for which they get nothing of it all the same, None if they do."""

    is_new: bool | None
    came_back: bool
    stopped: str | None


class Memberships:
    """Every method raises RedisAway: what was asked may or may not have happened, and may be asked again. Addresses are
    normalised. `new_id` gives sixteen hex digits for what is told."""

    def __init__(
        self,
        members: Members,
        lists: Lists,
        lookup: SuppressionList,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self.members = members
        self._lists = lists
        self._lookup = lookup
        self._now_ms = now_ms
        self._new_id = new_id

    async def join(self, tenant: str, name: str, addresses: Sequence[str], most: int) -> list[Joined]:
        """For each what came of it. Problem `quota_exceeded`, and nothing is changed, if the list is new and the tenant
        has `most` already."""
        await self._check_room(tenant, name, most)
        now_ms, scope = self._now_ms(), scopes.of_list(name)
        # First: who leaves again before they have joined stays off (`members_join.lua`).
        removed = await self._lists.remove(
            [Removal(tenant, one, now_ms, "joined", self._new_id(), "email", scope, _LEFT) for one in addresses]
        )
        new = await self.members.join(tenant, name, addresses, now_ms)
        stopped = await self.stopped(tenant, name, addresses)
        return [
            Joined(is_new, bool(gone.gone), reason) for is_new, gone, reason in zip(new, removed, stopped, strict=True)
        ]

    async def leave(self, tenant: str, name: str, addresses: Sequence[str]) -> int:
        """How many had not left it before."""
        now_ms, scope = self._now_ms(), scopes.of_list(name)
        entered = await self._lists.add(
            [Addition(tenant, one, "unsubscribed", now_ms, scope=scope, source="api") for one in addresses]
        )
        return sum(entered)

    async def stopped(self, tenant: str, name: str, addresses: Sequence[str]) -> list[str | None]:
        """For each the reason for which a mail to the members of that list does not reach it; None if it does."""
        return await self._lookup.check([Asked(tenant, one, "email", _STREAM, name) for one in addresses])

    async def _check_room(self, tenant: str, name: str, most: int) -> None:
        ((members, left),) = await self.members.counts(tenant, [name])
        if members or left:
            return
        names = await self.members.names(tenant)
        if name not in names and len(names) >= most:
            raise quotas.exceeded("lists", most, len(names), RETRY_AFTER_S)
