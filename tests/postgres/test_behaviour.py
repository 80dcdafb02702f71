"""What happens to contacts, over a real PostgreSQL: once, whole, in any order, and as a plain model says."""

import asyncio
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.contacts import migrating
from services.contacts.base import store
from services.contacts.base.database import Database, DatabaseAway
from services.contacts.behaviour import deeds
from services.contacts.behaviour import store as behaviour_store
from services.contacts.behaviour.late import Rule
from services.contacts.behaviour.writing import Behaviour
from services.contacts.following import Following
from services.contacts.segments.compiling import compiled
from services.contacts.segments.language import Criterion
from shared.redis import bus, redis
from shared.words import events, ids
from shared.words.erased import ErasureKeys
from tests.behaviour_model import ADDRESSES, JOBS, Sent, Told, base
from tests.postgres.test_segments import _behaviour, _operations, read
from tests.segment_base import known, written
from tests.segment_model import Base, Person
from tests.servers import PostgresServer

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
URLS = ("https://exemple.fr/", "https://exemple.fr/soldes?a='--")
#: On both sides of the border of a chunk of a set.
PEOPLE = [Person(number, address) for number, address in zip((1, 7, 8191, 8192), ADDRESSES, strict=False)]
CONTACTS = {place: one.number for place, one in enumerate(PEOPLE)}
KEYS = ErasureKeys(b"k" * 32)
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
AT = NOW - timedelta(days=1)

