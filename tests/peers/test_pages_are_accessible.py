"""The pages of recipients in a real Chromium: axe-core finds nothing, and without JavaScript nothing is missed.

Every page is looked at in each language, on a phone and on a desk, in light and dark, in a tenant's look; what was seen
is kept in `build/pages`, a picture each.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zlib import compress, crc32

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.tracking import consent_pages, http, pages
from services.tracking.about import About, Offered
from services.tracking.consent_words import WORDS as CONSENT_WORDS
from services.tracking.page_words import WORDS
from services.tracking.tracking import Tracking
from shared.http import api
from shared.words import ids
from shared.words.events import Fact, OptedIn, PreferencesChanged, Unsubscribed
from shared.words.languages import LANGUAGES
from shared.words.look import Look, faults
from shared.words.tokens import Kind, Token, TokenKeys
from tests.fakes.recipients import Jobs
from tests.fakes.untracked import Said
from tests.peers.browser import Browser, browsing
from tests.servers import missing

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "pages"
NOW_MS = 1_750_000_005_000
JOB = ids.new_job_id(NOW_MS - 5_000, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + crc32(kind + content).to_bytes(4, "big")


def _logo(width: int = 160, height: int = 48) -> str:
    """A PNG in one colour (RFC 2083)."""
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    rows = (b"\0" + bytes((0xC0, 0x60, 0x80)) * width) * height
    parts = _chunk(b"IHDR", head) + _chunk(b"IDAT", compress(rows)) + _chunk(b"IEND", b"")
    return f"data:image/png;base64,{b64encode(bytes.fromhex('89504e470d0a1a0a') + parts).decode()}"


LOOK = Look("Chouette", _logo(), "#7a1f3d", "#f2a7bf", "Chouette SA, 1 rue du Bac, Paris", "", (("n", "La lettre"),))
ABOUT = About(
    look=LOOK,
    sender="Chouette",
    list="n",
    address="ana@example.org",
    lists=(Offered("n", "La lettre", True), Offered("o", "Les offres de la semaine", False)),
    answers={"email": "yes", "sms": "no"},
    most=1,
    days=7,
)
LEFT = msgspec.structs.replace(ABOUT, stopped="unsubscribed")
SIZES = {"phone": (360, 780), "desk": (1280, 900)}
SCHEMES = ("light", "dark")
AXE_RUN = "return axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(one => one.id + ' ' + one.nodes.map(node => node.html).join(' ')))"  # noqa: E501

Page = Callable[[str], pages.Page]
PAGES: dict[str, Page] = {
    "leave": lambda language: pages.leave(ABOUT, language),
    "left": lambda language: pages.left(ABOUT, language),
    "left-before": lambda language: pages.leave(LEFT, language),
    "back": lambda language: pages.back(ABOUT, language),
    "preferences": lambda language: consent_pages.preferences(ABOUT, language),
    "tracking": lambda language: consent_pages.tracking(ABOUT, language),
    "box-missed": lambda language: consent_pages.opt_in(ABOUT, language, "box", is_missing=True),
    "confirm": lambda language: consent_pages.opt_in(ABOUT, language, "confirm"),
    "confirmed": lambda language: consent_pages.opted_in(ABOUT, language),
}


class Memory:
    def __init__(self) -> None:
        self.facts: list[Fact] = []

    async def record(self, fact: Fact, mark: bytes = b"") -> None:
        self.facts.append(fact)

    def hand_in(self, fact: Fact, mark: bytes, told: Callable[[bool], None]) -> None:
        self.facts.append(fact)
        told(True)

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Known:
    """Says what the test wants of every mail, in the language that it wants."""

    def __init__(self) -> None:
        self.about = ABOUT

    async def of(self, _token: Token) -> About:
        return self.about

    async def leaving(self, _token: Token) -> About:
        return self.about


class NoKeys:
    async def verify(self, text: str) -> None:
        return None


class House:
    """The pages, served as they are, and what came of them."""

    def __init__(self) -> None:
        self.memory, self.known = Memory(), Known()
        self.base = ""

    def url(self, kind: Kind, query: str = "") -> str:
        letter = {"unsubscribe": "u", "preferences": "p", "opt_in": "a"}[kind]
        return f"{self.base}/{letter}/{KEYS.for_job(JOB, 'demo').addressed(kind, 1, 'ana@example.org').decode()}{query}"

    def taken(self) -> Sequence[Fact]:
        facts, self.memory.facts = self.memory.facts, []
        return facts


async def _shown(request: web.Request) -> web.Response:
    """A page as its handler answers it."""
    page = PAGES[request.match_info["name"]](request.match_info["language"])
    return web.Response(body=page.body, headers=page.headers)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    tracking = Tracking(KEYS, house.memory, "edge", Jobs(), Said(), abouts=house.known)
    routes = http.routes(tracking, lambda: NOW_MS)
    app = api.application(routes, NoKeys(), max_body_bytes=65536)
    app.router.add_get("/shown/{name}/{language}", _shown)
    async with TestServer(app) as server:
        house.base = f"http://127.0.0.1:{server.port}"
        yield house


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "profile") as browser:
        yield browser


def axe() -> str:
    """The source of axe-core, as a body of a function that puts it into the page."""
    spec = find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        missing("axe-core (tests/peers/requirements.lock)")
    return (Path(next(iter(spec.submodule_search_locations or ()))) / "axe.min.js").read_text("utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_axe_finds_nothing_in_any_page_on_any_screen_in_any_colour(
    browser: Browser, house: House, language: str
) -> None:
    source = axe()
    SHOTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}

    for name in PAGES:
        await browser.go(f"{house.base}/shown/{name}/{language}")
        await browser.run(source)
        for size, (width, height) in SIZES.items():
            await browser.resize(width, height)
            await browser.resize(width, await browser.run("return document.documentElement.scrollHeight"))  # all of it
            for scheme in SCHEMES:
                await browser.prefer(scheme)
                where = f"{name}-{language}-{size}-{scheme}"
                await browser.screenshot(SHOTS / f"{where}.png")
                if violations := await browser.run(AXE_RUN):
                    found[where] = violations
                assert await browser.run("return document.documentElement.scrollWidth") == width, where

    assert found == {}
    assert await browser.complaints() == []
    assert faults(LOOK) == []


async def _heading(browser: Browser) -> str:
    return str(await browser.run("return document.querySelector('h1').textContent"))


async def _press(browser: Browser, css: str) -> str:
    """The heading of the page that a button leads to."""
    async with browser.leaving():
        await browser.click(css)
    return await _heading(browser)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_without_javascript_one_leaves_comes_back_chooses_and_confirms(
    browser: Browser, house: House, language: str
) -> None:
    words, consent_words = WORDS[language], CONSENT_WORDS[language]
    await browser.scripts(run=False)
    await browser.language(language)

    await browser.go(house.url("unsubscribe"))
    await browser.click("input[value=too_many]")
    left = await _press(browser, "button")
    back = await _press(browser, "button[name=undo]")
    (unsubscribed, undone) = house.taken()

    await browser.go(house.url("preferences"))
    await browser.click("input[name=on][value='1']")
    await browser.click("input[name=sms][value=yes]")
    await browser.click("input[name=often][value='1/30']")
    saved = await _press(browser, "button")
    (chosen, agreed) = house.taken()

    await browser.go(house.url("preferences", "?tracking"))
    untracked = await _press(browser, "button")
    (tracking,) = house.taken()

    await browser.go(house.url("opt_in", "?confirm"))
    assert house.taken() == []
    confirmed = await _press(browser, "button")
    (opted_in,) = house.taken()

    assert (left, back) == (words.left_title, words.back_title)
    assert (saved, untracked, confirmed) == (
        consent_words.saved_title,
        consent_words.saved_title,
        consent_words.in_done_title,
    )
    assert isinstance(unsubscribed, Unsubscribed)
    assert unsubscribed.reason == "too_many"
    assert isinstance(undone, PreferencesChanged)
    assert undone.undone
    assert isinstance(chosen, PreferencesChanged)
    assert (chosen.joined, chosen.left, chosen.opted_out, chosen.most, chosen.days) == ("o", "", "", 1, 30)
    assert isinstance(agreed, OptedIn)
    assert (agreed.channel, agreed.by) == ("sms", "page")
    assert isinstance(tracking, PreferencesChanged)
    assert tracking.tracking == "no"
    assert isinstance(opted_in, OptedIn)
    assert (opted_in.by, opted_in.list, opted_in.text) == ("double_opt_in", "n", f"estafette-confirm-{language}-3")
