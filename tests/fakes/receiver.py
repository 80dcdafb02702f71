"""A real receiver of webhooks on a free loopback port: verifies each request by the published library, answers as it is
told, and remembers what it took.

async with Receiver(secrets=["whsec_…"]) as receiver:
    receiver.answers = [500, 429]          # to the next requests; then 204
    receiver.taken[0].key, .events          # of the requests that were answered with 2xx
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook


@dataclass
class Request:
    key: str
    timestamp: str
    signatures: list[str]
    body: bytes
    status: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """Those of a batch, or the one."""
        said = json.loads(self.body)
        return list(said["data"]) if said["type"] == "events" else [said]


@dataclass
class Receiver:
    secrets: Sequence[str] = ()
    #: Statuses, or (status, headers), or "reset", or "hang".
    answers: list[Any] = field(default_factory=list)
    otherwise: Any = 204
    delay_s: float = 0
    requests: list[Request] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        (self.port,) = {address[1] for address in self._runner.addresses}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def taken(self) -> list[Request]:
        return [one for one in self.requests if 200 <= one.status < 300]

    @property
    def events(self) -> list[dict[str, Any]]:
        """All that were taken, in order."""
        return [event for one in self.taken for event in one.events]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        for secret in self.secrets:
            try:
                Webhook(secret).verify(body, dict(request.headers))  # type: ignore[no-untyped-call, unused-ignore]
            except Exception as fault:
                self.unverified.append(f"{fault}")
        answer = self.answers.pop(0) if self.answers else self.otherwise
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        self.requests.append(
            Request(
                request.headers["webhook-id"],
                request.headers["webhook-timestamp"],
                request.headers["webhook-signature"].split(" "),
                body,
                status if isinstance(status, int) else 0,
            )
        )
        if status == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if status == "hang":
            await asyncio.sleep(60)
        return web.Response(status=status, headers=headers, text="merci" if status == 200 else None)
