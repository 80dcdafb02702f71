"""What a base of contacts says of an address, on the list in a real Redis: however often, and however late it comes."""

from typing import Any

import pytest

from services.suppression.escalated import escalation
from services.suppression.escalation import Rules as SoftRules
from services.suppression.rule_book import RuleBook
from services.suppression.stated import Stated
from services.suppression.store import Addition, Lists
from services.suppression.suppression import Suppression
from shared.redis import bus
from shared.redis.suppression import Asked, SuppressionList
from shared.words import events
from shared.words.scopes import Reason
from tests.redis.test_choices import Jobs

P = 3
ANA = "ana@example.fr"
NOW_MS = 1_800_000_000_000


class Desk:
    def __init__(self, client: Any) -> None:
        self.lists, self.lookup = Lists(client, P, lambda: NOW_MS), SuppressionList(client, P, lambda: NOW_MS)
        counts = escalation(client, P, self.lists, RuleBook(client, SoftRules(), lambda: 0.0))
        stated = Stated(self.lists, self.lookup, counts)
        self._suppression = Suppression(self.lists, Jobs(), lambda: NOW_MS, None, None, stated)

    async def hear(self, *facts: events.Fact) -> None:
        await self._suppression.apply(
            0, [bus.Entry("1000-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact)) for fact in facts]
        )

    async def add(self, reason: Reason, at_ms: int, scope: str = "") -> None:
        await self.lists.add([Addition("acme", ANA, reason, at_ms, scope)])

    async def listed(self) -> set[tuple[str, str, str]]:
        (found,) = await self.lookup.listed("acme", [ANA])
        return {(entry.reason, entry.scope, entry.source) for entry in found.entries}

    async def stopped(self, stream: str) -> str | None:
        return (await self.lookup.check([Asked("acme", ANA, "email", stream, "")]))[0]


@pytest.fixture
def desk(client: Any) -> Desk:
    return Desk(client)


def says(at_ms: int, source: str = "import 12", **fields: str) -> events.AddressStated:
    return events.AddressStated(
        **events.about("acme", at_ms, "stated", at_ms, email="Ana@Example.fr"), source=source, **fields
    )


async def test_e11_who_is_opted_out_gets_no_bulk_mail_and_still_what_they_asked_for(desk: Desk) -> None:
    await desk.hear(says(1, state="opted_out"))

    assert await desk.listed() == {("unsubscribed", "marketing", "import")}
    assert await desk.stopped("bulk") == "unsubscribed"
    assert await desk.stopped("transactional") is None


async def test_e11_who_is_opted_in_is_subscribed_again_even_if_they_had_left(desk: Desk) -> None:
    await desk.add("unsubscribed", 1)

    await desk.hear(says(2, "api", state="opted_in"))

    assert await desk.listed() == set()


@pytest.mark.parametrize("reason", ["complaint", "manual", "compliance"])
async def test_e11_what_somebody_else_said_stays(desk: Desk, reason: Reason) -> None:
    await desk.add(reason, 1, "marketing")

    await desk.hear(says(2, state="opted_in"))

    assert {found for found, _, _ in await desk.listed()} == {reason}


async def test_e12_hard_is_never_mailed_and_valid_clears_it(desk: Desk) -> None:
    await desk.hear(says(1, kind="hard"))
    assert await desk.listed() == {("hard_bounce", "all", "import")}
    assert await desk.stopped("transactional") == "hard_bounce"

    await desk.hear(says(2, kind="valid"))

    assert await desk.listed() == set()


async def test_e11_a_fact_that_comes_again_changes_nothing_that_was_said_since(desk: Desk) -> None:
    back, left = says(10, state="opted_in", kind="valid"), says(20, state="opted_out")
    await desk.hear(back, left)
    await desk.hear(back)
    assert {reason for reason, _, _ in await desk.listed()} == {"unsubscribed"}

    await desk.hear(says(30, state="opted_in"), left)

    assert await desk.listed() == set()


async def test_e12_a_list_that_bounced_later_than_a_base_said_valid_keeps_it(desk: Desk) -> None:
    await desk.add("hard_bounce", 5)

    await desk.hear(says(4, kind="valid"))

    assert {reason for reason, _, _ in await desk.listed()} == {"hard_bounce"}


async def test_a_file_of_many_is_applied_together_and_each_in_the_order_of_what_was_said(desk: Desk) -> None:
    many = [
        events.AddressStated(**events.about("acme", 1, n, email=f"p{n}@example.fr"), state="opted_out")
        for n in range(300)
    ]
    again = events.AddressStated(**events.about("acme", 2, "again", email="p7@example.fr"), state="opted_in")
    leaves = events.Unsubscribed(**events.about("acme", 3, "left", email="p8@example.fr"), by="page")
    back = events.AddressStated(**events.about("acme", 2, "back", email="p8@example.fr"), state="opted_in")

    await desk.hear(*many, again, leaves, back)

    found = await desk.lookup.listed("acme", [f"p{n}@example.fr" for n in range(300)])
    assert [n for n, one in enumerate(found) if not one.entries] == [7]
