"""Whether a message may still be attempted: it has no end on record, nobody has left in the meantime, and if it is to
be sent at most once this attempt was not begun by a relay that died."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from services.relay.checks.begun import byte_of
from shared.process.together import Together
from shared.redis import keys
from shared.redis.keys import Channel
from shared.redis.redis import Client, Script
from shared.redis.suppression import Asked
from shared.words import events, ids

_STANDS = Script.of(__file__, "admission_stands")

#: What this relay sends.
CHANNEL: Channel = "email"
#: Messages in one question, unless somebody asks about more: a script of so many takes a few milliseconds.
ASKED_TOGETHER = 2000
#: The word for a message whose end is on record: it came back because a relay died before it could end the lease.
ENDED = "(ended)"
#: The word for an at-most-once message whose attempt was begun by a relay that did not live to record its end.
UNKNOWN = "(unknown)"
_STAND = {1: ENDED, 2: UNKNOWN}


class Suppressions(Protocol):
    def check(self, asked: Sequence[Asked]) -> Coroutine[Any, Any, list[str | None]]: ...


def _asked(ready: events.Ready) -> Asked:
    return Asked(ready.tenant, ready.email, CHANNEL, ready.stream, ready.list)


@dataclass(slots=True)
class _Question:
    readies: Sequence[events.Ready]
    in_hand: bool


class Admission:
    """Asks for many messages at once. Raises RedisAway: without an answer nothing is attempted.

    A question takes a call for each partition, so those that come while another is being asked wait and are asked
    together: forty slow sites, each with a line to ask about four times a second, are not hundreds of calls.
    """

    def __init__(self, client: Client, partitions: int, suppressions: Suppressions) -> None:
        self._client = client
        self._partitions = partitions
        self._suppressions = suppressions
        self._together = Together(
            self._verdicts,
            most=ASKED_TOGETHER,
            weight=lambda question: len(question.readies),
            heaviest=ASKED_TOGETHER,
            name="admission",
        )

    async def check(self, readies: Sequence[events.Ready], *, in_hand: bool = False) -> list[str | None]:
        """For each message None (go), `ENDED`, `UNKNOWN`, or the reason of its suppression. `in_hand`: they were asked
        about when this relay took them, so an attempt that has begun since is its own, and its end will be known."""
        return await self._together.ask(_Question(readies, in_hand))

    async def _verdicts(self, questions: Sequence[_Question]) -> list[list[str | None]]:
        asked = [(ready, question.in_hand) for question in questions for ready in question.readies]
        by_job: dict[str, list[int]] = defaultdict(list)
        for at, (ready, _) in enumerate(asked):
            by_job[ready.job].append(at)
        calls = [self._stands(job, [asked[at] for at in places]) for job, places in by_job.items()]
        listed, stands = await asyncio.gather(
            self._suppressions.check([_asked(ready) for ready, _ in asked]), _STANDS.many(self._client, calls)
        )
        for places, found in zip(by_job.values(), stands, strict=True):
            for at, stand in zip(places, found, strict=True):
                listed[at] = _STAND.get(stand, listed[at])
        verdicts = iter(listed)
        return [list(islice(verdicts, len(question.readies))) for question in questions]

    def _stands(
        self, job: str, asked: Sequence[tuple[events.Ready, bool]]
    ) -> tuple[list[str], list[str | bytes | int]]:
        """The call of the script."""
        partition = ids.job_partition(job, self._partitions)
        args: list[str | bytes | int] = []
        for ready, in_hand in asked:
            args += [ready.ordinal, byte_of(ready.attempt) if ready.at_most_once and not in_hand else 0]
        return [keys.job_ended(partition, job), keys.job_begun(partition, job)], args
