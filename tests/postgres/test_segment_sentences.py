"""The sentences on behaviour and segments, one by one, by an example that somebody could check by hand."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.segments import language, store
from tests.segment_base import KINDS, written
from tests.segment_model import Base, Happened, Operation, Person

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
#: Who belongs to a segment, as JSON, of a base.
Asked = Callable[[Base, dict[str, Any]], Awaitable[list[int]]]


@pytest.fixture
async def asked(empty: Database) -> Asked:
    await migrating.migrate(empty, migrating.steps())

    async def who(base: Base, given: dict[str, Any]) -> list[int]:
        criterion, faults = language.read(given)
        assert criterion is not None, faults
        async with empty.transaction() as sql:
            tenant = await written(sql, base)
            return await store.which(sql, tenant, criterion, NOW, [one.number for one in base.people])

    return who


def having(name: str, *values: Any) -> Base:
    """Contacts 1, 2 … with these values of a field; None is empty."""
    people = [Person(number, fields={} if value is None else {name: value}) for number, value in enumerate(values, 1)]
    return Base(people, kinds=KINDS)


def to_whom(*happened: Happened, operations: str = "ab") -> Base:
    """Contacts 1 to 4, to whom that happened."""
    people = [Person(number) for number in range(1, 5)]
    return Base(people, [Operation(key, tags=("soldes",)) for key in operations], happened, kinds=KINDS)


def field(name: str, test: str, **more: Any) -> dict[str, Any]:
    return {"kind": "field", "field": name, "test": test, **more}


def operation(was: str, *keys: str, **more: Any) -> dict[str, Any]:
    return {"kind": "operation", "was": was, "operations": list(keys or "a"), **more}


async def test_recipients_are_selected_and_not_excluded_and_who_is_has_a_reason_e16(asked: Asked) -> None:
    base = to_whom(
        Happened(1, "selected", "a"), Happened(1, "recipient", "a"),
        Happened(2, "selected", "a"), Happened(2, "excluded", "a", detail="unsubscribed"),
        Happened(3, "selected", "a"), Happened(3, "excluded", "a", detail="rule"),
    )  # fmt: skip

    assert await asked(base, operation("selected")) == [1, 2, 3]
    assert await asked(base, operation("recipient")) == [1]
    assert await asked(base, operation("excluded")) == [2, 3]
    assert await asked(base, operation("excluded", reason="rule")) == [3]


async def test_an_address_is_wherever_it_stands_and_a_link_is_one_place_e17(asked: Asked) -> None:
    base = to_whom(
        Happened(1, "clicked", "a", url="https://exemple.fr/", position=0),
        Happened(2, "clicked", "a", url="https://exemple.fr/", position=3),
        Happened(3, "clicked", "a", url="https://exemple.fr/plus", position=1),
    )

    assert await asked(base, operation("clicked", url="https://exemple.fr/")) == [1, 2]
    assert await asked(base, operation("clicked", position=3)) == [2]


async def test_who_did_not_open_or_click_was_delivered_e18(asked: Asked) -> None:
    base = to_whom(
        Happened(1, "delivered", "a"), Happened(1, "opened", "a"),
        Happened(2, "delivered", "a"),
        Happened(3, "recipient", "a"), Happened(3, "bounced", "a", detail="hard"),
    )  # fmt: skip

    assert await asked(base, operation("not_opened")) == [2]
    assert await asked(base, operation("not_clicked")) == [1, 2]


async def test_a_click_is_an_opening_and_machines_count_where_it_is_asked_for_e19(asked: Asked) -> None:
    base = to_whom(
        Happened(1, "delivered", "a"), Happened(1, "clicked", "a"),
        Happened(2, "delivered", "a"), Happened(2, "opened", "a", machine=True),
        Happened(3, "delivered", "a"), Happened(3, "clicked", "a", machine=True),
    )  # fmt: skip

    assert await asked(base, operation("opened")) == [1]
    assert await asked(base, operation("opened", machines=True)) == [1, 2, 3]
    assert await asked(base, operation("not_opened")) == [2, 3]
    assert await asked(base, operation("clicked", machines=True)) == [1, 3]


async def test_criteria_are_joined_by_all_at_least_one_and_none_e21(asked: Asked) -> None:
    base = having("town", "Lille", "Roubaix", None, "Lens")
    both = [field("town", "contains", value="l"), field("town", "ends_with", value="e")]

    assert await asked(base, {"kind": "all", "of": both}) == [1]
    assert await asked(base, {"kind": "any", "of": [*both, field("town", "equals", value="Roubaix")]}) == [1, 2, 4]
    assert await asked(base, {"kind": "none", "of": both}) == [2, 3]
    assert await asked(base, {"kind": "none", "of": [{"kind": "none", "of": both}]}) == [1, 4]


@pytest.mark.parametrize("test", ["differs", "not_begins_with", "not_ends_with", "not_contains"])
async def test_what_is_not_so_of_a_text_holds_for_an_empty_one_e22(asked: Asked, test: str) -> None:
    assert await asked(having("town", "Lille", "Lens", None), field("town", test, value="lille")) == [2, 3]


async def test_an_empty_number_and_an_empty_date_differ_from_any_e22(asked: Asked) -> None:
    ages, days = having("age", 18.0, 19.0, None), having("born", date(2000, 1, 1), date(2000, 1, 2), None)

    assert await asked(ages, field("age", "differs", value=18)) == [2, 3]
    assert await asked(days, field("born", "differs", value="2000-01-01")) == [2, 3]


async def test_a_choice_differs_only_where_there_is_one_e23(asked: Asked) -> None:
    several = having("interests", ["vin"], ["café"], ["vin", "café"], [])

    assert await asked(having("status", ["Client"], ["Prospect"], []), field("status", "differs", value="client")) == [
        2
    ]
    assert await asked(several, field("interests", "differs", value="vin")) == [2]
    assert await asked(several, field("interests", "none_of", values=["vin", "Thé"])) == [2]
    assert await asked(several, field("interests", "all_of", values=["vin", "café"])) == [3]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("town", "x"),
        ("age", 0.0),
        ("born", date(2000, 1, 1)),
        ("status", ["Client"]),
        ("interests", ["vin"]),
        ("vip", ["no"]),
    ],
)
async def test_every_kind_of_field_is_empty_or_not_e24(asked: Asked, name: str, value: object) -> None:
    base = having(name, value, None)

    assert await asked(base, field(name, "empty")) == [2]
    assert await asked(base, field(name, "not_empty")) == [1]


async def test_what_has_an_order_never_holds_for_an_empty_field_e24(asked: Asked) -> None:
    ages, today = having("age", 18.0, None), NOW.date()
    days = having("born", today - timedelta(days=7), None)

    for more in (field("age", "less", value=19), field("age", "greater", value=-1), field("age", "at_most", value=18)):
        assert await asked(ages, more) == [1]
    for more in (field("born", "before", value="2030-01-01"), field("born", "in_last_days", days=7)):
        assert await asked(days, more) == [1]
    assert await asked(days, {"kind": "none", "of": [field("born", "in_last_days", days=6)]}) == [1, 2]


async def test_a_birthday_in_so_many_days_is_on_that_day_e24(asked: Asked) -> None:
    base = having("born", date(1990, 12, 6), date(1990, 12, 5), date(2030, 12, 6), None)

    assert await asked(base, field("born", "birthday_in_days", days=7)) == [1]


async def test_text_is_without_case_and_accents_count_unless_said_e25(asked: Asked) -> None:
    base = having("town", "Évry", "EVRY", "évry", "E\u0301VRY", "Ivry")

    assert await asked(base, field("town", "equals", value="ÉVRY")) == [1, 3, 4]
    assert await asked(base, field("town", "equals", value="évry", accents=False)) == [1, 2, 3, 4]


async def test_a_postcode_begins_as_text_does_e25(asked: Asked) -> None:
    base = having("postcode", "75001", "07500", "7500", "7", "1%")

    assert await asked(base, field("postcode", "begins_with", value="75")) == [1, 3]
    assert await asked(base, field("postcode", "contains", value="%")) == [5]


@pytest.mark.parametrize("word", ["included", "added", "updated"])
async def test_imports_are_asked_for_one_or_several_e27(asked: Asked, word: str) -> None:
    imported = frozenset({(1, word, 1), (2, word, 2), (3, word, 3)})
    base = Base([Person(number) for number in range(1, 5)], imported=imported)

    assert await asked(base, {"kind": "import", "test": word, "imports": [1]}) == [1]
    assert await asked(base, {"kind": "import", "test": word, "imports": [1, 2]}) == [1, 2]
    assert await asked(base, {"kind": "import", "test": f"not_{word}", "imports": [1, 2]}) == [3, 4]


async def test_operations_are_one_of_them_all_of_them_or_all_that_fit_e28(asked: Asked) -> None:
    base = to_whom(
        Happened(1, "opened", "a"),
        Happened(1, "opened", "b"),
        Happened(2, "opened", "b"),
        Happened(3, "complained", "b"),
    )

    assert await asked(base, operation("opened", "a", "b")) == [1, 2]
    assert await asked(base, operation("opened", "a", "b", match="all")) == [1]
    assert await asked(base, operation("opened", "a", "unknown", match="all")) == []
    assert await asked(base, {"kind": "operation", "was": "opened", "tag": "soldes"}) == [1, 2]
    assert await asked(base, {"kind": "operation", "was": "opened", "tag": "hiver", "match": "all"}) == []
    assert await asked(base, operation("complained", "b")) == [3]


async def test_behaviour_is_counted_within_a_period_and_never_is_no_time_e29(asked: Asked) -> None:
    days = timedelta(days=1)
    base = to_whom(
        *(Happened(1, "opened", "a", NOW - ago * days) for ago in (1, 2, 90)),
        *(Happened(2, "opened", "a", NOW - ago * days) for ago in (80, 90)),
        Happened(3, "event", at=NOW, detail="purchase"),
    )

    def times(**more: Any) -> dict[str, Any]:
        return {"kind": "behaviour", "did": "opened", **more}

    assert await asked(base, times(at_least=2)) == [1, 2]
    assert await asked(base, times(at_least=2, last_days=30)) == [1]
    assert await asked(base, times(exactly=1, until="2026-09-05T00:00:00Z")) == [1, 2]
    assert await asked(base, times(at_most=0, last_days=30)) == [2, 3, 4]
    assert await asked(base, {"kind": "behaviour", "did": "event", "name": "purchase", "at_least": 1}) == [3]


async def test_pressure_is_how_many_mails_somebody_got_in_the_last_days_m5(asked: Asked) -> None:
    just, before = NOW - timedelta(days=7), NOW - timedelta(days=7, seconds=1)
    happened = (
        Happened(1, "delivered", "a", NOW), Happened(1, "delivered", "a", just), Happened(1, "delivered", "t", NOW),
        Happened(2, "delivered", "a", NOW), Happened(2, "delivered", "a", before), Happened(2, "delivered", "t", NOW),
        Happened(3, "delivered", "t", NOW), Happened(3, "bounced", "a", NOW, detail="soft"),
    )  # fmt: skip
    operations = [Operation("a"), Operation("t", stream="transactional")]
    base = Base([Person(number) for number in range(1, 5)], operations, happened, kinds=KINDS)

    def got(did: str = "received_marketing", **more: Any) -> dict[str, Any]:
        return {"kind": "behaviour", "did": did, "last_days": 7, **more}

    assert await asked(base, got(at_least=2)) == [1]
    assert await asked(base, got(exactly=1)) == [2]
    assert await asked(base, got(at_most=1)) == [2, 3, 4]
    assert await asked(base, got(exactly=0)) == [3, 4]
    assert await asked(base, got("received", at_least=2)) == [1, 2]
    assert await asked(base, got("received", exactly=1)) == [3]
