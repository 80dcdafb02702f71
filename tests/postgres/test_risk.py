"""Who is at risk, beside a model that remembers every day; and that it is told once for each time."""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.contacts import migrating
from services.contacts.base import store
from services.contacts.base.contact import WantedState
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts, Given
from services.contacts.outbox.noting import Wishes
from services.contacts.outbox.wanted import ContactEvents
from services.contacts.risk.asked import DAY_MS, LEAST_DAYS, RiskRule
from services.contacts.risk.run import Risk
from services.contacts.segments import store as segments
from services.contacts.segments.language import OnRisk
from shared.process.clock import now_ms
from shared.words import events
from tests.contacts_base import Base, new_base
from tests.postgres.test_following import House, entry
from tests.postgres.test_outbox import import_, told

START = datetime(2026, 6, 1, tzinfo=UTC)
START_MS = round(START.timestamp() * 1000)
DAYS = 7
PEOPLE = 5
DELIVERED, OPENED, CLICKED, BY_SMS, BY_MACHINE = 4, 5, 6, 25, 105
_names = (f"tenant {number}" for number in itertools.count())
RULE = RiskRule(DAYS)


def key(number: int) -> str:
    return f"u{number}@x.fr"


async def did(database: Database, tenant: int, kind: int, contact: int, at: datetime) -> None:
    seconds = round((at - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds())
    async with database.connection() as sql:
        await sql.execute("SELECT tally($1, $2, $3, $4, $5)", tenant, [kind], [0], [contact], [seconds])


async def said(database: Database) -> list[tuple[str | None, str]]:
    return sorted((fact.email, fact.reason) for fact in await told(database) if isinstance(fact, events.ContactAtRisk))


@dataclass
class Model:
    """What is known of contacts, by number, with days since the start."""

    sent: dict[int, list[int]] = field(default_factory=dict)
    lively: dict[int, list[int]] = field(default_factory=dict)
    status: dict[int, str] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    noted: set[int] = field(default_factory=set)

    def reason(self, one: int, day: int) -> str:
        if self.status.get(one) == "hard":
            return "hard"
        if one in self.left or not any(at < day - DAYS for at in self.sent.get(one, [])):
            return ""
        return "" if any(at >= day - DAYS for at in self.lively.get(one, [])) else "quiet"

    def look(self, day: int) -> list[tuple[str | None, str]]:
        now = {one: reason for one in range(1, PEOPLE + 1) if (reason := self.reason(one, day))}
        new: list[tuple[str | None, str]] = [(key(one), reason) for one, reason in now.items() if one not in self.noted]
        self.noted = set(now)
        return new

    def set_status(self, one: int, status: str) -> list[tuple[str | None, str]]:
        self.status[one] = status
        if status != "hard" or one in self.noted:
            return []
        self.noted.add(one)
        return [(key(one), "hard")]


Step = tuple[str, int, int]
WORDS = ("sent", "sent", "opened", "clicked", "sms", "machine", "hard", "valid", "left", "back", "look")
#: What happens: a word, whom, and how many days pass before it.
STEPS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.integers(1, PEOPLE), st.sampled_from([0, 0, 1, 3, 8])),
    max_size=25,
)
KINDS = {"sent": DELIVERED, "opened": OPENED, "clicked": CLICKED, "sms": BY_SMS, "machine": BY_MACHINE}


async def numbered(base: Base) -> dict[int, int]:
    """Which contact is whom."""
    async with base.database.connection() as sql:
        rows = await sql.fetch("SELECT key, contact FROM contacts WHERE tenant = $1", base.tenant)
    by_key = {row["key"]: row["contact"] for row in rows}
    return {one: by_key[key(one)] for one in range(1, PEOPLE + 1)}


