"""The pages for people on a whole instance: sign in, see what became of a job, sign out, and nobody else's."""

import re

import aiohttp
import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Visitor:
    """A browser without scripts: it keeps cookies, follows nobody, and sends forms."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._base = stack.base
        self._session = session

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(self._base + path, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def post(self, path: str, form_of: str, **fields: str) -> tuple[int, str]:
        """With the token of the form on the page `form_of`."""
        _, page = await self.get(form_of)
        fields = {"form": re.findall(r'name="form" value="(\w+)"', page)[0], **fields}
        async with self._session.post(self._base + path, data=fields, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def sign_in(self, key: str) -> None:
        assert await self.post("/console", "/console", key=key) == (303, "/console/jobs")


def browsing() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def test_who_has_a_key_sees_what_became_of_a_job_and_nobody_else_does(stack: Stack) -> None:
    other = await stack.new_key("other", "read")
    job_id = await stack.send("ana@pages.test", "bo@pages.test", subject="Soldes <d'hiver>", tags=["hiver"])
    await stack.done(job_id)

    async with browsing() as ours, browsing() as theirs:
        mine, stranger = Visitor(stack, ours), Visitor(stack, theirs)
        await mine.sign_in(stack.key)
        await stranger.sign_in(other)

        status, listed = await mine.get("/console/jobs?tag=hiver")
        assert (status, f"/console/jobs/{job_id}" in listed.replace("&#x2f;", "/")) == (200, True)
        status, report = await mine.get(f"/console/jobs/{job_id}")
        assert (status, "Soldes &lt;d&#x27;hiver&gt;" in report) == (200, True)
        assert "Accepted: 2; Delivered: 2;" in report

        assert (await stranger.get(f"/console/jobs/{job_id}"))[0] == 404
        status, listed = await stranger.get("/console/jobs")
        assert (status, job_id in listed) == (200, False)

        await mine.post(f"/console/jobs/{job_id}/report-links", f"/console/jobs/{job_id}", days="7", note="board")
        _, report = await mine.get(f"/console/jobs/{job_id}")
        (link,) = set(re.findall(r'href="[^"]*(/r/[\w-]+)"', report.replace("&#x2f;", "/")))
        async with browsing() as nobody:
            status, linked = await Visitor(stack, nobody).get(link)
            assert (status, "Accepted: 2; Delivered: 2;" in linked, "<form" in linked) == (200, True, False)
            assert (await Visitor(stack, nobody).get(f"{link}x"))[0] == 404

        status, mail = await mine.get(f"/console/jobs/{job_id}/mail")
        assert (status, "<a>A</a>" in mail or "estafette-mark" in mail) == (200, True)
        status, people = await mine.get(f"/console/jobs/{job_id}/recipients.csv?state=not_opened")
        assert (status, [line.count("@pages.test") for line in people.splitlines()]) == (200, [0, 1, 1])
        for path in ("mail", "recipients.csv?state=not_opened"):
            assert (await stranger.get(f"/console/jobs/{job_id}/{path}"))[0] == 404, path
        status, page = await mine.get("/console/statistics?tag=hiver")
        assert (status, "Altogether" in page) == (200, True)

        assert "Delivered" in (await mine.get(f"/console/messages/{job_id}.0"))[1]
        assert (await stranger.get(f"/console/messages/{job_id}.0"))[0] == 404
        assert f"{job_id}.0" in (await mine.get("/console/recipients?address=ana@pages.test"))[1]
        assert (await stranger.get("/console/recipients?address=ana@pages.test"))[0] == 404

        fields = {"address": "cy@pages.test", "reason": "objected"}
        status, there = await mine.post("/console/suppressions", "/console/suppressions", **fields)
        assert (status, "It is on the list." in (await mine.get(there))[1]) == (303, True)
        assert (await stack.call("GET", "/v1/suppressions/cy@pages.test"))[0] == 200
        await mine.post("/console/suppressions/remove", "/console/suppressions", address="cy@pages.test")
        assert (await stack.call("GET", "/v1/suppressions/cy@pages.test"))[0] == 404
        for path in ("/console/domains", "/console/stops"):
            assert (await mine.get(path))[0] == 200, path
        assert (await stranger.get("/console/stops"))[0] == 403

        assert await mine.post("/console/sign-out", "/console/jobs") == (303, "/console")
        assert await mine.get(f"/console/jobs/{job_id}") == (303, "/console")


async def test_an_endpoint_is_looked_at_and_tried_by_its_tenant_alone(stack: Stack) -> None:
    admin, other = await stack.new_key("hooks", "read,admin"), await stack.new_key("other", "read,admin")
    status, made = await stack.call("POST", "/v1/webhooks", {"url": "https://crm.example.org/x"}, key=admin)
    assert status == 201, made
    here = f"/console/webhooks/{made['id']}"
    async with browsing() as ours, browsing() as theirs:
        mine, stranger = Visitor(stack, ours), Visitor(stack, theirs)
        await mine.sign_in(admin)
        await stranger.sign_in(other)

        assert here in (await mine.get("/console/webhooks"))[1].replace("&#x2f;", "/")
        assert here not in (await stranger.get("/console/webhooks"))[1].replace("&#x2f;", "/")
        assert (await stranger.get(here))[0] == 404
        for what in ("test", "replay", "switch"):
            assert (await stranger.post(f"{here}/{what}", "/console/webhooks"))[0] == 404, what
        assert await mine.post(f"{here}/test", here) == (303, f"{here}?done=tested")
        assert await mine.post(f"{here}/switch", here, enabled="no") == (303, f"{here}?done=disabled")
        assert ">Switch on</button>" in (await mine.get(here))[1]
        async with ours.post(f"{stack.base}{here}/switch", data={"enabled": "yes"}) as forged:
            assert forged.status == 403
        assert (await stack.call("GET", f"/v1/webhooks/{made['id']}", key=admin))[1]["state"] == "disabled"


async def test_a_revoked_key_ends_the_session_of_who_signed_in_with_it(stack: Stack) -> None:
    key = await stack.new_key("leaver", "read")
    async with browsing() as session:
        visitor = Visitor(stack, session)
        await visitor.sign_in(key)
        await stack.console("keys", "revoke", key.split("_")[1])

        async def ended() -> bool:
            return (await visitor.get("/console/jobs"))[0] in (401, 303)

        await stack.until(ended)

        assert await visitor.get("/console/jobs") == (303, "/console")


async def test_the_documents_are_there_without_a_key(stack: Stack) -> None:
    async with browsing() as session:
        visitor = Visitor(stack, session)

        for path in ("/", "/docs", "/docs/", "/docs/guide", "/docs/api/jobs", "/docs/decisions/README", "/console"):
            assert (await visitor.get(path))[0] == 200, path
        assert stack.base in (await visitor.get("/docs/api/jobs"))[1].replace("&#x2f;", "/")
        assert (await visitor.get("/docs/secret"))[0] == 404
        assert (await visitor.get("/docs/..%2fREADME"))[0] == 404


async def test_without_contacts_each_page_of_them_says_so(stack: Stack) -> None:
    async with browsing() as session:
        visitor = Visitor(stack, session)
        await visitor.sign_in(stack.key)

        for page in ("contacts", "segments", "segments/new", "imports", "activity"):
            status, text = await visitor.get(f"/console/{page}")
            assert (status, "this installation has no contacts" in text) == (409, True), page
