"""A site that embeds the script, in a real Chromium: nothing is stored or sent before consent, and what is after."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.tracking import http, visit_http
from services.tracking.tracking import Tracking
from services.tracking.visiting import Pace, Visiting
from services.tracking.visits import Ties
from shared.http import api
from shared.words import ids
from shared.words.events import Clicked, Fact, PageViewed, VisitorActed, VisitorConsented
from shared.words.tokens import TokenKeys
from shared.words.visits import MAX_DAYS, WebTracking
from tests.fakes.recipients import Jobs
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said
from tests.fakes.web_trackings import Sites
from tests.peers.browser import Browser, browsing
from tests.peers.test_tracking_pages import NoKeys

JOB = ids.new_job_id(1_750_000_000_000, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)
DAY_S = 86_400
#: What a visitor of a test has as their user agent: that of a headless Chromium is a machine's.
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

SITE_SCRIPT = """
document.getElementById("agree").onclick = function () { estafette("consent", true); };
document.getElementById("refuse").onclick = function () { estafette("consent", false); };
document.getElementById("buy").onclick = function () {
  estafette("event", "purchase", {id: "4711", value: 59.9, currency: "EUR", properties: {category: "shoes"}});
};
document.getElementById("basket").onclick = function () { estafette("event", "basket"); };
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Shop:
    """A tracker and a tenant's site on two hosts, and all that the tracker was asked beside clicks."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.asked: list[tuple[str, str]] = []
        self.cookies: list[str] = []
        self.tracker = self.site = ""

    @property
    def facts(self) -> list[Fact]:
        return [fact for fact in self.memory.facts if not isinstance(fact, Clicked)]

    def click(self, path: str = "/shoes?size=42") -> str:
        return f"{self.tracker}/c/{KEYS.click(JOB, 3, 'demo', 'ana@example.fr', 2, self.site + path)}"

    async def has(self, number: int) -> list[Fact]:
        async with asyncio.timeout(60):
            while len(self.facts) < number:  # noqa: ASYNC110 - a browser tells nobody when it has sent
                await asyncio.sleep(0.02)
        return self.facts


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop, untracked = Shop(), Said()
    sites = Sites(WebTracking(("localhost",), ("basket", "purchase"), ("EUR",)))
    tracking = Tracking(KEYS, shop.memory, "edge", Jobs(), untracked, ties=Ties(KEYS, sites, untracked))
    visiting = Visiting(KEYS, tracking, untracked, sites, Pace(time.monotonic))
    routes = [*http.routes(tracking, now_ms), *visit_http.routes(visiting, now_ms)]
    app = api.application(routes, NoKeys(), max_body_bytes=65536)

    @web.middleware
    async def listen(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/w"):
            shop.asked.append((request.method, request.path.partition("/w")[2][:1]))
            shop.cookies += request.headers.getall("Cookie", [])
        answer: web.StreamResponse = await handler(request)
        shop.cookies += answer.headers.getall("Set-Cookie", [])
        return answer

    app.middlewares.append(listen)

    async def page(request: web.Request) -> web.Response:
        policy = f"default-src 'none'; script-src 'self' {shop.tracker}; connect-src {shop.tracker}; img-src data:"
        text = (
            '<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,">'
            '<button id="agree">Agree</button><button id="refuse">Refuse</button>'
            '<button id="buy">Buy</button><button id="basket">Basket</button>'
            f'<script src="{shop.tracker}/w.js"></script><script src="/site.js"></script></html>'
        )
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def script(request: web.Request) -> web.Response:
        return web.Response(text=SITE_SCRIPT, content_type="text/javascript")

    site = web.Application()
    site.router.add_get("/site.js", script)
    site.router.add_get("/{path:.*}", page)
    async with TestServer(app) as tracker, TestServer(site) as shown:
        shop.tracker, shop.site = f"http://127.0.0.1:{tracker.port}", f"http://localhost:{shown.port}"
        yield shop


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "profile") as browser:
        await browser.called(FIREFOX)
        yield browser


async def test_nothing_is_stored_and_nothing_is_sent_before_consent(browser: Browser, shop: Shop) -> None:
    await browser.go(shop.click())

    assert await browser.run("return location.href") == f"{shop.site}/shoes?size=42"  # the token has left the address
    await browser.click("#buy")
    await browser.click("#refuse")
    await browser.go(f"{shop.site}/other")
    assert await browser.cookies() == []
    assert await browser.run("return localStorage.length + sessionStorage.length") == 0
    assert shop.facts == []
    assert {method for method, _ in shop.asked} == {"GET"}  # the script alone
    assert await browser.complaints() == []


async def test_after_consent_a_page_and_a_purchase_arrive(browser: Browser, shop: Shop) -> None:
    await browser.go(shop.click())
    await browser.click("#agree")
    await browser.click("#agree")  # as a site says it on each page, and twice
    await browser.click("#buy")

    consented, viewed, bought = sorted(await shop.has(3), key=lambda fact: type(fact).__name__ == "VisitorActed")[:3]
    if isinstance(consented, PageViewed):  # they are sent side by side
        consented, viewed = viewed, consented
    assert isinstance(consented, VisitorConsented)
    assert isinstance(viewed, PageViewed)
    assert isinstance(bought, VisitorActed)
    assert (consented.given, consented.url) == (True, f"{shop.site}/shoes")
    assert (viewed.tenant, viewed.job, viewed.ordinal, viewed.url) == ("demo", JOB, 3, f"{shop.site}/shoes")
    assert (bought.name, bought.value, bought.currency) == ("purchase", "59.9", "EUR")
    assert (bought.properties, bought.machine, viewed.machine) == ('{"category":"shoes"}', "", "")
    assert shop.cookies == []
    assert await browser.complaints() == []


async def test_the_cookie_is_the_sites_own_lasts_13_months_at_most_and_is_not_renewed(
    browser: Browser, shop: Shop
) -> None:
    await browser.go(shop.click())
    await browser.click("#agree")
    await shop.has(2)
    (first,) = await browser.cookies()

    async with asyncio.timeout(10):
        while int(time.time()) <= first["expiry"] - MAX_DAYS * DAY_S + 1:  # noqa: ASYNC110 - a clock tells nobody
            await asyncio.sleep(0.1)
    await browser.go(f"{shop.site}/later")
    await browser.click("#agree")
    await shop.has(3)
    (later,) = await browser.cookies()
    await browser.go(shop.click())
    await browser.click("#agree")
    await shop.has(4)
    (by_another_click,) = await browser.cookies()

    assert (first["name"], first["domain"], first["sameSite"], first["secure"]) == (
        "estafette", "localhost", "Lax", True,
    )  # fmt: skip
    assert 0 < first["expiry"] - time.time() <= MAX_DAYS * DAY_S
    assert (later["value"], later["expiry"]) == (first["value"], first["expiry"])
    assert by_another_click["value"] != first["value"]
    assert abs(by_another_click["expiry"] - first["expiry"]) <= 1  # a browser counts from its own second
    assert [type(fact).__name__ for fact in shop.facts].count("VisitorConsented") == 1


async def test_who_takes_it_back_has_no_cookie_and_is_not_followed_any_more(browser: Browser, shop: Shop) -> None:
    await browser.go(shop.click())
    await browser.click("#agree")
    await shop.has(2)

    await browser.go(f"{shop.site}/other")
    await browser.click("#refuse")
    told = (await shop.has(3))[2]
    await browser.click("#basket")
    await browser.go(f"{shop.site}/third")
    await browser.click("#agree")  # nothing ties this to a click any more
    await browser.click("#basket")

    assert isinstance(told, VisitorConsented)
    assert not told.given
    assert await browser.cookies() == []
    assert len(shop.facts) == 3


async def test_a_browser_that_asks_not_to_be_tracked_is_not(browser: Browser, shop: Shop) -> None:
    await browser.before_each_page(
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    )
    await browser.go(shop.click())

    await browser.click("#agree")
    await browser.click("#buy")
    await browser.go(f"{shop.site}/other")

    assert await browser.cookies() == []
    assert shop.facts == []
    assert {method for method, _ in shop.asked} == {"GET"}


async def test_an_anchor_stays_where_the_link_has_one(browser: Browser, shop: Shop) -> None:
    await browser.go(shop.click("/shoes?a=1#sizes"))

    assert await browser.run("return location.href") == f"{shop.site}/shoes?a=1#sizes"
    await browser.click("#agree")
    assert len(await shop.has(2)) == 2
