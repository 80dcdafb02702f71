"""What happens to contacts, over a real PostgreSQL: once, whole, in any order, and as a plain model says."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.contacts import migrating
from services.contacts.base import store
from services.contacts.base.database import Database
from services.contacts.behaviour.late import Rule
from services.contacts.behaviour.writing import Behaviour
from services.contacts.following import Following
from services.contacts.segments.compiling import compiled
from services.contacts.segments.language import Criterion
from shared.words.erased import ErasureKeys
from tests.behaviour_model import ADDRESSES, JOBS, Sent, Told, base
from tests.postgres.test_segments import _behaviour, _operations, read
from tests.segment_base import known, written
from tests.segment_model import Base, Person

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
URLS = ("https://exemple.fr/", "https://exemple.fr/soldes?a='--")
#: On both sides of the border of a chunk of a set.
PEOPLE = [Person(number, address) for number, address in zip((1, 7, 8191, 8192), ADDRESSES, strict=False)]
CONTACTS = {place: one.number for place, one in enumerate(PEOPLE)}
KEYS = ErasureKeys(b"k" * 32)
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
AT = NOW - timedelta(days=1)

_SETS = """
SELECT s.fact, coalesce(o.key, '') AS operation,
    CASE WHEN s.fact IN (3, 7, 17) THEN coalesce(n.text, '') ELSE s.item::text END AS item, c.contact
FROM sets AS s JOIN contacts AS c ON c.tenant = s.tenant AND c.contact >> 13 = s.chunk
LEFT JOIN operations AS o ON o.tenant = s.tenant AND o.operation = s.subject
LEFT JOIN names AS n ON n.tenant = s.tenant AND n.name = s.item
WHERE s.tenant = $1 AND get_bit(s.members, c.contact & 8191) = 1"""
_BITS = "SELECT coalesce(sum(bit_count(members)), 0)::int AS bits FROM sets WHERE tenant = $1"
_TALLIES = """
SELECT t.kind, coalesce(n.text, '') AS name, t.contact, t.times, t.n, t.last FROM tallies AS t
LEFT JOIN names AS n ON n.tenant = t.tenant AND n.name = t.name WHERE t.tenant = $1"""
_ROWS = """
SELECT b.contact, b.occurred_at, b.kind, b.machine, coalesce(o.key, '') AS operation, coalesce(n.text, '') AS name,
    b.position
