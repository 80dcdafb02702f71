"""Who objects to prospecting is on the suppression list, on every channel, for as long as they do.

An objection is an answer about consent: its state and its proof are kept there. What it does, it does as entries of the
list, `marketing` by e-mail, SMS and telephone, for the reason `objected`: so it holds for what is queued already, is
shown, exported and told like everything else that stops somebody. They go when the objection is taken back.

What is done is decided by the state, not by what was said: sayings come in any order, and twice. Whoever settles looks
again afterwards, and all of it is done once more by the one who reads the facts, in their order. Where a stronger word
took the place of such an entry and was taken back, the objection comes back (`restore`).
"""

from collections.abc import Sequence
from typing import NamedTuple

from services.suppression.consents import Saying
from services.suppression.store import Addition, Lists, Removal
from shared.redis import keys
from shared.redis.addressed import Addressed
from shared.redis.redis import Client
from shared.redis.suppression import normalised
from shared.words import consent, events, scopes
from shared.words.consent import NOTHING_SAID, Said
from shared.words.scopes import CHANNELS, Reason, Source

#: Whose word takes such an entry away, and where it comes from.
CONSENT: Source = "consent"
OBJECTED: Reason = "objected"


class _Whose(NamedTuple):
    tenant: str
    address: str


class Objections:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int, lists: Lists) -> None:
        self._states = Addressed(client, partitions, keys.consents)
        self._lists = lists

    async def restore(self, whose: Sequence[tuple[str, str]]) -> None:
        """What went of these tenants' addresses was not their objection, which stands."""
        asked = list(dict.fromkeys(_Whose(tenant, normalised(address)) for tenant, address in whose))
        said = await self._said(asked)
        await self._lists.add([one for who in asked for one in _additions(who, said[who])])

    async def _said(self, asked: Sequence[_Whose]) -> dict[_Whose, Said]:
        states = await self._states.get_many(asked)
        return {
            whose: (consent.decode(stored) if stored else NOTHING_SAID).said("objected")
            for whose, stored in zip(asked, states, strict=True)
        }

    async def settle(self, sayings: Sequence[Saying]) -> None:
        """The list is as the states of these addresses are, of those sayings that are about an objection."""
        asked = list(dict.fromkeys(_Whose(one.tenant, one.address) for one in sayings if one.change.objected_at))
        known: dict[_Whose, Said] = {}
        while asked:
            found = await self._said(asked)
            changed = {whose: said for whose, said in found.items() if known.get(whose) != said}
            await self._lists.add([one for whose, said in changed.items() for one in _additions(whose, said)])
            await self._lists.remove([_removal(whose, said) for whose, said in changed.items() if not _objects(said)])
            known, asked = found, list(changed)


def _objects(said: Said) -> bool:
    return consent.ANSWERS[said.code] == "yes"


def _additions(whose: _Whose, said: Said) -> list[Addition]:
    if not _objects(said):
        return []
    return [
        Addition(
            whose.tenant,
            whose.address,
            OBJECTED,
            said.at_s * 1000,
            scopes.MARKETING,
            channel,
            source=CONSENT,
        )
        for channel in CHANNELS
    ]


def _removal(whose: _Whose, said: Said) -> Removal:
    at_ms = said.at_s * 1000
    event = events.event_id("no objection", *whose, at_ms)
    return Removal(
        whose.tenant,
        whose.address,
        at_ms,
        CONSENT,
        event,
        scope=scopes.MARKETING,
        reasons=frozenset((OBJECTED,)),
        taken_back=True,
    )
