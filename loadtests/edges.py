"""Other ways to serve clicks, before the same `Tracking`, to be measured beside ours: `bench_tracking --candidates`.

    python -m loadtests.edges aiohttp|low_level|protocol|granian

    aiohttp      the routes as the API has them: router, middlewares, `shared.net.server`
    low_level    aiohttp's own low-level server (`web.Server`), without router, middlewares and limits of ours
    protocol     a bare `asyncio.Protocol` on httptools, a task for each request, with no limit at all
    granian      its RSGI, one worker (`pip install granian`: it is no dependency of ours)

They have just what the measurement needs: a click that is recorded and answered.
"""

import asyncio
import importlib
import importlib.util
import os
import re
import secrets
import sys
from typing import Any

import httptools
import uvloop
from aiohttp import web

from services.settings import load
from services.tracking import http, parts
from services.tracking.deciding import Answer, Request
from services.tracking.tracking import Tracking
from shared.http import api
from shared.net.server import Runner
from shared.process import master_secret
from shared.process.clock import now_ms
from shared.redis import redis, start
from shared.redis.recipients import Recipients
from shared.redis.untracked import Untracked
from shared.words.tokens import TokenKeys

NAMES = ("aiohttp", "low_level", "protocol", "granian")
#: What one of them needs besides, and is no dependency of ours.
_NEEDS = {"granian": "granian"}
_LINK = re.compile(r"/c/([A-Za-z0-9_-]+)")


def is_installed(name: str) -> bool:
    return name not in _NEEDS or importlib.util.find_spec(_NEEDS[name]) is not None


async def made() -> Tracking:
    """Started, as `python -m services.tracking` has it."""
    settings = load(dict(os.environ), None)
    secret = master_secret.load(settings)
    client = redis.connect(settings.redis.url, start.wants(settings))
    found = parts.tracking(
        settings,
        start.publisher(client, settings),
        TokenKeys(secret.current, secret.previous),
        Recipients(client, settings.redis.partitions),
        Untracked(client),
        secrets.token_hex(6),
    )
    await found.start()
    return found


def click(method: str, path: str, agent: str, ip: str) -> Request:
    link = _LINK.fullmatch(path)
    return Request(method=method, kind="click", token=link[1] if link else "", ip=ip, user_agent=agent)


class _NoKeys:
    async def verify(self, text: str) -> None:
        return None


async def with_aiohttp(tracking: Tracking, port: int) -> None:
    app = api.application(http.routes(tracking, now_ms), _NoKeys(), max_body_bytes=65536)
    runner = Runner(app, max_line_size=20_000)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()


async def with_low_level(tracking: Tracking, port: int) -> None:
    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        agent = request.headers.get("User-Agent", "")
        answer = await tracking.answer(click(request.method, request.path, agent, request.remote or ""), now_ms())
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    server: Any = web.Server(answered, access_log=None, max_line_size=20_000)
    await asyncio.get_running_loop().create_server(server, "127.0.0.1", port)


class _Protocol(asyncio.Protocol):
    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._parser = httptools.HttpRequestParser(self)
        self._wire: Any = None
        self._ip = self._agent = self._path = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire, self._ip = transport, transport.get_extra_info("peername")[0]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"user-agent":
            self._agent = value.decode("utf-8", "surrogateescape")

    def on_message_complete(self) -> None:
        request = click(self._parser.get_method().decode(), self._path, self._agent, self._ip)
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        answer = await self._tracking.answer(request, now_ms())
        fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        head = f"HTTP/1.1 {answer.status} Found\r\n{fields}Content-Length: {len(answer.body)}\r\n\r\n"
        self._wire.write(head.encode() + answer.body)


async def with_protocol(tracking: Tracking, port: int) -> None:
    await asyncio.get_running_loop().create_server(lambda: _Protocol(tracking), "127.0.0.1", port)


class _Rsgi:
    """What granian calls, in its worker."""

    def __init__(self) -> None:
        self._tracking: Tracking | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tracking = loop.run_until_complete(made())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        assert self._tracking is not None
        agent = scope.headers.get("user-agent", "")
        request = click(scope.method, scope.path, agent, scope.client.rpartition(":")[0])
        answer: Answer = await self._tracking.answer(request, now_ms())
        protocol.response_bytes(answer.status, list(answer.headers.items()), answer.body)


rsgi = _Rsgi()


def main() -> None:
    name, port = sys.argv[1], int(os.environ["ESTAFETTE_HTTP_PORT"])
    if name == "granian":
        granian = importlib.import_module("granian")
        granian.Granian(
            "loadtests.edges:rsgi", address="127.0.0.1", port=port, interface="rsgi", workers=1, loop="uvloop"
        ).serve()
        return
    served = {"aiohttp": with_aiohttp, "low_level": with_low_level, "protocol": with_protocol}[name]

    async def serve() -> None:
        await served(await made(), port)
        await asyncio.Event().wait()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
