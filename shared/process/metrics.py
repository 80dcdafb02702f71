"""Metrics: what every process serves on its own port, so that one scrape configuration fits all.

    GET /metrics    Prometheus text, of the default registry
    GET /healthz    200 as long as the event loop turns, and the process does what it is there for; else 503
    GET /readyz     200 `ready`, or 503 and the reason

Counters are declared at the top of the module that counts (`estafette_<service>_<thing>_<unit>[_total]`); labelled
children are held, not looked up for each count.
"""

from collections.abc import Awaitable, Callable

import prometheus_client
from aiohttp import web

from shared.net.connections import Connections, Places
from shared.net.problems import answer_errors, refuse_encoded
from shared.net.server import Runner

#: Tells why the process hangs, or None when it does not.
Liveness = Callable[[], str | None]
#: Tells why the process is not ready, or None when it is.
Readiness = Callable[[], Awaitable[str | None]]


class Server:
    """A running server; `port` is the real one where 0 was asked for."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self._runner = runner
        self.host = host
        self.port = port

    async def close(self) -> None:
        await self._runner.cleanup()


async def serve(
    host: str,
    port: int,
    readiness: Readiness,
    registry: prometheus_client.CollectorRegistry = prometheus_client.REGISTRY,
    liveness: Liveness = lambda: None,
    places: Places | None = None,
) -> Server:
    """Listens on that port, or on a free one for 0. OSError when the port is taken. `places`: of the process, for this
    port."""

    async def metrics(_request: web.Request) -> web.Response:
        body = prometheus_client.generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})

    async def readyz(_request: web.Request) -> web.Response:
        return readiness_answer(await readiness())

    async def alive(_request: web.Request) -> web.Response:
        return liveness_answer(liveness())

    app = web.Application(middlewares=[answer_errors, refuse_encoded])
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", alive), web.get("/readyz", readyz)])
    runner = Runner(app, places or Connections().probes, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return Server(runner, host, runner.addresses[0][1])


async def healthz(_request: web.Request) -> web.Response:
    return liveness_answer(None)


def liveness_answer(reason: str | None) -> web.Response:
    """200, or 503 with the reason."""
    return web.Response(text="alive\n") if reason is None else web.Response(status=503, text=f"{reason}\n")


def readiness_answer(reason: str | None) -> web.Response:
    """200, or 503 with the reason."""
    return web.Response(text="ready\n") if reason is None else web.Response(status=503, text=f"{reason}\n")