#: But for whom it was told that they are at risk (`test_risk.py`).
_SETS = """
SELECT s.fact, coalesce(o.key, '') AS operation,
    CASE WHEN s.fact IN (3, 7, 17) THEN coalesce(n.text, '') ELSE s.item::text END AS item, c.contact
FROM sets AS s JOIN contacts AS c ON c.tenant = s.tenant AND c.contact >> 13 = s.chunk
LEFT JOIN operations AS o ON o.tenant = s.tenant AND o.operation = s.subject
LEFT JOIN names AS n ON n.tenant = s.tenant AND n.name = s.item
WHERE s.tenant = $1 AND s.fact <> 51 AND get_bit(s.members, c.contact & 8191) = 1"""
_BITS = "SELECT coalesce(sum(bit_count(members)), 0)::int AS bits FROM sets WHERE tenant = $1 AND fact <> 51"
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
    marketing = {one.key for one in model.operations if one.stream == "bulk"}
    for one in model.happened:
        if one.what not in ("delivered", "opened", "clicked", "page_seen", "event"):
            continue
        second = int((one.at - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds() // 1)
        apart = [0] if one.what == "delivered" else [100] if one.machine else [0, 100]
        for more in apart:
            for name in {"", one.detail} if one.what == "event" else {""}:
                found[_KINDS[one.what] + more, name, one.contact].append(second)
        if one.what == "delivered" and one.operation in marketing:
            found[26, "", one.contact].append(second)
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


# Sentences


def told(what: str, who: int = 0, job: str = "a", second: float = 0, **more: Any) -> Told:
    return Told(what, who, job, AT + timedelta(seconds=second), **more)


async def members(house: House, fact: int, item: str = "0", operation: str = "a") -> list[int]:
    return sorted(contact for one, key, of, contact in await house.sets() if (one, key, of) == (fact, operation, item))


async def test_e16_recipients_are_the_selected_who_were_not_excluded_and_each_excluded_one_has_the_reason(
    house: House,
) -> None:
    await house.apply(
        told("recipient", 0),
        told("recipient", 1),
        told("suppressed", 1, detail="unsubscribed"),  # at the attempt: it was accepted before
        told("rejected", 2, detail="rule"),
    )

    assert await members(house, 1) == [1, 7, 8191]
    assert await members(house, 2) == [1]
    assert await members(house, 3, "") == [7, 8191]
    assert await members(house, 3, "unsubscribed") == [7]
    assert await members(house, 3, "rule") == [8191]


async def test_e16_an_address_that_is_twice_in_a_job_is_that_of_a_recipient(house: House) -> None:
    await house.apply(told("recipient", 0), told("rejected", 0, detail="duplicate_address"))

    assert await members(house, 2) == [1]
    assert await members(house, 3, "") == []


async def test_e17_an_address_is_clicked_wherever_it_stands_and_a_link_by_its_place(house: House) -> None:
    await house.apply(
        told("clicked", 0, url=URLS[0], position=0),
        told("clicked", 0, url=URLS[0], position=3, second=60),
        told("clicked", 1, url=URLS[1], position=3),
    )

    assert await members(house, 7, URLS[0]) == [1]
    assert await members(house, 7, URLS[1]) == [7]
    assert await members(house, 8, "0") == [1]
    assert await members(house, 8, "3") == [1, 7]


async def test_e18_who_was_delivered_and_did_not_open_is_not_who_never_was_sent_to(house: House) -> None:
    await house.apply(
        told("delivered", 0), told("delivered", 1), told("opened", 1, second=60), told("bounced", 2, detail="hard")
    )
    asked = read({"kind": "operation", "was": "not_opened", "operations": ["a"]})

    assert await house.belong(asked, Base(PEOPLE, now=NOW)) == [1]


async def test_e19_a_click_implies_an_opening_and_machines_are_apart(house: House) -> None:
    await house.apply(told("clicked", 0, url=URLS[0]), told("clicked", 1, url=URLS[0], machine=True))

    assert await members(house, 5) == [1]
    assert await members(house, 15) == [1, 7]
    assert await members(house, 16) == [1, 7]


async def test_e19_a_click_that_is_found_out_to_be_a_machines_counts_no_more_unless_there_is_another(
    house: House,
) -> None:
    await house.apply(
        told("clicked", 0, url=URLS[0], position=1),
        told("clicked", 1, url=URLS[0], position=1),
        told("clicked", 1, url=URLS[0], position=2, second=3_600),
    )
    assert await members(house, 6) == [1, 7]

    await house.apply(told("delivered", 0, second=5), told("delivered", 1, second=5))

    assert await members(house, 6) == [7]
    assert await members(house, 5) == [7]
    assert await members(house, 7, URLS[0]) == [7]
    assert await members(house, 8, "1") == []
    assert await members(house, 8, "2") == [7]
    assert await members(house, 18, "1") == [1, 7]
    tallies = await house.tallies()
    assert (6, "", 1) not in tallies
    assert (len(tallies[6, "", 7]), len(tallies[106, "", 7])) == (1, 2)


async def test_e20_what_cannot_be_known_is_no_behaviour() -> None:
    assert not {"AutoReplied", "Deferred", "RetentionNear"} & deeds.NAMES
    assert events.FACTS.keys() >= deeds.NAMES


async def test_jobs_that_share_a_word_are_one_operation_and_a_click_is_not_judged_by_a_later_mail(
    house: House,
) -> None:
    await house.apply(
        told("delivered", 0, "t1"),
        told("clicked", 0, "t1", second=60, url=URLS[0]),
        told("delivered", 0, "t2", second=70),
        told("suppressed", 0, "t2", second=71, detail="rule"),
    )

    assert await members(house, 6, operation="c'") == [1]
    assert await members(house, 2, operation="c'") == [1]
    assert await members(house, 3, "rule", operation="c'") == [1]
    assert await house.rows("SELECT count(*) AS n FROM operations WHERE tenant = $1") != []


async def test_k13_a_click_is_an_interaction_and_a_mere_opening_or_a_machines_is_none(house: House) -> None:
    await house.apply(
        told("opened", 0),
        told("clicked", 1, url=URLS[0], second=60),
        told("clicked", 1, url=URLS[0], second=30),
        told("clicked", 2, url=URLS[0], machine=True),
        told("unsubscribed", 3, has_address=True),
    )

    last = {row["contact"]: row["last_action_at"] for row in await house.rows(_LAST)}
    assert last == {1: None, 7: AT + timedelta(seconds=60), 8191: None, 8192: AT}


_LAST = "SELECT contact, last_action_at FROM contacts WHERE tenant = $1"


async def test_whoever_is_not_in_the_base_is_nobody_and_a_tenant_without_one_leaves_no_trace(house: House) -> None:
    stranger = told("delivered", 4, has_address=True)
    await house.apply(stranger, told("clicked", 4, url=URLS[0]))
    await house.following.apply(0, [stranger.entry("no-such-tenant")])

    for table in ("operations", "jobs", "names", "sets", "behaviours", "tallies"):
        assert await house.rows(f"SELECT * FROM {table} WHERE tenant = $1") == [], table
    async with house.database.connection() as sql:
        assert await sql.fetchval("SELECT count(*) FROM tenants") == 1


async def test_a_recipient_is_known_by_their_ordinal_whoever_has_the_address_by_now(house: House) -> None:
    await house.apply(told("recipient", 0, has_address=True))
    async with house.database.connection() as sql:
        await sql.execute("UPDATE contacts SET email_key = NULL WHERE tenant = $1 AND contact = 1", house.tenant)
        await sql.execute(
            "UPDATE contacts SET email_key = $2 WHERE tenant = $1 AND contact = 7", house.tenant, ADDRESSES[0]
        )
    house.again()

    await house.apply(told("opened", 0), told("delivered", 0, has_address=True, second=1))

    assert await members(house, 5) == await members(house, 4) == [1]


async def test_a_repeat_with_another_time_is_the_same_event(house: House) -> None:
    one = events.Complained(event_id="1" * 16, occurred_at=1_000, tenant=house.name, email=ADDRESSES[0])
    for at in (1_000, 2_000):
        again = msgspec.structs.replace(one, occurred_at=at)
        await house.following.apply(0, [bus.Entry("1-0", "Complained", 1, events.encode(again))])

    assert len(await house.behaviours()) == 1


async def test_two_processes_that_follow_the_same_facts_at_once_count_them_once(house: House) -> None:
    facts = [told("clicked", who, url=URLS[0], second=10.0 * at) for at in range(40) for who in range(4)]
    others = House(house.database, house.tenant, house.name)

    await asyncio.gather(house.apply(*facts), others.apply(*reversed(facts)), house.apply(*facts[:50]))

    assert {len(times) for times in (await house.tallies()).values()} == {40}
    assert len(await house.behaviours()) == 160


async def test_how_far_a_partition_was_followed_never_goes_back(house: House) -> None:
    for entry in ("9-0", "10-1", "10-0"):
        async with house.database.connection() as sql:
            await behaviour_store.followed(sql, "events", 3, entry)

    async with house.database.connection() as sql:
        assert await sql.fetchval("SELECT entry FROM followed WHERE partition = 3") == "10-1"


# What is killed


def _many(count: int) -> list[Told]:
    """Of two jobs: nobody clicks so soon, or so often, that it is judged."""
    words = ("delivered", "opened", "clicked")
    return [
        told(words[at % 3], at % 4, "ab"[at % 2], 1_000 + at * 30, url=URLS[0] if at % 3 == 2 else "", has_address=True)
        for at in range(count)
    ]


async def test_kill_9_of_postgresql_in_the_middle_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgresql")
    server.start()
    database = Database(server.url, 4, 30)
    try:
        await migrating.migrate(database, migrating.steps())
        house = await made(database)
        facts = _many(600)
        reached = [asyncio.Event() for _ in range(2)]

        async def follow() -> int:
            away = 0
            for start in range(0, len(facts), 10):
                if start in (200, 400):
                    reached[start // 400].set()
                while True:  # as the consumer does
                    try:
                        await house.apply(*facts[start : start + 10])
                        break
                    except DatabaseAway:
                        away += 1
                        await asyncio.sleep(0.02)
            return away

        following = asyncio.create_task(follow())
        for one in reached:  # by what is done, not by the clock: what is over is not in the middle
            await one.wait()
            server.kill()
            server.start()

        assert await following > 0
        await same(house, base(PEOPLE, facts, CONTACTS, NOW))
    finally:
        await database.close()
        server.stop()


#: A process of contacts, as far as following goes.
_WORKER = """
import asyncio, sys
from services.contacts.base.database import Database
from services.contacts.behaviour.late import Rule
from services.contacts.behaviour.writing import Behaviour
from services.contacts.following import NAMES, Following
from shared.redis import bus, keys, redis
from shared.words import events
from shared.words.erased import ErasureKeys
from tests.behaviour_model import Sent

async def main():
    database, client = Database(sys.argv[1], 4, 30), redis.connect(sys.argv[2])
    sent = Sent()
    following = Following(database, sent, ErasureKeys(b"k" * 32), Behaviour(database, sent, Rule()))
    passes = events.MESSAGES.keys() - NAMES
    consumer = bus.Consumer(
        client, 2, keys.events, keys.GROUP_CONTACTS, "one", following.apply, batch=20, passes=passes
    )
    await consumer.create_groups()
    await consumer.run(asyncio.Event())

asyncio.run(main())
"""


async def test_kill_9_of_the_process_in_the_middle_loses_nothing_and_counts_nothing_twice(
    house: House, postgres_url: str, redis_url: str
) -> None:
    client = redis.connect(redis_url)
    publisher = bus.Publisher(client, 2, lambda: os.urandom(8).hex())
    jobs = [ids.new_job_id(1_790_000_000_000, bytes([job]) * 6, 2, job) for job in (0, 1)]
    facts = [
        events.Delivered(
            event_id=f"{at:016x}", occurred_at=1_790_000_000_000 + at * 1_000, tenant=house.name, job=jobs[at % 2],
            ordinal=at, email=ADDRESSES[at % 4],
        )
        for at in range(3_000)
    ]  # fmt: skip
    await publisher.publish(facts)
    kills = 0

    async def noted() -> int:
        return int((await house.rows("SELECT count(*) AS n FROM behaviours WHERE tenant = $1"))[0]["n"])

    while await noted() < len(facts):
        before = await noted()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", _WORKER, postgres_url, redis_url)
        try:
            async with asyncio.timeout(60):
                while before == (now := await noted()) or (now < len(facts) and kills >= 3):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        kills += 1
    await redis.close(client)

    assert kills > 2
    assert await noted() == len(facts)
    assert {key: len(times) for key, times in (await house.tallies()).items()} == {
        (kind, "", one.number): len(facts) // 4 for one in PEOPLE for kind in (4, 26)
    }


async def test_marketing_that_was_delivered_before_it_was_counted_apart_is_counted_m5(empty: Database) -> None:
    steps = migrating.steps()
    before = [step.name for step in steps].index("marketing")
    await migrating.migrate(empty, steps[:before])
    second = timedelta(seconds=1)
    async with empty.transaction() as sql:
        await sql.execute("insert into tenants (tenant, name) overriding system value values (1, 'acme')")
        await sql.execute(
            "insert into operations (tenant, operation, key, stream) values (1, 1, 'a', 'bulk'), "
            "(1, 2, 't', 'transactional')"
        )
        for number, (contact, at, kind, operation) in enumerate((
            (7, NOW + second / 2, 4, 1), (7, NOW - second, 4, 1), (7, NOW, 4, 2), (8, NOW, 5, 1), (9, NOW, 4, 2),
        )):  # fmt: skip
            await sql.execute(
                "insert into behaviours (tenant, contact, occurred_at, event, kind, operation) "
                "values (1, $1, $2, $3, $4, $5)",
                contact, at, number, kind, operation,
            )  # fmt: skip

    await migrating.migrate(empty, steps)

    now_s = int((NOW - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds())
    async with empty.connection() as sql:
        found = [tuple(row.values()) for row in await sql.fetch("select contact, n, last, times from tallies")]
    assert found == [(7, 2, now_s, [now_s - 1, now_s])]
