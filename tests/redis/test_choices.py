"""What recipients choose, in a real Redis: their later word holds, however often and in whatever order it comes."""

from typing import Any

import pytest

from services.suppression.choices import Choices
from services.suppression.store import Addition, Lists
from services.suppression.suppression import Suppression
from shared.redis import bus
from shared.redis.looks import Looks
from shared.redis.members import Members
from shared.redis.recipients import Recipient
from shared.redis.suppression import Asked, SuppressionList
from shared.words import events, ids, scopes
from shared.words.look import Look
from shared.words.scopes import Reason

P = 3
ANA = "ana@example.fr"
JOB = ids.new_job_id(1_700_000_000_000, b"chance", P)
NOW_MS = 1_800_000_000_000


class Jobs:
    """Every job is sent for `letter`."""

    async def find(self, _job: str, _ordinals: Any) -> dict[int, Recipient]:
        return {}

    async def tenant_of(self, _job: str) -> str | None:
        return "acme"

    async def list_of(self, _job: str) -> str:
        return "letter"


class Desk:
    def __init__(self, client: Any) -> None:
        self.lists, self.lookup = Lists(client, P, lambda: NOW_MS), SuppressionList(client, P, lambda: NOW_MS)
        self.members, self.looks = Members(client, P), Looks(client, lambda: 0.0)
        choices = Choices(self.lists, self.lookup, self.members, Jobs(), self.looks)
        self._suppression = Suppression(self.lists, Jobs(), lambda: NOW_MS, None, choices)

    async def hear(self, *facts: events.Fact) -> None:
        entries = [
            bus.Entry("1000-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact)) for fact in facts
        ]
        await self._suppression.apply(0, entries)

    async def scopes(self) -> set[str]:
        (listed,) = await self.lookup.listed("acme", [ANA])
        return {entry.scope for entry in listed.entries}

    async def stopped(self) -> set[tuple[str, str]]:
        """By which channel, and for what."""
        (listed,) = await self.lookup.listed("acme", [ANA])
        return {(entry.channel, entry.scope) for entry in listed.entries}

    async def state(self, name: str) -> str:
        found = await self.members.find("acme", name, ANA)
        return found.state if found is not None else ""


@pytest.fixture
def desk(client: Any) -> Desk:
    return Desk(client)


def _about(at_ms: int, what: str) -> events.About:
    return events.about_message("acme", JOB, 3, at_ms, what, at_ms, email="Ana@Example.fr")


def leaves(at_ms: int) -> events.Unsubscribed:
    about = events.about_message("acme", JOB, 3, at_ms, "unsubscribed", email=ANA)
    return events.Unsubscribed(**about, by="one_click")


def undoes(at_ms: int) -> events.PreferencesChanged:
    return events.PreferencesChanged(**_about(at_ms, "undone"), by="page", undone=True)


def chooses(at_ms: int, **fields: Any) -> events.PreferencesChanged:
    return events.PreferencesChanged(**_about(at_ms, "preferences"), by="page", **fields)


def agrees(at_ms: int, by: str = "button", channel: str = "email", **fields: Any) -> events.OptedIn:
    return events.OptedIn(**_about(at_ms, "opted in"), channel=channel, by=by, **fields)


async def test_who_takes_it_back_has_not_left_and_who_leaves_again_has(desk: Desk) -> None:
    await desk.hear(leaves(1_000), undoes(2_000))
    back = await desk.scopes()
    await desk.hear(leaves(3_000))

    assert back == set()
    assert await desk.scopes() == {"list:letter"}
    assert await desk.state("letter") == "left"


async def test_a_repeat_of_what_was_taken_back_does_not_undo_that_one_left_again(desk: Desk) -> None:
    story = (leaves(1_000), undoes(2_000), leaves(3_000))

    for _ in range(2):
        await desk.hear(*story)

    assert await desk.scopes() == {"list:letter"}


async def test_lists_are_joined_and_left_and_no_other_list_is(desk: Desk) -> None:
    await desk.looks.put("acme", Look(lists=(("offers", "Offers"),)))

    await desk.hear(chooses(1_000, joined="offers\nsecret", left="letter"))

    assert [await desk.state(name) for name in ("offers", "secret", "letter")] == ["joined", "", "left"]
    assert await desk.scopes() == {"list:letter"}
    await desk.hear(chooses(2_000, joined="letter", left="offers"))
    assert [await desk.state(name) for name in ("offers", "letter")] == ["left", "joined"]


@pytest.mark.parametrize(("by", "joined"), [("button", ""), ("page", ""), ("double_opt_in", "joined")])
async def test_who_agrees_has_not_left_all_marketing_and_a_double_opt_in_joins_its_list(
    desk: Desk, by: str, joined: str
) -> None:
    await desk.lists.add([Addition("acme", ANA, "unsubscribed", 1_000, scope="marketing")])

    await desk.hear(agrees(2_000, by=by))

    assert await desk.scopes() == set()
    assert await desk.state("letter") == joined


async def test_who_opts_out_of_a_channel_gets_no_marketing_there_until_they_agree_again(desk: Desk) -> None:
    await desk.hear(chooses(1_000, opted_out="sms\nphone"))
    out = await desk.stopped()
    await desk.hear(agrees(2_000, by="page", channel="sms"))
    back = await desk.stopped()
    for _ in range(2):  # what was said before comes again
        await desk.hear(chooses(1_000, opted_out="sms\nphone"))

    assert out == {("sms", "marketing"), ("phone", "marketing")}
    assert back == {("phone", "marketing")}
    assert await desk.stopped() == back
    await desk.hear(chooses(3_000, opted_out="sms"))
    assert await desk.stopped() == out


async def test_who_opts_out_is_out_of_every_channel(desk: Desk) -> None:
    await desk.hear(chooses(1_000, opted_out="email\nsms\nphone"))

    asked = [Asked("acme", ANA, channel, "bulk", "letter") for channel in scopes.CHANNELS]
    transactional = [Asked("acme", ANA, channel, "transactional", "") for channel in scopes.CHANNELS]
    assert await desk.lookup.check(asked) == ["unsubscribed"] * 3
    assert await desk.lookup.check(transactional) == [None] * 3


async def test_an_opt_in_by_a_channel_that_is_none_of_ours_changes_nothing(desk: Desk) -> None:
    await desk.hear(chooses(1_000, opted_out="email\nfax"), agrees(2_000, by="double_opt_in", channel="fax"))

    assert await desk.stopped() == {("email", "marketing")}
    assert await desk.state("letter") == ""


@pytest.mark.parametrize("reason", ["complaint", "hard_bounce", "manual", "objected", "compliance"])
async def test_what_they_did_not_say_themselves_they_do_not_take_back(desk: Desk, reason: Reason) -> None:
    await desk.lists.add([Addition("acme", ANA, reason, 1_000, scope="marketing")])
    await desk.lists.add([Addition("acme", ANA, reason, 1_000, scope="list:letter")])

    await desk.hear(agrees(2_000), undoes(3_000), chooses(4_000, joined="letter"))

    assert await desk.scopes() == {"marketing", "list:letter"}
    assert await desk.state("letter") == "left"


async def test_what_the_api_told_of_somebody_takes_nothing_back(desk: Desk) -> None:
    await desk.lists.add([Addition("acme", ANA, "unsubscribed", 1_000, scope="marketing")])

    await desk.hear(agrees(2_000, by="api"))

    assert await desk.scopes() == {"marketing"}
