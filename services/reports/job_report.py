"""The report of a job, from its counters. The figures add up, at any moment:

    accepted           = delivered + bounced.total + expired + failed + suppressed.at_attempt + pending
    suppressed.total   = suppressed.at_queueing + suppressed.at_attempt
    bounced.total      = bounced.hard + bounced.soft + bounced.block, of which bounced.late after a delivery
    total              = accepted + suppressed.at_queueing + rejected, once all of the job is queued

A message that bounced late is bounced and no longer delivered. People and machines (prefetching proxies, scanners) are
counted apart, and never added up here.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.reports import state
from services.reports.state import Code
from services.reports.tally import COUNTERS, click_counter, machine_click_counter
from shared.redis import stops
from shared.words import ids
from shared.words.content import TrackedLink
from shared.words.times import rfc3339


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """`unique` messages, and how often in `total`."""

    unique: int
    total: int


class Engagement(msgspec.Struct, frozen=True, kw_only=True):
    """By people; `machine` is what was recognised as not a person."""

    unique: int
    total: int
    machine: Figures


class Suppressed(msgspec.Struct, frozen=True, kw_only=True):
    """Found on the list before it was accepted, or after it, just before an attempt."""

    total: int
    at_queueing: int
    at_attempt: int


class Bounced(msgspec.Struct, frozen=True, kw_only=True):
    """`late` of the total were reported after the receiving host had taken the message."""

    total: int
    hard: int
    soft: int
    block: int
    late: int


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """`current`: messages that wait for another attempt now; `unique`: that ever did; `total`: how often."""

    current: int
    unique: int
    total: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Messages by their state, then what recipients did. `pending` have no end yet, the deferred among them.
    `failed` are those that the engine could not send."""

    accepted: int
    rejected: int
    suppressed: Suppressed
    delivered: int
    bounced: Bounced
    expired: int
    failed: int
    pending: int
    deferred: Deferred
    opens: Engagement
    clicks: Engagement
    complaints: int
    unsubscriptions: int
    auto_replies: int


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Shares from 0 to 1, null where there is nothing to divide by: delivered and bounced of what was accepted, the
    others (unique, by people) of what was delivered."""

    delivered: float | None
    bounced: float | None
    opened: float | None
    clicked: float | None
    complained: float | None
    unsubscribed: float | None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks of the link at one place in the source of the HTML. `url` is where it leads, or, if that depends on the
    recipient, as it was written. `machine_total` is what was recognised as not a person."""

    position: int
    url: str
    unique: int
    total: int
    machine_total: int


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks of one URL, at whichever of its positions; `unique` are messages in which any of them was clicked."""

    url: str
    positions: list[int]
    unique: int
    total: int
    machine_total: int


class StoppedBy(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing of the job is sent for now. `name` is the stop's: of the job, or of the tenant's bulk. `reason` is
    `invalid_rate` or `complaint_rate` (`bad` of `of` messages), `render_failed` (`bad` of the first `of` mails could
    not be made), or `paused`; `consented`: it may be resumed."""

    name: str
    reason: str
    by: str
    since: str
    bad: int
    of: int
    consented: bool


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """`state` is `open`, `scheduled`, `queueing`, `queued`, `paused` or `stopped` while nothing is sent of what is
    queued (`stopped` says why), or `done` when every message has its end. `total` is the number of recipients taken so
    far. `rate` is the most that is sent of it, if it has one of its own."""

    id: str
    state: str
    stopped: StoppedBy | None
    stream: str
    rate: str | None
    at_most_once: bool
    sender: str = msgspec.field(name="from")
    subject: str
    list: str | None
    category: str | None
    tags: Sequence[str]
    test: bool
    created_at: str
    send_at: str | None
    expires_at: str | None
    total: int
    counts: Counts
    rates: Rates
    links: Sequence[Link]
    positions: Sequence[Position]


