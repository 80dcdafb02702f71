"""The mailbox in a real Chromium: the mail is shown in its frame, no script of it runs, and its links really work."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.mailbox_stack import Stack, running
from tests.peers.browser import Browser, browsing

#: Each of these would call /ran if it could; `{base}` is the tracking host.
HOSTILE = """
<script>new Image().src = "{base}/ran/script"</script>
<img src="x:" onerror="fetch('{base}/ran/onerror')">
<svg onload="fetch('{base}/ran/onload')"></svg>
<iframe src="javascript:fetch('{base}/ran/frame')"></iframe>
<iframe srcdoc="<script>fetch('{base}/ran/srcdoc')</script>"></iframe>
<form action="{base}/ran/form" id="f"></form><button form="f" autofocus>send</button>
<meta http-equiv="refresh" content="0;url={base}/ran/refresh">
"""
MAIL = """<!doctype html>
<html><head><style>h1 {{ color: rgb(194, 24, 91) }}</style></head>
<body><h1>Les soldes</h1><a id="offers" href="{base}/c/tok">offers</a>
<img src="{base}/o/tok" width="1" height="1" alt="">
"""
LANDING = "<!doctype html><title>landed</title><script>fetch('/landed')</script>"


class Tracking:
    """The tracking host: another origin. It keeps what was asked of it, as `METHOD /path body`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._news = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path} {await request.text()}".strip())
        self._news.set()
        if request.path.startswith("/c/"):
            return web.Response(status=302, headers={"Location": "/landing"})
        return web.Response(text=LANDING, content_type="text/html")

    async def was_asked(self, expected: str) -> None:
        async with asyncio.timeout(60):
            while expected not in self.asked:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def tracking() -> Tracking:
    return Tracking()


@pytest.fixture
async def base(tracking: Tracking) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", tracking.answer)
    async with TestServer(app) as server:
        yield f"http://localhost:{server.port}"


