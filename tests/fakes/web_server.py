"""A real HTTPS server on a free loopback port that answers as it is told, and remembers what it was asked.

async with WebServer(context) as server:
    server.answers["/.well-known/mta-sts.txt"] = Answer(b"version: STSv1\\n…")
    server.answers["//mta-sts.example.net/.well-known/mta-sts.txt"] = …     # of one host only
    server.port
    server.requests[0].path, .host, .headers, .body
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web


@dataclass
class Answer:
    body: bytes = b""
    status: int = 200
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0


@dataclass
class Request:
    method: str
    path: str
    host: str
    headers: Mapping[str, str]
    body: bytes


class WebServer:
    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []
        self.asked = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.context)
        await site.start()
        (self.port,) = {address[1] for address in self._runner.addresses}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(Request(request.method, request.path, request.host, dict(request.headers), body))
        self.asked.set()
        of_host = self.answers.get(f"//{request.host.partition(':')[0]}{request.path}")
        answer = of_host or self.answers.get(request.path, Answer(status=404))
        await asyncio.sleep(answer.delay_s)
        return web.Response(
            body=answer.body, status=answer.status, headers={"Content-Type": answer.content_type, **answer.headers}
        )