async def run(base: Base, steps: list[Step]) -> None:
    database, model, day = base.database, Model(), 0
    risk, contacts = Risk(database), Contacts(database)
    await risk.set(base.tenant, RULE)
    await import_(base, "Email", *(key(number) for number in range(1, PEOPLE + 1)))
    numbers = await numbered(base)
    await risk.look(base.tenant, START_MS)
    for word, one, passed in [*steps, ("look", 1, 1)]:
        day += passed
        expected: list[tuple[str | None, str]] = []
        if word == "look":
            expected = model.look(day)
            await risk.look(base.tenant, START_MS + day * DAY_MS)
        elif word in KINDS:
            await did(database, base.tenant, KINDS[word], numbers[one], START + timedelta(days=day))
            if word != "machine":
                (model.sent if word == "sent" else model.lively).setdefault(one, []).append(day)
        elif word in ("left", "back"):
            (model.left.add if word == "left" else model.left.discard)(one)
            state = WantedState(optin=word == "back")
            await contacts.put(base_name(base), Given(key(one), states={"email": state}), "api")
        else:
            expected = model.set_status(one, word)
            status = WantedState(status="hard" if word == "hard" else "valid")
            await contacts.put(base_name(base), Given(key(one), states={"email": status}), "api")
        assert await said(database) == sorted(expected), (word, one, day)
        now = START + timedelta(days=day)
        for why in ("any", "hard", "quiet"):
            by_hand = sorted(numbers[at] for at in range(1, PEOPLE + 1) if _is(model.reason(at, day), why))
            async with database.transaction() as sql:
                found = await segments.which(sql, base.tenant, OnRisk(why), now, list(range(1, PEOPLE + 1)))
            assert found == by_hand, (why, word, one, day)


def _is(reason: str, why: str) -> bool:
    return bool(reason) if why == "any" else reason == why


_NAMES: dict[int, str] = {}


def base_name(base: Base) -> str:
    return _NAMES[base.tenant]


async def new_risk_base(database: Database) -> Base:
    name = next(_names)
    base = await new_base(database, name)
    _NAMES[base.tenant] = name
    return base


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(STEPS)
def test_who_is_at_risk_is_told_as_by_hand_and_is_in_the_segment(made_url: str, steps: list[Step]) -> None:
    async def example() -> None:
        database = Database(made_url, 4, 30)
        try:
            await run(await new_risk_base(database), steps)
        finally:
            await database.close()

    asyncio.run(example())


@pytest.fixture
async def base(empty: Database) -> Base:
    await migrating.migrate(empty, migrating.steps())
    return await new_risk_base(empty)


async def quiet(base: Base, *numbers: int) -> None:
    """They got a mail, and did nothing; two days later than the period."""
    for number in numbers:
        await did(base.database, base.tenant, DELIVERED, number, START)


LATER_MS = START_MS + (180 + 1) * DAY_MS


async def test_who_is_at_risk_when_a_base_is_looked_at_first_or_by_another_period_did_not_become_it(base: Base) -> None:
    await import_(base, "Email", key(1), key(2))
    await quiet(base, 1)
    risk = Risk(base.database)

    first = await risk.look(base.tenant, LATER_MS)
    await risk.set(base.tenant, RiskRule(90))
    await quiet(base, 2)
    second = await risk.look(base.tenant, LATER_MS)

    assert (first.contacts, first.days, second.contacts, second.days) == (1, 180, 2, 90)
    assert await said(base.database) == []


async def test_looks_at_once_and_a_bounce_in_between_tell_once(base: Base) -> None:
    await import_(base, "Email", key(1), key(2))
    risk = Risk(base.database)
    await risk.look(base.tenant, START_MS)
    await quiet(base, 1, 2)
    name = base_name(base)
    hard = Given(key(1), states={"email": WantedState(status="hard")})

    await asyncio.gather(
        *(risk.look(base.tenant, LATER_MS) for _ in range(3)),
        *(Contacts(base.database).put(name, hard, "api") for _ in range(3)),
    )

    assert [email for email, _ in await said(base.database)] == [key(1), key(2)]


