"""All HTTP routes of all services on one aiohttp application: the one process that outsiders and recipients meet.

Links in mails work from the first moment, with or without Redis; the rest answers 503 until Redis does. /readyz is 200
once the data was found to be ours and every process named in `http.ready_urls` is ready too.

`python -m services.http describe` writes these routes down for people instead (`docs/api.md`), and `python -m
services.http chart helm/estafette` for the chart.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from services import catalogue
from services.http import chart
from services.http.calls import Calls
from services.http.page import page
from services.settings import Settings as Joined
from services.settings import load, read
from shared.http import api
from shared.http.parts import Mounted, Parts
from shared.http.serving import listen, prepared
from shared.http.turns import Turns
from shared.mail.dkim_keys import Vault
from shared.process import master_secret, metrics, tracing
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run
from shared.process.settings import Data, Settings
from shared.redis import known_secret, redis, start
from shared.redis.link_keys import KnownLinkKeys
from shared.redis.recipients import Recipients
from shared.redis.sending_domains import SendingDomains
from shared.redis.tenants import Tenants
from shared.words.erased import ErasureKeys
from shared.words.quotas import Admission
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys

#: How long a thread beside the loop keeps the interpreter, in seconds: the loop's turn comes in answers to people.
SWITCH_S = 0.001
#: Another process that takes longer to say that it is ready is not.
READY_SECONDS = 1.0


async def main(life: Lifecycle) -> None:
    sys.setswitchinterval(SWITCH_S)
    settings = life.settings
    secret = master_secret.load(settings)
    client = start.connect(life)
    parts = parts_of(settings, client, secret)
    mounted = mount(parts)
    for one in mounted:
        if one.reload is not None:
            life.also_reload(one.reload)
    for one in mounted:
        if one.start is not None:
            await one.start()
        if one.close is not None:
            life.push_close(one.close)  # before the client: what is in hand still goes to Redis
    calls = Calls(client, settings.redis.partitions, os.urandom(8).hex(), now_ms)
    life.push_close(calls.flush)
    admission = Admission(settings.quotas.by_name(), time.monotonic, calls.count)
    turns = Turns()
    app = api.application(
        routes_of(mounted, life),
        parts.tenants,
        max_body_bytes=max(one.max_body_bytes for one in mounted),
        admission=admission,
        turns=turns,
        tracer=tracing.start(life),
        forwarded_hops=settings.tracking.forwarded_hops,
    )
    runner = await prepared(app, life, next((one.quick for one in mounted if one.quick), None), turns)
    others = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=READY_SECONDS))
    life.push_close(others.close)
    life.also_check(_OtherProcesses(others, settings.http.ready_urls))
    life.keep_serving()
    async with life.serving(settings.http.metrics_port):
        for one in mounted:
            if one.run is not None:
                life.spawn(one.run(life.stopping), "beside the routes")
        life.spawn(calls.run(life.stopping), "calls")
        life.spawn(KnownLinkKeys(client, parts.tokens.generations).run(life.stopping), "link keys")
        await listen(runner, settings)
        if await start.is_ours(life, client) and await known_secret.is_known(life, client, secret):
            await SendingDomains(client, parts.vault).count()
            life.ready()
        await life.stopping.wait()


def parts_of(settings: Settings, client: redis.Client, secret: master_secret.MasterSecret) -> Parts:
    """Asks nothing of Redis yet."""
    return Parts(
        settings=settings,
        client=client,
        publisher=start.publisher(client, settings),
        tenants=Tenants(client),
        tokens=TokenKeys(secret.current, secret.previous),
        verp=VerpKeys(secret.current, secret.previous),
        recipients=Recipients(client, settings.redis.partitions),
        vault=Vault(secret.current, secret.previous),
        erasure_keys=ErasureKeys(secret.current, secret.previous),
        now_ms=now_ms,
        monotonic=time.monotonic,
        chance=os.urandom,
        derive=secret.derive,
    )


def mount(parts: Parts) -> list[Mounted]:
    """Of each service that has routes under these settings. Asks nothing of Redis yet."""
    mounted = [service.mounting().routes(parts) for service in catalogue.mounted(parts.settings.relay.route)]
    parts.keepers.extend(one.keeper for one in mounted if one.keeper is not None)
    return mounted


def routes_of(mounted: Sequence[Mounted], life: Lifecycle) -> list[api.Route]:
    return [*(route for one in mounted for route in one.routes), *_health(life)]


def _health(life: Lifecycle) -> list[api.Route]:
    async def readyz(_request: web.Request) -> web.StreamResponse:
        return metrics.readiness_answer(await life.readiness())

    text = {200: "text/plain"}
    not_yet = {**text, 503: "text/plain"}
    return [  # probes are often told to append something that no cache knows
        api.Route(
            "GET",
            "/healthz",
            metrics.healthz,
            "Whether this process is alive",
            name="is_alive",
            tag="process",
            answers=text,
            any_query=True,
        ),
        api.Route(
            "GET",
            "/readyz",
            readyz,
            "Whether every process is ready",
            name="is_ready",
            tag="process",
            answers=not_yet,
            any_query=True,
        ),
    ]


class _OtherProcesses:
    """Asks each `name=url` for its readiness, all at once."""

    def __init__(self, session: aiohttp.ClientSession, ready_urls: str) -> None:
        self._session = session
        self._urls = dict(part.strip().split("=", 1) for part in ready_urls.split(",") if part.strip())

    async def __call__(self) -> str | None:
        reasons: Sequence[str | None] = await asyncio.gather(*(self._ask(name) for name in self._urls))
        return "; ".join(reason for reason in reasons if reason) or None

    async def _ask(self, name: str) -> str | None:
        try:
            async with self._session.get(self._urls[name]) as answer:
                return None if answer.status == 200 else f"{name}: {(await answer.text()).strip()}"
        except (aiohttp.ClientError, TimeoutError):
            return f"{name}: does not answer"


def described(directory: str) -> str:
    """`docs/api.md`: the routes under the settings that nobody changed. Nobody is asked, and nothing is signed; nothing
    is written to that directory either."""
    life = Lifecycle("http", Joined(data=Data(dir=directory)))
    parts = parts_of(life.settings, redis.connect("redis://127.0.0.1:1/0"), master_secret.MasterSecret(bytes(32)))
    return page(api.openapi(routes_of(mount(parts), life)))


def paths(directory: str) -> dict[str, list[str]]:
    """The paths of each service where mail goes out into the world. As of `described`."""
    settings = load({"ESTAFETTE_RELAY_ROUTE": "mx", "ESTAFETTE_DATA_DIR": directory}, None)
    parts = parts_of(settings, redis.connect("redis://127.0.0.1:1/0"), master_secret.MasterSecret(bytes(32)))
    services = catalogue.mounted(settings.relay.route)
    return {
        service.name: [route.path for route in mounted.routes]
        for service, mounted in zip(services, mount(parts), strict=True)
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["describe"]:
        sys.stdout.write(described(os.devnull))
    elif sys.argv[1:2] == ["chart"]:
        chart.write(Path(sys.argv[2]), paths(os.devnull))
    else:
        run(main, "http", read)
