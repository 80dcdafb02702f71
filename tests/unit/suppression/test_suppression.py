"""The main path of suppression, with a list and recipients in memory."""

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.suppression.store import Addition
from services.suppression.suppression import Suppression
from shared.redis import bus
from shared.redis.recipients import Recipient
from shared.words import events, ids

JOB = ids.new_job_id(1_700_000_000_000, b"chance", 8)


class Lists:
    def __init__(self) -> None:
        self.additions: list[Addition] = []

    async def add(self, additions: Sequence[Addition]) -> list[bool]:
        self.additions += additions
        return [True] * len(additions)


class Recipients:
    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        return {ordinal: Recipient(f"R{ordinal}@Example.org") for ordinal in ordinals if job == JOB and ordinal < 10}

    async def tenant_of(self, job: str) -> str | None:
        return "acme" if job == JOB else None

    async def list_of(self, job: str) -> str:
        return "news" if job == JOB else ""


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
def suppression(lists: Lists) -> Suppression:
    return Suppression(lists, Recipients(), lambda: 2_000)


def entry(fact: events.Fact) -> bus.Entry:
    return bus.Entry("1000-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact))


def about(ordinal: int, **more: Any) -> dict[str, Any]:
    return {"event_id": f"e{ordinal}", "occurred_at": 7, "tenant": "acme", "job": JOB, "ordinal": ordinal, **more}


async def test_facts_list_addresses_in_lower_case_with_what_is_known(suppression: Suppression, lists: Lists) -> None:
    bounced = events.Bounced(**about(1, email="A@B.example"), kind="hard", reply="550 no")
    soft = events.Bounced(**about(2, email="c@d.example"), kind="soft")

    await suppression.apply(0, [entry(bounced), entry(soft), entry(events.Delivered(**about(3)))])

    assert lists.additions == [
        Addition("acme", "a@b.example", "hard_bounce", 7, "all", "email", "event", "550 no", 0, "e1", JOB, 1)
    ]


async def test_a_fact_without_an_address_is_about_the_recipient_of_its_message(
    suppression: Suppression, lists: Lists
) -> None:
    await suppression.apply(0, [entry(events.Unsubscribed(**about(4), by="page"))])

    assert [(one.address, one.reason) for one in lists.additions] == [("r4@example.org", "unsubscribed")]


async def test_who_leaves_by_a_mail_leaves_the_list_that_it_came_from_unless_they_say_what(
    suppression: Suppression, lists: Lists
) -> None:
    gone = ids.new_job_id(1_600_000_000_000, b"chance", 8)

    await suppression.apply(
        0,
        [
            entry(events.Unsubscribed(**about(4), by="page")),
            entry(events.Unsubscribed(**about(5), by="page", scope="marketing")),
            entry(events.Unsubscribed(**about(6), by="page", scope="list", list="offers")),
            entry(events.Unsubscribed(**about(7, job=gone, email="a@b.example"), by="page")),
            entry(events.Complained(**about(8))),
        ],
    )

    assert [one.scope for one in lists.additions] == ["list:news", "marketing", "list:offers", "marketing", "marketing"]


@pytest.mark.parametrize("fact", [events.Unsubscribed(**about(99)), events.Complained(**{**about(1), "ordinal": None})])
async def test_a_fact_about_nobody_known_is_hopeless(suppression: Suppression, lists: Lists, fact: events.Fact) -> None:
    with pytest.raises(bus.DeadLetter, match="nobody knows"):
        await suppression.apply(0, [entry(fact)])

    assert lists.additions == []


async def test_a_fact_about_a_job_that_was_removed_is_counted_and_buries_nothing(
    suppression: Suppression, lists: Lists
) -> None:
    before = REGISTRY.get_sample_value("estafette_suppression_unknown_total") or 0.0
    gone = ids.new_job_id(1_600_000_000_000, b"chance", 8)

    await suppression.apply(
        0,
        [
            entry(events.Complained(**about(3, job=gone))),
            entry(events.Unsubscribed(**about(4, job=gone, email="who@left.example"), by="page")),
        ],
    )

    assert [one.address for one in lists.additions] == ["who@left.example"]
    assert REGISTRY.get_sample_value("estafette_suppression_unknown_total") == before + 1


async def test_what_cannot_be_understood_matters_only_if_it_may_list_somebody(
    suppression: Suppression, lists: Lists
) -> None:
    await suppression.apply(0, [bus.Entry("1-0", "Teleported", 1, b""), bus.Entry("1-1", "Opened", 9, b"")])

    with pytest.raises(bus.DeadLetter):
        await suppression.apply(0, [bus.Entry("1-2", "Complained", 9, b"")])
    assert lists.additions == []


async def test_how_long_an_unsubscription_took_to_be_in_force_is_counted(suppression: Suppression) -> None:
    def counted() -> list[float]:
        names = [f"estafette_suppression_effect_seconds_{part}" for part in ("count", "sum")]
        return [REGISTRY.get_sample_value(name) or 0.0 for name in names]

    before = counted()

    await suppression.apply(
        0, [entry(events.Unsubscribed(**about(4), by="page")), entry(events.Complained(**about(5)))]
    )

    assert [round(now - then, 3) for now, then in zip(counted(), before, strict=True)] == [1, 1.993]
