"""A recipient's request becomes a fact, and its answer waits for it."""

import asyncio
from ipaddress import ip_network

import pytest
from prometheus_client import REGISTRY

from services.tracking import pages
from services.tracking.about import NOTHING_KNOWN
from services.tracking.deciding import MAX_USER_AGENT_CHARS, PIXEL, Answer, Request, location, unsubscribed_by
from services.tracking.networks import Found, Networks
from services.tracking.tracking import Tracking
from shared.words import events, ids
from shared.words.events import (
    Clicked,
    Fact,
    Opened,
    Unsubscribed,
)
from shared.words.tokens import TRAP_POSITION, TokenKeys
from tests.fakes.old_tokens import unmarked
from tests.fakes.recipients import Jobs
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said

CREATED_MS = 1_750_000_000_000
NOW_MS = CREATED_MS + 5_000
JOB = ids.new_job_id(CREATED_MS, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)
ANA = "ana@example.fr"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
URL = "https://exemple.fr/soldes?a=1&b=%20c#haut"
ONE_CLICK = b"List-Unsubscribe=One-Click"


class Held(Memory):
    """Records when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def record(self, fact: Fact, mark: bytes = b"") -> None:
        await self.go.wait()
        await super().record(fact, mark)


def opening(**fields: object) -> Request:
    return Request(method="GET", kind="open", token=KEYS.open(JOB, 3, "demo", ANA), **fields)  # type: ignore[arg-type]


def click(method: str = "GET", url: str = URL, **fields: object) -> Request:
    return Request(method=method, kind="click", token=KEYS.click(JOB, 3, "demo", ANA, 2, url), **fields)  # type: ignore[arg-type]


def leaving(method: str, body: bytes = b"", **fields: object) -> Request:
    return Request(
        method=method,
        kind="unsubscribe",
        token=KEYS.unsubscribe(JOB, 3, "demo", "ana@example.fr"),
        content_type="application/x-www-form-urlencoded",
        body=body,
        **fields,  # type: ignore[arg-type]
    )


async def answered(request: Request, now_ms: int = NOW_MS) -> tuple[Answer, list[Fact]]:
    memory = Memory()
    answer = await Tracking(KEYS, memory, "edge", Jobs(), Said()).answer(request, now_ms)
    return answer, memory.facts


# What is answered, and what is recorded


async def test_the_pixel_is_a_gif_of_43_bytes_that_nobody_keeps() -> None:
    answer, facts = await answered(opening(user_agent=FIREFOX, ip="192.0.2.7"))

    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/gif", PIXEL)
    assert len(PIXEL) == 43
    assert PIXEL.startswith(b"GIF89a")
    assert PIXEL.endswith(b"\x3b")
    assert "no-store" in answer.headers["Cache-Control"]
    assert facts == [
        Opened(
            event_id=facts[0].event_id,
            occurred_at=NOW_MS,
            tenant="demo",
            job=JOB,
            ordinal=3,
            sequence=5_000,
            user_agent=FIREFOX,
            ip="192.0.2.7",
            machine="",
        )
    ]


async def test_a_click_leads_to_exactly_the_signed_url() -> None:
    answer, facts = await answered(click(user_agent=FIREFOX))

    assert (answer.status, answer.headers["Location"], answer.body) == (302, URL, b"")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    (fact,) = facts
    assert isinstance(fact, Clicked)
    assert (fact.position, fact.url, fact.machine, fact.sequence) == (2, URL, "", 5_000)


async def test_head_leads_on_too_and_nothing_happened() -> None:
    answer, facts = await answered(click("HEAD", user_agent=FIREFOX))

    assert (answer.status, answer.headers["Location"]) == (302, URL)
    assert facts == []


async def test_a_machine_is_marked_and_not_dropped() -> None:
    _, facts = await answered(opening(user_agent="Mozilla/5.0"))

    assert [(fact.machine, fact.reason) for fact in facts if isinstance(fact, Opened)] == [
        ("prefetch", "agent:mozilla/5.0")
    ]


async def test_a_scanner_is_known_by_its_network() -> None:
    memory = Memory()
    ours = Networks([Found("ours", "scanner", (ip_network("203.0.113.0/24"),))])
    tracking = Tracking(KEYS, memory, "edge", Jobs(), Said(), ours)

    await tracking.answer(click(user_agent=FIREFOX, ip="203.0.113.5"), NOW_MS)
    await tracking.answer(click(user_agent=FIREFOX, ip="192.0.2.5"), NOW_MS)

    assert [(fact.machine, fact.reason) for fact in memory.facts if isinstance(fact, Clicked)] == [
        ("scanner", "network:ours"),
        ("", ""),
    ]


async def test_who_follows_a_trap_is_a_scanner_and_led_on_as_ever() -> None:
    memory = Memory()
    token = KEYS.click(JOB, 3, "demo", ANA, TRAP_POSITION, URL)

    answer = await Tracking(KEYS, memory, "edge", Jobs(), Said()).answer(
        Request(method="GET", kind="click", token=token, user_agent=FIREFOX), NOW_MS
    )

    assert (answer.status, answer.headers["Location"]) == (302, URL)
    assert [(fact.machine, fact.reason) for fact in memory.facts if isinstance(fact, Clicked)] == [("scanner", "trap")]


async def test_the_unsubscribe_page_is_shown_and_unsubscribes_nobody() -> None:
    answer, facts = await answered(leaving("GET", accept_language="en"))

    assert (answer.status, answer.body) == (200, pages.leave(NOTHING_KNOWN, "en").body)
    assert facts == []


async def test_the_button_unsubscribes_and_says_so() -> None:
    answer, facts = await answered(leaving("POST", b"by=page", accept_language="de", user_agent=FIREFOX, ip="::1"))

    assert (answer.status, answer.body) == (200, pages.left(NOTHING_KNOWN, "de", facts[0].event_id).body)
    assert facts == [
        Unsubscribed(
            event_id=events.event_id(JOB, 3, "unsubscribed"),
            occurred_at=NOW_MS,
            tenant="demo",
            job=JOB,
            ordinal=3,
            sequence=5_000,
            email="ana@example.fr",
            by="page",
            user_agent=FIREFOX,
            ip="::1",
        )
    ]


async def test_one_click_unsubscribes_and_is_answered_in_plain_text() -> None:
    answer, facts = await answered(leaving("POST", ONE_CLICK))

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert [fact.by for fact in facts if isinstance(fact, Unsubscribed)] == ["one_click"]


async def test_unsubscribing_again_is_the_same_event() -> None:
    _, first = await answered(leaving("POST", ONE_CLICK))
    _, again = await answered(leaving("POST", b"by=page"), NOW_MS + 60_000)

    assert first[0].event_id == again[0].event_id


async def test_requests_within_a_millisecond_are_events_of_their_own() -> None:
    memory = Memory()
    tracking = Tracking(KEYS, memory, "edge", Jobs(), Said())

    for request in (opening(), opening(), click(), click(), opening()):
        await tracking.answer(request, NOW_MS)

    assert len({fact.event_id for fact in memory.facts}) == 5


async def test_two_processes_give_the_same_request_different_ids() -> None:
    memory = Memory()

    for edge in ("one", "other"):
        await Tracking(KEYS, memory, edge, Jobs(), Said()).answer(click(), NOW_MS)

    assert len({fact.event_id for fact in memory.facts}) == 2


# Promise 3


@pytest.mark.parametrize("request_", [opening(), click(), leaving("POST", b"by=page"), leaving("POST", ONE_CLICK)])
async def test_the_answer_waits_until_the_fact_is_recorded(request_: Request) -> None:
    held = Held()
    waiting = asyncio.ensure_future(Tracking(KEYS, held, "edge", Jobs(), Said()).answer(request_, NOW_MS))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert not held.facts

    held.go.set()
    answer = await waiting

    assert answer.status < 400
    assert len(held.facts) == 1


@pytest.mark.parametrize("request_", [opening(), click(), leaving("POST", b"by=page"), leaving("POST", ONE_CLICK)])
async def test_what_cannot_be_recorded_is_answered_with_503_and_leads_nowhere(request_: Request) -> None:
    answer = await Tracking(KEYS, Memory(refusing=True), "edge", Jobs(), Said()).answer(request_, NOW_MS)

    assert (answer.status, answer.body) == (503, pages.later(""))
    assert int(answer.headers["Retry-After"]) > 0
    assert "Location" not in answer.headers


async def test_the_unsubscribe_page_needs_no_recording() -> None:
    answer = await Tracking(KEYS, Memory(refusing=True), "edge", Jobs(), Said()).answer(leaving("GET"), NOW_MS)

    assert answer.status == 200


# What is counted


def _sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_facts_and_answers_are_counted() -> None:
    facts = {"fact": "Clicked", "machine": "tool"}
    before = _sample("estafette_tracking_facts_total", **facts)
    refused = _sample("estafette_tracking_answers_total", kind="click", status="503")

    await answered(click(user_agent="curl/8.9.1"))
    await Tracking(KEYS, Memory(refusing=True), "edge", Jobs(), Said()).answer(click(user_agent="curl/8.9.1"), NOW_MS)

    assert _sample("estafette_tracking_facts_total", **facts) == before + 1
    assert _sample("estafette_tracking_answers_total", kind="click", status="503") == refused + 1


# What is refused


def _invalid_tokens() -> list[str]:
    good = KEYS.click(JOB, 3, "demo", ANA, 2, URL)
    other = TokenKeys(b"x" * 32).click(JOB, 3, "demo", ANA, 2, "https://mal.example/")
    return ["", "x", good[:-1], good + "A", good.swapcase(), other, "<script>alert(1)</script>", "é", "A" * 9000]


@pytest.mark.parametrize("token", _invalid_tokens())
@pytest.mark.parametrize(
    ("method", "kind"), [("GET", "open"), ("GET", "click"), ("HEAD", "click"), ("POST", "unsubscribe")]
)
async def test_an_invalid_token_gets_a_friendly_page_and_never_a_redirect(method: str, kind: str, token: str) -> None:
    answer, facts = await answered(Request(method=method, kind=kind, token=token, accept_language="en"))  # type: ignore[arg-type]

    assert (answer.status, answer.body) == (404, pages.invalid("en"))
    assert "Location" not in answer.headers
    assert facts == []


@pytest.mark.parametrize(
    ("kind", "token"),
    [
        ("open", KEYS.click(JOB, 3, "demo", ANA, 2, URL)),
        ("open", KEYS.unsubscribe(JOB, 3, "demo", "ana@example.fr")),
        ("click", KEYS.open(JOB, 3, "demo", ANA)),
        ("unsubscribe", KEYS.open(JOB, 3, "demo", ANA)),
        ("unsubscribe", KEYS.click(JOB, 3, "demo", ANA, 2, URL)),
    ],
)
async def test_a_token_of_another_kind_is_as_invalid_as_a_forged_one(kind: str, token: str) -> None:
    answer, facts = await answered(Request(method="GET", kind=kind, token=token))  # type: ignore[arg-type]

    assert answer.status == 404
    assert facts == []


async def test_a_link_signed_with_a_former_key_works() -> None:
    memory = Memory()
    rotated = TokenKeys(b"n" * 32, [b"k" * 32])

    answer = await Tracking(rotated, memory, "edge", Jobs(), Said()).answer(click(), NOW_MS)

    assert answer.headers["Location"] == URL


@pytest.mark.parametrize(
    ("method", "kind", "allowed"),
    [("POST", "open", "GET, HEAD"), ("POST", "click", "GET, HEAD"), ("DELETE", "unsubscribe", "GET, HEAD, POST")],
)
async def test_other_methods_are_not_allowed(method: str, kind: str, allowed: str) -> None:
    answer, facts = await answered(Request(method=method, kind=kind, token="x"))  # type: ignore[arg-type]

    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert facts == []


# What headers bring


async def test_a_user_agent_that_is_not_utf_8_is_recorded_readably() -> None:
    _, facts = await answered(opening(user_agent="Mozilla \udce9\udcff"))

    assert events.decode("Opened", events.encode(facts[0])) == facts[0]
    assert [fact.user_agent for fact in facts if isinstance(fact, Opened)] == ["Mozilla ??"]


async def test_a_long_user_agent_is_cut() -> None:
    _, facts = await answered(click(user_agent="x" * 5000))

    assert [len(fact.user_agent) for fact in facts if isinstance(fact, Clicked)] == [MAX_USER_AGENT_CHARS]


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("https://a.fr/?q=%C3%A9&x=[1]|2#é", "https://a.fr/?q=%C3%A9&x=[1]|2#%C3%A9"),
        ("https://a.fr/été/✓?ü=%", "https://a.fr/%C3%A9t%C3%A9/%E2%9C%93?%C3%BC=%"),
        ("http://a.fr/'\"<>`{}^\\", "http://a.fr/'\"<>`{}^\\"),
    ],
)
def test_a_location_is_the_url_with_what_is_not_ascii_percent_encoded(destination: str, expected: str) -> None:
    assert location(destination) == expected


_MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
    b"--b\r\ncontent-disposition: form-data; name=List-Unsubscribe\r\n\r\none-click\r\n--b--\r\n",
)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/x-www-form-urlencoded", ONE_CLICK, "one_click"),
        ("application/x-www-form-urlencoded", b"list-unsubscribe=one-click", "one_click"),
        ("application/x-www-form-urlencoded; charset=UTF-8", b"a=b&List-Unsubscribe=One%2DClick", "one_click"),
        ("", ONE_CLICK, "one_click"),
        ("multipart/form-data; boundary=b", _MULTIPART[0], "one_click"),
        ("Multipart/Form-Data; boundary=b", _MULTIPART[1], "one_click"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", "page"),
        ("application/x-www-form-urlencoded", b"by=page", "page"),
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=", "page"),
        ("application/x-www-form-urlencoded", b"", "page"),
        ("application/x-www-form-urlencoded", b"\xff\x00%zz&&==", "page"),
    ],
)
def test_one_click_is_told_from_the_button_by_its_form(content_type: str, body: bytes, expected: str) -> None:
    assert unsubscribed_by(content_type, body) == expected


# Who withdrew their consent to be tracked

MARK = KEYS.marks("demo", ANA)[0]


@pytest.mark.parametrize("kind", ["open", "click"])
async def test_of_who_withdrew_nothing_is_recorded_and_the_picture_and_the_link_work(kind: str) -> None:
    memory = Memory()
    tracking = Tracking(KEYS, memory, "edge", Jobs(), Said(MARK))
    labels = {"kind": kind}
    before = REGISTRY.get_sample_value("estafette_tracking_untracked_total", labels) or 0.0

    answer = await tracking.answer(opening() if kind == "open" else click(), NOW_MS)

    assert (answer.status, answer.headers.get("Location")) == ((200, None) if kind == "open" else (302, URL))
    assert memory.facts == []
    assert REGISTRY.get_sample_value("estafette_tracking_untracked_total", labels) == before + 1


async def test_who_withdrew_can_still_leave_and_others_are_recorded() -> None:
    memory = Memory()
    tracking = Tracking(KEYS, memory, "edge", Jobs(), Said(MARK))

    await tracking.answer(leaving("POST"), NOW_MS)
    other = KEYS.click(JOB, 4, "demo", "bo@example.fr", 2, URL)
    await tracking.answer(Request(method="GET", kind="click", token=other), NOW_MS)
    elsewhere = KEYS.click(JOB, 4, "other", ANA, 2, URL)
    await tracking.answer(Request(method="GET", kind="click", token=elsewhere), NOW_MS)

    assert [type(fact).__name__ for fact in memory.facts] == ["Unsubscribed", "Clicked", "Clicked"]


def old_click(ordinal: int) -> Request:
    token = unmarked(b"c", b"k" * 32, JOB, ordinal, "demo", (2, URL))
    return Request(method="GET", kind="click", token=token)


async def test_a_link_without_a_mark_is_looked_up_where_somebody_withdrew() -> None:
    memory = Memory()
    jobs = Jobs({(JOB, 3): ANA, (JOB, 4): "bo@example.fr"})

    for ordinal in (3, 4):
        answer = await Tracking(KEYS, memory, "edge", jobs, Said(MARK)).answer(old_click(ordinal), NOW_MS)
        assert answer.headers["Location"] == URL

    assert [fact.ordinal for fact in memory.facts] == [4]


async def test_a_link_without_a_mark_leads_on_unrecorded_while_nobody_says_whose_it_is() -> None:
    memory = Memory()

    answer = await Tracking(KEYS, memory, "edge", Jobs(away=True), Said(MARK)).answer(old_click(3), NOW_MS)

    assert (answer.headers["Location"], memory.facts) == (URL, [])


async def test_a_link_without_a_mark_asks_nobody_where_nobody_withdrew() -> None:
    memory = Memory()

    await Tracking(KEYS, memory, "edge", Jobs(away=True), Said()).answer(old_click(3), NOW_MS)

    assert [fact.ordinal for fact in memory.facts] == [3]
