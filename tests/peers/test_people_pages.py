"""The pages for people in a real Chromium: axe-core finds nothing in any of them, on a telephone and on a desk, in
light and dark; nothing is scrolled sideways, and nothing is refused by their own policy. Pictures are kept in
`build/pages`.

What the API would say is said by a server of the test, with its own examples."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from services.pages import documents, http
from services.pages.api import Loopback
from services.pages.drawing import Drawing
from services.pages.pages import Pages
from services.pages.session_keys import SessionKeys
from services.pages.sessions import Sessions
from shared.http import api
from shared.net.pacing import Pacing
from shared.redis import redis
from shared.words.principal import SCOPES, Principal
from tests.fakes import api_answers
from tests.peers.browser import Browser, axe, browsing
from tests.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOTS = Path(__file__).parents[2] / "build" / "pages"
KEYS = SessionKeys([b"m" * 32])
SIZES = {"phone": (360, 780), "desk": (1280, 900)}
#: The width on which nothing may be scrolled sideways (WCAG 2.2, 1.4.10).
NARROWEST = 320
SCHEMES = ("light", "dark")
#: The rules that depend on how a page is drawn.
DRAWN = ["color-contrast", "target-size"]
#: How wide the page is, and what sticks out.
WIDE = """
const wide = document.documentElement.scrollWidth;
const out = [...document.querySelectorAll('main *, header *')].filter(one =>
  one.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
return [wide, ...out.slice(-3).map(one => one.outerHTML.slice(0, 100))]"""
AXE_RUN = """
const options = arguments[0];
return axe.run(document, {resultTypes: ['violations'], ...options}).then(found =>
  found.violations.map(one => one.id + ' ' + one.nodes.map(node => node.html).join(' ')))"""
ANYBODY = {
    "home": "/",
    "documents": "/docs",
    "guide": "/docs/guide",
    "api": "/docs/api",
    "api-jobs": "/docs/api/jobs",
    "sign-in": "/console",
    "nothing": "/docs/nothing",
}
CONSOLE = {
    "jobs": "/console/jobs",
    "job": f"/console/jobs/{api_answers.JOB['id']}",
    "job-large": f"/console/jobs/{api_answers.LARGE['id']}",
    "job-missing": "/console/jobs/x",
}


class EveryKey:
    async def verify(self, text: str) -> Principal | None:
        return Principal("acme", frozenset(SCOPES), {}, "k3v9x2m1qa")


async def _answer(request: web.Request) -> web.StreamResponse:
    """The document's own example of what is asked."""
    found = api_answers.ANSWERS.get(request.path)
    if found is None:
        return api.problem_answer(api.unknown_job())
    return api.json_answer(found)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(redis_server: RedisServer) -> AsyncIterator[str]:
    client = redis.connect(redis_server.url)
    port = unused_port()
    loopback = Loopback(f"http://127.0.0.1:{port}")
    await loopback.start()
    chance = iter(range(1, 10_000))
    pages = Pages(
        Sessions(client, KEYS, 12, lambda size: next(chance).to_bytes(size, "big")),
        KEYS,
        loopback.of,
        Drawing("https://mail.example.org", has_mailbox=True),
        documents.read(),
        Pacing(lambda: 0.0, 10, 6.0, 100),
        12,
    )
    routes = http.routes(pages, hours=12, forwarded_hops=0, is_https=False)
    app = api.application(routes, EveryKey(), max_body_bytes=100_000)
    app.router.add_get("/v1/{rest:.+}", _answer)
    async with TestServer(app, port=port):
        yield f"http://127.0.0.1:{port}"
    await loopback.close()
    await redis.close(client)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with browsing(tmp_path_factory.mktemp("browser") / "profile") as browser:
        await browser.begin_with(axe())
        yield browser


async def looked_at(browser: Browser, base: str, name: str, path: str) -> dict[str, Any]:
    """What is wrong with a page, by the screen on which it is."""
    found: dict[str, Any] = {}
    await browser.go(base + path)
    await browser.resize(NARROWEST, 780)
    if (wide := await browser.run(WIDE))[0] > NARROWEST:
        found[f"{name}-narrowest"] = wide
    for size, (width, height) in SIZES.items():
        await browser.resize(width, height)
        if (wide := await browser.run(WIDE))[0] > width:
            found[f"{name}-{size}"] = wide
        long = min(await browser.run("return document.documentElement.scrollHeight"), 4000)
        await browser.resize(width, max(height, long))
        for scheme in SCHEMES:
            await browser.prefer(scheme)
            await browser.screenshot(SHOTS / f"people-{name}-{size}-{scheme}.png")
            is_first = (size, scheme) == ("phone", "light")
            violations = await browser.run(AXE_RUN, {} if is_first else {"runOnly": DRAWN})
            if violations:
                found[f"{name}-{size}-{scheme}"] = violations
    return found


async def test_axe_finds_nothing_in_what_everybody_sees(browser: Browser, base: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)

    found = [await looked_at(browser, base, name, path) for name, path in ANYBODY.items()]

    assert [one for one in found if one] == []
    assert [said for said in await browser.complaints() if "404" not in said] == []


async def test_axe_finds_nothing_in_the_console_which_works_without_scripts(browser: Browser, base: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    await browser.scripts(run=False)
    await browser.go(f"{base}/console")
    await browser.run("document.querySelector('input[name=key]').value = 'est_anything'")
    async with browser.leaving():
        await browser.click("main button")
    assert await browser.run("return location.pathname") == "/console/jobs"
    await browser.scripts(run=True)

    found = [await looked_at(browser, base, name, path) for name, path in CONSOLE.items()]

    assert [one for one in found if one] == []
    assert [said for said in await browser.complaints() if "404" not in said] == []
    cookies = {one["name"]: one for one in await browser.cookies()}
    assert cookies[http.COOKIE]["httpOnly"]
    assert cookies[http.COOKIE]["sameSite"] == "Strict"
    async with browser.leaving():
        await browser.click(".who button")
    assert await browser.run("return location.pathname") == "/console"
