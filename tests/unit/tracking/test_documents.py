"""A tracked document that is opened becomes a fact of its own, and leads on."""

from collections.abc import Iterable, Sequence

import pytest

from services.tracking import pages
from services.tracking.deciding import Answer, Request
from services.tracking.tracking import Tracking
from shared.redis.recipients import Recipient
from shared.words import ids
from shared.words.events import DocumentOpened, Fact
from shared.words.tokens import TokenKeys
from tests.fakes.recipients import Jobs
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said
from tests.unit.tracking.test_tracking import FIREFOX

CREATED_MS = 1_750_000_000_000
NOW_MS = CREATED_MS + 5_000
JOB = ids.new_job_id(CREATED_MS, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)
ANA = "ana@example.fr"
URL = "https://exemple.fr/devis/113.pdf?é#p2"
IN_MAIL = KEYS.for_job(JOB, "demo").document(3, KEYS.marks("demo", ANA)[0], 2, URL, "Devis 113").decode()
OF_MESSAGE = KEYS.document(JOB, 3, "demo", ANA, URL, "Devis 113")
OF_ADDRESS = KEYS.document_for("demo", ANA, URL, "Devis 113")
UNTIL_NOW = KEYS.document_for("demo", ANA, URL, "Devis 113", NOW_MS // 1000)


class Nobody(Jobs):
    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        raise AssertionError("asked")


def opening(token: str, method: str = "GET", **fields: str) -> Request:
    return Request(method=method, kind="document", token=token, user_agent=FIREFOX, **fields)  # type: ignore[arg-type]


async def answered(
    token: str, method: str = "GET", withdrawn: Iterable[bytes] = (), **fields: str
) -> tuple[Answer, list[Fact]]:
    memory = Memory()
    tracking = Tracking(KEYS, memory, "edge", Nobody(), Said(*withdrawn))
    answer = await tracking.answer(opening(token, method, **fields), NOW_MS)
    return answer, memory.facts


@pytest.mark.parametrize(
    ("token", "job", "ordinal", "position", "email"),
    [(IN_MAIL, JOB, 3, 2, None), (OF_MESSAGE, JOB, 3, None, None), (OF_ADDRESS, "", None, None, ANA)],
)
async def test_a_document_leads_on_and_its_opening_is_recorded(
    token: str, job: str, ordinal: int | None, position: int | None, email: str | None
) -> None:
    answer, facts = await answered(token, ip="192.0.2.7")

    assert (answer.status, answer.body) == (302, b"")
    assert answer.headers["Location"] == "https://exemple.fr/devis/113.pdf?%C3%A9#p2"
    assert answer.headers["Cache-Control"] == "no-store"
    assert facts == [
        DocumentOpened(
            event_id=facts[0].event_id,
            occurred_at=NOW_MS,
            tenant="demo",
            job=job,
            ordinal=ordinal,
            sequence=5_000 if job else 0,
            email=email,
            document="Devis 113",
            url=URL,
            position=position,
            user_agent=FIREFOX,
            ip="192.0.2.7",
        )
    ]


async def test_each_opening_is_an_event_of_its_own() -> None:
    memory = Memory()
    tracking = Tracking(KEYS, memory, "edge", Nobody(), Said())
    others = [
        KEYS.document_for("other", ANA, URL, "Devis 113"),
        KEYS.document_for("demo", "bo@example.fr", URL, "Devis 113"),
        KEYS.document_for("demo", ANA, URL, "Devis 114"),
    ]

    for token in (OF_ADDRESS, OF_ADDRESS, OF_MESSAGE, IN_MAIL, *others):
        await tracking.answer(opening(token), NOW_MS)

    assert len({fact.event_id for fact in memory.facts}) == 7


@pytest.mark.parametrize("token", [IN_MAIL, OF_MESSAGE, OF_ADDRESS])
async def test_head_leads_on_too_and_nothing_happened(token: str) -> None:
    answer, facts = await answered(token, "HEAD")

    assert (answer.status, facts) == (302, [])


async def test_a_machine_is_marked_and_a_document_of_no_mail_is_no_trap() -> None:
    _, by_scanner = await answered(OF_MESSAGE, purpose="prefetch")
    _, by_person = await answered(OF_MESSAGE)

    said = [(one.machine, one.reason) for one in (*by_scanner, *by_person) if isinstance(one, DocumentOpened)]
    assert said == [("prefetch", "purpose:prefetch"), ("", "")]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_link_that_is_over_leads_nowhere_and_records_nothing(method: str) -> None:
    until_later = KEYS.document_for("demo", ANA, URL, "Devis 113", NOW_MS // 1000 + 1)

    answer, facts = await answered(UNTIL_NOW, method, accept_language="en")
    later, recorded = await answered(until_later)

    assert (answer.status, answer.body, facts) == (410, pages.invalid("en"), [])
    assert "Location" not in answer.headers
    assert (later.status, len(recorded)) == (302, 1)


@pytest.mark.parametrize("token", [IN_MAIL, OF_MESSAGE, OF_ADDRESS])
async def test_of_who_withdrew_nothing_is_recorded_and_the_link_leads_on(token: str) -> None:
    answer, facts = await answered(token, withdrawn=KEYS.marks("demo", ANA))
    other, recorded = await answered(token, withdrawn=KEYS.marks("demo", "bo@example.fr"))

    assert (answer.status, facts) == (302, [])
    assert (other.status, len(recorded)) == (302, 1)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        IN_MAIL[:-1],
        OF_ADDRESS[:60],
        TokenKeys(b"other" * 7).document_for("demo", ANA, URL, "Devis 113"),
        KEYS.click(JOB, 3, "demo", ANA, 2, URL),
    ],
)
async def test_what_is_not_ours_gets_the_neutral_page_and_nobody_is_asked(token: str) -> None:
    answer, facts = await answered(token, accept_language="en")

    assert (answer.status, answer.body, facts) == (404, pages.invalid("en"), [])


@pytest.mark.parametrize("kind", ["open", "click", "unsubscribe", "preferences"])
async def test_a_document_is_nothing_else(kind: str) -> None:
    memory = Memory()
    request = Request(method="GET", kind=kind, token=OF_ADDRESS)  # type: ignore[arg-type]

    answer = await Tracking(KEYS, memory, "edge", Nobody(), Said()).answer(request, NOW_MS)

    assert (answer.status, memory.facts) == (404, [])


@pytest.mark.parametrize(("token", "is_begun"), [(IN_MAIL, True), (OF_ADDRESS, True), (UNTIL_NOW, False)])
async def test_the_quick_edge_takes_what_is_recorded_alone(token: str, is_begun: bool) -> None:
    memory = Memory()
    told: list[Answer] = []
    tracking = Tracking(KEYS, memory, "edge", Nobody(), Said())

    assert tracking.begin(opening(token), NOW_MS, told.append) is is_begun

    assert [answer.status for answer in told] == [302] * is_begun
    assert len(memory.facts) == is_begun


async def test_what_cannot_be_recorded_leads_nowhere() -> None:
    tracking = Tracking(KEYS, Memory(refusing=True), "edge", Nobody(), Said())

    answer = await tracking.answer(opening(IN_MAIL), NOW_MS)

    assert answer.status == 503
    assert "Location" not in answer.headers