async def test_a_look_that_died_before_its_end_has_told_nothing_and_the_next_one_tells_all(base: Base) -> None:
    await import_(base, "Email", key(1))
    risk = Risk(base.database)
    await risk.look(base.tenant, START_MS)
    await quiet(base, 1)
    async with base.database.transaction() as holder:
        await holder.fetchval("SELECT tenant FROM tenants WHERE tenant = $1 FOR UPDATE", base.tenant)
        dying = asyncio.create_task(risk.look(base.tenant, LATER_MS))
        await asyncio.sleep(0.2)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
    nothing = await said(base.database)

    await risk.look(base.tenant, LATER_MS)
    await risk.look(base.tenant, LATER_MS + DAY_MS)

    assert nothing == []
    assert await said(base.database) == [(key(1), "quiet")]


async def test_a_bounce_tells_at_once_and_read_again_tells_nothing_more(empty: Database) -> None:
    await migrating.migrate(empty, migrating.steps())
    house = House(empty)
    await house.add("ana@exemple.fr", "bo@exemple.fr")
    bounce = entry(events.Bounced, 1, kind="hard", reply="550 gone", job="j", ordinal=0)

    await house.apply(bounce)
    first = await said(empty)
    await house.apply(bounce)
    await house.apply(entry(events.Reactivated, 2, email="ana@exemple.fr"))
    async with empty.transaction() as sql:
        tenant = (await store.tenant(sql, "acme")).number
    await Risk(empty).look(tenant, START_MS)
    await house.apply(entry(events.Bounced, 3, kind="hard", job="j", ordinal=0))

    assert first == [("ana@exemple.fr", "hard")]
    assert await said(empty) == first, "they had recovered, and a look had seen it"


async def test_an_import_tells_who_is_given_up_where_imports_are_told_and_else_notes_it(base: Base) -> None:
    await import_(base, "Email;Statut Email", f"{key(1)};Hard", f"{key(2)};Valide")
    silent = await said(base.database)
    wishes, risk = Wishes(base.database), Risk(base.database)
    await wishes.set(base.tenant, ContactEvents(imports=True))
    await import_(base, "Email;Statut Email", f"{key(1)};Hard", f"{key(2)};Hard")
    loud = await said(base.database)
    await wishes.set(base.tenant, ContactEvents(imports=True, at_risk=False))
    await import_(base, "Email;Statut Email", f"{key(3)};Hard")

    assert (silent, loud, await said(base.database)) == ([], [(key(2), "hard")], [])
    assert (await risk.look(base.tenant, START_MS)).contacts == 3


async def test_what_is_told_says_by_which_period_and_looks_are_daily(base: Base) -> None:
    await import_(base, "Email", key(1))
    risk = Risk(base.database)
    due_at_first = await risk.due(now_ms())
    await risk.look(base.tenant, START_MS)
    await quiet(base, 1)
    await told(base.database)
    await risk.look(base.tenant, LATER_MS)

    (fact,) = await told(base.database)
    assert (fact.days, fact.reason, fact.occurred_at, fact.contact) == (180, "quiet", LATER_MS, 1)
    assert due_at_first == [base.tenant]
    assert await risk.due(LATER_MS + DAY_MS - 1) == []
    assert await risk.due(LATER_MS + DAY_MS) == [base.tenant]
    assert [fault.at for fault in await risk.set(base.tenant, RiskRule(LEAST_DAYS - 1))] == ["$.days"]


async def test_the_segment_at_risk_is_built_in_and_a_tenants_own_of_that_name_stays(base: Base) -> None:
    async with base.database.transaction() as sql:
        own: dict[str, Any] = {"kind": "field", "field": "town", "test": "empty"}
        await segments.create(sql, base.tenant, "all active", own, "somebody")
        await segments.make_built_in(sql, base.tenant)
        await segments.make_built_in(sql, base.tenant)
        found = {one.name: one.made_by for one in await segments.saved(sql, base.tenant)}

    assert found == {"all active": "somebody", "all inactive": "built-in", "at risk": "built-in"}
