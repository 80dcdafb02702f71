"""Starts the writing of the archive."""

import asyncio
import contextlib
import time

from services.archive import settings as own
from services.archive.store import ArchiveStore
from services.settings import read
from shared.process import master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, pause, run
from shared.process.settings import SettingsError
from shared.redis import archived, bus, keys, known_secret, start
from shared.redis.erased import Erased
from shared.redis.leases import Lease
from shared.redis.recipients import Recipients
from shared.redis.redis import Client, RedisAway
from shared.words.erased import ErasureKeys


async def main(life: Lifecycle) -> None:
    settings = life.settings
    mine = settings.of(own.Archive)
    partitions = settings.redis.partitions
    if not mine.target:
        raise SettingsError(["archive.target: there is no archive as long as it is empty"])
    try:
        from services.archive import archive as path
        from services.archive.kinds import JobKinds
        from services.archive.statistics import Statistics
        from services.archive.tending import Tending
        from shared.archive.target import opened
    except ImportError as missing:
        said = f"archive.target: {missing.name} is not installed: pip install 'estafette[archive]'"
        raise SettingsError([said]) from None
    target = opened(mine.target, settings.data.path / "archive", mine.s3_endpoint, mine.s3_region)
    secret = master_secret.load(settings)
    client = start.connect(life)
    store = ArchiveStore(client, partitions, start.process_name())
    erasure_keys = ErasureKeys(secret.current, secret.previous)
    lease = Lease(store, time.monotonic)
    archive = path.Archive(
        store,
        target,
        Recipients(client, partitions),
        Erased(client, partitions, erasure_keys),
        JobKinds(client, partitions),
        lease,
        path.Due(mine.file_seconds, mine.file_events, now_ms),
        now_ms,
        mine.settle_seconds * 1000,
    )
    statistics = Statistics(client, partitions, target, lease, now_ms)
    tending = Tending(store, target, erasure_keys, lease, now_ms, mine.settle_seconds * 1000, statistics)

    async def hold() -> None:
        while not life.stopping.is_set():
            with contextlib.suppress(RedisAway):
                path.WRITES.set(await lease.renew())
                for p in range(partitions):
                    await bus.register(client, keys.events(p), keys.GROUP_ARCHIVE)
                path.LAG.set(await _lag_s(client, partitions))
            await pause(life.stopping, path.HOLD_S)

    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client) or not await known_secret.is_known(life, client, secret):
            return
        await store.register()
        life.spawn(hold(), "lease")
        life.spawn(archive.run(partitions, life.stopping), "archiving")
        life.spawn(tending.run(mine.tend_seconds, life.stopping), "tending")
        life.ready()
        await life.stopping.wait()


async def _lag_s(client: Client, partitions: int) -> float:
    """Of all partitions the oldest event that is in no file."""
    oldest = await asyncio.gather(*(archived.oldest_outside_ms(client, p) for p in range(partitions)))
    return max((now_ms() - at for at in oldest if at is not None), default=0) / 1000


if __name__ == "__main__":
    run(main, "archive", read)
