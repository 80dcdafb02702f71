"""Starts the counting of events. The routes are mounted by the process of all routes."""

import socket

from services.reports import kept_days
from services.reports import settings as own
from services.reports.feed.indexing import Indexing, Kept
from services.reports.finishing import Finishing
from services.reports.folding import Folding
from services.reports.late import Late
from services.reports.metering import Metering
from services.reports.reports import BATCH, DAY_MS, GATHER_MS, Reports, trim_forever
from services.reports.retention import Retention
from services.reports.store import ReportStore
from services.reports.survey import Survey
from services.settings import read
from shared.process import master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run, settle
from shared.redis import bus, histories, keys, known_secret, start, trimming
from shared.words.erased import ErasureKeys


async def main(life: Lifecycle) -> None:
    settings = life.settings
    partitions = settings.redis.partitions
    secret = master_secret.load(settings)
    client = start.connect(life)
    mine = settings.of(own.Reports)
    late = Late(mine.soon_ms, mine.burst_links, mine.burst_ms)
    reports = Reports(ReportStore(client, late=late), now_ms)
    # Named by the host, so that after a crash the process finds at once what it had in hand.
    consumer = bus.Consumer(
        client,
        partitions,
        keys.events,
        keys.GROUP_REPORTS,
        socket.gethostname(),
        reports.count,
        batch=BATCH,
        gather_ms=GATHER_MS,
    )

    is_archived = settings.archive.target != ""
    silent_ms = settings.events.retention_days * DAY_MS

    async def trim(partition: int, before_ms: int) -> int:
        return await trimming.trim(client, partition, before_ms, silent_ms, is_archived)

    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client) or not await known_secret.is_known(life, client, secret):
            return
        await consumer.create_groups()
        await kept_days.note(client, mine.statistics_days, now_ms() // DAY_MS)
        life.spawn(consumer.run(life.stopping), "counting")
        life.spawn(trim_forever(trim, partitions, settings.events.retention_days, now_ms, life.stopping), "trimming")
        kept = Kept(silent_ms, histories.lifetime_ms(settings.jobs.retention_days), mine.kinds_per_tenant)
        indexing = Indexing(client, partitions, kept, ErasureKeys(secret.current, secret.previous), now_ms)
        life.spawn(indexing.run(life.stopping), "the feeds")
        retention = Retention(client, partitions, settings.jobs.retention_days, now_ms, is_archived)
        folding = Folding(client, partitions, mine.statistics_days, is_archived)
        life.spawn(folding.run(life.stopping), "folding")
        life.spawn(retention.run(life.stopping), "retention")
        finishing = Finishing(client, partitions, now_ms)
        life.spawn(finishing.run(life.stopping), "the ends of jobs")
        life.spawn(Metering(client, partitions, now_ms).run(life.stopping), "metering")
        survey = Survey(client, partitions, start.process_name(), now_ms)
        life.spawn(survey.run(life.stopping), "survey")
        settle()
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    run(main, "reports", read)
