"""Lists of a tenant: who is on which, since when, and who left it.

Being on a list is no consent, and stops nothing: it is what the tenant wants to know. What keeps mail from somebody who
left is their entry on the suppression list (`shared.words.scopes`: the scope `list:<name>`). The scripts that put and
remove such an entry keep the lists in step, whoever says it, the recipient's link or the tenant (`members_common.lua`).
So an address has joined a list, or has left it, or neither; whoever joins again has not left.

A tenant's lists are a set of names in each partition, and of each list two maps of addresses
(`shared.redis.addressed`), of those who joined and of those who left, with the time.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from shared.redis import addressed, keys, lua
from shared.redis.addressed import Addressed, Place
from shared.redis.redis import Client, Script, answer, lua_of
from shared.words import scopes
from shared.words.ids import address_partition
from shared.words.scopes import Entry

#: What scripts begin with that change who is on lists.
LUA = addressed.LUA + lua_of(__file__, "members_common")

#: How somebody stands to a list.
State = Literal["joined", "left"]
STATES: tuple[State, ...] = get_args(State)
#: Addresses of one script call.
_BATCH = 500
#: Of what kind an entry is that keeps mail of one list from an address.
KIND_OF_A_LIST, _ = scopes.place_of("email", scopes.of_list("a"))

_JOIN = Script.of(
    __file__, "members_common", "members_join", begins=addressed.LUA, names=lua.places(ENTRY=Entry), kept=True
)
_FORGET = Script.of(__file__, "members_common", "members_forget", begins=addressed.LUA, kept=True)


class Member(NamedTuple):
    """Somebody who joined or left, and when."""

    address: str
    state: State
    since_ms: int


class Counts(NamedTuple):
    """How many there are on a list, and how many left it."""

    members: int
    left: int


class Members:
    """Every method raises RedisAway. Addresses are normalised."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def names(self, tenant: str) -> list[str]:
        """The lists that somebody is on, or has left, by name."""
        found: set[bytes] = set()
        for p in range(self._partitions):
            found |= await self._client.smembers(keys.lists(p, tenant))
        return sorted(name.decode() for name in found)

    async def counts(self, tenant: str, names: Sequence[str]) -> list[Counts]:
        """Of each list, in one round trip."""
        if not names:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            for state in STATES:
                for p in range(self._partitions):
                    pipeline.hmget(keys.list_map(p, tenant, name, state), ["count"])
        numbers = iter([int(count or 0) for (count,) in await answer(pipeline.execute())])
        sums = [[sum(next(numbers) for _ in range(self._partitions)) for _ in STATES] for _ in names]
        return [Counts(*one) for one in sums]

    async def join(self, tenant: str, name: str, addresses: Sequence[str], at_ms: int) -> list[bool | None]:
        """For each address whether it is new on the list; None if an entry of the list keeps it off."""
        joined: list[bool | None] = [None] * len(addresses)
        places: dict[int, list[int]] = {}
        for index, address in enumerate(addresses):
            places.setdefault(address_partition(tenant, address, self._partitions), []).append(index)
        for p, indexes in places.items():
            key_names = [keys.lists(p, tenant), keys.suppressions(p, tenant)]
            for start in range(0, len(indexes), _BATCH):
                part = indexes[start : start + _BATCH]
                args: list[str | bytes | int] = [name, at_ms, KIND_OF_A_LIST, *(addresses[index] for index in part)]
                for index, number in zip(part, await _JOIN(self._client, key_names, args), strict=True):
                    joined[index] = None if number < 0 else number == 1
        return joined

    async def find(self, tenant: str, name: str, address: str) -> Member | None:
        """How one address stands to a list; None if it neither joined nor left."""
        for state in STATES:
            if (since := await self.map(name, state).get(tenant, address)) is not None:
                return Member(address, state, int(since))
        return None

    async def page(
        self, tenant: str, name: str, state: State, after: Place, limit: int
    ) -> tuple[list[Member], Place | None]:
        """At most `limit` of those who joined, or left, behind that place, in an order that never changes; and the
        place to go on from, None at the end."""
        held, following = await self.map(name, state).page(tenant, after, limit)
        return [Member(one.address, state, int(one.value)) for one in held], following

    async def lists_of(self, tenant: str, address: str) -> list[tuple[str, Member]]:
        """Every list that an address joined or left, by name."""
        p = address_partition(tenant, address, self._partitions)
        names = sorted(name.decode() for name in await self._client.smembers(keys.lists(p, tenant)))
        found = [(name, await self.find(tenant, name, address)) for name in names]
        return [(name, member) for name, member in found if member is not None]

    async def forget(self, tenant: str, address: str) -> int:
        """Forgets the address, whatever it joined or left; how many lists had it. Its entries on the suppression list
        stay."""
        p = address_partition(tenant, address, self._partitions)
        forgotten: int = await _FORGET(self._client, [keys.lists(p, tenant)], [address])
        return forgotten

    def map(self, name: str, state: State) -> Addressed:
        """Those who stand so to a list, each with the ms since when, as text."""
        return Addressed(self._client, self._partitions, lambda p, tenant: keys.list_map(p, tenant, name, state))
