"""The one step in which every way in ends: a mail goes to `Bounces.receive`, and what came of it is told and counted.

`stored` means that its facts are, or that the mail is kept: whoever brought it may forget it. `deferred`: Redis or the
bus is away, so that it has to be brought again, which makes no second fact. `failed`: a fault of ours, in the log.
"""

from typing import Literal, NamedTuple, Protocol

from prometheus_client import Counter

from services.bounces.bounces import Accepted, Received
from shared.process import logs
from shared.redis.bus import BusUnavailable
from shared.redis.redis import RedisAway

RECEIVED = Counter(
    "estafette_bounces_received_total",
    "Mails by the way in which they came, and what became of them: stored, deferred while Redis is away, failed",
    ["way", "outcome"],
)

Way = Literal["smtp", "lmtp", "maildir", "http"]
Outcome = Literal["stored", "deferred", "failed"]

_log = logs.get_logger()


class Bounces(Protocol):
    """The two questions about a mail. `receive` says whether it was a report that names no message of ours; it may
    raise RedisAway or BusUnavailable."""

    def accepts(self, address: str) -> Accepted | None: ...

    async def receive(self, received: Received) -> bool: ...


class Taken(NamedTuple):
    """`missed`: it was a report that names no message of ours."""

    outcome: Outcome
    missed: bool = False


async def take(bounces: Bounces, received: Received, way: Way) -> Taken:
    """Returns when the mail is stored, or it is known that it cannot be. Nothing is raised."""
    taken = await _taken(bounces, received, way)
    RECEIVED.labels(way, taken.outcome).inc()
    return taken


async def _taken(bounces: Bounces, received: Received, way: Way) -> Taken:
    try:
        return Taken("stored", await bounces.receive(received))
    except (BusUnavailable, RedisAway) as away:
        _log.warning("mail_deferred", reason=str(away), peer=received.peer, way=way)
        return Taken("deferred")
    except Exception:
        _log.exception("mail_failed", peer=received.peer, recipients=len(received.recipients), way=way)
        return Taken("failed")
