"""The pages of preferences and of an opt-in: what is said there becomes facts, and a look at them changes nothing."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from services.tracking import choosing, consent_pages, pages
from services.tracking.about import NOTHING_KNOWN, About, Offered
from services.tracking.deciding import Answer, Request
from services.tracking.tracking import Tracking
from shared.words import ids
from shared.words.events import Fact, OptedIn, PreferencesChanged, Unsubscribed
from shared.words.look import Look
from shared.words.tokens import Kind, Token, TokenKeys
from tests.fakes.recipients import Jobs
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said

CREATED_MS = 1_750_000_000_000
NOW_MS = CREATED_MS + 5_000
JOB = ids.new_job_id(CREATED_MS, b"chance", 8)
KEYS = TokenKeys(b"k" * 32, [b"o" * 32])
ANA = "ana@example.fr"
TOKEN = Token("preferences", JOB, 3, "demo", address=ANA)
WHERE = choosing.Where(NOW_MS, "edge.0", "en", "Firefox", "192.0.2.7")


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


class Known:
    """Says the same of every token."""

    def __init__(self, about: About) -> None:
        self.about = about
        self.asked = 0

    async def of(self, _token: Token) -> About:
        self.asked += 1
        return self.about

    async def leaving(self, token: Token) -> About:
        return await self.of(token)


async def answered(
    request: Request, said: Said | None = None, about: About = NOTHING_KNOWN, **memory: Any
) -> tuple[Answer, list[Fact]]:
    kept = Memory(**memory)
    tracking = Tracking(KEYS, kept, "edge", Jobs(away=True), said or Said(), abouts=Known(about))
    return await tracking.answer(request, NOW_MS), kept.facts


@pytest.mark.parametrize("kind", ["preferences", "opt_in"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_look_at_a_page_changes_nothing(kind: Kind, method: str) -> None:
    answer, facts = await answered(asked(kind, method, tracking="no", agree="yes"))

    assert (answer.status, facts) == (200, [])


async def test_who_withdraws_is_told_of_with_all_marks_and_is_known_here_at_once() -> None:
    said = Said()

    answer, (fact,) = await answered(asked("preferences", "POST", tracking="no"), said)

    assert (answer.status, answer.body) == (200, consent_pages.saved(NOTHING_KNOWN, "en").body)
    assert isinstance(fact, PreferencesChanged)
    assert (fact.email, fact.job, fact.ordinal, fact.tracking, fact.opted_out) == (ANA, JOB, 3, "no", "")
    assert (fact.by, fact.ip, fact.user_agent, fact.text) == (
        "page",
        "192.0.2.7",
        "Firefox",
        "estafette-preferences-en-3",
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

    assert (answer.status, answer.body, facts) == (200, consent_pages.preferences(NOTHING_KNOWN, "en").body, [])


async def test_one_press_of_the_button_opts_in() -> None:
    answer, (fact,) = await answered(asked("opt_in", "POST", by="page"))

    assert (answer.status, answer.body) == (200, consent_pages.opted_in(NOTHING_KNOWN, "en").body)
    assert isinstance(fact, OptedIn)
    assert (fact.email, fact.channel, fact.by, fact.ip) == (ANA, "email", "button", "192.0.2.7")
    assert fact.text == "estafette-button-en-3"


async def test_a_box_that_is_asked_for_is_unticked_and_has_to_be_ticked() -> None:
    page, _ = await answered(asked("opt_in", "GET", query="utm=x&box"))
    unticked, nothing = await answered(asked("opt_in", "POST", variant="box"))
    _, (fact,) = await answered(asked("opt_in", "POST", variant="box", agree="yes"))

    assert b'<input type="checkbox" name="agree" value="yes">' in page.body
    assert b"checked" not in page.body
    assert (unticked.body, nothing) == (consent_pages.opt_in(NOTHING_KNOWN, "en", "box", is_missing=True).body, [])
    assert isinstance(fact, OptedIn)
    assert (fact.by, fact.text) == ("page", "estafette-box-en-3")


@pytest.mark.parametrize("form", [{}, {"by": "page"}, {"lang": "en"}])
async def test_no_box_is_passed_by_by_a_form_that_does_not_name_its_page(form: dict[str, str]) -> None:
    page, nothing = await answered(asked("opt_in", "POST", query="box", **form))
    _, (confirmed,) = await answered(asked("opt_in", "POST", query="confirm", **form), about=About(list="news"))

    assert (page.body, nothing) == (consent_pages.opt_in(NOTHING_KNOWN, "en", "box", is_missing=True).body, [])
    assert isinstance(confirmed, OptedIn)
    assert (confirmed.by, confirmed.text) == ("double_opt_in", "estafette-confirm-en-3")


@pytest.mark.parametrize("about", [About(stopped="unsubscribed", stays=True), About(stopped="complaint")])
async def test_who_left_more_than_this_mails_list_is_not_told_that_they_are_back(about: About) -> None:
    page, _ = await answered(asked("unsubscribe", "GET"), about=about)
    undone, nothing = await answered(asked("unsubscribe", "POST", undo="yes"), about=about)

    assert page.body == undone.body == pages.leave(about, "en").body
    assert b'name="undo"' not in page.body
    assert nothing == []


async def test_who_refused_to_be_tracked_reads_so_on_the_page_of_it_and_may_agree_again() -> None:
    refused = About(answers={"tracking": "no"})
    asks_once = await answered(asked("preferences", "GET", query="tracking"))
    page, _ = await answered(asked("preferences", "GET", query="tracking"), about=refused)
    same, nothing = await answered(
        asked("preferences", "POST", query="tracking", known="tracking:no", tracking="no"), about=refused
    )
    _, (fact,) = await answered(
        asked("preferences", "POST", query="tracking", known="tracking:no", tracking="yes"), about=refused
    )

    assert asks_once[0].body.count(b"<button") == 1
    assert b'<input type="radio"' not in asks_once[0].body
    assert b'value="no" checked' in page.body
    assert b'value="yes" checked' not in page.body
    assert (same.body, nothing) == (page.body, [])
    assert isinstance(fact, PreferencesChanged)
    assert fact.tracking == "yes"


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


# Leaving, and coming back


async def test_who_leaves_may_say_why() -> None:
    _, (fact,) = await answered(asked("unsubscribe", "POST", by="page", why="too_many"))
    _, (other,) = await answered(asked("unsubscribe", "POST", by="page", why="<script>"))

    assert isinstance(fact, Unsubscribed)
    assert isinstance(other, Unsubscribed)
    assert (fact.reason, other.reason) == ("too_many", "")


async def test_who_did_not_mean_to_leave_takes_it_back() -> None:
    answer, (fact,) = await answered(asked("unsubscribe", "POST", undo="yes", lang="de"))

    assert answer.body == pages.back(NOTHING_KNOWN, "de").body
    assert isinstance(fact, PreferencesChanged)
    assert (fact.undone, fact.email, fact.text) == (True, ANA, "estafette-undo-de-3")


@pytest.mark.parametrize(
    ("about", "form", "accept", "expected"),
    [
        (About(languages=("it", "nl", "de")), {}, "en", "it"),  # the recipient, the mail, the tenant
        (About(languages=("xx", "nl-BE", "de")), {}, "en", "nl"),
        (About(languages=("", "", "de")), {}, "en", "de"),
        (About(languages=("pl",)), {}, "es", "es"),
        (NOTHING_KNOWN, {}, "pl, ja;q=0.9", "en"),
        (NOTHING_KNOWN, {}, "", "en"),
        (About(languages=("it",)), {"lang": "pt"}, "en", "pt"),  # the page that was answered
        (About(languages=("it",)), {"lang": "zz"}, "en", "it"),
    ],
)
def test_the_language_is_the_recipients_the_mails_the_tenants_then_the_browsers(
    about: About, form: dict[str, str], accept: str, expected: str
) -> None:
    assert choosing.language(form, about, accept) == expected


@pytest.mark.parametrize("tag", ["pl", "ja", "pl-PL,pl;q=0.9", "ja, zh;q=0.8"])
async def test_who_asks_in_a_language_that_we_do_not_have_reads_english(tag: str) -> None:
    plain = Request("GET", "unsubscribe", KEYS.unsubscribe(JOB, 3, "demo", ANA), accept_language=tag)

    page, _ = await answered(plain)
    neutral, _ = await answered(Request("GET", "unsubscribe", "forged", accept_language=tag))
    mails, _ = await answered(plain, about=About(languages=("ja", "pl", "nl")))

    assert b'<html lang="en">' in page.body
    assert b'<html lang="en">' in neutral.body
    assert b'<html lang="nl">' in mails.body


async def test_nothing_is_looked_up_for_what_is_no_token_of_the_page() -> None:
    known = Known(NOTHING_KNOWN)
    tracking = Tracking(KEYS, Memory(), "edge", Jobs(), Said(), abouts=known)

    await tracking.answer(Request("GET", "open", KEYS.open(JOB, 3, "demo", ANA)), NOW_MS)
    await tracking.answer(Request("GET", "preferences", KEYS.unsubscribe(JOB, 3, "demo", ANA)), NOW_MS)
    await tracking.answer(Request("GET", "preferences", "forged"), NOW_MS)

    assert known.asked == 0


# One event for each act


def _event_of(page: bytes) -> str:
    """What the form of a page says that it follows."""
    found = re.search(r'name="event" value="([^"]*)"', page.decode())
    return found[1] if found else ""


def _leave(about: About) -> dict[str, str]:
    named = _event_of(pages.leave(about, "en").body)
    return {"by": "page", **({"event": named} if named else {})}


async def test_to_leave_twice_is_one_event_and_to_leave_again_after_coming_back_another() -> None:
    page, (first,) = await answered(asked("unsubscribe", "POST", by="page"))
    left = About(stopped="unsubscribed", left_as=first.event_id)
    _, (repeated,) = await answered(asked("unsubscribe", "POST", by="page"), about=left)
    _, (undone,) = await answered(asked("unsubscribe", "POST", undo="yes", event=_event_of(page.body)))
    back = About(came_back_from=first.event_id)
    _, (again,) = await answered(asked("unsubscribe", "POST", **_leave(back)))
    _, (twice,) = await answered(
        asked("unsubscribe", "POST", **_leave(back)), about=About(stopped="unsubscribed", left_as=again.event_id)
    )
    _, (third,) = await answered(asked("unsubscribe", "POST", by="page"), about=About(came_back_from=again.event_id))

    assert first.event_id == repeated.event_id
    assert again.event_id == twice.event_id
    assert len({one.event_id for one in (first, undone, again, third)}) == 4


async def test_a_mail_program_that_asks_again_tells_of_one_leaving_and_of_another_after_coming_back() -> None:
    async def asks(about: About) -> str:
        request = asked("unsubscribe", "POST", **{"List-Unsubscribe": "One-Click"})
        _, (fact,) = await answered(request, about=about)
        return fact.event_id

    first = await asks(NOTHING_KNOWN)
    again = await asks(About(came_back_from=first))

    assert await asks(About(stopped="unsubscribed", left_as=first)) == first
    assert await asks(NOTHING_KNOWN) == first
    assert again != first
    assert await asks(About(stopped="unsubscribed", left_as=again)) == again


async def test_the_button_to_come_back_pressed_twice_is_one_event() -> None:
    left = About(stopped="unsubscribed", left_as="0123456789abcdef")
    shown = _event_of(pages.leave(left, "en").body)

    facts = [(await answered(asked("unsubscribe", "POST", undo="yes", event=shown)))[1][0] for _ in range(2)]
    (known,) = (await answered(asked("unsubscribe", "POST", undo="yes"), about=left))[1]

    assert shown == left.left_as
    assert len({one.event_id for one in (*facts, known)}) == 1


@pytest.mark.parametrize("named", ["", "x", "0123456789ABCDEF", "0123456789abcdef0", "<script>"])
async def test_what_is_no_event_of_ours_is_as_if_a_form_did_not_name_it(named: str) -> None:
    _, (plain,) = await answered(asked("unsubscribe", "POST", by="page"))

    _, (fact,) = await answered(asked("unsubscribe", "POST", by="page", event=named))

    assert fact.event_id == plain.event_id


# An opt-in


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_double_opt_in_waits_for_what_it_is_for(method: str) -> None:
    away, nothing = await answered(asked("opt_in", method, query="confirm", variant="confirm", lang="de"))
    known = About(list="news", purpose="offers")
    page, facts = await answered(asked("opt_in", method, query="confirm"), about=known)
    test, none = await answered(asked("opt_in", method, address="", query="confirm"))

    assert (away.status, away.headers["Retry-After"], nothing) == (503, "5", [])
    assert [getattr(fact, "purpose", "") for fact in facts] == (["offers"] if method == "POST" else [])
    assert (b"<dd>offers</dd>" in page.body) is (method == "GET")
    assert (test.status, none) == (200, [])


async def test_a_form_that_lost_its_fields_is_that_of_its_link() -> None:
    unticked, nothing = await answered(asked("opt_in", "POST", query="box"))
    _, (ticked,) = await answered(asked("opt_in", "POST", query="box&utm_source=x", agree="yes"))
    _, (confirmed,) = await answered(asked("opt_in", "POST", query="confirm"), about=About(list="news"))
    _, (odd,) = await answered(asked("opt_in", "POST", variant="other"))

    assert (b'role="alert"' in unticked.body, nothing) == (True, [])
    assert [getattr(one, "by", "") for one in (ticked, confirmed, odd)] == ["page", "double_opt_in", "button"]


# Lists, channels, how often


def test_the_page_asks_of_the_channels_that_the_tenant_has_and_of_those_that_something_is_known_of() -> None:
    def channels(about: About) -> list[str]:
        page = consent_pages.preferences(about, "en").body.decode()
        return re.findall(r'name="(email|sms|phone)" value="yes"', page)

    assert channels(NOTHING_KNOWN) == ["email"]
    assert channels(About(look=Look(channels=("sms", "phone")))) == ["email", "sms", "phone"]
    assert channels(About(answers={"phone": "yes", "sms": "unknown"})) == ["email", "phone"]


LISTS = (Offered("news", "News", True), Offered("offers", "Offers", False))
KNOWN = About(lists=LISTS, answers={"email": "yes", "sms": "no", "tracking": "yes"}, most=3, days=7)


def fields_of(page: bytes) -> list[tuple[str, str]]:
    """What a browser sends of a page where nothing was touched, the button aside."""
    found = re.findall(r'<input type="(\w+)" name="(\w+)" value="([^"]*)"( checked)?>', page.decode())
    return [(name, unescape(value)) for kind, name, value, checked in found if kind == "hidden" or checked]


def test_a_page_that_is_saved_as_it_was_says_nothing() -> None:
    for about in (NOTHING_KNOWN, KNOWN):
        page = consent_pages.preferences(about, "fr").body

        assert not choosing.choice(urlencode(fields_of(page)).encode()).says_anything


async def test_lists_are_joined_and_left_by_what_is_ticked() -> None:
    page = consent_pages.preferences(KNOWN, "en").body
    fields = [one for one in fields_of(page) if one[0] != "on"] + [("on", "1")]

    choice = choosing.choice(urlencode(fields).encode())
    (fact,) = choosing.preferences(choice, TOKEN, WHERE)

    assert (choice.joined, choice.left) == (("offers",), ("news",))
    assert isinstance(fact, PreferencesChanged)
    assert (fact.joined, fact.left, fact.opted_out, fact.tracking) == ("offers", "news", "", "")


def test_channels_that_are_another_now_are_told_each_as_what_it_is() -> None:
    page = consent_pages.preferences(KNOWN, "en").body
    fields = [one for one in fields_of(page) if one[0] not in ("email", "sms")] + [("email", "no"), ("sms", "yes")]

    refused, agreed = choosing.preferences(choosing.choice(urlencode(fields).encode()), TOKEN, WHERE)

    assert isinstance(refused, PreferencesChanged)
    assert isinstance(agreed, OptedIn)
    assert (refused.opted_out, agreed.channel, agreed.by, agreed.text) == (
        "email", "sms", "page", "estafette-preferences-en-3",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("about", "often", "expected"),
    [
        (NOTHING_KNOWN, "1/7", (1, 7)),
        (NOTHING_KNOWN, "any", (0, 0)),  # as it was
        (KNOWN, "3/7", (0, 0)),
        (KNOWN, "1/30", (1, 30)),
        (KNOWN, "any", (-1, -1)),
        (KNOWN, "9/9", (0, 0)),
    ],
)
def test_how_often_is_what_was_chosen(about: About, often: str, expected: tuple[int, int]) -> None:
    fields = [one for one in fields_of(consent_pages.preferences(about, "en").body) if one[0] != "often"]

    choice = choosing.choice(urlencode([*fields, ("often", often)]).encode())

    assert (choice.most, choice.days) == expected


async def test_tracking_alone_has_a_page_with_one_button() -> None:
    page, nothing = await answered(asked("preferences", "GET", query="utm=1&tracking"))
    _, (fact,) = await answered(asked("preferences", "POST", tracking="no", lang="en"))

    assert (page.body, nothing) == (consent_pages.tracking(NOTHING_KNOWN, "en").body, [])
    assert isinstance(fact, PreferencesChanged)
    assert fact.tracking == "no"


async def test_a_double_opt_in_is_confirmed_by_a_button_and_names_the_list() -> None:
    about = About(look=Look(name="Chouette"), list="newsletter", sender="Chouette")

    page, nothing = await answered(asked("opt_in", "GET", query="confirm"), about=about)
    _, (fact,) = await answered(asked("opt_in", "POST", variant="confirm", lang="nl"), about=about)

    assert nothing == []
    assert b"Chouette" in page.body
    assert isinstance(fact, OptedIn)
    assert (fact.by, fact.list, fact.text) == ("double_opt_in", "newsletter", "estafette-confirm-nl-3")


@pytest.mark.parametrize(
    "body", [b"", b"&" * 500, b"list=" + b"x" * 65 + b"&on=0", b"list=a%00&on=0", b"\xff=\xfe", b"on=7"]
)
def test_a_form_that_no_page_of_ours_made_says_nothing(body: bytes) -> None:
    assert not choosing.choice(body).says_anything
