"""Starts the counting of events. The routes are mounted by the process of all routes."""

import socket

from services.reports.reports import BATCH, Reports, trim_forever
from services.reports.store import ReportStore
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run
from shared.redis import bus, keys, start


async def main(life: Lifecycle) -> None:
    settings = life.settings
    partitions = settings.redis.partitions
    client = start.connect(life)
    reports = Reports(ReportStore(client), now_ms)
    # Named by the host, so that after a crash the process finds at once what it had in hand.
    consumer = bus.Consumer(
        client, partitions, keys.events, keys.GROUP_REPORTS, socket.gethostname(), reports.count, batch=BATCH
    )

    async def trim(partition: int, before_ms: int) -> int:
        return await bus.trim(client, partition, keys.EVENT_GROUPS, before_ms)

    async with life.serving(settings.reports.metrics_port):
        if not await start.is_ours(life, client):
            return
        await consumer.create_groups()
        life.spawn(consumer.run(life.stopping), "counting")
        life.spawn(trim_forever(trim, partitions, settings.events.retention_days, now_ms, life.stopping), "trimming")
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    run(main, "reports")
