"""A real Chromium, driven over WebDriver (W3C) by chromedriver; no more of the protocol than the tests use."""

import asyncio
import contextlib
import subprocess
from base64 import b64decode
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp

from tests.servers import free_port, missing, need, stop

#: Without the flags about background work it keeps asking for hosts on the Internet.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PATIENCE_SECONDS = 60
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def go(self, url: str) -> None:
        await self._ask("POST", "/url", {"url": url})

    async def click(self, css: str) -> None:
        """As a person does: it has to be visible."""
        element = await self._ask("POST", "/element", {"using": "css selector", "value": css})
        await self._ask("POST", f"/element/{element[_ELEMENT]}/click", {})

    async def into_frame(self, css: str) -> None:
        """What follows happens inside that frame, until `out_of_frame`."""
        element = await self._ask("POST", "/element", {"using": "css selector", "value": css})
        await self._ask("POST", "/frame", {"id": element})

    async def out_of_frame(self) -> None:
        await self._ask("POST", "/frame", {"id": None})

    async def tabs(self) -> list[str]:
        """The handles of the open tabs, for `to_tab`."""
        handles: list[str] = await self._ask("GET", "/window/handles")
        return handles

    async def to_tab(self, handle: str) -> None:
        await self._ask("POST", "/window", {"handle": handle})

    @contextlib.asynccontextmanager
    async def leaving(self) -> AsyncIterator[None]:
        """What is done within leads to another page, which is loaded at the end. A click alone may return before."""
        await self.run("window.stillHere = true")
        yield
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.run("return !window.stillHere && document.readyState === 'complete'"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def press(self, *keys: str) -> None:
        """Keys of the keyboard, one after the other (WebDriver's code points: \\ue004 Tab, \\ue007 Enter)."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    async def run(self, script: str, *args: Any) -> Any:
        """What the body of a JavaScript function returns."""
        return await self._ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    async def resize(self, width: int, height: int) -> None:
        """The page's own size, as on a telephone: windows have a smallest width."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self._devtools("Emulation.setDeviceMetricsOverride", size)

    async def prefer(self, scheme: str, medium: str = "") -> None:
        """`light` or `dark`; on a `screen`, which is the rule, or as for `print`."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self._devtools("Emulation.setEmulatedMedia", {"media": medium, "features": [feature]})

    async def language(self, accept_language: str) -> None:
        await self._devtools("Network.enable", {})
        await self._devtools("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": accept_language}})

    async def called(self, user_agent: str) -> None:
        """What it calls itself from now on."""
        await self._devtools("Emulation.setUserAgentOverride", {"userAgent": user_agent})

    async def before_each_page(self, script: str) -> None:
        """What runs in each page before its own scripts."""
        await self._devtools("Page.enable", {})
        await self._devtools("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    async def cookies(self) -> list[dict[str, Any]]:
        """Those of the page that is shown."""
        found: list[dict[str, Any]] = await self._ask("GET", "/cookie")
        return found

    async def scripts(self, *, run: bool) -> None:
        """Whether pages may run scripts, as somebody decides who turns JavaScript off. `run` of ours works all the
        same."""
        await self._devtools("Emulation.setScriptExecutionDisabled", {"value": not run})

    async def begin_with(self, script: str) -> None:
        """Each page and each frame runs it before all else, whatever its policy."""
        await self._devtools("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    async def screenshot(self, file: Path, scale: float = 1) -> None:
        """Of what the window shows; smaller by `scale`."""
        if scale == 1:
            shot = await self._ask("GET", "/screenshot")
        else:
            width, height = await self.run("return [innerWidth, innerHeight]")
            clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
            shot = (await self._devtools("Page.captureScreenshot", {"clip": clip}))["data"]
        await asyncio.to_thread(file.write_bytes, b64decode(shot))

    async def complaints(self) -> list[str]:
        """What the browser's console was told since the last time: blocked resources, errors of scripts."""
        return [entry["message"] for entry in await self._ask("POST", "/se/log", {"type": "browser"})]

    async def _devtools(self, command: str, params: dict[str, Any]) -> Any:
        return await self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        async with self._session.request(method, self._base + path, json=body) as answer:
            value = (await answer.json())["value"]
            assert answer.status == 200, value
            return value


def axe() -> str:
    """The source of axe-core, which every frame begins with."""
    spec = find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        missing("axe-core (tests/peers/requirements.lock)")
    return (Path(next(iter(spec.submodule_search_locations or ()))) / "axe.min.js").read_text("utf-8")


@contextlib.asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Browser]:
    """A browser with an empty profile in that directory."""
    chromium, driver, port = need("chromium"), need("chromedriver"), free_port()
    process = _started(driver, port)
    base = f"http://127.0.0.1:{port}/session"
    try:
        async with aiohttp.ClientSession() as session:
            await _listening(session, port)
            options = {"binary": chromium, "args": [*FLAGS, f"--user-data-dir={profile}"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            async with session.post(base, json={"capabilities": {"alwaysMatch": wanted}}) as answer:
                value = (await answer.json())["value"]
                assert answer.status == 200, value
            browser = f"{base}/{value['sessionId']}"
            try:
                yield Browser(session, browser)
            finally:
                await session.delete(browser)
    finally:
        stop(process)


def _started(driver: str, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _listening(session: aiohttp.ClientSession, port: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{port}/status")
                return
            await asyncio.sleep(0.02)
