"""Stored templates, and jobs made of them, through the front door of the API over a real Redis."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from email import message_from_bytes
from typing import Any, Self

import msgspec
import pytest
from aiohttp import test_utils

from services.queueing import changing_http, preview_http, template_putting, template_store, templates, templates_http
from services.queueing import http as queueing
from services.queueing.aside import Aside
from services.queueing.changing import Changing
from services.queueing.compiling import Compiler
from services.queueing.preview import Previewing
from services.queueing.quotas import Room
from services.queueing.store import DAY_MS, JobStore
from services.queueing.taking import Taking
from services.queueing.template_putting import Putting
from services.queueing.template_store import InUse, NoLayout, TemplateStore, packed
from services.queueing.templates import TemplateBody
from services.queueing.templates_http import TemplateRoutes
from services.reports.job_template import JobTemplate
from shared.http import api
from shared.mail import dkim_keys
from shared.mail.dkim_keys import Vault
from shared.making.render import Renderer
from shared.process.settings import Quotas
from shared.redis import jobs, redis
from shared.redis.own_hosts import OwnHosts
from shared.redis.recipients import Recipients
from shared.redis.result_sets import ResultSets
from shared.redis.sending_domains import SendingDomains
from shared.redis.targets import Targets
from shared.redis.tenants import Tenants
from shared.words import content, events, ids, variables
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.fakes.compiling import SandboxHere
from tests.fakes.rendering import RendererHere, RenderingHere

P = 3
NOW_MS = 1_790_000_000_123
BASE = "https://t.example.com"
TOKENS, VERP = TokenKeys(b"k" * 32), VerpKeys(b"v" * 32)
FRAME = {
    "html": '<html><body><h1>Chouette</h1>{{ content }}<p><a href="{{ unsubscribe_url }}">out</a></p></body></html>',
    "text": "Chouette\n{{ content }}\n{{ unsubscribe_url }}",
    "from": "Chouette <news@acme.test>",
    "translations": {"de": {"html": "<h1>Eule</h1>{{ content }}", "text": "Eule\n{{ content }}"}},
}
WELCOME = {
    "subject": "Bienvenue {{ prenom }}",
    "html": '<p>Bonjour {{ prenom }} <a href="https://acme.test/fr">ici</a></p>',
    "text": "Bonjour {{ prenom }}",
    "layout": "frame",
    "language": "fr",
    "variables": {"prenom": "vous"},
    "translations": {
        "de": {
            "subject": "Willkommen {{ prenom }}",
            "html": '<p>Guten Tag {% if prenom %}{{ prenom }}{% endif %} <a href="https://acme.test/de">hier</a></p>',
            "text": "Guten Tag {{ prenom }}",
        }
    },
}


class Front:
    """The API over a real Redis."""

    def __init__(self, client: redis.Client, quotas: Quotas) -> None:
        self.client: Any = client
        self._quotas = quotas
        self._open = AsyncExitStack()
        self.keys: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        tenants = Tenants(self.client)
        for name in ("acme", "zeta"):
            await tenants.create(name)
            self.keys[name] = (await tenants.create_key(name, ["send", "admin", "read"]))[1]
        domains = SendingDomains(self.client, Vault(b"k" * 32), make_key=lambda _: dkim_keys.make("ed25519-sha256"))
        for name in ("acme", "zeta"):
            await domains.give(name, f"{name}.test")
        self.jobs = JobStore(self.client, P, 1000, 7 * DAY_MS)
        self.store = TemplateStore(self.client, P, lambda: 0.0)
        room = Room(self.jobs, self._quotas.by_name(), lambda: NOW_MS, asyncio.get_running_loop().time)
        aside, compiler = Aside(), Compiler(SandboxHere())  # type: ignore[arg-type]
        taking = Taking(
            self.jobs,
            tenants,
            domains,
            compiler,
            room,
            partitions=P,
            max_recipients=10_000,
            now_ms=lambda: NOW_MS,
            chance=os.urandom,
            aside=aside,
            sets=ResultSets(self.client, P),
            contacts=Targets(self.client, P),
            templates=self.store,
        )
        previewing = Previewing(
            compiler, taking, RenderingHere(), OwnHosts(domains, BASE), TOKENS, VERP, "b.example.com", 10_000,
            lambda: NOW_MS, os.urandom, aside,
        )  # fmt: skip
        routes = [
            *queueing.routes(self.jobs, room, taking, aside, lambda: NOW_MS),
            *templates_http.routes(
                TemplateRoutes(self.store, Putting(self.store, compiler, room, aside, lambda: NOW_MS))
            ),
            *preview_http.routes(previewing),
            *changing_http.routes(Changing(self.jobs, taking, compiler, room, aside, lambda: NOW_MS)),
        ]
        app = api.application(routes, tenants, max_body_bytes=2**24)
        self.http = await self._open.enter_async_context(test_utils.TestClient(test_utils.TestServer(app)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def call(self, method: str, path: str, body: Any = None, tenant: str = "acme") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.keys[tenant]}", "Content-Type": "application/json"}
        wire = None if body is None else json.dumps(body).encode()
        async with self.http.request(method, path, data=wire, headers=headers) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    async def put(self, name: str, body: Any, tenant: str = "acme") -> Any:
        status, answer = await self.call("PUT", f"/v1/templates/{name}", body, tenant)
        assert status in (200, 201), answer
        return answer

    async def job(self, *people: dict[str, Any], **fields: Any) -> tuple[int, Any]:
        body = {"stream": "transactional", "recipients": list(people) or [{"email": "ana@x.test"}], **fields}
        return await self.call("POST", "/v1/jobs", body)

    async def mail(self, job: str, ordinal: int) -> Any:
        """That of a recipient, as the relay makes it."""
        stored = await jobs.read(self.client, P, job, (jobs.CONTENT,))
        compiled = content.decode(stored[jobs.CONTENT])
        who = (await Recipients(self.client, P).viewed(job, ordinal)) or None
        own = who.variables if who is not None else variables.NONE
        ready = events.Ready(tenant="acme", job=job, ordinal=ordinal, email="a@x.test", variables=own, untracked=True)
        renderer = Renderer(
            compiled, job=job, tenant="acme", tokens=TOKENS, verp=VERP, base_url=BASE, bounce_domain="b.example.com",
            marks_key=b"m" * 32,
        ).of(ready)  # fmt: skip
        made = RendererHere.render(_here(renderer), ready, NOW_MS)
        return message_from_bytes(made.assemble())


def _here(renderer: Renderer) -> RendererHere:
    renderer.__class__ = RendererHere
    assert isinstance(renderer, RendererHere)
    return renderer


def texts(mail: Any) -> dict[str, str]:
    return {
        part.get_content_type(): part.get_payload(decode=True).decode()
        for part in mail.walk()
        if part.get_content_maintype() == "text"
    }


@pytest.fixture
async def front(client: Any) -> AsyncIterator[Front]:
    async with Front(client, Quotas()) as open_front:
        yield open_front


async def test_each_change_is_a_version_that_stays(front: Front) -> None:
    first = await front.put("news", {"subject": "one", "text": "x"})
    same = await front.put("news", {"subject": "one", "text": "x"})
    second = await front.put("news", {"subject": "two", "text": "x"})

    assert [(one["version"], one["changed"]) for one in (first, same, second)] == [(1, True), (1, False), (2, True)]
    _, listed = await front.call("GET", "/v1/templates")
    assert [(one["name"], one["version"], one["subject"]) for one in listed["templates"]] == [("news", 2, "two")]
    _, versions = await front.call("GET", "/v1/templates/news/versions")
    assert [one["version"] for one in versions["versions"]] == [2, 1]
    for path, subject in (("", "two"), ("/versions/1", "one"), ("/versions/2", "two")):
        _, shown = await front.call("GET", f"/v1/templates/news{path}")
        assert shown["content"]["subject"] == subject
        assert (await front.put("again", shown["content"]))["uses"] == []  # as it was put


async def test_the_place_of_others_is_no_variable_of_a_layout(front: Front) -> None:
    assert (await front.put("frame", FRAME))["uses"] == ["unsubscribe_url"]


async def test_no_number_of_a_version_is_given_twice(front: Front) -> None:
    for number in range(3):
        await front.put("news", {"subject": str(number), "text": "x"})

    assert (await front.call("DELETE", "/v1/templates/news"))[0] == 204

    assert (await front.call("GET", "/v1/templates/news"))[0] == 404
    assert (await front.call("DELETE", "/v1/templates/news"))[0] == 404
    assert (await front.put("news", {"subject": "anew", "text": "x"}))["version"] == 4
    assert (await front.call("GET", "/v1/templates/news/versions/3"))[0] == 404


async def test_the_oldest_version_goes_when_there_are_too_many(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_store, "MOST_VERSIONS", 2)
    for number in range(4):
        await front.put("news", {"subject": str(number), "text": "x"})

    _, versions = await front.call("GET", "/v1/templates/news/versions")

    assert [one["version"] for one in versions["versions"]] == [4, 3]
    assert (await front.call("GET", "/v1/templates/news/versions/2"))[0] == 404
    kept = sum(one["size_bytes"] for one in versions["versions"])
    assert (await front.jobs.use("acme", NOW_MS))["stored_bytes"] == kept


async def test_what_is_stored_counts_until_it_is_removed(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_putting, "MOST_TEMPLATES", 1)
    monkeypatch.setattr(template_store, "MOST_TEMPLATES", 1)
    await front.put("news", {"subject": "s", "text": "x"})

    assert (await front.jobs.use("acme", NOW_MS))["stored_bytes"] > 0
    status, refused = await front.call("PUT", "/v1/templates/other", {"subject": "s", "text": "x"})
    assert (status, refused["type"].rpartition(":")[2]) == (409, "too_many_templates")

    await front.call("DELETE", "/v1/templates/news")
    assert (await front.jobs.use("acme", NOW_MS))["stored_bytes"] == 0
    await front.put("other", {"subject": "s", "text": "x"})


async def test_a_test_of_a_template_says_so_and_lists_its_links_in_each_language(front: Front) -> None:
    await front.put("frame", FRAME)
    await front.put("welcome", WELCOME)

    for language, link, other in (("fr", "acme.test/fr", "acme.test/de"), ("de", "acme.test/de", "acme.test/fr")):
        asked = {
            "template": "welcome",
            "test": True,
            "recipients": [{"email": "ana@exemple.fr", "variables": {"language": language}}],
        }
        status, shown = await front.call("POST", "/v1/preview", asked)
        assert status == 200, shown
        assert shown["subject"].startswith("[Test] ")
        assert {"name": "X-Estafette-Test", "value": "1"} in shown["headers"]
        for part in ("html", "text"):
            assert f": {link}" in shown[part]
            assert other not in shown[part]


async def test_two_who_change_at_once_make_two_versions(front: Front) -> None:
    put = [front.put("news", {"subject": str(number), "text": "x"}) for number in range(8)]

    made = await asyncio.gather(*put)

    assert sorted(one["version"] for one in made) == list(range(1, 9))


async def test_a_bad_template_is_refused_with_all_that_is_wrong_and_changes_nothing(front: Front) -> None:
    bad = {
        "subject": "{{ a",
        "html": "<p>\n{% if x %}</p>",
        "translations": {"de": {"html": "<p>{{ b|nofilter }}</p>"}, "nl": {"text": "only"}},
    }

    status, problem = await front.call("PUT", "/v1/templates/news", bad)
    at = {fault["at"]: fault["what"] for fault in problem["faults"]}
    assert status == 422
    assert set(at) == {"$.translations.nl"}
    bad["translations"] = {"de": {"html": "<p>\n\n{{ b|nofilter }}</p>"}}
    _, problem = await front.call("PUT", "/v1/templates/news", bad)
    assert {fault["at"] for fault in problem["faults"]} == {"$.subject", "$.html", "$.translations.de.html"}
    assert any("line 2" in fault["what"] for fault in problem["faults"])
    good = {**bad, "subject": "s", "html": "<p>x</p>"}
    _, problem = await front.call("PUT", "/v1/templates/news", good)
    assert [fault["at"] for fault in problem["faults"]] == ["$.translations.de.html"]
    assert "line 3" in problem["faults"][0]["what"]

    assert (await front.call("GET", "/v1/templates"))[1] == {"templates": []}
    for name in ("%20", "a%2Fb", "x" * 65, ".hidden"):
        assert (await front.call("PUT", f"/v1/templates/{name}", {"text": "x"}))[0] in (404, 422)


async def test_a_layout_stands_in_none_and_stays_while_others_stand_in_it(front: Front) -> None:
    status, problem = await front.call("PUT", "/v1/templates/welcome", WELCOME)
    assert (status, problem["faults"][0]["at"]) == (422, "$.layout")
    await front.put("frame", FRAME)
    await front.put("welcome", WELCOME)

    status, problem = await front.call("DELETE", "/v1/templates/frame")
    assert (status, problem["type"].rpartition(":")[2]) == (409, "template_used")
    status, problem = await front.call("PUT", "/v1/templates/inner", {**FRAME, "layout": "frame"})
    assert (status, problem["faults"][0]["at"]) == (422, "$.layout")
    await front.call("DELETE", "/v1/templates/welcome")
    assert (await front.call("DELETE", "/v1/templates/frame"))[0] == 204


async def test_no_template_is_left_without_its_layout_by_two_who_put_and_remove_at_once(front: Front) -> None:
    answers = set()
    for _ in range(20):
        await front.put("frame", FRAME)
        put, removed = await asyncio.gather(
            front.call("PUT", "/v1/templates/welcome", WELCOME), front.call("DELETE", "/v1/templates/frame")
        )
        names = [one["name"] for one in (await front.call("GET", "/v1/templates"))[1]["templates"]]
        assert names in ([], ["frame", "welcome"]), (put, removed)
        answers.add((put[0], removed[0]))
        assert put[0] == 201 or (put[0], put[1]["faults"][0]["at"]) == (422, "$.layout")
        await front.call("DELETE", "/v1/templates/welcome")
    assert answers <= {(201, 409), (422, 204)}


@pytest.mark.parametrize("first", ["put", "remove"])
async def test_a_layout_is_looked_for_at_the_moment_in_which_it_counts(
    front: Front, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has looked at all that it looks at before the other one begins."""
    layout, kept = (templates.kept(msgspec.convert(one, TemplateBody)) for one in (FRAME, WELCOME))
    await front.store.put("acme", "frame", layout, packed(layout), NOW_MS)
    waits, goes = asyncio.Event(), asyncio.Event()
    script = getattr(template_store, f"_{first.upper()}")

    async def late(*args: Any) -> Any:
        waits.set()
        await goes.wait()
        return await script(*args)

    async def put() -> None:
        for number in range(20):
            words = msgspec.structs.replace(kept.wording, subject="é" * 200 + str(number))
            version = msgspec.structs.replace(kept, wording=words)
            await front.store.put("acme", "welcome", version, packed(version), NOW_MS)

    async def remove() -> None:
        await front.store.remove("acme", "frame")

    monkeypatch.setattr(template_store, f"_{first.upper()}", late)
    slow = asyncio.create_task(put() if first == "put" else remove())
    await waits.wait()
    await (remove() if first == "put" else put())
    goes.set()
    with pytest.raises(NoLayout if first == "put" else InUse):
        await slow

    assert list(await front.store.heads("acme")) == ([] if first == "put" else ["frame", "welcome"])


