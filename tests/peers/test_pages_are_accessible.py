"""The pages of recipients in a real Chromium: axe-core finds nothing, and without JavaScript nothing is missed.

Every page is looked at in each language, on a phone and on a desk, in light and dark, in a tenant's look. All of one
language are frames of one sheet, which costs a tenth of opening each; the sheets are kept in `build/pages`.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import compress, crc32

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.tracking import consent_pages, http, pages, showing
from services.tracking.about import NOTHING_KNOWN, About, Offered
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
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said
from tests.peers.browser import Browser, axe, browsing

pytestmark = pytest.mark.asyncio(loop_scope="module")

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


LOOK = Look(
    "Chouette",
    _logo(),
    "#7a1f3d",
    "#f2a7bf",
    "Chouette SA, 1 rue du Bac, Paris",
    "",
    (("n", "La lettre"),),
    ("sms", "phone"),
)
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
ASKED = msgspec.structs.replace(ABOUT, purpose="Offres")
LEFT = msgspec.structs.replace(ABOUT, stopped="unsubscribed")
SIZES = {"phone": (360, 780), "desk": (1280, 900)}
SCHEMES = ("light", "dark")
#: Of a sheet; and how large it is kept.
COLUMNS = 4
SCALES = {"phone": 1.0, "desk": 0.5}
#: The rules that depend on how a page is drawn: all others ask of its elements, which no size and no scheme changes.
DRAWN = ("color-contrast", "target-size")
#: Gives each frame the size of a screen, then the height of its page; how wide the pages want to be.
FIT = """
const [width, height] = arguments;
const frames = [...document.querySelectorAll('iframe')];
frames.forEach(frame => { frame.width = width; frame.height = height; });
return Object.fromEntries(frames.map(frame => {
  const page = frame.contentDocument.documentElement;
  frame.height = page.scrollHeight;
  return [frame.title, page.scrollWidth];
}))"""
AXE_RUN = """
const frames = [...document.querySelectorAll('iframe')];
const options = arguments[0];
const looked = async frame => {
  const found = await frame.contentWindow.axe.run(frame.contentDocument, {resultTypes: ['violations'], ...options});
  return [frame.title, found.violations.map(one => one.id + ' ' + one.nodes.map(node => node.html).join(' '))];
};
return Promise.all(frames.map(looked)).then(all => Object.fromEntries(all.filter(([_, found]) => found.length)))"""

Page = Callable[[str], pages.Page]
PAGES: dict[str, Page] = {
    "leave": lambda language: pages.leave(ABOUT, language),
    "left": lambda language: pages.left(ABOUT, language),
    "left-before": lambda language: pages.leave(LEFT, language),
    "back": lambda language: pages.back(ABOUT, language),
    "preferences": lambda language: consent_pages.preferences(ABOUT, language),
    "saved": lambda language: consent_pages.saved(ABOUT, language),
    "tracking": lambda language: consent_pages.tracking(ABOUT, language),
    "button": lambda language: consent_pages.opt_in(ABOUT, language, "button"),
    "box": lambda language: consent_pages.opt_in(ABOUT, language, "box"),
    "box-missed": lambda language: consent_pages.opt_in(ABOUT, language, "box", is_missing=True),
    "confirm": lambda language: consent_pages.opt_in(ASKED, language, "confirm"),
    "confirmed": lambda language: consent_pages.opted_in(ABOUT, language),
    "view": lambda language: pages.Page(_view(language), showing.HEADERS),
    "nothing-known": lambda language: pages.leave(NOTHING_KNOWN, language),
    "invalid": lambda language: pages.Page(pages.invalid(language), pages.HEADERS),
    "later": lambda language: pages.Page(pages.later(language), pages.HEADERS),
}


def _view(language: str) -> bytes:
    """A mail in a browser, of text alone: that page is ours. The HTML of a mail is its tenant's, byte for byte."""
    return showing.as_page("Chouette\n\n" + 20 * "hou " + "\n\nhttps://exemple.fr/soldes\n", "Chouette", language)


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


FRAME_CSP = ("frame-ancestors 'none'", "frame-ancestors 'self'")


async def _shown(request: web.Request) -> web.Response:
    """A page as its handler answers it, but that it may be in a frame of this test."""
    page = PAGES[request.match_info["name"]](request.match_info["language"])
    policy = page.headers["Content-Security-Policy"].replace(*FRAME_CSP).partition("; sandbox")[0]
    return web.Response(body=page.body, headers={**page.headers, "Content-Security-Policy": policy})


async def _sheet(request: web.Request) -> web.Response:
    """All pages in one language, each in a frame of its own."""
    language = request.match_info["language"]
    frames = "".join(f'<iframe title="{name}" src="/shown/{name}/{language}"></iframe>' for name in PAGES)
    style = "body{margin:0;background:#888;line-height:0}iframe{border:0;margin:8px;vertical-align:top}"
    head = f'<title>{language}</title><link rel="icon" href="data:,"><style>{style}</style>'
    html = f'<!DOCTYPE html><html lang="{language}">{head}{frames}</html>'
    return web.Response(text=html, content_type="text/html")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    house = House()
    tracking = Tracking(KEYS, house.memory, "edge", Jobs(), Said(), abouts=house.known)
    routes = http.routes(tracking, lambda: NOW_MS)
    app = api.application(routes, NoKeys(), max_body_bytes=65536)
    app.router.add_get("/shown/{name}/{language}", _shown)
    app.router.add_get("/sheet/{language}", _sheet)
    async with TestServer(app) as server:
        house.base = f"http://127.0.0.1:{server.port}"
        yield house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with browsing(tmp_path_factory.mktemp("browser") / "profile") as browser:
        await browser.begin_with(axe())
        yield browser


@pytest.mark.parametrize("language", LANGUAGES)
async def test_axe_finds_nothing_in_any_page_on_any_screen_in_any_colour(
    browser: Browser, house: House, language: str
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    await browser.scripts(run=True)
    found: dict[str, Any] = {}

    await browser.go(f"{house.base}/sheet/{language}")
    for size, (width, height) in SIZES.items():
        await browser.resize(COLUMNS * (width + 16), height)
        widths = await browser.run(FIT, width, height)
        assert widths == dict.fromkeys(PAGES, width), "a page that has to be scrolled sideways"
        await browser.resize(COLUMNS * (width + 16), await browser.run("return document.documentElement.scrollHeight"))
        for scheme in SCHEMES:
            await browser.prefer(scheme)
            where = f"{language}-{size}-{scheme}"
            await browser.screenshot(SHOTS / f"{where}.png", SCALES[size])
            is_first = (size, scheme) == ("phone", "light")
            violations = await browser.run(AXE_RUN, {} if is_first else {"runOnly": list(DRAWN)})
            found |= {f"{name}-{where}": what for name, what in violations.items()}

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
