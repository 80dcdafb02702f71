"""Starts the telling of endpoints. The routes are mounted by the process of all routes."""

import time
from functools import partial
from random import Random

from services.settings import read
from services.webhooks import settings as own
from services.webhooks.abouts import JobAbouts
from services.webhooks.book import Book
from services.webhooks.delivering import Clock, Deliveries, Limits
from services.webhooks.replaying import Replaying
from services.webhooks.sender import Sender
from services.webhooks.store import Store
from services.webhooks.webhooks import BATCH, Webhooks
from shared.mail.dkim_keys import Vault
from shared.net import dns
from shared.process import master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run, settle
from shared.redis import bus, keys, start
from shared.redis.recipients import Recipients

HOUR_MS = 3_600_000
#: One name for all, since one at a time reads a partition: who has the turn next begins with what the last one had.
READER = "reader"


async def main(life: Lifecycle) -> None:
    settings = life.settings
    partitions = settings.redis.partitions
    mine = settings.of(own.Webhooks)
    secret = master_secret.load(settings)
    client = start.connect(life)
    name = start.process_name()
    resolver = dns.resolver(settings.dns.servers, settings.dns.timeout_ms, settings.dns.at_a_time, time.monotonic)
    life.push_close(resolver.close)
    sender = Sender(
        resolver,
        mine.policy(),
        timeout_s=mine.timeout_ms / 1000,
        now_ms=now_ms,
        monotonic=time.monotonic,
        ca_file=settings.tls.ca_file,
    )
    life.push_close(sender.close)
    store = Store(client, partitions, queue_events=mine.queue_events, log_ms=mine.log_days * 24 * HOUR_MS)
    book = Book(store, Vault(secret.current, secret.previous), mine.policy())
    deliveries = Deliveries(
        name,
        store,
        book,
        sender,
        start.publisher(client, settings),
        Limits(mine.concurrency, mine.disable_after_hours * HOUR_MS),
        Clock(now_ms, time.monotonic, Random()),
    )
    webhooks = Webhooks(
        book, store, Recipients(client, partitions), JobAbouts(client, partitions), now_ms, deliveries.wake
    )
    consumer = bus.Consumer(
        client,
        partitions,
        keys.events,
        keys.GROUP_WEBHOOKS,
        READER,
        webhooks.handle,
        batch=BATCH,
        turn=lambda partition: store.lead(partition, name),
    )
    replaying = Replaying(
        client, partitions, store, book, webhooks.again, partial(store.lead, 0, name), mine.queue_events, now_ms
    )
    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client):
            return
        await book.read()
        await consumer.create_groups()
        life.spawn(book.run(life.stopping), "endpoints")
        life.spawn(deliveries.run(life.stopping), "delivering")
        life.spawn(consumer.run(life.stopping), "queueing")
        life.spawn(replaying.run(life.stopping), "replaying")
        settle()
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    run(main, "webhooks", read)