async def test_each_recipient_gets_their_language_in_the_layout_of_that_language(front: Front) -> None:
    await front.put("frame", FRAME)
    await front.put("welcome", WELCOME)
    spoken: list[dict[str, str]] = [{}, {"language": "fr-CA"}, {"language": "de_AT"}, {"language": "es"}]
    people = [{"email": f"{at}@x.test", "variables": {"prenom": "Ana", **one}} for at, one in enumerate(spoken)]

    status, answer = await front.job(*people, template="welcome")
    assert status == 202, answer
    mails = [await front.mail(answer["id"], ordinal) for ordinal in range(4)]

    for at, mail in enumerate(mails):
        html, text = texts(mail)["text/html"], texts(mail)["text/plain"]
        if at == 2:
            assert mail["Subject"] == "Willkommen Ana"
            assert html == '<h1>Eule</h1><p>Guten Tag Ana <a href="https://acme.test/de">hier</a></p>'
            assert text.split() == ["Eule", "Guten", "Tag", "Ana"]
        else:
            assert mail["Subject"] == "Bienvenue Ana"
            assert '<h1>Chouette</h1><p>Bonjour Ana <a href="https://acme.test/fr">ici</a></p><p>' in html
            assert text.startswith("Chouette\r\nBonjour Ana\r\n")
        assert mail["From"] == "Chouette <news@acme.test>"
    stored = await jobs.read(front.client, P, answer["id"], (jobs.CONTENT, jobs.TEMPLATE))
    links = content.decode(stored[jobs.CONTENT]).links
    assert len({link.position for link in links}) == len(links)
    assert {link.url for link in links} >= {"https://acme.test/fr", "https://acme.test/de"}
    assert JobTemplate.read(stored[jobs.TEMPLATE]) == JobTemplate(
        name="welcome", version=1, layout="frame", layout_version=1
    )


