"""Runs the stream loop of queueing: chunks of jobs in, ready messages out."""

import secrets
import time
from functools import partial

from services.queueing import dsn_telling
from services.queueing import settings as own
from services.queueing.cancelling import Cancelling
from services.queueing.dsn_telling import Telling
from services.queueing.queueing import CHANNEL, Queueing
from services.queueing.routing import KnownRoutes
from services.queueing.seeds import Seeds
from services.queueing.selecting import Selecting, Selections
from services.queueing.sites import DnsSites, FixedSite
from services.queueing.store import DAY_MS, JobStore
from services.settings import read
from shared.net import dns
from shared.process import tracing
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run
from shared.redis import bus, keys, start
from shared.redis.cancels import CancelList, Cancels
from shared.redis.consents import Consents
from shared.redis.once import Once
from shared.redis.pressure import Pressure
from shared.redis.ready import LANES, ReadyQueues
from shared.redis.redis import Client
from shared.redis.result_sets import ResultSets
from shared.redis.suppression import SuppressionList
from shared.redis.usual_hours import UsualHoursList
from shared.words import sites


async def main(life: Lifecycle) -> None:
    settings = life.settings
    mine, partitions = settings.of(own.Queueing), settings.redis.partitions
    client = start.connect(life)
    route = sites.parse_route(settings.relay.route, settings.mailbox.host, settings.mailbox.port)
    if route is None:
        resolver = dns.resolver(settings.dns.servers, settings.dns.timeout_ms, settings.dns.at_a_time, time.monotonic)
        life.push_close(resolver.close)
    store = JobStore(client, partitions, mine.max_intake_chunks, mine.open_job_days * DAY_MS)
    marks = CancelList(client)
    cancels = Cancels(marks)
    cancelling = Cancelling(client, partitions, store, marks, now_ms)
    routes = KnownRoutes(settings)
    life.also_reload(routes)
    queueing = Queueing(
        store=store,
        queues=ReadyQueues(client, CHANNEL),
        suppressions=SuppressionList(client, partitions),
        sites=DnsSites(resolver) if route is None else FixedSite(route.site),
        publisher=start.publisher(client, settings),
        cancels=cancels,
        partitions=partitions,
        now_ms=now_ms,
        tracer=tracing.start(life),
        consents=Consents(client, partitions, time.monotonic),
        pressure=Pressure(client, partitions, now_ms, time.monotonic),
        once=Once(client, partitions),
        routes=routes,
        seeds=Seeds(client, partitions, time.monotonic),
        usual_hours=UsualHoursList(client, partitions),
    )
    selections = Selections(client, partitions, mine.max_intake_chunks)
    selecting = Selecting(selections, ResultSets(client, partitions), cancels, partitions, now_ms, secrets.token_bytes)
    name = start.process_name()
    telling = Telling(client, partitions, settings.bounces.domain, now_ms, time.monotonic)
    consumers = [*_of_intake(client, partitions, name, queueing), _of_ends(client, partitions, name, telling)]
    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client):
            return
        await cancels.load()
        for consumer in consumers:
            await consumer.create_groups()
            life.spawn(consumer.run(life.stopping), "reading")
        life.spawn(cancels.run(life.stopping), "cancels")
        life.spawn(cancelling.run(life.stopping), "cancelling")
        life.spawn(queueing.start_scheduled(life.stopping), "schedule")
        life.spawn(selecting.run(life.stopping), "selecting")
        life.spawn(queueing.sweep(life.stopping), "open jobs")
        life.ready()
        await life.stopping.wait()


def _of_intake(client: Client, partitions: int, name: str, queueing: Queueing) -> list[bus.Consumer]:
    """Of the chunks of jobs, a lane each."""
    return [
        bus.Consumer(
            client,
            partitions,
            partial(keys.intake, lane=lane),
            keys.GROUP_QUEUEING,
            name,
            queueing.take,
            batch=4,
            remove=True,
        )
        for lane in sorted(set(LANES.values()))
    ]


def _of_ends(client: Client, partitions: int, name: str, telling: Telling) -> bus.Consumer:
    """Of how messages end, for senders who want to be told by mail."""
    return bus.Consumer(
        client,
        partitions,
        keys.events,
        keys.GROUP_QUEUEING,
        name,
        telling.take,
        batch=dsn_telling.BATCH,
        passes=dsn_telling.PASSED,
        gather_ms=dsn_telling.GATHER_MS,
    )


if __name__ == "__main__":
    run(main, "queueing", read)
