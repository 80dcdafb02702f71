"""All HTTP routes of all services on one aiohttp application: the one process that outsiders and recipients meet.

Links in mails work from the first moment, with or without Redis; the rest answers 503 until Redis does. /readyz is 200
once the data was found to be ours and every process named in `http.ready_urls` is ready too.

`python -m services.http describe` writes these routes down for people instead (`docs/api.md`).
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from services.bounces import http as bounces
from services.bounces.kept import KeptMails
from services.domains import http as domains
from services.http.page import page
from services.mailbox import dkim
from services.mailbox import http as mailbox
from services.mailbox import store as mailbox_store
from services.queueing import compiling, stopping
from services.queueing import http as queueing
from services.queueing.aside import Aside
from services.queueing.figures import FigureStore
from services.queueing.quotas import Room
from services.queueing.store import DAY_MS, JobStore
from services.reports import http as reports
from services.reports.event_log import EventLog
from services.reports.store import ReportReader
from services.suppression import http as suppression
from services.suppression.store import Lists
from services.tracking import http as tracking
from services.tracking import parts
from services.tracking.tracking import Tracking
from shared.http import api
from shared.http.mounted import mounted
from shared.mail.dkim_keys import Vault
from shared.mail.domain_names import InvalidDomain
from shared.net import dns
from shared.process import master_secret, metrics
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run
from shared.process.sandbox import Sandbox, program
from shared.process.settings import Data, Settings
from shared.redis import known_secret, redis, start
from shared.redis.bus import Publisher
from shared.redis.recipients import Recipients
from shared.redis.sending_domains import SendingDomains, records
from shared.redis.stops import StopList
from shared.redis.suppression import SuppressionList
from shared.redis.tenants import Tenants
from shared.words.quotas import Admission
from shared.words.tokens import TokenKeys

#: How long a thread beside the loop keeps the interpreter, in seconds: the loop's turn comes in answers to people.
SWITCH_S = 0.001
#: Another process that takes longer to say that it is ready is not.
READY_SECONDS = 1.0


async def main(life: Lifecycle) -> None:
    sys.setswitchinterval(SWITCH_S)
    settings = life.settings
    secret = master_secret.load(settings)
    client = start.connect(life)
    publisher = start.publisher(client, settings)
    tokens, recipients = TokenKeys(secret.current, secret.previous), Recipients(client, settings.redis.partitions)
    links = parts.tracking(settings, publisher, tokens, recipients, secrets.token_hex(6))
    await links.start()
    life.push_close(links.close)  # before the client: what is in hand still goes to Redis
    tenants = Tenants(client)
    sandbox = _sandbox(settings)
    vault = Vault(secret.current, secret.previous)
    routes = all_routes(life, client, tenants, links, vault, sandbox)
    admission = Admission(settings.quotas.by_name(), time.monotonic)
    app = api.application(routes, tenants, max_body_bytes=settings.queueing.max_body_bytes, admission=admission)
    runner = await mounted(app, life)
    others = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=READY_SECONDS))
    life.push_close(others.close)
    life.also_check(_OtherProcesses(others, settings.http.ready_urls))
    async with life.serving(settings.http.metrics_port):
        life.spawn(sandbox.run(life.stopping), "sandbox")
        await web.TCPSite(runner, settings.http.host, settings.http.port).start()
        if await start.is_ours(life, client) and await known_secret.is_known(life, client, secret):
            await SendingDomains(client, vault).count()
            life.ready()
        await life.stopping.wait()


def all_routes(
    life: Lifecycle,
    client: redis.Client,
    tenants: Tenants,
    links: Tracking,
    vault: Vault,
    sandbox: Sandbox | None = None,
) -> list[api.Route]:
    """What is mounted under these settings. Asks nothing of Redis yet."""
    settings = life.settings
    return [
        *tracking.routes(links, now_ms, settings.tracking.forwarded_hops),
        *_queueing(settings, client, tenants, vault, sandbox or _sandbox(settings)),
        *_suppression(settings, client),
        *_reports(settings, client),
        *bounces.routes(KeptMails(client, now_ms)),
        *_mailbox(settings, client, vault),
        *_health(life),
    ]


def _sandbox(settings: Settings) -> Sandbox:
    processes = settings.http.compiling_processes
    most_of_one = max(1, processes // 2)  # a tenant whose contents take a second each leaves half to the others
    return Sandbox(program("services.queueing.compiling"), "http", processes, most_of_one=most_of_one)


def _queueing(
    settings: Settings, client: redis.Client, tenants: Tenants, vault: Vault, sandbox: Sandbox
) -> list[api.Route]:
    sending_domains = SendingDomains(client, vault, ours=settings.own_hosts)
    partitions = settings.redis.partitions
    open_job_ms = settings.queueing.open_job_days * DAY_MS
    store = JobStore(client, partitions, settings.queueing.max_intake_chunks, open_job_ms)
    defaults = settings.quotas.by_name()
    publisher = start.publisher(client, settings)
    aside = Aside()
    jobs = queueing.routes(
        store,
        tenants,
        sending_domains,
        compiling.Compiler(sandbox, aside=aside),
        Room(store, defaults, now_ms, time.monotonic),
        partitions=partitions,
        max_recipients=settings.queueing.max_recipients,
        now_ms=now_ms,
        chance=os.urandom,
        aside=aside,
    )
    stops = stopping.routes(StopList(client), FigureStore(client, partitions), store, publisher, now_ms)

    async def look_up(names: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
        return await dns.texts(names, settings.dns.servers, settings.dns.timeout_ms)

    return [*jobs, *stops, *domains.routes(sending_domains, tenants, look_up, now_ms, defaults)]


def _suppression(settings: Settings, client: redis.Client) -> list[api.Route]:
    partitions = settings.redis.partitions
    lists, lookup = Lists(client, partitions), SuppressionList(client, partitions)
    return suppression.routes(lists, lookup, partitions, now_ms, lambda: secrets.token_hex(8))


def _reports(settings: Settings, client: redis.Client) -> list[api.Route]:
    partitions = settings.redis.partitions
    recipients = Recipients(client, partitions)
    log = EventLog(client, partitions, recipients, time.monotonic)
    return reports.routes(ReportReader(client, partitions), log, recipients, partitions)


def _mailbox(settings: Settings, client: redis.Client, vault: Vault) -> list[api.Route]:
    """Only where mail goes there: whoever reaches its pages reads every mail."""
    if settings.relay.route != "mailbox":
        return []
    sending_domains = SendingDomains(client, vault, ours=settings.own_hosts)

    async def records_of(selector: str, domain: str) -> Sequence[str] | None:
        """Our own keys as they shall be published, for DNS has none of a domain for trying; DNS has the others'."""
        name = f"{selector}._domainkey.{domain}"
        try:
            found = await sending_domains.find(domain)
        except InvalidDomain:
            return ()
        ours = [record.value for record in records(found, now_ms()) if record.name == name] if found else []
        return ours or (await dns.texts([name], settings.dns.servers, settings.dns.timeout_ms))[name]

    async def verdict_of(signature: dkim.Signature) -> dkim.Verdict:
        asked = await records_of(signature.selector, signature.domain) if signature.faulty is None else None
        return dkim.verdict(signature, asked, now_ms() // 1000)

    return mailbox.routes(
        mailbox_store.Reader(client),
        lambda: secrets.token_urlsafe(16),
        [name.lower() for name in (settings.http.host, urlsplit(settings.base_url).hostname) if name],
        verdict_of=verdict_of,
    )


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
    settings, nowhere, secret = Settings(data=Data(dir=directory)), redis.connect("redis://127.0.0.1:1/0"), bytes(32)
    recipients = Recipients(nowhere, settings.redis.partitions)
    publisher = Publisher(nowhere, settings.redis.partitions, str)
    links = parts.tracking(settings, publisher, TokenKeys(secret), recipients, "described")
    routes = all_routes(Lifecycle("http", settings), nowhere, Tenants(nowhere), links, Vault(secret))
    return page(api.openapi(routes))


if __name__ == "__main__":
    if sys.argv[1:] == ["describe"]:
        sys.stdout.write(described(os.devnull))
    else:
        run(main, "http")
