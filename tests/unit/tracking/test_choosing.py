"""The pages of preferences and of an opt-in: what is said there becomes facts, and a look at them changes nothing."""

from typing import Any
from urllib.parse import urlencode

import pytest

from services.tracking import choosing, consent_pages
from services.tracking.tracking import Answer, Request, Tracking
from shared.words import ids
from shared.words.events import Fact, OptedIn, PreferencesChanged, Unsubscribed
from shared.words.tokens import Kind, TokenKeys
from tests.fakes.recipients import Jobs
from tests.fakes.untracked import Said
from tests.unit.tracking.test_tracking import Memory

CREATED_MS = 1_750_000_000_000
NOW_MS = CREATED_MS + 5_000
JOB = ids.new_job_id(CREATED_MS, b"chance", 8)
KEYS = TokenKeys(b"k" * 32, [b"o" * 32])
ANA = "ana@example.fr"


def asked(kind: Kind, method: str, address: str = ANA, query: str = "", **form: str) -> Request:
    return Request(
        method=method,
        kind=kind,
        token=KEYS.for_job(JOB, "demo").addressed(kind, 3, address).decode(),
        ip="192.0.2.7",
        user_agent="Firefox",
        accept_language="en",
        body=urlencode(form).encode(),
        query=query,
    )


async def answered(request: Request, said: Said | None = None, **memory: Any) -> tuple[Answer, list[Fact]]:
    kept = Memory(**memory)
    answer = await Tracking(KEYS, kept, "edge", Jobs(away=True), said or Said()).answer(request, NOW_MS)
    return answer, kept.facts


@pytest.mark.parametrize("kind", ["preferences", "opt_in"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_look_at_a_page_changes_nothing(kind: Kind, method: str) -> None:
    answer, facts = await answered(asked(kind, method, tracking="no", agree="yes"))

    assert (answer.status, facts) == (200, [])


async def test_who_withdraws_is_told_of_with_all_marks_and_is_known_here_at_once() -> None:
    said = Said()

    answer, (fact,) = await answered(asked("preferences", "POST", tracking="no"), said)

    assert (answer.status, answer.body) == (200, consent_pages.saved("en"))
    assert isinstance(fact, PreferencesChanged)
    assert (fact.email, fact.job, fact.ordinal, fact.tracking, fact.opted_out) == (ANA, JOB, 3, "no", "")
    assert (fact.by, fact.ip, fact.user_agent, fact.text) == (
        "page",
        "192.0.2.7",
        "Firefox",
        "estafette-preferences-en-1",
    )
    marks = KEYS.marks("demo", ANA)
    assert fact.marks.split() == [mark.hex() for mark in marks]
    assert said.marks == set(marks)


async def test_who_agrees_again_is_tracked_again() -> None:
    said = Said(*KEYS.marks("demo", ANA))

    _, (fact,) = await answered(asked("preferences", "POST", tracking="yes"), said)

    assert isinstance(fact, PreferencesChanged)
    assert (fact.tracking, said.marks) == ("yes", set())


async def test_who_leaves_everything_opts_out_of_every_channel_and_unsubscribes() -> None:
    _, (changed, left) = await answered(asked("preferences", "POST", leave="all"))

    assert isinstance(changed, PreferencesChanged)
    assert (changed.opted_out, changed.tracking, changed.marks) == ("email\nsms\nphone", "", "")
    assert isinstance(left, Unsubscribed)
    assert (left.email, left.by, left.scope) == (ANA, "page", "marketing")


@pytest.mark.parametrize("form", [{}, {"tracking": "maybe"}, {"leave": "some"}, {"by": "page"}])
async def test_a_form_that_says_nothing_is_shown_again(form: dict[str, str]) -> None:
    answer, facts = await answered(asked("preferences", "POST", **form))

    assert (answer.status, answer.body, facts) == (200, consent_pages.preferences("en"), [])


async def test_one_press_of_the_button_opts_in() -> None:
    answer, (fact,) = await answered(asked("opt_in", "POST", by="page"))

    assert (answer.status, answer.body) == (200, consent_pages.opted_in("en"))
    assert isinstance(fact, OptedIn)
    assert (fact.email, fact.channel, fact.by, fact.ip) == (ANA, "email", "button", "192.0.2.7")
    assert fact.text == "estafette-button-en-1"


async def test_a_box_that_is_asked_for_is_unticked_and_has_to_be_ticked() -> None:
    page, _ = await answered(asked("opt_in", "GET", query="utm=x&box"))
    unticked, nothing = await answered(asked("opt_in", "POST", box="asked"))
    _, (fact,) = await answered(asked("opt_in", "POST", box="asked", agree="yes"))

    assert b'<input type="checkbox" name="agree" value="yes">' in page.body
    assert b"checked" not in page.body
    assert (unticked.body, nothing) == (consent_pages.opt_in("en", box=True, is_missing=True), [])
    assert isinstance(fact, OptedIn)
    assert (fact.by, fact.text) == ("page", "estafette-box-en-1")


@pytest.mark.parametrize(
    ("kind", "form"), [("preferences", {"tracking": "no", "leave": "all"}), ("opt_in", {"by": "page"})]
)
async def test_the_pages_of_a_test_work_and_nothing_comes_of_them(kind: Kind, form: dict[str, str]) -> None:
    answer, facts = await answered(asked(kind, "POST", address="", **form))

    assert (answer.status, facts) == (200, [])


@pytest.mark.parametrize(("kind", "form"), [("preferences", {"leave": "all"}), ("opt_in", {"by": "page"})])
async def test_who_cannot_be_recorded_is_asked_to_come_again(kind: Kind, form: dict[str, str]) -> None:
    said = Said()

    answer, _ = await answered(asked(kind, "POST", tracking="no", **form), said, refusing=True)

    assert (answer.status, answer.headers["Retry-After"], said.marks) == (503, "5", set())


@pytest.mark.parametrize(("kind", "other"), [("preferences", "opt_in"), ("opt_in", "unsubscribe")])
async def test_a_token_of_another_page_is_invalid(kind: Kind, other: Kind) -> None:
    token = KEYS.for_job(JOB, "demo").addressed(other, 3, ANA).decode()

    answer, facts = await answered(Request(method="POST", kind=kind, token=token, body=b"leave=all"))

    assert (answer.status, facts) == (404, [])


async def test_who_changes_their_mind_says_so_again() -> None:
    memory = Memory()
    tracking = Tracking(KEYS, memory, "edge", Jobs(), Said())

    for _ in range(2):
        await tracking.answer(asked("opt_in", "POST"), NOW_MS)

    assert len({fact.event_id for fact in memory.facts}) == 2


@pytest.mark.parametrize("body", [b"\xff\xfe=%ff&tracking=no", b"&" * 100, b"a=1&" * 60, b""])
def test_any_body_is_read_as_a_form(body: bytes) -> None:
    assert choosing.form(body).get("tracking") in (None, "no")


def test_the_first_of_two_fields_counts() -> None:
    assert choosing.form(b"tracking=no&tracking=yes") == {"tracking": "no"}