FROM behaviours AS b LEFT JOIN operations AS o ON o.tenant = b.tenant AND o.operation = b.operation
LEFT JOIN names AS n ON n.tenant = b.tenant AND n.name = b.name WHERE b.tenant = $1"""

Sets = set[tuple[int, str, str, int]]


class House:
    """A tenant with `PEOPLE` in its base, and what follows its facts."""

    def __init__(self, database: Database, tenant: int, name: str) -> None:
        self.database = database
        self.tenant = tenant
        self.name = name
        self.again()

    def again(self) -> None:
        """As another process, that remembers nothing."""
        sent = Sent()
        self.following = Following(self.database, sent, KEYS, Behaviour(self.database, sent, Rule()))

    async def apply(self, *facts: Told) -> None:
        await self.following.apply(0, [one.entry(self.name) for one in facts])

    async def erase(self, who: int) -> None:
        async with self.database.transaction() as sql:
            await store.hold_behaviours(sql, self.tenant)
            await store.erase(sql, self.tenant, CONTACTS[who])

    async def rows(self, statement: str) -> list[Mapping[str, Any]]:
        async with self.database.connection() as sql:
            return await sql.fetch(statement, self.tenant)

    async def sets(self) -> Sets:
        return {tuple(row.values()) for row in await self.rows(_SETS)}

    async def tallies(self) -> dict[tuple[int, str, int], list[int]]:
        rows = await self.rows(_TALLIES)
        assert all(row["n"] == len(row["times"]) and row["last"] == row["times"][-1] for row in rows)
        return {(row["kind"], row["name"], row["contact"]): row["times"] for row in rows}

    async def behaviours(self) -> list[tuple[Any, ...]]:
        return sorted(tuple(row.values()) for row in await self.rows(_ROWS))

    async def belong(self, criterion: Criterion, model: Base) -> list[int]:
        text, parameters = compiled(self.tenant, criterion, known(model), NOW).members()
        async with self.database.connection() as sql:
            return [row["contact"] for row in await sql.fetch(text, *parameters)]


async def made(database: Database) -> House:
    async with database.transaction() as sql:
        tenant = await written(sql, Base(PEOPLE))
        name = await sql.fetchval("SELECT name FROM tenants WHERE tenant = $1", tenant)
    return House(database, tenant, name)


@pytest.fixture
async def house(empty: Database) -> House:
    await migrating.migrate(empty, migrating.steps())
    return await made(empty)


# What the model says of the tables

_FATES = {"selected": 1, "recipient": 2, "delivered": 4, "unsubscribed": 10, "complained": 11}
_KINDS = {
    "delivered": 4, "opened": 5, "clicked": 6, "bounced": 9, "unsubscribed": 10, "complained": 11, "page_seen": 20,
    "event": 21,
}  # fmt: skip


def expected_sets(model: Base) -> Sets:
    found: Sets = set()
    for one in model.happened:
        apart = [0, 10] if not one.machine else [10]
        marks: list[tuple[int, str]] = []
        if one.what in _FATES:
            marks = [(_FATES[one.what], "0")]
        elif one.what == "excluded":
            marks = [(3, ""), (3, one.detail)]
        elif one.what == "bounced":
            marks = [(9, "0"), (9, {"hard": "1", "soft": "2", "block": "3"}[one.detail])]
        elif one.what == "opened":
            marks = [(5 + more, "0") for more in apart]
        elif one.what == "clicked":
            for more in apart:
                marks += [(5 + more, "0"), (6 + more, "0"), (7 + more, one.url), (8 + more, str(one.position))]
        found |= {(fact, one.operation, item, one.contact) for fact, item in marks}
    return found


def expected_tallies(model: Base) -> dict[tuple[int, str, int], list[int]]:
    found: dict[tuple[int, str, int], list[int]] = defaultdict(list)
    for one in model.happened:
        if one.what not in ("delivered", "opened", "clicked", "page_seen", "event"):
            continue
        second = int((one.at - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds() // 1)
        apart = [0] if one.what == "delivered" else [100] if one.machine else [0, 100]
        for more in apart:
            for name in {"", one.detail} if one.what == "event" else {""}:
                found[_KINDS[one.what] + more, name, one.contact].append(second)
    return {key: sorted(times) for key, times in found.items()}


def expected_rows(model: Base) -> list[tuple[Any, ...]]:
    return sorted(
        (
            one.contact,
            one.at,
            _KINDS[one.what],
            one.machine,
            one.operation,
            one.detail or one.url,
            one.position if one.what == "clicked" else -1,
        )
        for one in model.happened
        if one.what in _KINDS
    )


async def same(house: House, model: Base) -> None:
    assert await house.behaviours() == expected_rows(model)
    assert await house.tallies() == expected_tallies(model)
    sets = await house.sets()
    assert sets == expected_sets(model)
    assert [row["bits"] for row in await house.rows(_BITS)] == [len(sets)], "somebody who is not there is in a set"


# Random facts

_MS = (0, 300, 999, 1_000, 1_500, 2_000, 2_001, 4_000, 700_000)
_moments = st.builds(
    lambda days, ms: NOW - timedelta(days=days) + timedelta(milliseconds=ms),
    st.sampled_from([1, 1, 1, 59, 400]),
    st.sampled_from(_MS),
)


def _told(what: str) -> st.SearchStrategy[Told]:
    details = {
        "rejected": ["duplicate_address", "rule"],
        "suppressed": ["unsubscribed", "rule"],
        "bounced": ["hard", "soft", "block"],
        "event": ["basket", "'; select pg_sleep(9); --"],
    }
    by_somebody = what in ("opened", "clicked", "page_seen", "event")
    return st.builds(
        Told,
        st.just(what),
        st.integers(0, len(ADDRESSES) - 1),
        st.sampled_from(list(JOBS)),
        _moments,
        st.booleans() if by_somebody else st.just(False),
        st.sampled_from(URLS) if what in ("clicked", "page_seen") else st.just(""),
        st.sampled_from([0, 2, 3, 65_535]) if what == "clicked" else st.just(0),
        st.sampled_from(details.get(what, [""])),
        st.booleans(),
    )


_tolds = st.sampled_from([
    "recipient", "rejected", "suppressed", "delivered", "delivered", "bounced", "opened", "clicked", "clicked",
    "clicked", "page_seen", "event", "unsubscribed", "complained",
]).flatmap(_told)  # fmt: skip
#: A batch, the erasure of somebody, or another process.
_steps = st.lists(st.lists(_tolds, min_size=1, max_size=12) | st.integers(0, 3) | st.none(), min_size=1, max_size=8)


async def _walk(house: House, steps: Sequence[list[Told] | int | None]) -> Base:
    """Every batch twice, and all of them once more at the end, backwards."""
    told: list[Told] = []
    contacts = dict(CONTACTS)
    for step in steps:
        if step is None:
            house.again()
        elif isinstance(step, int):
            await house.erase(step)
            contacts.pop(step, None)
        else:
            await house.apply(*step)
            await house.apply(*step)
            told += step
    await house.apply(*reversed(told))
    return base(PEOPLE, told, contacts, NOW)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), phases=UNSHRUNK)
@given(steps=_steps)
async def test_tables_are_what_the_model_says_whatever_the_order_and_however_often_e16_to_e19(
    made_url: str, steps: list[list[Told] | int | None]
) -> None:
    database = Database(made_url, 2, 30)
    try:
        house = await made(database)
        await same(house, await _walk(house, steps))
    finally:
        await database.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=UNSHRUNK)
@given(steps=_steps, asked=st.lists(_operations | _behaviour, min_size=1, max_size=6))
async def test_segments_over_what_was_followed_are_those_of_the_model_e28_and_e29(
    made_url: str, steps: list[list[Told] | int | None], asked: list[dict[str, Any]]
) -> None:
    database = Database(made_url, 2, 30)
    try:
        house = await made(database)
        model = await _walk(house, steps)
        for one in map(read, asked):
            assert await house.belong(one, model) == model.members(one)
    finally:
        await database.close()