LOGO = {"filename": "logo.png", "content_type": "image/png", "content_id": "logo", "content": "iVBORw0KGgo="}
MJML_FRAME = {
    "from": "Chouette <news@acme.test>",
    "mjml": (
        '<mjml><mj-body><mj-section><mj-column><mj-image src="cid:logo" alt="Chouette" /></mj-column></mj-section>'
        "{{ content }}</mj-body></mjml>"
    ),
    "attachments": [LOGO],
}


def section(words: str) -> str:
    return f"<mj-section><mj-column><mj-text>{words}</mj-text></mj-column></mj-section>"


async def test_mjml_stands_in_a_layout_of_mjml_with_its_pictures_in_each_language(front: Front) -> None:
    await front.put("frame", MJML_FRAME)
    own = {"subject": "Bonjour", "layout": "frame", "mjml": section("Bonjour {{ prenom }}")}
    await front.put("welcome", {**own, "translations": {"de": {"mjml": section("Guten Tag {{ prenom }}")}}})
    people = [{"email": f"{at}@x.test", "variables": {"prenom": "Ana", "language": tag}} for at, tag in enumerate("fd")]
    people[1]["variables"] = {"prenom": "Uli", "language": "de"}

    status, answer = await front.job(*people, template="welcome")
    assert status == 202, answer
    mails = [await front.mail(answer["id"], ordinal) for ordinal in range(2)]

    for mail, greeting in zip(mails, ("Bonjour Ana", "Guten Tag Uli"), strict=True):
        assert greeting in texts(mail)["text/html"]
        assert greeting in texts(mail)["text/plain"]  # made of the HTML
        assert 'src="cid:logo"' in texts(mail)["text/html"]
        assert [part["Content-ID"] for part in mail.walk() if part.get_content_type() == "image/png"] == ["<logo>"]