@pytest.fixture
async def box(redis_url: str) -> AsyncIterator[Stack]:
    async with running(redis_url) as stack:
        yield stack


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go; kept by pytest for whoever wants to look."""
    folder = tmp_path / "shots"
    folder.mkdir()
    return folder


async def open_mail(box: Stack, browser: Browser, html: str, **headers: str) -> None:
    await box.send("ana@example.org", "Les soldes", html, **headers)
    (kept,) = await box.listed()
    await browser.go(str(box.web.make_url(f"/mailbox/{kept['id']}")))


async def new_tab(browser: Browser, known: list[str]) -> str:
    async with asyncio.timeout(60):
        while not (new := set(await browser.tabs()) - set(known)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return new.pop()


async def test_the_mail_is_shown_in_its_frame_and_looking_at_it_is_an_open(
    box: Stack, browser: Browser, tracking: Tracking, base: str, shots: Path
) -> None:
    await open_mail(box, browser, MAIL.format(base=base))
    await tracking.was_asked("GET /o/tok")
    await browser.screenshot(shots / "message.png")

    await browser.into_frame("iframe")

    shown = await browser.run(
        "const h = document.querySelector('h1');"
        "return [document.compatMode, h.textContent, getComputedStyle(h).color, document.links[0].href]"
    )
    assert shown == ["CSS1Compat", "Les soldes", "rgb(194, 24, 91)", f"{base}/c/tok"]


async def test_a_link_opens_an_ordinary_tab(box: Stack, browser: Browser, tracking: Tracking, base: str) -> None:
    await open_mail(box, browser, MAIL.format(base=base))
    known = await browser.tabs()

    await browser.into_frame("iframe")
    await browser.click("#offers")
    await browser.to_tab(await new_tab(browser, known))

    await tracking.was_asked("GET /c/tok")
    await tracking.was_asked("GET /landed")  # the page behind the link runs its scripts: it is out of the sandbox
    assert await browser.run("return [document.title, document.referrer, window.opener]") == ["landed", "", None]


async def test_no_script_of_a_mail_runs(box: Stack, browser: Browser, tracking: Tracking, base: str) -> None:
    await open_mail(box, browser, MAIL.format(base=base) + HOSTILE.format(base=base))
    await tracking.was_asked("GET /o/tok")

    await browser.into_frame("iframe")
    await browser.click("button")
    await browser.out_of_frame()
    await browser.click("nav a[href$=source]")

    # Whatever ran would have asked before this one: the browser keeps the order of what one page asks.
    await browser.go(f"{base}/landing")
    await tracking.was_asked("GET /landed")
    assert [asked for asked in tracking.asked if "/ran" in asked] == []


async def test_a_mail_looked_at_by_itself_is_in_the_sandbox_too(
    box: Stack, browser: Browser, tracking: Tracking, base: str
) -> None:
    await box.send("ana@example.org", "s", MAIL.format(base=base) + HOSTILE.format(base=base))
    (kept,) = await box.listed()

    await browser.go(str(box.web.make_url(f"/mailbox/{kept['id']}/html")))
    await tracking.was_asked("GET /o/tok")

    assert await browser.run("return window.origin") == "null"
    assert [asked for asked in tracking.asked if "/ran" in asked] == []


async def test_unsubscribe_posts_one_click_in_a_new_tab(
    box: Stack, browser: Browser, tracking: Tracking, base: str
) -> None:
    await open_mail(
        box,
        browser,
        MAIL.format(base=base),
        List_Unsubscribe=f"<{base}/u/tok>, <mailto:u-1@bounces.localhost>",
        List_Unsubscribe_Post="List-Unsubscribe=One-Click",
    )
    known = await browser.tabs()

    await browser.click(".acts button")

    await tracking.was_asked("POST /u/tok List-Unsubscribe=One-Click")
    assert await new_tab(browser, known)


async def test_the_list_renews_itself_and_runs_no_subject(box: Stack, browser: Browser, shots: Path) -> None:
    await browser.go(str(box.web.make_url("/mailbox")))
    await browser.run("window.stillHere = true; document.querySelector('input').value = 'half an addr'")

    await box.send("ana@example.org", "<img src=x onerror=document.title='ran'>")
    async with asyncio.timeout(60):
        while not await browser.run("return document.querySelectorAll('.mails li').length"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await browser.screenshot(shots / "list.png")

    seen = await browser.run(
        "return [window.stillHere, document.title, document.querySelector('input').value,"
        " document.querySelector('.mails a').textContent]"
    )
    assert seen == [True, "Mailbox", "half an addr", "<img src=x onerror=document.title='ran'>"]
    assert await browser.complaints() == []


async def test_a_line_of_the_list_leads_to_its_message_and_empty_empties(box: Stack, browser: Browser) -> None:
    await box.send("ana@example.org", "Les soldes")
    await browser.go(str(box.web.make_url("/mailbox")))

    async with browser.leaving():
        await browser.click(".mails a")
    title = await browser.run("return document.querySelector('h1').textContent")
    async with browser.leaving():
        await browser.click("a.danger")
    asked = await browser.run("return document.querySelector('.nothing strong').textContent")
    kept = await box.listed()
    async with browser.leaving():
        await browser.click("button.danger")

    assert (asked, len(kept)) == ("Delete all 1 message?", 1)
    assert title == "Les soldes"
    assert await browser.run("return document.querySelector('.nothing strong').textContent") == "No mail yet"
    assert await box.listed() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1100])
async def test_pages_fit_their_window_in_both_colour_schemes(
    box: Stack, browser: Browser, base: str, shots: Path, scheme: str, width: int
) -> None:
    long_word = "a" * 200
    await browser.prefer(scheme)
    await browser.resize(width, 700)
    await box.send(f"{long_word[:60]}@example.org", long_word, MAIL.format(base=base), **{long_word: long_word})
    (kept,) = await box.listed()

    for view in ("", *(f"/{kept['id']}?show={view}" for view in ("html", "text", "headers", "source"))):
        await browser.go(str(box.web.make_url("/mailbox")) + view)
        await browser.run("for (const help of document.querySelectorAll('details')) help.open = true")
        await browser.screenshot(shots / f"{view.rpartition('=')[2] or 'list'}.png")
        assert await browser.run("return document.documentElement.scrollWidth") == width, view
        assert await browser.complaints() == [], view
