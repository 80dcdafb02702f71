"""The other pages of the console: what each asks the API for, what its forms do, and that what others wrote is text."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import unquote

import pytest

from services.pages import domains, jobs, mails, messages, report_links, statistics, stops, suppressions, webhooks
from services.pages.api import Refused
from services.pages.asked import Asked, Download, Gone, NotThere, Shown
from services.pages.drawing import Drawing, event
from services.pages.http import CONSOLE
from services.pages.pages import PAGES
from shared.words import result_sets
from tests.fakes.api_answers import ANSWERS, JOB, POSTED, STATISTICS, WEBHOOK

DRAWING = Drawing("https://t.example.org")
WHO = {"tenant": "acme", "pages": [], "scopes": ("read", "send", "admin", "suppress")}
READER = {**WHO, "scopes": ("read",)}


class Api:
    """Answers as the documents say, and keeps what it was told to do."""

    def __init__(self, missing: int = 404) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.told: list[tuple[Any, ...]] = []
        self._missing = missing

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        self.asked.append((unquote(path), query))
        if unquote(path) not in ANSWERS:
            raise Refused(self._missing, "unknown", "it is not there")
        return ANSWERS[unquote(path)]

    async def stream(self, path: str, query: Mapping[str, str]) -> Any:
        self.asked.append((unquote(path), query))
        return path

    async def upload(self, path: str, query: Mapping[str, str], media: str, body: AsyncIterator[bytes]) -> Any:
        self.told.append(("POST", path, b"".join([piece async for piece in body]), {**query, "media": media}))
        return POSTED.get(path)

    async def send(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        self.told.append((method, path, body, query))
        return POSTED.get(path) if method == "POST" else None


def drawn(shown: Shown, who: Mapping[str, Any] = WHO) -> str:
    page = DRAWING.page(shown.template, {**shown.context, "who": who, "form_token": "t0ken"}).decode()
    assert "style=" not in page
    assert "<script" not in page
    return page


def ask(path: str = "/", *, form: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None) -> Asked:
    match = {"job": JOB["id"], "message": f"{JOB['id']}.0", "link": "9f", "token": "known", "webhook": WEBHOOK["id"]}
    return Asked("GET", path, match, query or {}, form or {})


async def test_a_timeline_says_what_happened_and_leaves_out_what_is_not_known() -> None:
    page = drawn(await messages.message(Api(), ask()))

    assert page.index("Deferred") < page.index("Delivered")
    assert "451 4.7.1 &lt;later&gt;" in page
    assert "<dd>no</dd>" in page
    assert "a, b" in page
    assert "x: 1" in page
    assert "tls" not in page
    assert "&lt;y&gt;" in page


async def test_an_address_is_looked_for_as_it_is_written() -> None:
    api = Api()

    page = drawn(await messages.recipients(api, ask(query={"address": " ana@exemple.fr ", "after": "x"})))

    assert api.asked == [
        ("/v1/people/ana@exemple.fr", {"limit": "1"}),
        ("/v1/messages", {"recipient": "ana@exemple.fr", "limit": "50", "after": "x"}),
    ]
    assert "&lt;b&gt;" in page
    assert '<span class="badge bad">bounced</span>' in page
    assert "hard bounce" in page
    assert "address=ana%40exemple.fr&amp;after=a%2Fb%2B" in page


@pytest.mark.parametrize(("status", "said"), [(404, "Nothing is kept"), (422, "no address")])
async def test_what_is_not_known_of_an_address_is_said_on_its_page(status: int, said: str) -> None:
    query = {"address": "bo"}

    found = await messages.recipients(Api(status), ask(query=query))
    listed = await suppressions.suppressions(Api(status), ask(query=query))

    assert said in drawn(found)
    assert found.status == status
    assert ("not on the list" if status == 404 else said) in drawn(listed)


async def test_before_an_address_is_written_nobody_is_asked() -> None:
    api = Api()

    drawn(await messages.recipients(api, ask()))

    assert api.asked == []


async def test_what_the_api_refuses_for_another_reason_is_not_swallowed() -> None:
    for view in (messages.recipients, suppressions.suppressions):
        with pytest.raises(Refused):
            await view(Api(503), ask(query={"address": "bo@exemple.fr"}))
    with pytest.raises(Refused):
        await report_links.of_job(Api(503), "x")


async def test_the_list_is_searched_added_to_and_taken_from() -> None:
    api = Api()

    page = drawn(await suppressions.suppressions(api, ask(query={"reason": "hard_bounce", "done": "added"})))
    added = await suppressions.add(api, ask(form={"address": "a/b@exemple.fr", "reason": "objected", "note": " x "}))
    removed = await suppressions.remove(api, ask(form={"address": "ana@exemple.fr", "scope": "all"}))

    assert api.asked == [("/v1/suppressions", {"limit": "50", "reason": "hard_bounce"})]
    assert "It is on the list." in page
    assert "550 5.1.1 &lt;nobody&gt;" in page
    assert api.told == [
        ("PUT", "/v1/suppressions/a%2Fb%40exemple.fr", {"reason": "objected", "note": "x"}, None),
        ("DELETE", "/v1/suppressions/ana%40exemple.fr", None, {"scope": "all"}),
    ]
    assert added == Gone("/console/suppressions?address=a%2Fb%40exemple.fr&done=added")
    assert removed == Gone("/console/suppressions?done=removed")


async def test_a_domain_shows_the_records_that_are_still_missing() -> None:
    found = await domains.domains(Api(), ask(query={"done": "checked"}))
    first, second = found.context["domains"]

    assert [one["name"] for one in first["missing"]] == ["_estafette.exemple.fr"]
    assert [one["key"] for one in first["published"]] == ["signing", "retiring"]
    assert second["missing"] == []
    assert "DNS has every record" in drawn(found)
    api = Api()
    assert await domains.check(api, ask(form={"domain": "exemple.fr"})) == Gone("/console/domains?done=checked")
    assert api.told == [("POST", "/v1/domains/exemple.fr/check", None, None)]


async def test_a_stop_is_resumed_by_who_may_unless_somebody_has_to_consent() -> None:
    page = drawn(await stops.stops(Api(), ask()))
    api = Api()
    await stops.resume(api, ask(form={"name": "job:x"}))
    await stops.pause_job(api, ask())
    await stops.resume_job(api, ask())

    assert page.count(">Resume</button>") == 1
    assert "has to consent" in page
    assert "a list that &lt;was&gt; bought" in page
    assert [told[1] for told in api.told] == [
        "/v1/stops/job%3Ax/resume", f"/v1/jobs/{JOB['id']}/pause", f"/v1/jobs/{JOB['id']}/resume",
    ]  # fmt: skip


async def test_a_link_to_a_report_is_made_and_taken_back_on_the_page_of_the_job() -> None:
    page = drawn(await jobs.job(Api(), ask()))
    api = Api()
    await report_links.add(api, ask(form={"days": "90", "note": "board"}))
    await report_links.remove(api, ask())

    assert "for &lt;the&gt; board" in page
    assert api.told == [
        ("POST", f"/v1/jobs/{JOB['id']}/report-links", {"days": 90, "note": "board"}, None),
        ("DELETE", f"/v1/jobs/{JOB['id']}/report-links/9f", None, None),
    ]
    with pytest.raises(NotThere):
        await report_links.add(Api(), ask(form={"days": "9999"}))


async def test_a_linked_report_has_nothing_of_the_console() -> None:
    shown = await jobs.linked(Api(), ask())

    page = DRAWING.page(shown.template, shown.context).decode()

    assert "From the list to the click" in page
    assert "<form" not in page
    assert "/console/jobs" not in page.replace("&#x2f;", "/")


async def test_who_only_reads_is_offered_nothing_else() -> None:
    class Refusing(Api):
        async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
            if path.endswith("report-links"):
                raise Refused(403, "missing_scope", "no")
            return await super().get(path, query)

    shown = [
        await suppressions.suppressions(Api(), ask()), await domains.domains(Api(), ask()),
        await stops.stops(Api(), ask()), await jobs.job(Refusing(), ask()), await webhooks.webhook(Api(), ask()),
    ]  # fmt: skip

    for one in shown:
        assert drawn(one, READER).count('<form method="post"') == 1, "to sign out"


def test_every_form_of_the_console_posts_to_a_route_and_every_page_has_a_place() -> None:
    assert {name for _, _, name, _, _ in CONSOLE} == {name for name, *_ in PAGES}


async def test_the_addresses_of_a_set_are_a_file_and_a_link_narrows_only_what_it_can() -> None:
    api = Api()

    clicked = await mails.recipients(api, ask(query={"state": "clicked", "url": "https://exemple.fr/<x>"}))
    left_out = await mails.recipients(api, ask(query={"state": "excluded", "url": "https://exemple.fr/<x>"}))

    assert isinstance(clicked, Download)
    assert (clicked.name, left_out.name) == (f"{JOB['id']}-clicked.csv", f"{JOB['id']}-excluded.csv")
    assert api.asked == [
        (f"/v1/jobs/{JOB['id']}/messages", {"state": "clicked", "format": "csv", "url": "https://exemple.fr/<x>"}),
        (f"/v1/jobs/{JOB['id']}/messages", {"state": "excluded", "format": "csv"}),
    ]
    with pytest.raises(NotThere):
        await mails.recipients(api, ask(query={"state": "../x"}))


def test_every_set_that_is_offered_is_one_of_the_api() -> None:
    assert set(mails.SETS) <= set(result_sets.STATES)


async def test_a_mail_is_shown_with_its_clicks_and_one_without_html_is_not_there() -> None:
    class Text(Api):
        async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
            return {"html": None} if path.endswith("/content") else await super().get(path, query)

    shown = await mails.mail(Api(), ask())

    assert "50 · 5.3 %" in shown.html
    with pytest.raises(NotThere):
        await mails.mail(Text(), ask())


async def test_statistics_are_of_whole_days_the_last_one_too() -> None:
    api = Api()

    page = drawn(await statistics.statistics(api, ask(query={"from": "2026-01-24", "to": "2026-01-31", "tag": "a"})))

    assert api.asked == [
        ("/v1/statistics", {
            "by": "day", "from": "2026-01-24T00:00:00Z", "to": "2026-02-01T00:00:00Z", "tag": "a",
        })
    ]  # fmt: skip
    assert "13,890" in page
    assert "30 Jan 2026" in page, "a day without mail has its place"


@pytest.mark.parametrize("query", [{"to": "9999-12-31"}, {"from": "yesterday"}])
async def test_what_is_no_day_is_said_and_asked_of_nobody(query: dict[str, str]) -> None:
    api = Api()

    shown = await statistics.statistics(api, ask(query=query))

    assert shown.status == 422
    assert "A day is written as" in drawn(shown)
    assert api.asked == []


async def test_statistics_by_another_thing_are_a_table_and_a_refusal_is_said() -> None:
    class Other(Api):
        async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
            if query is not None and query["by"] == "device":
                raise Refused(422, "invalid_query", "does not fit", ("?from: more than 92 days",))
            return {**STATISTICS, "rows": [{**STATISTICS["total"], "key": "a<b"}]}

    listed = drawn(await statistics.statistics(Other(), ask(query={"by": "list"})))
    reasons = drawn(await statistics.statistics(Other(), ask(query={"by": "reason"})))
    refused = await statistics.statistics(Other(), ask(query={"by": "device"}))

    assert "a&lt;b" in listed
    assert "Deferred" in reasons
    assert "more than 92 days" in drawn(refused)
    assert refused.status == 422
    with pytest.raises(Refused):
        await statistics.statistics(NotNow(), ask())


class NotNow(Api):
    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        raise Refused(503, "unavailable", "not now")


async def test_a_report_says_by_provider_and_why_and_its_most_frequent_reasons_first() -> None:
    page = drawn(await jobs.job(Api(), ask()))

    assert page.index("message") < page.index("Deferred: none given") < page.index("Bounced: unknown user")
    assert "apple &lt;mail&gt;" in page
    assert "Opened: 412, at most 180, 31 Jan 10:00" in page


async def test_an_endpoint_shows_what_was_sent_and_answered_as_text() -> None:
    api = Api()

    listed = drawn(await webhooks.webhooks(api, ask()))
    page = drawn(await webhooks.webhook(api, ask(query={"done": "tested"})))

    assert "contacts of the &lt;CRM&gt;" in listed
    assert "&lt;script&gt;alert(1)" in page
    assert "news &lt;letter&gt;" in page
    assert "An example is on its way" in page
    assert "whsec_" not in page


async def test_an_endpoint_is_tried_told_again_and_switched() -> None:
    api = Api()

    gone = [
        await webhooks.test(api, ask()),
        await webhooks.replay(api, ask()),
        await webhooks.replay(api, ask(form={"since": "2026-01-31T09:00", "until": "2026-01-31T10:00"})),
        await webhooks.replay(api, ask(form={"since": "x", "until": ""})),
        await webhooks.switch(api, ask(form={"enabled": "yes"})),
        await webhooks.switch(api, ask(form={"enabled": "no"})),
    ]

    assert [one.to.rpartition("=")[2] for one in gone] == [
        "tested", "failures", "period", "period", "enabled", "disabled",
    ]  # fmt: skip
    here = f"/v1/webhooks/{WEBHOOK['id']}"
    assert [told[:3] for told in api.told] == [
        ("POST", f"{here}/test", {"type": "message.delivered"}),
        ("POST", f"{here}/replay", {"failures": True}),
        ("POST", f"{here}/replay", {"since": "2026-01-31T09:00:00Z", "until": "2026-01-31T10:00:00Z"}),
        ("POST", f"{here}/replay", {"since": "x"}),
        ("PATCH", here, {"enabled": True}),
        ("PATCH", here, {"enabled": False}),
    ]


def test_events_are_called_as_people_call_them() -> None:
    assert event("message.auto_replied") == "Auto replied"