async def test_what_a_template_is_made_of_has_to_fit_its_layout(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MAX_FILES_BYTES", 100)
    await front.put("frame", MJML_FRAME)

    for bad, at in (
        ({"html": "<p>x</p>", "layout": "frame"}, "$.layout"),  # HTML in MJML
        ({"mjml": "<mj-sec", "layout": "frame"}, "$.layout"),
        ({"mjml": "<mj-sec"}, "$.mjml"),
        ({"html": '<p>x</p><img src="cid:nowhere">'}, "$.html"),
        ({"html": "<p>x</p>", "attachments": [{**LOGO, "content": "A" * 104}]}, "$.attachments"),
        ({"html": "<p>x</p>", "attachments": [LOGO, LOGO]}, "$.attachments[1].content_id"),
        ({"html": "<p>x</p>", "mjml": "<mjml></mjml>"}, "$.mjml"),
        ({"mjml": section("x"), "layout": "frame", "translations": {"de": {"html": "x"}}}, "$.translations.de"),
    ):
        status, problem = await front.call("PUT", "/v1/templates/welcome", {"subject": "s", **bad})
        assert (status, [fault["at"] for fault in problem["faults"]][-1]) == (422, at), (bad, problem)
    assert [one["name"] for one in (await front.call("GET", "/v1/templates"))[1]["templates"]] == ["frame"]


async def test_a_preview_shows_what_is_made_of_mjml_and_css(front: Front) -> None:
    html = "<html><head><style>p {color: red}</style></head><body><p>Bonjour {{ prenom }}</p></body></html>"
    _, inlined = await front.call("POST", "/v1/preview", previewed(html=html, inline_css=True, preheader="Vite"))
    _, made = await front.call(
        "POST", "/v1/preview", previewed(mjml=f"<mjml><mj-body>{section('{{ prenom }}')}</mj-body></mjml>")
    )

    assert '<p style="color: red' in inlined["html"].replace("color:red", "color: red")
    assert inlined["text"].startswith("Bonjour Ana")
    assert "Ana" in made["html"]
    assert "<mj-" not in made["html"]


async def test_what_is_accepted_keeps_what_the_template_was(front: Front) -> None:
    await front.put("news", {"subject": "old", "text": "old", "from": "news@acme.test"})
    _, before = await front.job(template="news")
    await front.put("news", {"subject": "new", "text": "new", "from": "news@acme.test"})
    _, pinned = await front.job(template={"name": "news", "version": 1})
    _, after = await front.job(template="news")
    await front.call("DELETE", "/v1/templates/news")

    subjects = [(await front.mail(job["id"], 0))["Subject"] for job in (before, pinned, after)]

    assert subjects == ["old", "old", "new"]


async def test_a_job_that_is_changed_stays_with_the_version_that_it_was_made_of(front: Front) -> None:
    await front.put("frame", FRAME)
    await front.put("welcome", WELCOME)
    people: list[dict[str, Any]] = [{"email": "a@x.test", "variables": {"language": "de"}}, {"email": "b@x.test"}]
    _, answer = await front.job(*people, template="welcome", send_at="2027-03-01T00:00:00Z")
    await front.put("welcome", {**WELCOME, "subject": "other"})

    status, changed = await front.call("PATCH", f"/v1/jobs/{answer['id']}", {"preheader": "Vite"})

    assert status == 200, changed
    mails = [await front.mail(answer["id"], ordinal) for ordinal in range(2)]
    assert [mail["Subject"] for mail in mails] == ["Willkommen vous", "Bienvenue vous"]
    assert all("Vite" in texts(mail)["text/html"] for mail in mails)
    stored = await jobs.read(front.client, P, answer["id"], (jobs.TEMPLATE,))
    assert stored[jobs.TEMPLATE] == "welcome 1 frame 1"


async def test_what_the_job_says_goes_before_what_the_template_says(front: Front) -> None:
    own = {"subject": "t", "html": "<p>t</p>", "text": "t", "from": "t@acme.test", "headers": {"X-A": "t", "X-B": "t"}}
    await front.put("news", own)

    _, answer = await front.job(template="news", subject="j", text="j", headers={"X-B": "j"})
    mail = await front.mail(answer["id"], 0)

    assert (mail["Subject"], mail["X-A"], mail["X-B"], mail["From"]) == ("j", "t", "j", "t@acme.test")
    assert texts(mail) == {"text/plain": "j\r\n"}


async def test_a_job_that_names_no_template_that_is_there_is_refused(front: Front) -> None:
    await front.put("news", {"text": "x"})
    for named in ("nothing", {"name": "news", "version": 2}, {"name": "news", "version": 0}, 7):
        status, problem = await front.job(template=named, **{"from": "news@acme.test"})
        assert (status, problem["faults"][0]["at"].partition(".v")[0]) == (422, "$.template"), named
    status, problem = await front.job(template="news")
    assert (status, {fault["at"] for fault in problem["faults"]}) == (422, {"$.from", "$.subject"})


async def test_what_fails_of_the_template_is_told_of_it(front: Front) -> None:
    await front.put("news", {"from": "a@acme.test", "subject": "s", "html": "<p>{{ n + 1 }}</p>"})

    status, problem = await front.job({"email": "a@x.test", "variables": {"n": "x"}}, template="news")

    assert (status, problem["faults"][0]["at"]) == (422, "$.template")
    assert problem["faults"][0]["what"].startswith("html: the template fails: line 1")


async def test_a_tenant_has_its_own_templates_alone(front: Front) -> None:
    await front.put("news", {"subject": "ours", "text": "x"})

    assert (await front.call("GET", "/v1/templates", tenant="zeta"))[1] == {"templates": []}
    assert (await front.call("GET", "/v1/templates/news", tenant="zeta"))[0] == 404
    assert (await front.call("DELETE", "/v1/templates/news", tenant="zeta"))[0] == 404
    body = {"template": "news", "from": "a@zeta.test", "recipients": [{"email": "a@x.test"}]}
    assert (await front.call("POST", "/v1/jobs", body, tenant="zeta"))[0] == 422
    assert (await front.call("GET", "/v1/templates/news"))[0] == 200


# The preview


def previewed(**fields: Any) -> dict[str, Any]:
    people = [{"email": "ana@x.test", "name": "Ana", "variables": {"prenom": "Ana", "old": 1}}, {"email": "bo@x.test"}]
    body = {"from": "Chouette <news@acme.test>", "subject": "Bonjour {{ prenom }}", "recipients": people, **fields}
    return {name: value for name, value in body.items() if value is not None}


async def test_a_preview_is_the_mail_of_a_recipient_and_leaves_nothing(front: Front) -> None:
    html = (
        '<html><body><p>Bonjour {{ prenom }}{% if old %}, encore{% endif %}</p><a href="https://acme.test/?a=1&amp;b=2">x</a>'
        '<a href="{{ unsubscribe_url }}">out</a></body></html>'
    )
    before = await front.client.dbsize()

    status, shown = await front.call("POST", "/v1/preview", previewed(html=html, preheader="Vite {{ prenom }} & <co>"))

    assert status == 200, shown
    assert (shown["subject"], shown["from"], shown["to"]) == (
        "Bonjour Ana",
        "Chouette <news@acme.test>",
        "Ana <ana@x.test>",
    )
    assert "Bonjour Ana, encore" in shown["html"]
    assert 'href="https://acme.test/?a=1&amp;b=2"' in shown["html"]
    assert f'href="{BASE}/u/preview"' in shown["html"]
    assert "Vite Ana &amp; &lt;co&gt;&#847;" in shown["html"].partition("<p>")[0]
    mail = message_from_bytes(shown["message"].encode())
    assert texts(mail)["text/html"].replace("\r\n", "\n") == shown["html"]
    assert shown["size_bytes"] == len(shown["message"].encode())
    assert "<img" not in shown["html"]
    assert await front.client.dbsize() == before


async def test_a_preview_shows_the_recipient_that_is_asked_for_or_somebody(front: Front) -> None:
    body = previewed(text="Bonjour {{ prenom|default('vous') }}", stream="transactional")

    _, second = await front.call("POST", "/v1/preview?recipient=1", body)
    _, nobody = await front.call("POST", "/v1/preview", {**previewed(text="x"), "recipients": None} | {"subject": "s"})
    status, beyond = await front.call("POST", "/v1/preview?recipient=2", body)

    assert second["to"] == "bo@x.test"
    assert second["text"] == "Bonjour vous\n"
    assert nobody["faults"][0]["at"] == "$.recipients"  # null is none
    assert (status, beyond["faults"][0]["at"]) == (422, "?recipient")
    del body["recipients"]
    _, alone = await front.call("POST", "/v1/preview", body)
    assert alone["to"] == "Somebody <somebody@example.com>"


async def test_a_preview_of_a_template_is_in_the_language_of_its_recipient(front: Front) -> None:
    await front.put("frame", FRAME)
    await front.put("welcome", WELCOME)
    people = [{"email": "ana@x.test", "variables": {"language": "de"}}]

    _, shown = await front.call("POST", "/v1/preview", {"template": "welcome", "recipients": people})

    assert (shown["language"], shown["template"]) == ("de", "welcome 1 frame 1")
    assert shown["subject"] == "Willkommen vous"
    assert "Eule" in shown["html"]


async def test_a_preview_names_what_is_not_known_and_what_is_not_used(front: Front) -> None:
    html = "<p>{{ prenom }} {{ age|default('') }}\n{{ nom }}</p>"
    body = previewed(html=html, variables={"prenom": "x"})

    _, shown = await front.call("POST", "/v1/preview", body)
    told = {(one["name"], one["what"].split("`")[1]) for one in shown["checks"] if one["name"].endswith("_variable")}

    assert told == {("unknown_variable", "nom"), ("unused_variable", "old")}
    assert [(one["part"], one["at"]) for one in shown["checks"] if one["name"] == "unknown_variable"] == [("html", 2)]


async def test_a_preview_refuses_what_a_job_would_refuse(front: Front) -> None:
    for wrong in ({"html": "{{ a"}, {"html": ""}, {"html": "<p>{{ prenom.x() }}</p>"}, {"subject": 7}, {"nothing": 1}):
        status, problem = await front.call("POST", "/v1/preview", previewed(**{"html": "<p>x</p>", **wrong}))
        assert status == 422, (wrong, problem)
        assert problem["faults"], wrong


async def test_a_preview_is_from_a_domain_of_the_tenant_alone(front: Front) -> None:
    body = previewed(text="Bonjour", **{"from": "news@zeta.test"}, stream="transactional")

    status, problem = await front.call("POST", "/v1/preview", body)

    assert (status, problem["faults"][0]["at"]) == (403, "$.from")
    assert (await front.call("POST", "/v1/preview", body, tenant="zeta"))[0] == 200


def test_the_job_that_is_kept_reads_as_it_was_written() -> None:
    assert JobTemplate.read("") is None
    assert JobTemplate.read("a 1") == JobTemplate(name="a", version=1)
    assert ids.is_job_id(ids.new_job_id(NOW_MS, b"chance", P))
