"""Puts the parts of tracking together, for whichever process mounts its routes.

abouts = Abouts(client, partitions, recipients, now_ms, time.monotonic)
tracking = parts.tracking(settings, publisher, TokenKeys(…), recipients, Untracked(client), token_hex(6), abouts)
await tracking.start()                                  # before the first request
routes = http.routes(tracking, now_ms, settings.tracking.forwarded_hops)
…
await tracking.close()                                  # after the last one
"""

from services.tracking import settings as own
from services.tracking.recorder import Publisher, Recorder
from services.tracking.spool import Spool
from services.tracking.tracking import Abouts, Recipients, Tokens, Tracking
from shared.process.settings import Settings
from shared.redis.untracked import Untracked


def tracking(
    settings: Settings,
    publisher: Publisher,
    tokens: Tokens,
    recipients: Recipients,
    untracked: Untracked,
    name: str,
    abouts: Abouts | None = None,
) -> Tracking:
    """Not started yet. `name` is a random one of this process: it names its spool files and its batches."""
    mine = settings.of(own.Tracking)
    spool = Spool(settings.data.path / "spool", name, mine.spool_max_bytes)
    recorder = Recorder(
        publisher, spool, untracked, name, spool_after_ms=mine.spool_after_ms, max_waiting=mine.max_waiting
    )
    return Tracking(tokens, recorder, name, recipients, untracked, abouts)
