"""The routes of jobs, put together."""

from services.queueing import (
    changing_http,
    compiling,
    documents_http,
    http,
    mails_http,
    optins_http,
    pressure_http,
    preview_http,
    seeds_http,
    templates_http,
)
from services.queueing import settings as own
from services.queueing.aside import Aside
from services.queueing.changing import Changing
from services.queueing.documents import Documents
from services.queueing.preview import Previewing
from services.queueing.quotas import Room
from services.queueing.seeds import SeedLists
from services.queueing.store import DAY_MS, JobStore
from services.queueing.taking import Taking
from services.queueing.template_putting import Putting
from services.queueing.template_store import TemplateStore
from services.queueing.templates_http import TemplateRoutes
from shared.http.parts import Mounted, Parts
from shared.making.rendering import Rendering
from shared.process.sandbox import Sandbox, program
from shared.redis.consents import ConsentRules, Consents
from shared.redis.looks import Looks
from shared.redis.own_hosts import OwnHosts
from shared.redis.pressure import PressureRules, Reached
from shared.redis.result_sets import ResultSets
from shared.redis.sending_domains import SendingDomains
from shared.redis.targets import Targets
from shared.redis.untracked import UntrackedList


def routes(parts: Parts) -> Mounted:
    settings = parts.settings
    mine = settings.of(own.Queueing)
    processes = settings.http.compiling_processes
    most_of_one = max(1, processes // 2)  # a tenant whose contents take a second each leaves half to the others
    sandbox = Sandbox(program("services.queueing.compiling"), "http", processes, most_of_one=most_of_one)
    store = JobStore(parts.client, parts.partitions, mine.max_intake_chunks, mine.open_job_days * DAY_MS)
    aside = Aside()
    room = Room(store, settings.quotas.by_name(), parts.now_ms, parts.monotonic, parts.tenants)
    domains = SendingDomains(parts.client, parts.vault, ours=settings.own_hosts)
    compiler = compiling.Compiler(sandbox, aside=aside, monotonic=parts.monotonic)
    stored = TemplateStore(parts.client, parts.partitions, parts.monotonic)
    taking = Taking(
        store,
        parts.tenants,
        domains,
        compiler,
        room,
        partitions=parts.partitions,
        max_recipients=mine.max_recipients,
        now_ms=parts.now_ms,
        chance=parts.chance,
        aside=aside,
        sets=ResultSets(parts.client, parts.partitions),
        contacts=Targets(parts.client, parts.partitions),
        templates=stored,
    )
    jobs = http.routes(store, room, taking, aside, parts.now_ms)
    mails = mails_http.routes(store, room, taking, aside, parts.now_ms)
    optins = optins_http.routes(
        taking, Looks(parts.client, parts.monotonic), ConsentRules(parts.client, parts.monotonic)
    )
    pressure = pressure_http.routes(
        PressureRules(parts.client, parts.monotonic), Reached(parts.client, parts.partitions), parts.now_ms
    )
    hosts = OwnHosts(domains, settings.base_url)
    seeds = seeds_http.routes(SeedLists(parts.client, parts.monotonic))
    return Mounted(
        [
            *jobs,
            *mails,
            *changing_http.routes(Changing(store, taking, compiler, room, aside, parts.now_ms)),
            *templates_http.routes(TemplateRoutes(stored, Putting(stored, compiler, room, aside, parts.now_ms))),
            *preview_http.routes(_previewing(parts, compiler, taking, compiling.Rendering(sandbox), hosts, aside)),
            *optins,
            *pressure,
            *seeds,
            *documents_http.routes(_documents(parts, hosts)),
        ],
        max_body_bytes=mine.max_body_bytes,
        run=sandbox.run,
    )


def _documents(parts: Parts, hosts: OwnHosts) -> Documents:
    return Documents(
        parts.client,
        parts.partitions,
        parts.tokens,
        parts.recipients,
        Consents(parts.client, parts.partitions, parts.monotonic),
        UntrackedList(parts.client),
        hosts,
        parts.now_ms,
    )


def _previewing(
    parts: Parts, compiler: compiling.Compiler, taking: Taking, here: compiling.Rendering, hosts: OwnHosts, aside: Aside
) -> Previewing:
    return Previewing(
        compiler,
        taking,
        Rendering(here),
        hosts,
        parts.tokens,
        parts.verp,
        parts.settings.bounces.domain,
        parts.settings.of(own.Queueing).max_recipients,
        parts.now_ms,
        parts.chance,
        aside,
    )
