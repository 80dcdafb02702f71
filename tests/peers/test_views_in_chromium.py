"""The page that shows a mail, in a real Chromium: it looks like the mail, its links lead on, and nothing of it runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.tracking import showing
from tests.peers.browser import Browser, browsing

HTML = (
    "<html><head><title>Soldes</title><style>h1{color:rgb(1,2,3)}</style>"
    '<meta http-equiv="refresh" content="0;url=/refreshed"></head><body><h1>Bonjour</h1>'
    '<p style="font-weight:700">Ana</p><img src="/picture" onerror="document.title=\'ran\'" alt="">'
    "<script>document.title='ran'</script>"
    '<a id="same" href="/target">on</a></body></html>'
)


class Seen:
    def __init__(self) -> None:
        self.paths: list[str] = []


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def base(seen: Seen) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        seen.paths.append(request.path)
        if request.path == "/v/token":
            return web.Response(headers=showing.HEADERS, body=HTML.encode())
        return web.Response(text=f"<h1>{request.path}</h1>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "profile") as browser:
        yield browser


async def test_a_mail_looks_like_itself_nothing_of_it_runs_and_its_links_lead_on(
    browser: Browser, base: str, seen: Seen, tmp_path: Path
) -> None:
    await browser.go(f"{base}/v/token")
    await browser.screenshot(tmp_path / "view.png")

    styles = await browser.run(
        "return [getComputedStyle(document.querySelector('h1')).color,"
        " getComputedStyle(document.querySelector('p')).fontWeight, document.title, location.pathname]"
    )
    async with browser.leaving():
        await browser.click("#same")

    assert styles == ["rgb(1, 2, 3)", "700", "Soldes", "/v/token"]
    assert await browser.run("return [document.querySelector('h1').textContent, document.referrer]") == ["/target", ""]
    assert "/picture" in seen.paths
    assert "/refreshed" not in seen.paths
