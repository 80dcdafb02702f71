"""Starts the reading of events. The routes are mounted by the process of all routes."""

import socket
import time

from services.settings import read
from services.suppression import settings as own
from services.suppression.consent_store import ConsentStore
from services.suppression.consenting import Consenting
from services.suppression.store import Lists
from services.suppression.suppression import BATCH, Suppression
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run
from shared.redis import bus, keys, start
from shared.redis.consents import ConsentRules
from shared.redis.recipients import Recipients
from shared.redis.untracked import UntrackedList


async def main(life: Lifecycle) -> None:
    settings = life.settings
    partitions = settings.redis.partitions
    client = start.connect(life)
    rules = ConsentRules(client, time.monotonic)
    consenting = Consenting(ConsentStore(client, partitions, rules), UntrackedList(client))
    suppression = Suppression(Lists(client, partitions, now_ms), Recipients(client, partitions), now_ms, consenting)
    # Named by the host: who left must be on the list within a second, and so after a crash the process finds at once
    # what it had in hand.
    consumer = bus.Consumer(
        client, partitions, keys.events, keys.GROUP_SUPPRESSION, socket.gethostname(), suppression.apply, batch=BATCH
    )
    async with life.serving(settings.of(own.Suppression).metrics_port):
        if not await start.is_ours(life, client):
            return
        await consumer.create_groups()
        life.spawn(consumer.run(life.stopping), "applying")
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    run(main, "suppression", read)