#: The fields of a job's hash that are shown; the tenant is what decides to whom.
FIELDS = (
    "tenant", "state", "stream", "from", "subject", "list", "category", "tags", "test", "created_at", "send_at",
    "expires_at", "total", "rate", "at_most_once",
)  # fmt: skip


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What queueing keeps of a job that its report shows. Times in ms, 0 for none."""

    id: str
    tenant: str
    state: str
    stream: str
    sender: str
    subject: str
    list: str
    category: str
    tags: tuple[str, ...]
    test: bool
    created_at: int
    send_at: int
    expires_at: int
    total: int
    rate: str = ""
    at_most_once: bool = False

    @classmethod
    def read(cls, job: str, fields: Mapping[str, str]) -> "Job":
        """From the texts of `FIELDS`, "" for one that is not there."""
        return cls(
            id=job,
            tenant=fields["tenant"],
            state=fields["state"],
            stream=fields["stream"],
            sender=fields["from"],
            subject=fields["subject"],
            list=fields["list"],
            category=fields["category"],
            tags=tuple(fields["tags"].split("\n")) if fields["tags"] else (),
            test=fields["test"] == "1",
            created_at=int(fields["created_at"] or ids.job_created_ms(job)),
            send_at=int(fields["send_at"] or 0),
            expires_at=int(fields["expires_at"] or 0),
            total=int(fields["total"] or 0),
            rate=fields["rate"],
            at_most_once=fields["at_most_once"] == "1",
        )


def positions_by_url(links: Iterable[TrackedLink]) -> dict[str, list[int]]:
    """Where each URL stands."""
    positions: dict[str, list[int]] = {}
    for link in links:
        positions.setdefault(link.url, []).append(link.position)
    return positions


def stop_names(job: Job) -> list[str]:
    """What may stop the job, the strongest first."""
    tenant = [stops.of_tenant(job.tenant)] if job.stream == stops.STOPPED_STREAM else []
    return [stops.of_job(job.id), *tenant]


def report(
    job: Job,
    counters: Mapping[str, bytes],
    links: Sequence[TrackedLink],
    unique_by_url: Mapping[str, int],
    stop: tuple[str, stops.Stop] | None = None,
) -> JobReport:
    """The report. `unique_by_url`: how many messages had a URL clicked that stands at more than one position. `stop`:
    what stops the job now, with its name."""
    tally = state.tally(_histogram(counters))
    counts = _counts(tally, counters)
    positions = [_position(link, counters) for link in links]
    done = job.state == "queued" and tally.ended >= job.total
    return JobReport(
        id=job.id,
        state="done" if done else _state(job, stop),
        stopped=None if done or stop is None else _stopped(*stop),
        stream=job.stream,
        rate=job.rate or None,
        at_most_once=job.at_most_once,
        sender=job.sender,
        subject=job.subject,
        list=job.list or None,
        category=job.category or None,
        tags=job.tags,
        test=job.test,
        created_at=rfc3339(job.created_at),
        send_at=rfc3339(job.send_at) if job.send_at else None,
        expires_at=rfc3339(job.expires_at) if job.expires_at else None,
        total=job.total,
        counts=counts,
        rates=_rates(counts),
        links=_links(positions, positions_by_url(links), unique_by_url),
        positions=positions,
    )


def _state(job: Job, stop: tuple[str, stops.Stop] | None) -> str:
    """An open or scheduled job has sent nothing yet, stopped or not."""
    if stop is None or job.state not in ("queueing", "queued"):
        return job.state
    return "paused" if stop[1].reason == stops.PAUSED else "stopped"


def _stopped(name: str, stop: stops.Stop) -> StoppedBy:
    return StoppedBy(
        name=name,
        reason=stop.reason,
        by=stop.by,
        since=rfc3339(stop.since_ms),
        bad=stop.bad,
        of=stop.of,
        consented=not stop.needs_consent or stop.consent_ms > 0,
    )


def _number(counters: Mapping[str, bytes], name: str) -> int:
    return int(counters.get(name, b"0"))


def _histogram(counters: Mapping[str, bytes]) -> dict[int, int]:
    return {
        int(name.removeprefix("state:")): int(number) for name, number in counters.items() if name.startswith("state:")
    }


def _counts(tally: state.Tally, counters: Mapping[str, bytes]) -> Counts:
    def unique(code: Code) -> int:
        return _number(counters, f"{COUNTERS[code]}:unique")

    def total(code: Code) -> int:
        return _number(counters, f"{COUNTERS[code]}:total")

    def engagement(people: Code, machines: Code) -> Engagement:
        return Engagement(
            unique=unique(people),
            total=total(people),
            machine=Figures(unique=unique(machines), total=total(machines)),
        )

    return Counts(
        accepted=tally.accepted,
        rejected=tally.rejected,
        suppressed=Suppressed(
            total=tally.at_queueing + tally.at_attempt, at_queueing=tally.at_queueing, at_attempt=tally.at_attempt
        ),
        delivered=tally.delivered,
        bounced=Bounced(total=tally.bounced, hard=tally.hard, soft=tally.soft, block=tally.block, late=tally.late),
        expired=tally.expired,
        failed=tally.failed,
        pending=tally.pending,
        deferred=Deferred(current=tally.deferred, unique=unique(Code.DEFERRED), total=total(Code.DEFERRED)),
        opens=engagement(Code.OPENED, Code.MACHINE_OPENED),
        clicks=engagement(Code.CLICKED, Code.MACHINE_CLICKED),
        complaints=unique(Code.COMPLAINED),
        unsubscriptions=unique(Code.UNSUBSCRIBED),
        auto_replies=unique(Code.AUTO_REPLIED),
    )


def _rates(counts: Counts) -> Rates:
    def share(part: int, whole: int) -> float | None:
        return round(part / whole, 6) if whole else None

    return Rates(
        delivered=share(counts.delivered, counts.accepted),
        bounced=share(counts.bounced.total, counts.accepted),
        opened=share(counts.opens.unique, counts.delivered),
        clicked=share(counts.clicks.unique, counts.delivered),
        complained=share(counts.complaints, counts.delivered),
        unsubscribed=share(counts.unsubscriptions, counts.delivered),
    )


def _position(link: TrackedLink, counters: Mapping[str, bytes]) -> Position:
    return Position(
        position=link.position,
        url=link.url,
        unique=_number(counters, f"{click_counter(link.position)}:unique"),
        total=_number(counters, f"{click_counter(link.position)}:total"),
        machine_total=_number(counters, f"{machine_click_counter(link.position)}:total"),
    )


def _links(
    positions: Sequence[Position], by_url: Mapping[str, list[int]], unique_by_url: Mapping[str, int]
) -> list[Link]:
    known = {position.position: position for position in positions}
    links = []
    for url, numbers in by_url.items():
        parts = [known[number] for number in numbers]
        links.append(
            Link(
                url=url,
                positions=numbers,
                unique=parts[0].unique if len(parts) == 1 else unique_by_url[url],
                total=sum(part.total for part in parts),
                machine_total=sum(part.machine_total for part in parts),
            )
        )
    return links
