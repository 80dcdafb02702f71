"""The pages for people in a real Chromium: axe-core finds nothing in any of them, on a telephone and on a desk, in
light and dark; nothing is scrolled sideways, and nothing is refused by their own policy. Who has a keyboard alone sees
where they are, and a report is printed without what is only for the screen. Pictures are kept in `build/pages`.

What the API would say is said by a server of the test, with its own examples."""

import re
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
#: A sheet of A4, in CSS pixels, without its margins of 1 cm.
SHEET = (718, 1047)
#: Pages are gone through by so many presses of Tab at most: documents have a link a line.
PRESSES = 60
TAB = "\ue004"
#: Whether what has the focus shows it: drawn on the screen, with an outline that can be told from what is behind it
#: (3:1; WCAG 2.2, 2.4.7 and 1.4.11). Null at the end. Within the rendering of a mail, which is another document,
#: the browser's own outline shows it.
FOCUSED = """
const one = document.activeElement;
if (!one || one === document.body || one === document.documentElement) return null;
if (one.tagName === 'IFRAME') return [one.outerHTML.slice(0, 90), ''];
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const back = node => rgb(getComputedStyle(node).backgroundColor);
let behind = one.parentElement;
while (behind.parentElement && (back(behind)[3] ?? 1) === 0) behind = behind.parentElement;
const style = getComputedStyle(one), box = one.getBoundingClientRect();
const shades = [rgb(style.outlineColor), back(behind)].map(light).sort((a, b) => b - a);
const faults = [];
if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) faults.push('no outline');
if ((shades[0] + 0.05) / (shades[1] + 0.05) < 3) faults.push('too little contrast');
if (!(box.width && box.height && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth))
  faults.push('out of sight');
return [one.outerHTML.slice(0, 90), faults.join(', ')]"""
#: What of a page is on paper, of these.
PRINTED = """
return arguments[0].filter(css => [...document.querySelectorAll(css)].some(one => one.getClientRects().length))"""
#: What the browser says of a page that is answered so on purpose.
REFUSED = re.compile(r"status of (404|422)")
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
    "linked-report": "/r/known",
    "linked-over": "/r/over",
}
CONSOLE = {
    "jobs": "/console/jobs",
    "job": f"/console/jobs/{api_answers.JOB['id']}",
    "job-large": f"/console/jobs/{api_answers.LARGE['id']}",
    "job-missing": "/console/jobs/x",
    "message": f"/console/messages/{api_answers.JOB['id']}.0",
    "recipient": "/console/recipients?address=ana@exemple.fr",
    "nobody": "/console/recipients?address=bo@exemple.fr",
    "statistics": "/console/statistics",
    "statistics-by-list": "/console/statistics?by=list&from=2026-01-24&to=2026-01-31",
    "statistics-refused": "/console/statistics?from=yesterday",
    "webhooks": "/console/webhooks",
    "webhook": f"/console/webhooks/{api_answers.WEBHOOK['id']}",
    "contacts": "/console/contacts",
    "contact": "/console/contacts/one?key=ana@exemple.fr",
    "segments": "/console/segments",
    "segment": "/console/segments/3",
    "segment-built-in": "/console/segments/1",
    "segment-new": "/console/segments/new",
    "imports": "/console/imports",
    "import": "/console/imports/12",
    "import-applying": "/console/imports/13",
    "activity": "/console/activity",
    "suppressions": "/console/suppressions",
    "domains": "/console/domains",
    "stops": "/console/stops",
}

#: What only a button leads to: where it is, and by turns what is written there and which button is pressed.
CHOSEN = "document.querySelector('#about').value = '{}'"
FILE = """
const files = new DataTransfer();
files.items.add(new File(['email;Prénom\\nana@exemple.fr;Ana\\n'], 'salon.csv', {type: 'text/csv'}));
document.querySelector('#file').files = files.files"""
PRESSED = {
    "segment-add": ("/console/segments/3", (("", "button[value='add 2']"),)),
    "segment-add-tags": (
        "/console/segments/3",
        (("", "button[value='add ']"), (CHOSEN.format("field:tags"), "button[value=choose]")),
    ),
    "segment-add-segment": (
        "/console/segments/3",
        (("", "button[value='add ']"), (CHOSEN.format("segment:"), "button[value=choose]")),
    ),
    "segment-edit": ("/console/segments/3", (("", "button[value='edit 1']"),)),
    "segment-counted": ("/console/segments/3", (("", "button[value=sample]"),)),
    "segment-wrong": (
        "/console/segments/new",
        (("document.querySelector('#json').value = '{'", "button[value=count]"),),
    ),
    "import-looked-at": ("/console/imports", ((FILE, "button[formaction$=look]"),)),
    "import-without-a-file": (
        "/console/imports",
        (("document.querySelector('#file').required = false", "button[formaction$=look]"),),
    ),
}


class EveryKey:
    async def verify(self, text: str) -> Principal | None:
        return Principal("acme", frozenset(SCOPES), {}, "k3v9x2m1qa")


async def _answer(request: web.Request) -> web.StreamResponse:
    """The document's own example of what is asked."""
    if request.path.endswith("/report") and request.path.startswith("/v1/contact-imports/"):
        return web.Response(text=api_answers.REPORT, content_type="text/csv")
    await request.read()
    answers = api_answers.POSTED if request.method == "POST" else api_answers.ANSWERS
    found = answers.get(request.path)
    if request.query.get("by", "day") != "day":
        found = {**api_answers.STATISTICS, "rows": api_answers.job_statistics()["providers"]}
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
    app.router.add_route("*", "/v1/{rest:.+}", _answer)
    app.router.add_get("/r/{token}/report", _answer)
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
    await browser.go(base + path)
    return await on_each_screen(browser, name)


