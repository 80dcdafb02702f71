"""Starts the writing of drops. The routes are mounted by the process of all routes."""

import contextlib
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from services.reports.behind import archive_of
from services.reports.drops import settings as own
from services.reports.drops.drops import Drops, Limits
from services.reports.drops.places import Places
from services.reports.drops.sources import Sources
from services.reports.drops.store import Store
from services.reports.feed.feed import Feed
from services.settings import read
from shared.mail.dkim_keys import Vault
from shared.net import dns
from shared.process import master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, pause, run
from shared.process.settings import SettingsError
from shared.redis import known_secret, start
from shared.redis.leases import Lease
from shared.redis.recipients import Recipients
from shared.redis.redis import RedisAway
from shared.redis.suppression_file import SuppressionFile

if TYPE_CHECKING:
    from services.reports.drops.sftp import Sftp

#: Between two renewals of the lease.
HOLD_S = 5.0


async def main(life: Lifecycle) -> None:
    settings = life.settings
    mine = settings.of(own.Drops)
    partitions = settings.redis.partitions
    if not mine.enabled:
        raise SettingsError(["drops.enabled: there are no drops as long as it is false"])
    secret = master_secret.load(settings)
    client = start.connect(life)
    store = Store(client, start.process_name())
    lease = Lease(store, time.monotonic)
    searched = archive_of(settings)
    if searched is not None:
        life.push_close(searched.close)
    feed = Feed(client, partitions, Recipients(client, partitions), time.monotonic, searched)
    root = Path(mine.folder) if mine.folder else None
    places = Places(root, _sftp(life, mine), mine.policy(), Vault(secret.current, secret.previous))
    drops = Drops(
        store,
        Sources(client, partitions, feed, SuppressionFile(client, partitions)),
        places.opened,
        lease,
        Limits(mine.at_a_time, mine.tenant_at_a_time),
        now_ms,
        Random(),
    )

    async def hold() -> None:
        while not life.stopping.is_set():
            with contextlib.suppress(RedisAway):
                await lease.renew()
            await pause(life.stopping, HOLD_S)

    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client) or not await known_secret.is_known(life, client, secret):
            return
        life.spawn(hold(), "lease")
        life.spawn(drops.run(life.stopping), "drops")
        life.ready()
        await life.stopping.wait()


def _sftp(life: Lifecycle, mine: own.Drops) -> "Sftp | None":
    """None where the library is not installed."""
    try:
        from services.reports.drops.sftp import Sftp
    except ImportError:
        return None
    how = life.settings.dns
    resolver = dns.resolver(how.servers, how.timeout_ms, how.at_a_time, time.monotonic)
    life.push_close(resolver.close)
    return Sftp(resolver, mine.policy(), mine.timeout_seconds)


if __name__ == "__main__":
    run(main, "drops", read)
