"""Objections in a real Redis and a real cluster: who objects is on the suppression list for as long as they do."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from services.suppression.consent_store import ConsentStore
from services.suppression.consenting import Consenting
from services.suppression.consents import Saying
from services.suppression.objections import Objections
from services.suppression.store import Addition, Lists, Removal
from shared.redis import bus, keys
from shared.redis.addressed import Addressed
from shared.redis.consents import ConsentRules, Entry
from shared.redis.suppression import Asked, SuppressionList
from shared.redis.untracked import UntrackedList
from shared.words import consent
from shared.words.consent import Topic
from shared.words.scopes import CHANNELS

P = 3
ANA = "ana@example.fr"


@pytest.fixture
def lists(client: Any) -> Lists:
    return Lists(client, P)


@pytest.fixture
def lookup(client: Any) -> SuppressionList:
    return SuppressionList(client, P)


def consenting(client: Any, lists: Lists) -> Consenting:
    store = ConsentStore(client, P, ConsentRules(client, lambda: 0.0))
    return Consenting(store, UntrackedList(client), Objections(client, P, lists))


def saying(at_s: int, answer: str, address: str = ANA, tenant: str = "acme", topic: Topic = "objected") -> Saying:
    entry = Entry(at_ms=at_s * 1000, event_id=f"{at_s}", by="api", answers={topic: answer})
    change = consent.change({topic: answer}, at_s)
    return Saying(tenant, address, f"{tenant}.{address}.{at_s}.{topic}.{answer}", change, entry)


async def stopped(lookup: SuppressionList, address: str = ANA, tenant: str = "acme") -> list[str | None]:
    """By e-mail, SMS and telephone, in `bulk`; and by e-mail in `transactional`."""
    asked = [Asked(tenant, address, channel, "bulk", "news") for channel in CHANNELS]
    return await lookup.check([*asked, Asked(tenant, address, "email", "transactional", "")])


async def shown(lookup: SuppressionList, address: str = ANA) -> list[tuple[str, str, str, str]]:
    (one,) = await lookup.listed("acme", [address])
    return sorted((entry.channel, entry.scope, entry.reason, entry.source) for entry in one.entries)


async def test_who_objects_is_on_the_list_until_they_take_it_back(
    client: Any, lists: Lists, lookup: SuppressionList
) -> None:
    told = consenting(client, lists)

    await told.record([saying(5, "yes"), saying(6, "no", topic="email")])
    objecting = await stopped(lookup), await stopped(lookup, tenant="zeta"), await shown(lookup)
    await told.record([saying(4, "no")])  # said before, told later
    still = await stopped(lookup)
    await told.record([saying(9, "no")])

    assert objecting[0] == ["objected", "objected", "objected", None]
    assert objecting[1] == [None] * 4
    assert objecting[2] == [(channel, "marketing", "objected", "consent") for channel in ("email", "phone", "sms")]
    assert still == objecting[0]
    assert await stopped(lookup) == [None] * 4
    assert await shown(lookup) == []


async def test_no_request_and_no_file_takes_an_objection_off_and_a_stronger_word_stays_when_it_goes(
    client: Any, lists: Lists, lookup: SuppressionList
) -> None:
    told = consenting(client, lists)
    await told.record([saying(5, "yes")])
    await lists.add([Addition("acme", ANA, "manual", 6, "all")])

    (removed,) = await lists.remove([Removal("acme", ANA, 7, "api", "r")])
    kept = await stopped(lookup)
    await lists.add([Addition("acme", ANA, "complaint", 8)])
    await told.record([saying(9, "no")])

    assert [entry.reason for entry in removed.gone] == ["manual"]
    assert [entry.reason for entry in removed.kept] == ["objected"] * 3
    assert kept == ["objected", "objected", "objected", None]
    assert await shown(lookup) == [("email", "marketing", "complaint", "event")]


async def test_an_objection_that_a_tenant_put_there_by_hand_is_theirs_to_take_off(
    lists: Lists, lookup: SuppressionList
) -> None:
    await lists.add([Addition("acme", ANA, "objected", 6, source="api")])

    (removed,) = await lists.remove([Removal("acme", ANA, 7, "api", "r")])

    assert [entry.reason for entry in removed.gone] == ["objected"]
    assert await shown(lookup) == []


async def test_random_sayings_leave_the_list_as_the_states_are(
    client: Any, lists: Lists, lookup: SuppressionList
) -> None:
    chance = random.Random(3)
    told = consenting(client, lists)
    everybody = [f"r{number}@example.fr" for number in range(12)]
    for _ in range(12):
        some = [saying(chance.randrange(1, 60), chance.choice(consent.ANSWERS), who) for who in everybody]
        await told.record(chance.sample(some, 6))

    states = await Addressed(client, P, keys.consents).get_many([("acme", who) for who in everybody])
    for who, stored in zip(everybody, states, strict=True):
        objects = stored is not None and consent.decode(stored).answer("objected") == "yes"
        assert (await stopped(lookup, who))[0] == ("objected" if objects else None), who


async def test_who_takes_it_back_while_it_is_being_listed_is_not_left_on_the_list(
    client: Any, lists: Lists, lookup: SuppressionList
) -> None:
    class Slow(Lists):
        """Adds once the other has been heard."""

        def __init__(self) -> None:
            super().__init__(client, P)
            self.adding, self.goes_on = asyncio.Event(), asyncio.Event()

        async def add(self, additions: Sequence[Addition]) -> list[bool]:
            if additions:
                self.adding.set()
                await self.goes_on.wait()
            return await super().add(additions)

    slow = Slow()
    objecting = asyncio.create_task(consenting(client, slow).record([saying(5, "yes")]))
    await slow.adding.wait()

    await consenting(client, lists).record([saying(9, "no")])
    slow.goes_on.set()
    await objecting

    assert await shown(lookup) == []


async def test_an_objection_comes_back_when_the_stronger_word_in_its_place_is_taken_back(
    client: Any, lists: Lists, lookup: SuppressionList
) -> None:
    told = consenting(client, lists)
    await told.record([saying(5, "yes")])
    await lists.add([Addition("acme", ANA, "complaint", 6), Addition("acme", "bo@example.fr", "complaint", 6)])
    await lists.remove([Removal("acme", who, 7, "api", f"r{who}") for who in (ANA, "bo@example.fr")])
    gone = await stopped(lookup)

    facts = [
        bus.entry(number, fields)
        for p in range(P)
        for number, fields in await client.xrange(keys.events(p))
        if fields[b"t"] == b"Reactivated"
    ]
    await told.apply(facts)

    assert gone[0] is None
    assert len(facts) == 2
    assert (await stopped(lookup))[0] == "objected"
    assert await stopped(lookup, "bo@example.fr") == [None] * 4
