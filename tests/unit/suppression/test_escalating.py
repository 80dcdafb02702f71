"""The main path of escalation, with counts, a list and recipients in memory."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.suppression.counts import Change
from services.suppression.escalating import Enough, Escalation, Sign
from services.suppression.escalation import Count, Rule, Rules, Soft
from shared.redis import bus
from shared.redis.recipients import Recipient
from shared.words import events, ids

JOB = ids.new_job_id(1_700_000_000_000, b"chance", 8)
DAY_MS = 86_400_000
RULES = Rules(soft_bounces=Rule(3, 2), mailbox_full=Rule(2, 2, 10))


class Store:
    """`others`: what somebody else makes of counts before the next change, once."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Count] = {}
        self.asked: list[tuple[str, str]] = []
        self.others: dict[tuple[str, str], Count] = {}

    async def get_many(self, asked: Sequence[tuple[str, str]]) -> list[Count | None]:
        self.asked += asked
        return [self.counts.get(one) for one in asked]

    async def are_there(self, tenant: str) -> bool:
        return any(known == tenant for known, _ in self.counts)

    async def change(self, changes: Sequence[Change]) -> list[bool]:
        self.counts.update(self.others)
        self.others = {}
        made = []
        for change in changes:
            whose = change.tenant, change.address
            made.append(self.counts.get(whose) == change.old)
            if made[-1] and change.new is None:
                self.counts.pop(whose, None)
            elif made[-1] and change.new is not None:
                self.counts[whose] = change.new
        return made


class Listed:
    def __init__(self) -> None:
        self.enough: list[Enough] = []
        self.revived: list[tuple[str, str, int]] = []
        self.dies = False

    async def list_all(self, enough: Sequence[Enough]) -> None:
        if enough and self.dies:
            self.dies = False
            raise ConnectionError("killed")
        self.enough += enough

    async def revive(self, tenant: str, address: str, at_ms: int) -> bool:
        self.revived.append((tenant, address, at_ms))
        return True


class Recipients:
    def __init__(self) -> None:
        self.looked_up = 0

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        self.looked_up += 1
        return {ordinal: Recipient(f"R{ordinal}@Example.org") for ordinal in ordinals if ordinal < 1000}


class Parts:
    def __init__(self) -> None:
        self.store, self.listed, self.recipients = Store(), Listed(), Recipients()
        self.escalation = Escalation(self.store, self.listed, self.recipients, self._rules)

    async def _rules(self, tenant: str) -> Rules:
        return RULES if tenant == "acme" else Rules()

    async def apply(self, *facts: events.Fact) -> None:
        await self.escalation.apply([entry(fact) for fact in facts])

    def listed_by(self) -> list[tuple[str, str, str]]:
        return [(one.sign.tenant, one.sign.address, one.rule) for one in self.listed.enough]


@pytest.fixture
def parts() -> Parts:
    return Parts()


def entry(fact: events.Fact) -> bus.Entry:
    return bus.Entry("1000-0", type(fact).__name__, events.MAJOR_VERSION, events.encode(fact))


def about(day: int, email: str | None = "A@b.example", tenant: str = "acme") -> dict[str, Any]:
    named = {"event_id": f"e{day}", "tenant": tenant, "job": JOB, "ordinal": day}
    return {**named, "occurred_at": day * DAY_MS, "email": email}


def bounced(day: int, reason: str = "system_unavailable", **more: Any) -> events.Bounced:
    return events.Bounced(**about(day, **more), kind="soft", reason=reason)


async def test_soft_bounces_in_a_row_list_their_address_once_with_the_last_of_them(parts: Parts) -> None:
    for day in (1, 2, 3):
        await parts.apply(bounced(day), bounced(day))

    assert parts.listed_by() == [("acme", "a@b.example", "soft_bounces")] * 2  # the second says it again, for a repeat
    assert {one.sign.seen.at_ms for one in parts.listed.enough} == {3 * DAY_MS}
    assert {one.expires_at_ms for one in parts.listed.enough} == {0}


