"""Reads how messages end, and hands over the reports that their senders asked for (`dsn_wanted`).

A report is a job of its own, of the stream `transactional`, to the envelope sender. Its id is a function of the message
and of what is told, so whoever handles the same end again finds it there. It has no wish of its own, and leaves with
the null sender: no report is made of a report. Like any job it passes the suppression list.
"""

from collections.abc import Callable, Sequence

import structlog
from prometheus_client import Counter

from services.queueing import dsn, dsn_wanted
from services.queueing.jobs import MAX_AGE_MS
from services.queueing.recipients import chunks
from services.queueing.store import JobStore
from shared.net.remembered import Remembered
from shared.redis import bus, jobs
from shared.redis.recipients import ERASED, Recipients, Waiting
from shared.redis.redis import Client
from shared.words import content, events, ids

TOLD = Counter(
    "estafette_queueing_dsn_total", "Delivery status notifications handed over to be sent to senders", ["action"]
)
for _action in ("failed", "relayed"):
    TOLD.labels(_action)

BATCH, GATHER_MS = 200, 500
#: Messages that are no end: not even read.
PASSED = events.MESSAGES.keys() - {end.__name__ for end in dsn.ENDS}
#: Jobs of which it is remembered whether somebody is to be told: most are asked about more than once, and cost nothing.
JOBS_KEPT = 20_000
#: The chunk of a report waits however much else does: its mail was let in.
_ANY_NUMBER = 2**31
#: What a report has of the job that it is about, but for its content.
_OF_JOB = (jobs.DSN, jobs.TENANT, jobs.TEST, jobs.SANDBOX, jobs.REQUEST)
#: The messages of a mail end one after the other: what is read of it for one is there for the next. Its wishes have up
#: to half a megabyte, and what comes back of its content 0.2.
MAILS_KEPT, MAIL_S = 20, 30.0
_BIT = {"failed": dsn_wanted.FAILURE, "relayed": dsn_wanted.SUCCESS}


class Telling:
    """`reporting_mta` is who speaks. `monotonic` counts seconds. Raises RedisAway."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        reporting_mta: str,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._reporting_mta = reporting_mta
        self._now_ms = now_ms
        self._store = JobStore(client, partitions, _ANY_NUMBER)
        self._recipients = Recipients(client, partitions)
        self._is_wanted = Remembered[str, bool](JOBS_KEPT)
        self._mails = Remembered[str, tuple[jobs.Job, dsn_wanted.Wanted]](MAILS_KEPT, monotonic)
        self._originals = Remembered[str, content.CompiledContent](MAILS_KEPT, monotonic)
        self._log = structlog.get_logger("queueing")

    async def take(self, partition: int, entries: Sequence[bus.Entry]) -> None:
        """The call of the `events` consumer."""
        read = [entry.message() for entry in entries]
        ends = [one for one in read if isinstance(one, dsn.ENDS) and one.job and one.ordinal is not None]
        for end in await self._wanted(ends):
            await self._tell(end)

    async def _wanted(self, ends: Sequence[dsn.End]) -> list[dsn.End]:
        """Those of jobs whose sender wants to be told something."""
        unknown = list(dict.fromkeys(end.job for end in ends if self._is_wanted.known(end.job) is None))
        found = await jobs.read_many(self._client, self._partitions, unknown, (jobs.DSN,))
        wanted = {job: bool(read[jobs.DSN]) for job, read in zip(unknown, found, strict=True)}
        told = [end for end in ends if wanted.get(end.job, self._is_wanted.known(end.job))]
        for job, is_wanted in wanted.items():
            self._is_wanted.keep(job, is_wanted)
        return told

    async def _tell(self, end: dsn.End) -> None:
        told, mail = dsn.told(end), await self._mail(end.job)
        if told is None or mail is None:
            return
        found, wanted = mail
        when, original_recipient = wanted.of(end.ordinal)
        if not when & _BIT[told.action]:
            return
        ordinal = end.ordinal or 0
        # A bounce that came by report names the message alone; who was erased is not named again.
        recipient = (await self._recipients.find(end.job, [ordinal])).get(ordinal, ERASED).email
        if not recipient:
            return
        message = ids.message_id(end.job, ordinal)
        about = dsn.About(
            message, recipient, wanted.sender, self._reporting_mta, original_recipient, wanted.envelope_id,
            wanted.is_full,
        )  # fmt: skip
        made = dsn.compiled(about, told, await self._original(end.job, wanted.is_full))
        await self._send(message, told.action, wanted.sender, made, found)

    async def _mail(self, job: str) -> tuple[jobs.Job, dsn_wanted.Wanted] | None:
        """What is known of it, and what its sender wants to be told; None of one of which nobody does."""
        known = self._mails.known(job)
        if known is None:
            found = await jobs.read(self._client, self._partitions, job, _OF_JOB)
            if (wanted := dsn_wanted.unpacked(found[jobs.DSN])) is None:
                return None
            known = found, wanted
            self._mails.keep(job, known, MAIL_S)
        return known

    async def _original(self, job: str, is_full: bool) -> content.CompiledContent:
        """What may come back of the mail. All of it may have 15 MB: it is read for the first of its reports."""
        known = self._originals.known(job)
        if known is None:
            found = await jobs.read(self._client, self._partitions, job, (jobs.CONTENT,))
            known = dsn.returnable(content.decode(found[jobs.CONTENT]), is_full)
            self._originals.keep(job, known, MAIL_S)
        return known

    async def _send(
        self, message: str, action: str, sender: str, made: content.CompiledContent, found: jobs.Job
    ) -> None:
        job = ids.dsn_job(message, action, self._partitions)
        stored = await self._store.store(
            job, new_job(message, sender, made, found, self._now_ms()), chunks([Waiting(email=sender)]), "queueing"
        )
        if stored.word == "stored":
            TOLD.labels(action).inc()
            self._log.info("sender_told", message=message, action=action, job=job, request=found[jobs.REQUEST])


def new_job(message: str, sender: str, made: content.CompiledContent, found: jobs.Job, now_ms: int) -> jobs.New:
    """The job of a report: one of the sandbox stays there."""
    max_age_ms = MAX_AGE_MS[made.stream]
    return jobs.New(
        tenant=found[jobs.TENANT],
        stream=made.stream,
        content=content.encode(made),
        total=1,
        send_at_ms=0,
        expires_at_ms=now_ms + max_age_ms,
        max_age_ms=max_age_ms,
        rate="",
        at_most_once=False,
        test=found[jobs.TEST],
        sandbox=found[jobs.SANDBOX],
        request=found[jobs.REQUEST],
        sender=made.from_value,
        subject="".join(piece for piece in made.subject.pieces if isinstance(piece, str))[:200],
        list="",
        category="",
        tags=(),
        dsn_of=message,
    )