async def on_each_screen(browser: Browser, name: str) -> dict[str, Any]:
    """The same of the page that is open."""
    found: dict[str, Any] = {}
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
    assert [said for said in await browser.complaints() if not REFUSED.search(said)] == []


async def sign_in(browser: Browser, base: str) -> None:
    await browser.go(f"{base}/console")
    await browser.run("document.querySelector('input[name=key]').value = 'est_anything'")
    async with browser.leaving():
        await browser.click("main button")


async def unseen(browser: Browser, base: str, path: str) -> list[list[str]]:
    """What has the focus and does not show it, from the first Tab on."""
    await browser.go(base + path)
    found: list[list[str]] = []
    seen: list[list[str]] = []
    for _ in range(PRESSES):
        await browser.press(TAB)
        one = await browser.run(FOCUSED)
        if one is None:
            break
        seen.append(one)
        found += [one] if one[1] else []
    assert "skip" in seen[0][0], path
    assert len(seen) > 3, path
    return found


async def test_who_has_a_keyboard_alone_sees_where_they_are_on_each_page(browser: Browser, base: str) -> None:
    await browser.resize(*SIZES["phone"])
    found: dict[str, list[list[str]]] = {}
    for scheme in SCHEMES:
        await browser.prefer(scheme)
        found |= {f"{path} {scheme}": await unseen(browser, base, path) for path in ANYBODY.values()}
    await sign_in(browser, base)
    for scheme in SCHEMES:
        await browser.prefer(scheme)
        found |= {f"{path} {scheme}": await unseen(browser, base, path) for path in CONSOLE.values()}
    async with browser.leaving():
        await browser.run("document.querySelector('.who button').click()")

    assert {place: faults for place, faults in found.items() if faults} == {}
    await browser.complaints()


async def test_a_report_is_printed_without_what_is_only_for_the_screen(browser: Browser, base: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    await browser.resize(*SHEET)
    await browser.go(f"{base}/r/known")
    on_screen = await browser.run(PRINTED, ["header.top", "details", "h1", "svg", "table"])
    for scheme in SCHEMES:
        await browser.prefer(scheme, "print")

        printed = await browser.run(PRINTED, ["header.top", ".skip", "form", "button", "details", "h1", "svg", "table"])
        long = await browser.run("return document.documentElement.scrollHeight")
        await browser.resize(SHEET[0], long)
        await browser.screenshot(SHOTS / f"people-linked-report-print-{scheme}.png")

        assert printed == ["h1", "svg", "table"], scheme
        assert (await browser.run(WIDE))[0] <= SHEET[0]
        assert await browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert await browser.run("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert await browser.run(AXE_RUN, {"runOnly": ["color-contrast"]}) == []
    await browser.prefer("light")
    assert on_screen == ["header.top", "details", "h1", "svg", "table"]


async def pressed(
    browser: Browser, base: str, name: str, path: str, steps: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """What is wrong with the page that these lead to."""
    await browser.go(base + path)
    for written, button in steps:
        if written:
            await browser.run(written)
        async with browser.leaving():
            await browser.run("document.querySelector(arguments[0]).click()", button)
    return await on_each_screen(browser, name)


async def test_each_button_of_an_import_does_what_it_says(browser: Browser, base: str) -> None:
    """A browser sends a form in the order of the page, and what comes behind the file is not read before it."""
    await sign_in(browser, base)
    shown = []
    for button in ("look", "try", "import"):
        await browser.go(f"{base}/console/imports")
        await browser.run(FILE)
        async with browser.leaving():
            await browser.click(f"button[formaction$='do={button}']")
        shown.append(await browser.run("return [location.pathname, !!document.querySelector('#look-h')]"))
    async with browser.leaving():
        await browser.click(".who button")

    assert shown == [["/console/imports", True], ["/console/imports/14", False], ["/console/imports/14", False]]


async def test_axe_finds_nothing_in_the_console_which_works_without_scripts(browser: Browser, base: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    await browser.scripts(run=False)
    await sign_in(browser, base)
    assert await browser.run("return location.pathname") == "/console/jobs"
    await browser.scripts(run=True)

    found = [await looked_at(browser, base, name, path) for name, path in CONSOLE.items()]

    found += [await pressed(browser, base, name, path, steps) for name, (path, steps) in PRESSED.items()]

    assert [one for one in found if one] == []
    assert [said for said in await browser.complaints() if not REFUSED.search(said)] == []
    cookies = {one["name"]: one for one in await browser.cookies()}
    assert cookies[http.COOKIE]["httpOnly"]
    assert cookies[http.COOKIE]["sameSite"] == "Strict"
    await browser.go(f"{base}/console/jobs/{api_answers.JOB['id']}/mail")
    await browser.screenshot(SHOTS / "people-mail.png")
    assert await browser.run("return document.title") == "The mail, with its clicks", "what the mail brings has run"
    assert await browser.run("return document.querySelector('b').textContent") == "50 · 5.3 %"
    assert await browser.run("return performance.getEntriesByType('resource').length") == 0, "the mail loads nothing"
    assert await browser.complaints() == []
    await browser.go(f"{base}/console/jobs")
    async with browser.leaving():
        await browser.click(".who button")
    assert await browser.run("return location.pathname") == "/console"