async def test_all_facts_of_a_batch_count_in_their_order(parts: Parts) -> None:
    await parts.apply(
        bounced(1),
        bounced(2),
        events.Delivered(**about(3)),
        bounced(4),
        bounced(5),
        bounced(6),
        events.Delivered(**about(7)),
    )

    assert parts.listed_by() == [("acme", "a@b.example", "soft_bounces")]
    assert parts.listed.revived == [("acme", "a@b.example", 7 * DAY_MS)]


async def test_a_tenant_has_its_own_rules_and_counts(parts: Parts) -> None:
    for day in (1, 2, 3):
        await parts.apply(bounced(day, tenant="other"))

    assert parts.listed.enough == []
    assert set(parts.store.counts) == {("other", "a@b.example")}


async def test_an_entry_that_expires_says_when(parts: Parts) -> None:
    await parts.apply(bounced(1, "mailbox_full"), bounced(3, "mailbox_full"))

    assert [(one.rule, one.expires_at_ms) for one in parts.listed.enough] == [("mailbox_full", 13 * DAY_MS)]


async def test_a_delivery_of_an_address_without_a_count_stores_and_looks_up_nothing(parts: Parts) -> None:
    await parts.apply(*(events.Delivered(**about(day, email=f"r{day}@b.example")) for day in range(100)))

    assert len(parts.store.asked) == 100
    assert parts.store.counts == {}
    assert parts.recipients.looked_up == 0


async def test_who_clicks_is_found_by_the_message_and_only_where_somebody_has_a_count(parts: Parts) -> None:
    await parts.apply(events.Clicked(**about(1, email=None)))
    assert parts.recipients.looked_up == 0

    await parts.apply(bounced(1, email=None), bounced(2, email="r7@example.org"))
    await parts.apply(events.Clicked(**about(7, email=None)), events.Opened(**about(1, email=None), machine="proxy"))

    assert [count.bounces == () for count in parts.store.counts.values()] == [False, True]


async def test_what_is_about_nobody_known_is_passed_over(parts: Parts) -> None:
    await parts.apply(events.Bounced(**{**about(1, email=None), "ordinal": 5000}, kind="soft"))

    assert parts.store.counts == {}


async def test_a_count_that_somebody_changed_meanwhile_is_read_again(parts: Parts) -> None:
    await parts.apply(bounced(1))
    other = Parts()
    await other.apply(bounced(1), bounced(2))
    parts.store.others = dict(other.store.counts)

    await parts.apply(bounced(3))

    assert parts.listed_by() == [("acme", "a@b.example", "soft_bounces")]


async def test_who_dies_between_the_count_and_the_list_lists_when_the_facts_come_again(parts: Parts) -> None:
    await parts.apply(bounced(1), bounced(2))
    parts.listed.dies = True
    with pytest.raises(ConnectionError):
        await parts.apply(bounced(3))
    assert parts.listed.enough == []

    await parts.apply(bounced(3))

    assert parts.listed_by() == [("acme", "a@b.example", "soft_bounces")]


async def test_what_was_imported_counts_as_a_fact_does(parts: Parts) -> None:
    for day in (1, 2, 3):
        await parts.escalation.count([Sign("acme", "a@b.example", Soft(day * DAY_MS, f"import {day}", "soft_bounces"))])

    assert parts.listed_by() == [("acme", "a@b.example", "soft_bounces")]


async def test_what_cannot_be_understood_matters_only_if_it_may_list_somebody(parts: Parts) -> None:
    await parts.escalation.apply([bus.Entry("1-0", "Teleported", 1, b""), bus.Entry("1-1", "Delivered", 9, b"")])

    with pytest.raises(bus.DeadLetter):
        await parts.escalation.apply([bus.Entry("1-2", "Bounced", 9, b"")])
