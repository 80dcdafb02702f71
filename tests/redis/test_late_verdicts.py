"""Clicks that are found out to be a machine's once they were counted, and openings that clicks imply."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.reports import describe, state
from services.reports.late import NEVER, Late
from services.reports.reports import Reports
from services.reports.store import ReportReader, ReportStore
from shared.redis import keys, redis
from shared.words import events
from shared.words.tokens import TRAP_POSITION
from tests.redis.test_reports import CREATED, JOB, PARTITIONS, P, about, counts, make_group, make_job, publish, read

LATE = Late(soon_ms=1_000, burst_links=3, burst_ms=2_000)
BEHAVIOURS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "visitors.toml").read_text("utf-8")
)["behaviour"]
DELIVERED_MS = CREATED + 60_000


async def count(client: Any, *facts: events.Fact, late: Late = LATE, at_once: int = 100) -> None:
    await publish(client, *facts)
    while entries := await read(client, count=at_once):
        await Reports(ReportStore(client, late=late), lambda: 0).count(P, entries)


def fact(number: int, one: dict[str, Any], ordinal: int = 0) -> events.Fact:
    common = about(ordinal, number) | {"occurred_at": DELIVERED_MS + round(one["at_s"] * 1000)}
    match one["what"]:
        case "delivered":
            return events.Delivered(**common)
        case "open":
            return events.Opened(**common)
        case "trap":
            return events.Clicked(**common, position=TRAP_POSITION, machine="scanner", reason="trap")
    return events.Clicked(**common, position=one["position"])


def click(number: int, at_ms: int, position: int, ordinal: int = 0, **more: Any) -> events.Fact:
    common = about(ordinal, number) | {"occurred_at": DELIVERED_MS + at_ms}
    return events.Clicked(**common, position=position, **more)


@pytest.mark.parametrize("at_once", [1, 100])
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour["who"])
async def test_each_behaviour_is_counted_as_what_it_is(client: Any, behaviour: dict[str, Any], at_once: int) -> None:
    await make_job(client)
    await make_group(client)
    happens = behaviour["happens"]

    await count(client, *(fact(number, one) for number, one in enumerate(happens)), at_once=at_once)

    found = (await counts(client)).counts
    clicks = [one for one in happens if one["what"] in ("click", "trap")]
    people = [one for one in clicks if "reason" not in one]
    openings = [one for one in happens if one["what"] == "open"]
    machines = len(clicks) - len(people)
    assert (found.clicks.total, found.clicks.unique) == (len(people), int(bool(people)))
    assert (found.clicks.machine.total, found.clicks.machine.unique) == (machines, int(bool(machines)))
    assert found.opens.unique == int(bool(people or openings))
    assert found.opens.total == max(len(openings), int(bool(people)))
    stored = await ReportReader(client, PARTITIONS).counts(JOB)
    for position in {one["position"] for one in clicks if "position" in one}:
        here = sum(one.get("position") == position for one in people)
        assert int(stored.get(f"click-{position}:total", 0)) == here
        assert int(stored.get(f"click-{position}:unique", 0)) == int(bool(here))
        assert await client.getbit(keys.job_bitmap(P, JOB, f"click-{position}"), 0) == int(bool(here))


async def test_a_message_shows_the_verdict_and_its_reason_once_the_events_are_gone(client: Any) -> None:
    await make_job(client)
    await make_group(client)
    facts = [events.Delivered(**about(0, "d") | {"occurred_at": DELIVERED_MS})]

    await count(client, *facts, click(1, 200, 0), click(2, 90_000, 0), *(click(9 + n, 50_000, n) for n in range(3)))

    _, records = await ReportReader(client, PARTITIONS).message(JOB, 0)
    shown = [describe.timeline_event(record, None).details for record in records]
    machine = {"machine": "scanner"}
    assert shown == [{}, machine | {"reason": "soon"}, {}, *[machine | {"reason": "burst"}] * 3]
    clicked = [record for record in records if record.code == state.Code.SOON_CLICKED]
    told = describe.timeline_event(clicked[0], click(1, 200, 0))
    assert (told.details["machine"], told.details["reason"], told.details["position"]) == ("scanner", "soon", 0)


async def test_a_click_that_was_judged_and_is_published_again_is_known(client: Any) -> None:
    await make_job(client)
    await make_group(client)
    burst = [click(number, 50_000, number) for number in range(3)]

    await count(client, *burst)
    await count(client, *burst)

    found = (await counts(client)).counts
    assert (found.clicks.total, found.clicks.machine.total) == (0, 3)


async def test_neighbours_are_judged_apart(client: Any) -> None:
    await make_job(client)
    await make_group(client)

    await count(client, *(click(number, 50_000, number, ordinal=number) for number in range(40)))

    found = (await counts(client)).counts
    assert (found.clicks.unique, found.clicks.machine.total, found.opens.unique) == (40, 0, 40)


async def test_what_is_judged_is_kept_for_minutes_and_no_longer(client: Any) -> None:
    await make_job(client)
    await make_group(client)

    await count(client, click(1, 50_000, 0))

    assert 0 < await client.pttl(keys.job_clicks(P, JOB)) <= 600_000


async def test_nothing_is_judged_or_kept_where_that_is_switched_off(client: Any) -> None:
    await make_job(client)
    await make_group(client)
    delivered = events.Delivered(**about(0, "d") | {"occurred_at": DELIVERED_MS})

    await count(client, delivered, *(click(number, 10, number) for number in range(5)), late=NEVER)

    assert (await counts(client)).counts.clicks.total == 5
    assert not await client.exists(keys.job_clicks(P, JOB))


async def test_an_opening_that_a_click_implied_is_counted_once_whichever_comes_first(client: Any) -> None:
    await make_job(client)
    await make_group(client)
    opening = events.Opened(**about(0, "o") | {"occurred_at": DELIVERED_MS + 50_000})
    other = events.Opened(**about(1, "o") | {"occurred_at": DELIVERED_MS + 50_000})
    proxied = events.Opened(**about(2, "o") | {"occurred_at": DELIVERED_MS}, machine="image_proxy")
    ahead = events.Opened(**about(3, "o") | {"occurred_at": DELIVERED_MS}, machine="prefetch")

    await count(client, click(1, 60_000, 0), opening, other, click(2, 60_000, 0, ordinal=1), proxied, ahead)

    found = (await counts(client)).counts
    assert (found.opens.unique, found.opens.total, found.opens.machine.total) == (3, 3, 1)


def opened(number: int, at_ms: int, position: int | None, ordinal: int = 0, **more: Any) -> events.Fact:
    common = about(ordinal, number) | {"occurred_at": DELIVERED_MS + at_ms}
    return events.DocumentOpened(**common, document="Devis", position=position, **more)


async def test_documents_are_judged_with_the_links_beside_them(client: Any) -> None:
    await make_job(client)
    await make_group(client)
    delivered = events.Delivered(**about(0, "d") | {"occurred_at": DELIVERED_MS})

    await count(client, delivered, opened(1, 200, 5), click(2, 50_000, 0), click(3, 50_100, 1), opened(4, 50_200, 5))
    await count(client, opened(5, 90_000, 5), opened(5, 90_000, 5), opened(1, 200, 5))

    found = (await counts(client)).counts
    assert (found.documents.unique, found.documents.total) == (1, 1)
    assert (found.documents.machine.unique, found.documents.machine.total) == (1, 2)
    assert (found.clicks.total, found.clicks.machine.total, found.opens.unique) == (0, 2, 1)
    stored = await ReportReader(client, PARTITIONS).counts(JOB)
    assert (stored["document-5:total"], stored["document-5:unique"]) == (b"1", b"1")
    assert stored["machine_document-5:total"] == b"2"
    _, records = await ReportReader(client, PARTITIONS).message(JOB, 0)
    shown = [describe.timeline_event(record, None) for record in records]
    assert [(one.type, one.details.get("reason")) for one in shown if "document" in one.type] == [
        ("message.document_opened", "soon"),
        ("message.document_opened", "burst"),
        ("message.document_opened", None),
    ]


async def test_a_document_of_no_mail_is_judged_by_nothing_of_the_mail_and_implies_no_opening(client: Any) -> None:
    await make_job(client)
    await make_group(client)
    delivered = events.Delivered(**about(0, "d") | {"occurred_at": DELIVERED_MS})

    await count(client, delivered, *(opened(number, 10, None) for number in range(3)), opened(9, 200, 5))

    found = (await counts(client)).counts
    assert (found.documents.unique, found.documents.total, found.documents.machine.total) == (1, 3, 1)
    assert found.opens.unique == 0


#: At 3 and 4 are documents.
DOCUMENTS = (3, 4)
some_clicks = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-1_500, 6_000), st.sampled_from([0, 1, 2, *DOCUMENTS, TRAP_POSITION])),
    max_size=14,
)


def possible(clicks: Sequence[tuple[int, int, int]]) -> int:
    """How many clicks may be a person's: no trap, and of the message that was delivered none too soon."""
    return sum(
        position != TRAP_POSITION and (ordinal > 0 or at_ms >= LATE.soon_ms) for ordinal, at_ms, position in clicks
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clicks=some_clicks, batch=st.integers(1, 20), at=st.integers(0, 14))
async def test_figures_agree_with_each_other_whatever_was_judged(
    redis_url: str, clicks: list[tuple[int, int, int]], batch: int, at: int
) -> None:
    """People and machines together are all clicks, and each figure of messages is that of its bitmap."""
    client: Any = redis.connect(redis_url)
    await client.flushall()
    await make_group(client)
    await make_job(client)
    facts: list[events.Fact] = [
        opened(number, at_ms, position, ordinal)
        if position in DOCUMENTS
        else click(number, at_ms, position, ordinal, **({"machine": "scanner"} if position == TRAP_POSITION else {}))
        for number, (ordinal, at_ms, position) in enumerate(clicks)
    ]
    facts.insert(at, events.Delivered(**about(0, "d") | {"occurred_at": DELIVERED_MS}))
    await count(client, *facts, at_once=batch)
    stored = {name: int(number) for name, number in (await ReportReader(client, PARTITIONS).counts(JOB)).items()}
    bitmaps = {
        name: await client.bitcount(keys.job_bitmap(P, JOB, name.removesuffix(":unique")))
        for name in stored
        if name.endswith(":unique")
    }
    found = [
        (ordinal, record.code)
        for ordinal in range(5)
        for record in (await ReportReader(client, PARTITIONS).message(JOB, ordinal))[1]
    ]
    codes = [code for _, code in found]
    people = {ordinal for ordinal, code in found if code in (state.Code.CLICKED, state.Code.DOCUMENT_OPENED)}
    await redis.close(client)

    of_documents = sum(position in DOCUMENTS for _, _, position in clicks)
    assert stored.get("clicks:total", 0) + stored.get("machine_clicks:total", 0) == len(clicks) - of_documents
    assert stored.get("documents:total", 0) + stored.get("machine_documents:total", 0) == of_documents
    by_people = stored.get("clicks:total", 0) + stored.get("documents:total", 0)
    assert {name: stored[name] for name in bitmaps} == bitmaps
    assert codes.count(state.Code.CLICKED) == stored.get("clicks:total", 0)
    assert codes.count(state.Code.DOCUMENT_OPENED) == stored.get("documents:total", 0)
    assert by_people <= possible(clicks)
    assert sum(stored.get(f"click-{position}:total", 0) for position in range(3)) == stored.get("clicks:total", 0)
    assert sum(stored.get(f"document-{position}:total", 0) for position in DOCUMENTS) == stored.get(
        "documents:total", 0
    )
    assert stored.get("implied_opens:unique", 0) == len(people)
    assert not [name for name, number in stored.items() if number < 0]


@pytest.mark.parametrize(
    "names",
    [
        ("DELIVERED", "OPENED", "CLICKED", "MACHINE_CLICKED", "SOON_CLICKED", "BURST_CLICKED"),
        ("DOCUMENT_OPENED", "SOON_DOCUMENT_OPENED", "BURST_DOCUMENT_OPENED", "OTHER_DOCUMENT_OPENED"),
    ],
)
def test_the_codes_that_the_script_names_are_those_of_the_table(names: tuple[str, ...]) -> None:
    script = (Path(state.__file__).with_name("store_apply.lua")).read_text("utf-8")

    assert f"local {', '.join(names)} = {', '.join(str(int(state.Code[name])) for name in names)}\n" in script
