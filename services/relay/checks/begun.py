"""Which attempts of at-most-once jobs have begun: recorded before the final dot, asked when a message is taken over.

A job has a string with a byte per ordinal: the number of the attempt whose body was about to be sent. It is written
when the host has said 354, and durable before the body goes. So a message that comes back with the same attempt,
because a relay died with it, may have been delivered; one whose byte is another attempt's, or none, was not. An attempt
that ended as deferred comes back with the next number, and is made.
"""

from collections.abc import Sequence
from functools import partial

from prometheus_client import Counter, Histogram

from shared.process.together import Together
from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.words import events, ids

MARKED = Counter(
    "estafette_relay_begun_attempts_total", "Attempts of at-most-once jobs marked as in flight before their body went"
)
MARK_SECONDS = Histogram(
    "estafette_relay_begun_seconds",
    "Time to mark a batch of attempts as in flight",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1),
)
#: Marks of one script call; more wait for the next.
BATCH = 500

_MARK = Script.of(__file__, "begun_mark", kept=True)


def byte_of(attempt: int) -> int:
    """The byte that stands for an attempt: 1 to 255, and from the start again; 0 is none. Two attempts with the same
    byte are 255 apart, which at four hours each is six weeks: no message waits so long."""
    return (attempt - 1) % 255 + 1


class Begun:
    """Marks that come together travel together: one call a partition at a time, and all that came meanwhile in the
    next."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._marking: dict[int, Together[events.Ready, None]] = {}

    async def mark(self, ready: events.Ready) -> None:
        """Returns once it is stored that this attempt has begun. If it raises, the body must not be sent."""
        partition = ids.job_partition(ready.job, self._partitions)
        marking = self._marking.get(partition)
        if marking is None:
            store = partial(self._store, partition)
            marking = self._marking[partition] = Together(store, most=BATCH, name=f"begun {partition}")
        await marking.ask(ready)

    async def _store(self, partition: int, readies: Sequence[events.Ready]) -> list[None]:
        names: dict[str, int] = {}
        args: list[str | bytes | int] = []
        for ready in readies:
            place = names.setdefault(keys.job_begun(partition, ready.job), len(names) + 1)
            args += [place, ready.ordinal, bytes([byte_of(ready.attempt)])]
        with MARK_SECONDS.time():
            await _MARK(self._client, list(names), args)
        MARKED.inc(len(readies))
        return [None] * len(readies)
