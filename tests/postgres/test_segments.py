"""Segments against a real PostgreSQL: what SQL says is what the model says, contact by contact."""

import itertools
import random
import typing
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.contacts.segments import checking, language
from services.contacts.segments.compiling import compiled
from services.contacts.segments.language import Criterion
from tests.segment_base import CHOICES, FIELDS, KINDS, known, written
from tests.segment_model import Base, Happened, Operation, Person, State

TABLES = Path(__file__).parents[2] / "services/contacts/migrations/0001_contacts.sql"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
TODAY = NOW.date()

#: Texts that are the same without case, without accents, or to LIKE; and what somebody may try.
TEXTS = (
    "Lille", "lille", "LÎLLE", "Lîlle", "Lil", "ille", "l", "75001", "75", "7500%", "100%", "a_b", "axb", "\\", "a\\_b",
    "Straße", "STRASSE", "I\u0307stanbul", "e\u0301te\u0301", "Été", "ﬁn", "fin", "'; drop table contacts; --", "$1",
    "{0}", "{}", "%", "%%", " ", "日本",
)  # fmt: skip
WORDS = ("soldes", "'; select pg_sleep(9); --", "été")
URLS = ("https://exemple.fr/", "https://exemple.fr/soldes?a='--")
REASONS = ("unsubscribed", "rule")
KEYS = ("a", "b", "c'", "no such job")
OPERATIONS = KEYS[:3]
CHANNEL_TESTS = typing.get_args(language.ChannelTest)
_FATES = (
    "selected",
    "recipient",
    "excluded",
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "unsubscribed",
    "complained",
)


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[Any]:
    """A connection to a database with the tables, and nothing in them."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(TABLES.read_text("utf-8"))
    yield connection
    await connection.close()


# What bases are like

moments = st.sampled_from(
    [NOW - timedelta(days=days, seconds=second) for days in (0, 1, 30, 59, 60, 61, 400) for second in (0, 1)]
)
days_around = st.sampled_from(
    [TODAY + timedelta(days=days) for days in (-400, -31, -30, -1, 0, 1, 30, 31)]
    + [date(1992, 2, 29), date(1990, 2, 28), date(1990, 11, 29), date(1990, 11, 30), date(1990, 12, 29)]
)
numbers = st.sampled_from([-1.5, 0.0, 3.0, 18.0, 18.5, 1e15])
texts = st.sampled_from(TEXTS)
_VALUES: dict[str, st.SearchStrategy[Any]] = {"text": texts, "number": numbers, "date": days_around}


def values_of(name: str) -> st.SearchStrategy[Any]:
    kind = FIELDS[name].kind
    if kind in _VALUES:
        return _VALUES[kind]
    return st.lists(st.sampled_from(CHOICES[name]), unique=True, max_size=3 if kind == "choices" else 1)


fields = st.fixed_dictionaries({}, optional={name: st.none() | values_of(name) for name in FIELDS}).map(
    lambda found: {name: value for name, value in found.items() if value is not None}
)
states = st.builds(
    State,
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "valid", "soft", "hard"]),
    st.booleans(),
    st.booleans(),
)
addresses = st.sampled_from([None, "Ana@exemple.fr", "bob@exemple.fr"])
mobiles = st.sampled_from([None, "+33612345678"])
channels = st.fixed_dictionaries({}, optional=dict.fromkeys(("email", "sms", "phone"), states))
people = st.builds(
    Person, st.just(0), addresses, mobiles, st.booleans(), fields, channels, st.sampled_from([0, 0, 1, 7, 8, 10])
)
#: On both sides of the border of a chunk, and of a byte.
PLACES = (1, 2, 7, 8, 9, 8190, 8191, 8192, 8193, 16384, 20000)
operations = st.tuples(
    *(
        st.builds(
            Operation, st.just(key), st.sampled_from(["email", "sms"]), st.sampled_from(["", *WORDS]),
            st.lists(st.sampled_from(WORDS), unique=True).map(tuple), moments,
            st.sampled_from(["bulk", "transactional", ""]),
        )
        for key in OPERATIONS
    )
)  # fmt: skip


def _happened(contact: int) -> st.SearchStrategy[Happened]:
    return st.builds(
        lambda what, operation, at, machine, url, position, name, reason, bounce: Happened(
            contact,
            what,
            "" if what in ("page_seen", "event") else operation,
            at,
            machine and what in ("opened", "clicked", "page_seen", "event"),
            url,
            position,
            {"event": name, "excluded": reason, "bounced": bounce}.get(what, ""),
        ),
        st.sampled_from([*_FATES, "page_seen", "event"]),
        st.sampled_from(OPERATIONS),
        moments,
        st.booleans(),
        st.sampled_from(URLS),
        st.sampled_from([0, 2]),
        st.sampled_from(["basket", WORDS[1]]),
        st.sampled_from(REASONS),
        st.sampled_from(["hard", "soft", "block"]),
    )


@st.composite
def bases(draw: st.DrawFn) -> Base:
    places = draw(st.lists(st.sampled_from(PLACES), unique=True, min_size=1, max_size=8).map(sorted))
    everybody = [
        Person(place, one.email, one.mobile, one.professional, one.fields, one.channels, one.note)
        for place in places
        for one in [draw(people)]
    ]
    happened = draw(st.lists(st.sampled_from(places).flatmap(_happened), max_size=40))
    imported = draw(
        st.frozensets(
            st.tuples(st.integers(1, 3), st.sampled_from(["included", "added", "updated"]), st.sampled_from(places))
        )
    )
    first = draw(trees(()))
    second = draw(trees((1,)))
    return Base(everybody, draw(operations), happened, imported, KINDS, {1: first, 2: second}, NOW)


# What is asked of them

dates = days_around.map(date.isoformat)
SINCE = moments.map(datetime.isoformat)
_TIMES: st.SearchStrategy[dict[str, Any]] = (
    st.just({})
    | st.fixed_dictionaries({"last_days": st.sampled_from([0, 1, 30, 60])})
    | st.fixed_dictionaries({"since": SINCE})
    | st.fixed_dictionaries({"until": SINCE})
)


def _of_field(name: str) -> st.SearchStrategy[dict[str, Any]]:
    field = checking.COLUMNS[name][0] if name in checking.COLUMNS else FIELDS[name].kind

    def given_test(test: str) -> st.SearchStrategy[dict[str, Any]]:
        words = (
            texts
            if field == "text"
            else st.sampled_from(CHOICES.get(name, ("",))) | st.sampled_from(["été", "VIN", "?"])
        )
        node = {"kind": st.just("field"), "field": st.just(name), "test": st.just(test)}
        if test in ("empty", "not_empty"):
            return st.fixed_dictionaries(node)
        if test.endswith("_days"):
            return st.fixed_dictionaries({**node, "days": st.sampled_from([0, 1, 30, 91])})
        if test in ("one_of", "none_of", "all_of"):
            asked: dict[str, Any] = {"values": st.lists(words, min_size=1, max_size=3)}
        elif field == "yes_no":
            asked = {"value": st.sampled_from([True, False, "yes", "no"])}
        else:
            asked = {"value": {"number": numbers, "date": dates}.get(field, words)}
        if field == "text":
            asked["accents"] = st.booleans()
        return st.fixed_dictionaries({**node, **asked})

    return st.sampled_from(checking.TESTS[field]).flatmap(given_test)


def _narrowing(was: str) -> st.SearchStrategy[dict[str, Any]]:
    more: list[dict[str, Any]] = [{}]
    if was.endswith("clicked"):
        more += [{"url": url} for url in (*URLS, "https://nobody.example/")] + [{"position": at} for at in (0, 1, 2)]
    if was == "excluded":
        more += [{"reason": reason} for reason in (*REASONS, "other")]
    if was == "bounced":
        more += [{"bounce": kind} for kind in ("hard", "soft", "block")]
    if was.endswith(("clicked", "opened")):
        more += [{**one, "machines": True} for one in more]
    return st.sampled_from(more)


_meant = st.fixed_dictionaries({"operations": st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)}) | st.builds(
    lambda chosen, times: {**chosen, **times} or {"operation_kind": "email"},
    st.fixed_dictionaries(
        {},
        optional={
            "tag": st.sampled_from(WORDS),
            "category": st.sampled_from(WORDS),
            "operation_kind": st.just("email"),
        },
    ),
    _TIMES,
)
_operations = st.sampled_from([*_FATES, "not_opened", "not_clicked"]).flatmap(
    lambda was: st.builds(
        lambda meant, match, more: {"kind": "operation", "was": was, "match": match, **meant, **more},
        _meant,
        st.sampled_from(["one", "all"]),
        _narrowing(was),
    )
)
_behaviour = st.builds(
    lambda did, how, times, period, machines, name: {
        "kind": "behaviour",
        "did": did,
        how: times,
        **period,
        **({"machines": True} if machines and not did.startswith("received") else {}),
        **({"name": name} if name and did == "event" else {}),
    },
    st.sampled_from(["received", "received_marketing", "opened", "clicked", "page_seen", "event"]),
    st.sampled_from(["at_least", "at_most", "exactly"]),
    st.integers(0, 3),
    _TIMES,
    st.booleans(),
    st.sampled_from([None, "basket", WORDS[1], "never"]),
)
_tests_of_imports = st.sampled_from([f"{no}{word}" for no in ("", "not_") for word in ("included", "added", "updated")])
_of_channel = st.fixed_dictionaries({
    "kind": st.just("channel"), "channel": st.sampled_from(["email", "sms", "phone"]),
    "test": st.sampled_from(CHANNEL_TESTS),
})  # fmt: skip
_activity = st.tuples(st.integers(0, 10), st.integers(0, 10)).map(
    lambda notes: {"kind": "activity", "at_least": min(notes), "at_most": max(notes)}
)


def given_trees(segments: tuple[int, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """As JSON; segments that may be used."""
    leaves = (
        st.sampled_from(["email", "mobile", *FIELDS]).flatmap(_of_field)
        | _operations
        | _behaviour
        | _of_channel
        | _activity
        | st.sampled_from([{"kind": "at_risk", "why": why} for why in ("any", "hard", "quiet")])
        | st.builds(
            lambda test, imports: {"kind": "import", "test": test, "imports": imports},
            _tests_of_imports,
            st.lists(st.integers(1, 3), min_size=1, max_size=2),
        )
    )
    if segments:
        leaves |= st.builds(
            lambda test, named: {"kind": "segment", "test": test, "segments": named},
            st.sampled_from(["in", "not_in"]),
            st.lists(st.sampled_from(segments), min_size=1, max_size=2),
        )
    return st.recursive(
        leaves,
        lambda parts: st.builds(
            lambda kind, of: {"kind": kind, "of": of},
            st.sampled_from(["all", "any", "none"]),
            st.lists(parts, min_size=1, max_size=3),
        ),
        max_leaves=8,
    )


def read(given: object) -> Criterion:
    criterion, faults = language.read(given)
    assert criterion is not None, faults
    return criterion


def trees(segments: tuple[int, ...]) -> st.SearchStrategy[Criterion]:
    return given_trees(segments).map(read)


async def members(sql: Any, tenant: int, base: Base, criterion: Criterion) -> list[int]:
    assert checking.check(criterion, known(base)) == []
    text, parameters = compiled(tenant, criterion, known(base), base.now).members()
    return [row["contact"] for row in await sql.fetch(text, *parameters)]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(base=bases(), asked=st.lists(trees((1, 2)), min_size=1, max_size=6))
async def test_a_segment_has_the_members_that_the_model_says_e21_to_e29(
    sql: Any, base: Base, asked: list[Criterion]
) -> None:
    tenant = await written(sql, base)  # beside those of all examples before: they have the same numbers

    found = [await members(sql, tenant, base, criterion) for criterion in asked]

    assert found == [base.members(criterion) for criterion in asked]


# Every criterion by itself, on one base in which everything is there


def spread_values() -> dict[str, list[Any]]:
    """Each value of each field."""
    born = [date(1992, 2, 29), date(1990, 2, 28), date(1990, 11, 29), date(1990, 12, 29), date(2030, 11, 29)]
    days = [TODAY + timedelta(days=at) for at in (-400, -31, -30, -1, 0, 1, 30, 31)]
    return {
        "town": [*TEXTS, None],
        "postcode": [None, "75001", "59000", "7500%"],
        "age": [None, -1.5, 0.0, 3.0, 18.0, 18.5, 1e15],
        "points": [None, 3.0],
        "born": [None, *born],
        "joined": [None, *days],
        "status": [[], *([one] for one in CHOICES["status"])],
        "interests": [list(some) for size in range(4) for some in itertools.combinations(CHOICES["interests"], size)],
        "vip": [[], ["yes"], ["no"]],
    }


def dense_base() -> Base:
    """Sixty contacts over three chunks, with each value of each field, and much that happened to each."""
    chance = random.Random(14)
    spread = spread_values()
    moments = [NOW - timedelta(days=at, seconds=second) for at in (0, 1, 30, 60, 400) for second in (0, 1)]

    def state() -> State:
        return State(
            chance.choice([None, True, False]),
            chance.choice([None, "valid", "soft", "hard"]),
            chance.random() < 0.3,
            chance.random() < 0.3,
        )

    people = [
        Person(
            place,
            chance.choice([None, "Ana@exemple.fr", "bob@exemple.fr"]),
            chance.choice([None, "+33612345678"]),
            chance.random() < 0.5,
            {name: value for name, values in spread.items() if (value := values[at % len(values)]) is not None},
            {channel: state() for channel in ("email", "sms", "phone")},
            at % 11,
        )
        for at, place in enumerate([*range(1, 21), *range(8180, 8200), *range(20000, 20020)])
    ]
    happened = [
        Happened(
            one.number,
            what,
            "" if what in ("page_seen", "event") else chance.choice(OPERATIONS),
            chance.choice(moments),
            what in ("opened", "clicked", "page_seen", "event") and chance.random() < 0.4,
            chance.choice(URLS),
            chance.choice([0, 2]),
            {
                "event": chance.choice(["basket", WORDS[1]]),
                "excluded": chance.choice(REASONS),
                "bounced": chance.choice(["hard", "soft", "block"]),
            }.get(what, ""),
        )
        for one in people[1:]
        for what in chance.choices([*_FATES, "delivered", "opened", "clicked", "page_seen", "event", "event"], k=12)
    ]
    operations = [
        Operation("a", "email", WORDS[0], (WORDS[0], WORDS[1]), NOW - timedelta(days=30)),
        Operation("b", "email", WORDS[1], (WORDS[0],), NOW - timedelta(days=1)),
        Operation("c'", "sms", WORDS[2], (), NOW - timedelta(days=400), "transactional"),
    ]
    imported = frozenset(
        (number, word, one.number)
        for one in people
        for number in (1, 2, 3)
        for word in ("included", "added", "updated")
        if chance.random() < 0.3
    )
    return Base(people, operations, happened, imported, KINDS, {}, NOW)


def every_field_criterion() -> list[dict[str, Any]]:
    found = []
    for name in ("email", "mobile", *FIELDS):
        field = checking.COLUMNS[name][0] if name in checking.COLUMNS else FIELDS[name].kind
        for test in checking.TESTS[field]:
            node = {"kind": "field", "field": name, "test": test}
            words: list[Any] = [*CHOICES.get(name, ("été", "VIN", "bob@EXEMPLE.fr")), "?"]
            if name in ("town", "postcode"):
                words = [*TEXTS, "e", "été", "STRA", "i", "_", "0"]
            others: dict[str, list[Any]] = {
                "number": [-1.5, 0, 3, 18, 18.5, 17],
                "date": ["1992-02-29", "1990-11-29", TODAY.isoformat(), "2026-10-30"],
                "yes_no": [True, False, "yes", "no"],
            }
            values = others.get(field, words)
            more: list[dict[str, Any]] = [{"value": value} for value in values]
            if test in ("empty", "not_empty"):
                more = [{}]
            elif test.endswith("_days"):
                more = [{"days": days} for days in (0, 1, 30, 31, 91, 456, 821)]  # 91: the 28th of February, as 456
            elif test in ("one_of", "none_of", "all_of"):
                more = [{"values": [*some]} for size in (1, 2) for some in itertools.combinations(words[:8], size)]
            if field == "text" and test not in ("empty", "not_empty"):
                more += [{**one, "accents": False} for one in more]
            found += [{**node, **one} for one in more]
    return found


def every_operation_criterion() -> list[dict[str, Any]]:
    meant: list[dict[str, Any]] = [
        *({"operations": list(some)} for size in (1, 2, 3) for some in itertools.combinations(KEYS, size)),
        {"tag": WORDS[0]}, {"tag": WORDS[1]}, {"tag": "no such tag"}, {"category": WORDS[1]},
        {"operation_kind": "email"},
        {"last_days": 30}, {"last_days": 29}, {"since": "2026-10-30T12:00:00Z"}, {"until": "2026-10-30T12:00:00Z"},
        {"tag": WORDS[0], "operation_kind": "sms"}, {"since": "2026-10-30T12:00:00+00:00", "category": WORDS[0]},
    ]  # fmt: skip
    narrowed: dict[str, list[dict[str, Any]]] = {
        "excluded": [{}, *({"reason": one} for one in (*REASONS, "other"))],
        "bounced": [{}, *({"bounce": one} for one in ("hard", "soft", "block"))],
        "opened": [{}, {"machines": True}],
        "clicked": [
            {**one, **more}
            for one in ({}, {"url": URLS[0]}, {"url": URLS[1]}, {"url": "no"}, {"position": 0}, {"position": 1})
            for more in ({}, {"machines": True})
        ],
    }
    return [
        {"kind": "operation", "was": was, "match": match, **one, **more}
        for was in typing.get_args(language.Fate)
        for match in ("one", "all")
        for one in meant
        for more in narrowed.get(was.removeprefix("not_"), [{}])
    ]


def every_behaviour_criterion() -> list[dict[str, Any]]:
    periods: list[dict[str, Any]] = [
        {}, {"last_days": 0}, {"last_days": 30}, {"last_days": 60}, {"since": "2026-10-30T12:00:00Z"},
        {"until": "2026-10-30T12:00:00Z"}, {"since": "2026-09-01T00:00:00Z", "until": "2026-10-30T12:00:01Z"},
    ]  # fmt: skip
    by_machines: list[dict[str, Any]] = [{}, {"machines": True}]
    deeds: dict[str, list[dict[str, Any]]] = {
        "received": [{}],
        "received_marketing": [{}],
        "opened": by_machines,
        "clicked": by_machines,
        "page_seen": by_machines,
        "event": [*by_machines, {"name": "basket"}, {"name": WORDS[1], "machines": True}, {"name": "never"}],
    }
    return [
        {"kind": "behaviour", "did": did, how: times, **period, **more}
        for did, narrowed in deeds.items()
        for how in ("at_least", "at_most", "exactly")
        for times in range(4)
        for period in periods
        for more in narrowed
    ]


def every_other_criterion() -> list[dict[str, Any]]:
    return [
        *(
            {"kind": "channel", "channel": channel, "test": test}
            for channel in ("email", "sms", "phone")
            for test in CHANNEL_TESTS
        ),
        *(
            {"kind": "import", "test": f"{no}{word}", "imports": list(some)}
            for no in ("", "not_")
            for word in ("included", "added", "updated")
            for size in (1, 2)
            for some in itertools.combinations((1, 2, 4), size)
        ),
        *({"kind": "activity", "at_least": least, "at_most": most} for least in range(11) for most in range(least, 11)),
    ]


@pytest.mark.parametrize(
    "every",
    [every_field_criterion, every_operation_criterion, every_behaviour_criterion, every_other_criterion],
    ids=[
        "fields E22 to E25",
        "operations E16 to E19 and E28",
        "behaviour E29",
        "channels E5 E6, imports E27, rank E32",
    ],
)
async def test_each_criterion_by_itself_has_the_members_that_the_model_says(sql: Any, every: Any) -> None:
    base = dense_base()
    tenant = await written(sql, base)
    await written(sql, base)  # another one's, with the same numbers

    wrong = [
        given
        for given in every()
        for criterion in [read(given)]
        if await members(sql, tenant, base, criterion) != base.members(criterion)
    ]

    assert wrong == []
