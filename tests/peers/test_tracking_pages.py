"""The recipients' pages in a real Chromium: they are drawn as meant, and the button really unsubscribes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from services.tracking import http
from services.tracking.page_words import WORDS
from services.tracking.tracking import Tracking
from shared.http import api
from shared.words import ids
from shared.words.events import (
    Clicked,
    Opened,
    Unsubscribed,
)
from shared.words.tokens import TokenKeys
from tests.fakes.recipients import Jobs
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said
from tests.peers.browser import Browser, browsing

NOW_MS = 1_750_000_005_000
JOB = ids.new_job_id(NOW_MS - 5_000, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)
LEAVE = f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}"
TAB, ENTER = "\ue004", "\ue007"


class Pressed(Memory):
    @property
    def left_by(self) -> list[str]:
        return [fact.by for fact in self.facts if isinstance(fact, Unsubscribed)]


class NoKeys:
    async def verify(self, text: str) -> None:
        return None


@pytest.fixture
def memory() -> Pressed:
    return Pressed()


@pytest.fixture
async def base(memory: Pressed) -> AsyncIterator[str]:
    routes = http.routes(Tracking(KEYS, memory, "edge", Jobs(), Said()), lambda: NOW_MS)
    async with TestServer(api.application(routes, NoKeys(), max_body_bytes=65536)) as server:
        yield f"http://127.0.0.1:{server.port}"


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


async def heading(browser: Browser) -> str:
    text = await browser.run("return document.querySelector('h1').textContent")
    assert isinstance(text, str)
    return text


async def test_the_button_unsubscribes_and_the_page_says_so(browser: Browser, base: str, memory: Pressed) -> None:
    await browser.language("de")
    await browser.go(base + LEAVE)
    assert await heading(browser) == WORDS["de"].leave_title
    assert memory.facts == []

    async with browser.leaving():
        await browser.click("button")

    assert memory.left_by == ["page"]
    assert await heading(browser) == WORDS["de"].left_title
    # No favicon is sought, no style refused, nothing blocked.
    assert await browser.complaints() == []


async def test_the_keyboard_alone_will_do_and_shows_where_it_is(browser: Browser, base: str, memory: Pressed) -> None:
    await browser.go(base + LEAVE)

    await browser.press(TAB, TAB)  # over the reasons, of which none need be given
    focused = await browser.run(
        "const e = document.activeElement; return [e.tagName, getComputedStyle(e).outlineStyle,"
        " parseFloat(getComputedStyle(e).outlineWidth)]"
    )
    async with browser.leaving():
        await browser.press(ENTER)

    assert focused == ["BUTTON", "solid", 3]
    assert memory.left_by == ["page"]


async def test_what_cannot_be_recorded_is_asked_for_again_later(browser: Browser, base: str, memory: Pressed) -> None:
    memory.refusing = True
    await browser.go(base + LEAVE)

    async with browser.leaving():
        await browser.click("button")

    language = await browser.run("return document.documentElement.lang")
    assert await heading(browser) == WORDS[language].later_title
    assert memory.left_by == []


async def test_every_page_fits_a_narrow_telephone_in_every_language(browser: Browser, base: str, shots: Path) -> None:
    await browser.resize(320, 640)
    for language in WORDS:
        await browser.language(language)
        for name, path in (("leave", LEAVE), ("invalid", "/u/none")):
            await browser.go(base + path)
            await browser.screenshot(shots / f"{name}-{language}.png")

            page = "const page = document.documentElement;"
            assert await browser.run(f"{page} return page.scrollWidth") == 320
            assert await browser.run(f"{page} return page.lang") == language
            # 44 CSS pixels are what a thumb hits (WCAG 2.5.5).
            heights = await browser.run("return [...document.querySelectorAll('button')].map(b => b.offsetHeight)")
            assert all(height >= 44 for height in heights)


@pytest.mark.parametrize(
    ("scheme", "background", "text"),
    [("light", "rgb(255, 255, 255)", "rgb(27, 33, 39)"), ("dark", "rgb(27, 32, 36)", "rgb(238, 241, 243)")],
)
async def test_the_page_follows_the_readers_colour_scheme(
    browser: Browser, base: str, shots: Path, scheme: str, background: str, text: str
) -> None:
    await browser.prefer(scheme)
    await browser.resize(1200, 800)

    await browser.go(base + LEAVE)
    await browser.screenshot(shots / f"{scheme}.png")

    drawn = await browser.run(
        "const s = getComputedStyle(document.querySelector('main')); return [s.backgroundColor, s.color]"
    )
    assert drawn == [background, text]


async def test_a_pixel_and_a_link_work_in_a_browser(browser: Browser, base: str, memory: Pressed) -> None:
    destination = f"{base}/u/none?été=1&a=%20"
    await browser.go(f"{base}/o/{KEYS.open(JOB, 1, 'demo', 'ana@example.fr')}")
    size = await browser.run("const i = document.images[0]; return [i.naturalWidth, i.naturalHeight]")

    await browser.go(f"{base}/c/{KEYS.click(JOB, 1, 'demo', 'ana@example.fr', 2, destination)}")

    assert size == [1, 1]
    assert await browser.run("return location.href") == f"{base}/u/none?%C3%A9t%C3%A9=1&a=%20"
    assert await browser.run("return document.referrer") == ""
    assert [type(fact) for fact in memory.facts] == [Opened, Clicked]
