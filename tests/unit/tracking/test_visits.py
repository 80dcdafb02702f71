"""What a page tells of a visitor: what fits is a fact, what does not is named, and who may tell how much is bounded."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracking import visits
from services.tracking.deciding import Moment, Request
from services.tracking.tracking import Tracking
from services.tracking.visiting import AT_ONCE, CORS, EACH_S, Pace, Visiting
from services.tracking.visits import MAX_PROPERTIES, MAX_VALUE, Ties, Told, Visitor, amount
from shared.words import ids
from shared.words.errors import Problem
from shared.words.events import Clicked, Fact, PageViewed, VisitorActed, VisitorConsented
from shared.words.tokens import TokenKeys
from shared.words.visits import MAX_DAYS
from tests.fakes.recipients import Jobs
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said
from tests.fakes.web_trackings import SHOP, Sites

CREATED_MS = 1_750_000_000_000
NOW_MS = CREATED_MS + 5_000
JOB = ids.new_job_id(CREATED_MS, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)
ANA = "ana@example.fr"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PAGE = "https://www.exemple.fr/merci?order=4711#top"
CLICK = KEYS.click(JOB, 3, "demo", ANA, 2, "https://www.exemple.fr/")
VISIT = KEYS.visit(CLICK, NOW_MS // 1000)
PURCHASE = {"kind": "event", "url": PAGE, "name": "purchase", "id": "4711", "value": 59.9, "currency": "EUR"}


class Marked(Memory):
    """Asks of each fact that it has its mark, by which it is forgotten where it was spooled."""

    async def record(self, fact: Fact, mark: bytes = b"") -> None:
        await super().record(fact, mark)
        assert mark == KEYS.marks(fact.tenant, ANA)[0]


class Desk:
    """All that takes what pages tell."""

    def __init__(self, *, refusing: bool = False, withdrawn: bool = False, sites: Sites | None = None) -> None:
        self.memory, self.now_s = Marked(refusing), 0.0
        untracked = Said(*KEYS.marks("demo", ANA)) if withdrawn else Said()
        sites = sites or Sites()
        self.tracking = Tracking(KEYS, self.memory, "edge", Jobs(), untracked, ties=Ties(KEYS, sites, untracked))
        self.visiting = Visiting(KEYS, self.tracking, untracked, sites, Pace(lambda: self.now_s))

    async def tell(
        self, told: Any, token: str = VISIT, now_ms: int = NOW_MS, visitor: Visitor | None = None
    ) -> list[Fact]:
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        await self.visiting.take(token, body, visitor or Visitor(user_agent=FIREFOX, ip="192.0.2.7"), now_ms)
        return self.memory.facts

    async def location(self, click: str = CLICK, method: str = "GET", user_agent: str = FIREFOX) -> str:
        answer = await self.tracking.answer(
            Request(method=method, kind="click", token=click, user_agent=user_agent), NOW_MS
        )
        return answer.headers["Location"]


async def refused(desk: Desk, told: Any, **how: Any) -> Problem:
    with pytest.raises(Problem) as raised:
        await desk.tell(told, **how)
    assert desk.memory.facts == []
    assert raised.value.headers.items() >= CORS.items()
    return raised.value


# What is recorded


async def test_a_page_that_is_looked_at_is_a_fact_about_the_message_of_the_click() -> None:
    (fact,) = await Desk().tell({"kind": "page", "url": PAGE})

    assert fact == PageViewed(
        event_id=fact.event_id,
        occurred_at=NOW_MS,
        tenant="demo",
        job=JOB,
        ordinal=3,
        sequence=5_000,
        url="https://www.exemple.fr/merci",  # what stands in a query may be anything
    )


async def test_a_purchase_has_its_amount_as_it_was_said_and_its_properties() -> None:
    (fact,) = await Desk().tell({**PURCHASE, "properties": {"items": 2, "category": "été", "vip": True}})

    assert isinstance(fact, VisitorActed)
    assert (fact.name, fact.value, fact.currency) == ("purchase", "59.9", "EUR")
    assert fact.properties == '{"category":"été","items":2,"vip":true}'


async def test_what_has_the_same_id_is_the_same_event_whenever_it_comes() -> None:
    desk = Desk()
    for order in ("4711", "4711", "4712"):
        await desk.tell({**PURCHASE, "id": order}, now_ms=NOW_MS + int(order))

    first, again, other = [fact.event_id for fact in desk.memory.facts]
    assert first == again != other


async def test_what_has_no_id_is_an_event_of_its_own_each_time() -> None:
    desk = Desk()
    for _ in range(3):
        await desk.tell({"kind": "event", "url": PAGE, "name": "basket"})

    assert len({fact.event_id for fact in desk.memory.facts}) == 3


async def test_a_consent_and_its_end_are_told() -> None:
    desk = Desk()
    for answer in (True, False):
        await desk.tell({"kind": "consent", "url": PAGE, "given": answer})

    assert [fact.given for fact in desk.memory.facts if isinstance(fact, VisitorConsented)] == [True, False]


async def test_machines_are_told_apart_and_no_address_is_kept() -> None:
    desk = Desk()
    for told in ({"kind": "page", "url": PAGE}, PURCHASE):
        await desk.tell(told, visitor=Visitor(ip="192.0.2.7", user_agent="curl/8.0"))

    assert [(fact.machine, fact.reason) for fact in desk.memory.facts] == [("tool", "agent:curl/")] * 2  # type: ignore[attr-defined]
    assert not {"ip", "user_agent"} & {*PageViewed.__struct_fields__, *VisitorActed.__struct_fields__}


async def test_of_who_withdrew_their_consent_to_be_tracked_nothing_is_recorded() -> None:
    desk = Desk(withdrawn=True)

    for told in ({"kind": "page", "url": PAGE}, PURCHASE, {"kind": "consent", "url": PAGE, "given": True}):
        assert await desk.tell(told) == []


async def test_of_a_browser_that_asks_not_to_be_tracked_only_a_no_is_heard() -> None:
    desk, refuses = Desk(), Visitor(user_agent=FIREFOX, refuses=True)
    for told in ({"kind": "page", "url": PAGE}, PURCHASE, {"kind": "consent", "url": PAGE, "given": True}):
        assert await desk.tell(told, visitor=refuses) == []

    (fact,) = await desk.tell({"kind": "consent", "url": PAGE, "given": False}, visitor=refuses)
    assert isinstance(fact, VisitorConsented)


# What is not


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        VISIT[:-1],
        VISIT[:-1] + ("A" if VISIT[-1] != "A" else "B"),
        TokenKeys(b"x" * 32).visit(TokenKeys(b"x" * 32).click(JOB, 3, "demo", ANA, 2, "https://a.fr/"), 1),
        CLICK,
        KEYS.unsubscribe(JOB, 3, "demo", ANA),
    ],
)
async def test_a_token_that_is_no_visit_of_ours_records_nothing(token: str) -> None:
    problem = await refused(Desk(), PURCHASE, token=token)

    assert (problem.status, problem.word) == (404, "unknown_visit")


async def test_after_13_months_a_visit_is_over() -> None:
    end_ms = NOW_MS + MAX_DAYS * 86_400_000

    assert len(await Desk().tell(PURCHASE, now_ms=end_ms)) == 1
    assert (await refused(Desk(), PURCHASE, now_ms=end_ms + 1_000)).word == "unknown_visit"


@pytest.mark.parametrize(
    ("told", "at"),
    [
        ({"kind": "page", "url": "https://exemple.fr/"}, ["$.url"]),
        ({"kind": "page", "url": "https://www.exemple.fr.evil.test/"}, ["$.url"]),
        ({"kind": "page", "url": "https://www.exemple.fr@evil.test/"}, ["$.url"]),
        ({"kind": "page", "url": "https://ana:secret@www.exemple.fr/"}, ["$.url"]),
        ({"kind": "page", "url": "javascript:alert(1)"}, ["$.url"]),
        ({"kind": "page", "url": "http://[::1/"}, ["$.url"]),
        ({"kind": "page", "url": "https://www.exemple.fr/\n"}, ["$.url"]),
        ({"kind": "page", "url": "https://www.exemple.fr/".ljust(2049, "a")}, ["$.url"]),
        ({"kind": "page", "url": PAGE, "name": "basket", "given": True}, ["$.name", "$.given"]),
        ({"kind": "consent", "url": PAGE}, ["$.given"]),
        ({"kind": "event", "url": PAGE}, ["$.name"]),
        ({**PURCHASE, "name": "purchases"}, ["$.name"]),
        ({**PURCHASE, "id": "x" * 65}, ["$.id"]),
        ({**PURCHASE, "currency": ""}, ["$.currency"]),
        ({**PURCHASE, "value": None}, ["$.currency"]),
        ({**PURCHASE, "currency": "USD"}, ["$.currency"]),
        ({**PURCHASE, "value": -1}, ["$.value"]),
        ({**PURCHASE, "value": MAX_VALUE + 1}, ["$.value"]),
        ({**PURCHASE, "value": 0.00001}, ["$.value"]),
        ({**PURCHASE, "properties": {f"p{n}": n for n in range(MAX_PROPERTIES + 1)}}, ["$.properties"]),
        ({**PURCHASE, "properties": {"A": 1, "b": "x" * 201}}, ["$.properties.A", "$.properties.b"]),
        ({**PURCHASE, "properties": {"a": 2**60}}, ["$.properties.a"]),
        ({**PURCHASE, "properties": {"a": ["b"]}}, ["$.properties[...]"]),
        ({**PURCHASE, "name": "x", "id": "x" * 65, "url": "https://a.fr/"}, ["$.url", "$.id", "$.name"]),
        ({"kind": "other", "url": PAGE}, ["$.kind"]),
        ({"kind": "page", "url": PAGE, "email": ANA}, ["$"]),
    ],
)
async def test_what_does_not_fit_is_named_and_changes_nothing(told: dict[str, Any], at: list[str]) -> None:
    problem = await refused(Desk(), told)

    assert (problem.word, [fault.at for fault in problem.faults]) == ("invalid_body", at)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
async def test_what_is_no_json_is_malformed(body: bytes) -> None:
    assert (await refused(Desk(), body)).word == "malformed_json"


@given(st.binary(max_size=300))
async def test_no_body_is_an_error_of_ours(body: bytes) -> None:
    desk = Desk()
    desk.now_s = 1e9

    with pytest.raises(Problem):
        await desk.tell(body)


async def test_without_a_site_nothing_is_taken() -> None:
    problem = await refused(Desk(sites=Sites(None)), PURCHASE)

    assert problem.faults[0].at == "$.url"


async def test_what_cannot_be_recorded_or_judged_now_is_503() -> None:
    assert (await refused(Desk(refusing=True), PURCHASE)).status == 503
    assert (await refused(Desk(sites=Sites(None, is_known=False)), PURCHASE)).status == 503


async def test_nobody_floods_and_others_are_not_held_up() -> None:
    desk, page = Desk(), {"kind": "page", "url": PAGE}
    for _ in range(AT_ONCE):
        await desk.tell(page)

    with pytest.raises(Problem, match="too_many_visits"):
        await desk.tell(page)
    other = KEYS.visit(KEYS.click(JOB, 3, "demo", ANA, 7, "https://www.exemple.fr/"), NOW_MS // 1000 + 9)
    with pytest.raises(Problem, match="too_many_visits"):
        await desk.tell(page, token=other)  # another click of the same message
    desk.now_s += EACH_S
    assert len(await desk.tell(page)) == AT_ONCE + 1


def test_the_pace_of_those_who_tell_is_kept_for_so_many() -> None:
    pace = Pace(lambda: 0.0, most=2)
    for _ in range(AT_ONCE):
        assert pace.allows(("a", 0))
    assert not pace.allows(("a", 0))

    for other in ("b", "c"):
        assert pace.allows((other, 0))

    assert pace.allows(("a", 0))  # forgotten


@given(st.integers(0, MAX_VALUE * 10_000))
def test_an_amount_is_written_as_it_was(parts: int) -> None:
    value = parts / 10_000

    assert visits.faults(Told("event", PAGE, name="purchase", value=value, currency="EUR"), SHOP) == []
    assert round(float(amount(value)) * 10_000) == parts
    assert "E" not in amount(value)


# The click that leads there


async def test_a_click_on_a_site_of_the_tenant_carries_a_visit() -> None:
    location = await Desk().location()

    destination, _, token = location.partition("#estafette=")
    assert destination == "https://www.exemple.fr/"
    read = KEYS.read(token)
    assert (read.kind, read.job, read.ordinal, read.tenant, read.clicked_s) == ("visit", JOB, 3, "demo", NOW_MS // 1000)
    assert read.mark == KEYS.marks("demo", ANA)[0]
    assert len(token) < 80


@pytest.mark.parametrize(
    "click",
    [
        KEYS.click(JOB, 3, "demo", ANA, 2, "https://exemple.fr/"),  # no site of theirs
        KEYS.click(JOB, 3, "acme", ANA, 2, "https://www.exemple.fr/"),  # a tenant who follows nobody
    ],
)
async def test_no_other_click_does(click: str) -> None:
    assert await Desk().location(click) == KEYS.read(click).destination


async def test_neither_do_those_of_machines_and_of_who_withdrew() -> None:
    assert await Desk().location(user_agent="curl/8.0") == "https://www.exemple.fr/"
    assert await Desk(withdrawn=True).location() == "https://www.exemple.fr/"


async def test_the_quick_way_says_the_same_as_the_slow_one() -> None:
    desk, told = Desk(), list[str]()

    begun = desk.tracking.begin(
        Request(method="GET", kind="click", token=CLICK, user_agent=FIREFOX),
        NOW_MS,
        lambda answer: told.append(answer.headers["Location"]),
    )

    assert begun
    assert told == [await Desk().location()]
    assert [type(fact) for fact in desk.memory.facts] == [Clicked]


def test_a_moment_that_ties_nothing_is_the_default() -> None:
    assert Moment(NOW_MS).ties is None
