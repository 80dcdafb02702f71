"""The report of a job, from its counters. The figures add up, at any moment:

    accepted           = delivered + bounced.total + expired + failed + suppressed.at_attempt + cancelled.later
                         + pending
    suppressed.total   = suppressed.at_queueing + suppressed.at_attempt
    bounced.total      = bounced.hard + bounced.soft + bounced.block, of which bounced.late after a delivery
    cancelled.total    = cancelled.at_queueing + cancelled.later
    total              = accepted + suppressed.at_queueing + cancelled.at_queueing + rejected, once all is queued

A message that bounced late is bounced and no longer delivered. People and machines (prefetching proxies, scanners) are
counted apart, and never added up here. A message that a person clicked in was opened, whether its picture was or not.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec

from services.reports import state, visits
from services.reports.job_contacts import AWAITED, DETAIL, JobContacts, contacts
from services.reports.job_record import Job, JobTiming
from services.reports.job_template import JobTemplate
from services.reports.state import Code
from services.reports.stopped_by import StoppedBy
from services.reports.tally import (
    COUNTERS,
    IMPLIED_OPENS,
    click_counter,
    document_counter,
    machine_click_counter,
    machine_document_counter,
)
from services.reports.visits import Visits
from shared.redis import stops
from shared.words.content import TrackedLink
from shared.words.content import positions_by_document as positions_by_document
from shared.words.content import positions_by_url as positions_by_url
from shared.words.described import says
from shared.words.times import rfc3339
from shared.words.tokens import NO_POSITION

_NONE: Mapping[str, int] = {}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """`unique` messages, and how often in `total`."""

    unique: Annotated[int, says("Of how many messages.", 38)]
    total: Annotated[int, says("How often.", 91)]


class Engagement(msgspec.Struct, frozen=True, kw_only=True):
    """By people; `machine` is what was recognised as not a person."""

    unique: Annotated[int, says("Of how many messages, by people.", 412)]
    total: Annotated[int, says("How often, by people.", 655)]
    machine: Annotated[Figures, says("What was recognised as no person.")]


class Suppressed(msgspec.Struct, frozen=True, kw_only=True):
    """Found on the list before it was accepted, or after it, just before an attempt."""

    total: Annotated[int, says("All that were suppressed.", 12)]
    at_queueing: Annotated[int, says("Found on the list before they were accepted.", 10)]
    at_attempt: Annotated[int, says("Found on the list just before an attempt.", 2)]


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """Cancelled before it was accepted, or later, while it waited to be sent."""

    total: Annotated[int, says("All that were cancelled.", 0)]
    at_queueing: Annotated[int, says("Before they were accepted.", 0)]
    later: Annotated[int, says("While they waited to be sent.", 0)]


class Bounced(msgspec.Struct, frozen=True, kw_only=True):
    """`late` of the total were reported after the receiving host had taken the message."""

    total: Annotated[int, says("All that bounced.", 31)]
    hard: Annotated[int, says("The address is bad.", 24)]
    soft: Annotated[int, says("The address may be good later.", 5)]
    block: Annotated[int, says("The refusal was about the sender.", 2)]
    late: Annotated[int, says("Of the total: reported after a host had taken the message.", 1)]


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """`current`: messages that wait for another attempt now; `unique`: that ever did; `total`: how often."""

    current: Annotated[int, says("Messages that wait for another attempt now.", 4)]
    unique: Annotated[int, says("Messages that ever did.", 57)]
    total: Annotated[int, says("How often an attempt failed for now.", 83)]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Messages by their state, then what recipients did. `pending` have no end yet, the deferred among them.
    `failed` are those that the engine could not send."""

    accepted: Annotated[int, says("Queued for their hosts.", 985)]
    rejected: Annotated[int, says("Never queued, for a reason that lies in the job.", 5)]
    suppressed: Annotated[Suppressed, says("Not sent, because the address is on the suppression list.")]
    delivered: Annotated[int, says("Taken by a host, and not bounced afterwards.", 945)]
    bounced: Annotated[Bounced, says("Messages that will not arrive.")]
    expired: Annotated[int, says("Their time ran out before a host took them.", 3)]
    failed: Annotated[int, says("The engine could not make or send them.", 0)]
    cancelled: Annotated[Cancelled, says("Not sent, because somebody cancelled them.")]
    pending: Annotated[int, says("Without an end yet, the deferred among them.", 4)]
    deferred: Annotated[Deferred, says("Messages of which an attempt failed for now.")]
    opens: Annotated[
        Engagement,
        says("Pictures that were fetched, and messages that a person followed a link of without: one opening each."),
    ]
    clicks: Annotated[Engagement, says("Links that were followed, but for those to documents.")]
    documents: Annotated[Engagement, says("Tracked documents that were opened.")]
    complaints: Annotated[int, says("Messages that a provider reported a complaint about.", 1)]
    unsubscriptions: Annotated[int, says("Recipients who asked to be left alone.", 7)]
    auto_replies: Annotated[int, says("Automatic answers that came back.", 18)]
    replies: Annotated[int, says("Messages that people answered, to the return path.", 3)]


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Shares from 0 to 1, null where there is nothing to divide by: delivered and bounced of what was accepted, the
    others (unique, by people) of what was delivered."""

    delivered: Annotated[float | None, says("Delivered of what was accepted.", 0.9594)]
    bounced: Annotated[float | None, says("Bounced of what was accepted.", 0.0315)]
    opened: Annotated[float | None, says("Opened by people of what was delivered.", 0.436)]
    clicked: Annotated[float | None, says("Clicked by people of what was delivered.", 0.0974)]
    complained: Annotated[float | None, says("Complained about of what was delivered.", 0.0011)]
    unsubscribed: Annotated[float | None, says("Unsubscribed of what was delivered.", 0.0074)]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks of the link at one place in the source of the HTML, or, behind all of these, of the text. `url` is where
    it leads, or, if that depends on the recipient, as it was written. `machine_total` is what was recognised as not a
    person."""

    position: Annotated[int, says("The place in the source of the HTML, from 0; those of the text follow.", 2)]
    url: Annotated[str, says("Where it leads, or as it was written.", "https://exemple.fr/soldes")]
    name: Annotated[str, says("What `data-link-name` calls it, or nothing.", "bouton du haut")] = ""
    unique: Annotated[int, says("Messages in which it was clicked, by people.", 92)]
    total: Annotated[int, says("Clicks by people.", 120)]
    machine_total: Annotated[int, says("Clicks by what was recognised as no person.", 33)]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks of one URL, at whichever of its positions; `unique` are messages in which any of them was clicked."""

    url: Annotated[str, says("Where it leads.", "https://exemple.fr/soldes")]
    positions: Annotated[list[int], says("Its places in the source of the HTML.", [0, 2])]
    unique: Annotated[int, says("Messages in which any of them was clicked, by people.", 92)]
    total: Annotated[int, says("Clicks by people.", 120)]
    machine_total: Annotated[int, says("Clicks by what was recognised as no person.", 33)]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Openings of one tracked document, at whichever of its positions in the mail; `unique` are messages of which it
    was opened. Those whose links are in no mail (`POST /v1/documents`) are counted together, with neither name nor
    position."""

    name: Annotated[str | None, says("What `data-document` calls it; null: all that are in no mail.", "Devis 2026-113")]
    positions: Annotated[list[int], says("The places of its links in the source of the HTML.", [2])]
    unique: Annotated[int, says("Messages of which it was opened, by people.", 41)]
    total: Annotated[int, says("Openings by people.", 58)]
    machine_total: Annotated[int, says("Openings by what was recognised as no person.", 12)]


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """`state` is `open`, `scheduled`, `queueing`, `queued`, `paused` or `stopped` while nothing is sent of what is
    queued (`stopped` says why), `cancelling`, or `done` when every message has its end. `total` is the number of
    recipients taken so far. `rate` is the most that is sent of it, if it has one of its own."""

    id: Annotated[str, says("The id of the job.", "068vjfm5s9m2rc1jqqrg")]
    state: Annotated[str, says("How far it is.", "queued")]
    stopped: Annotated[StoppedBy | None, says("Why nothing of it is sent for now, if that is so.")]
    stream: Annotated[str, says("The kind of mail: `bulk`, `transactional` or `one_to_one`.", "bulk")]
    rate: Annotated[str | None, says("The most that is sent of it, if the job said so.", "50000/h")]
    at_most_once: Annotated[bool, says("Whether an attempt whose end is unknown is not made again.", False)]
    sender: Annotated[str, says("Its sender.", "Chouette <news@exemple.fr>")] = msgspec.field(name="from")
    subject: Annotated[str, says("Its subject, as it was written.", "Bonjour {{ prenom }}")]
    list: Annotated[str | None, says("The name of its list.", "newsletter")]
    once: Annotated[
        str | None, says("The operation of which each recipient gets one message, if it named one.", "autumn-2026")
    ]
    category: Annotated[str | None, says("Its category.", "promotion")]
    tags: Annotated[Sequence[str], says("Its tags.", ["soldes"])]
    test: Annotated[
        bool, says("Whether the caller called it a test, or it is of the sandbox, or for the seed list.", False)
    ]
    seeds: Annotated[str | None, says("The job by which the seed list got a copy of it.", "068vjfm5s9xk3q0vd1c0")]
    seeds_of: Annotated[str | None, says("The job of which it is that copy.", None, "068vjfm5s9m2rc1jqqrg")]
    dsn_of: Annotated[
        str | None, says("The message of which it tells its sender what became of it.", None, "068vjfm5s9m2rc1jqqrg.0")
    ]
    sandbox: Annotated[bool, says("Whether it was sent with a key of the sandbox: to no host of the world.", False)]
    created_at: Annotated[str, says("When it was made.", "2026-01-31T09:05:00.123Z")]
    request: Annotated[
        str | None, says("The id of the request that made it: X-Request-Id of its answer.", "5e6f1c9a0b2d-2a")
    ]
    send_at: Annotated[str | None, says("When it is to be queued; null for at once.", "2026-02-01T07:00:00.000Z")]
    expires_at: Annotated[str | None, says("When its messages expire.", "2026-02-04T07:00:00.000Z")]
    timing: Annotated[JobTiming | None, says("When each message may go; null: as soon as the job has started.")]
    changed_at: Annotated[
        str | None, says("When it was changed last, before it was started.", "2026-01-31T10:00:00.000Z")
    ]
    total: Annotated[int, says("How many recipients were taken so far.", 1_000)]
    unselected: Annotated[
        str | None,
        says("Why nobody else was taken from the set of `recipients_from`; null if all were.", None, "job_gone"),
    ]
    unselected_detail: Annotated[str | None, DETAIL]
    contacts: Annotated[JobContacts | None, says("The contacts that it is sent to; null of others, and at first.")]
    awaited: Annotated[str | None, AWAITED]
    counts: Annotated[Counts, says("What became of its messages.")]
    rates: Annotated[Rates, says("The same as shares.")]
    template: Annotated[JobTemplate | None, says("The stored template that it was made of, if it named one.")] = None
    links: Annotated[Sequence[Link], says("Clicks by URL.")]
    positions: Annotated[Sequence[Position], says("Clicks by place in the source of the HTML.")]
    documents: Annotated[Sequence[Document], says("Openings of tracked documents, by name.")]
    visits: Annotated[Visits, says("What who clicked did on the tenant's sites, where they agreed.")]


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
    is_cancelled: bool = False,
    unique_by_document: Mapping[str, int] = _NONE,
) -> JobReport:
    """The report. `unique_by_url`: how many messages had a URL clicked that stands at more than one position;
    `unique_by_document`: the same of documents that were opened. `stop`: what stops the job now, with its name.
    `is_cancelled`: what has no end gets one."""
    tally = state.tally(histogram(counters))
    counts = _counts(tally, counters)
    positions = [_position(link, counters) for link in links if not link.document]
    word = state_of(job, tally, stop, is_cancelled)
    return JobReport(
        id=job.id,
        state=word,
        stopped=None if word in ("done", "cancelling") or stop is None else _stopped(*stop),
        stream=job.stream,
        rate=job.rate or None,
        at_most_once=job.at_most_once,
        sender=job.sender,
        subject=job.subject,
        list=job.list or None,
        once=job.once or None,
        category=job.category or None,
        tags=job.tags,
        test=job.test,
        sandbox=job.sandbox,
        seeds=job.seeds or None,
        seeds_of=job.seeds_of or None,
        dsn_of=job.dsn_of or None,
        created_at=rfc3339(job.created_at),
        request=job.request or None,
        send_at=rfc3339(job.send_at) if job.send_at else None,
        expires_at=rfc3339(job.expires_at) if job.expires_at else None,
        timing=JobTiming.read(job.timing),
        changed_at=rfc3339(job.changed_at) if job.changed_at else None,
        total=job.total,
        unselected=job.unselected or None,
        unselected_detail=job.unselected_detail or None,
        contacts=contacts(job.segment),
        awaited=job.awaited or None,
        template=JobTemplate.read(job.template),
        counts=counts,
        rates=_rates(counts),
        links=_links(positions, positions_by_url(links), unique_by_url),
        positions=positions,
        documents=_documents(positions_by_document(links), counters, unique_by_document),
        visits=visits.of(counters),
    )


def state_of(job: Job, tally: state.Tally, stop: tuple[str, stops.Stop] | None, is_cancelled: bool) -> str:
    """How far the job is. One that is open or scheduled has sent nothing yet, stopped or not."""
    if job.state == "queued" and tally.ended >= job.total:
        return "done"
    if is_cancelled:
        return "cancelling"
    if stop is None or job.state not in ("selecting", "queueing", "queued"):
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


def histogram(counters: Mapping[str, bytes]) -> dict[int, int]:
    """How many messages have each byte."""
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
        cancelled=Cancelled(
            total=tally.cancelled_at_queueing + tally.cancelled_later,
            at_queueing=tally.cancelled_at_queueing,
            later=tally.cancelled_later,
        ),
        pending=tally.pending,
        deferred=Deferred(current=tally.deferred, unique=unique(Code.DEFERRED), total=total(Code.DEFERRED)),
        opens=_with_implied(engagement(Code.OPENED, Code.MACHINE_OPENED), counters),
        clicks=engagement(Code.CLICKED, Code.MACHINE_CLICKED),
        documents=engagement(Code.DOCUMENT_OPENED, Code.MACHINE_DOCUMENT_OPENED),
        complaints=unique(Code.COMPLAINED),
        unsubscriptions=unique(Code.UNSUBSCRIBED),
        auto_replies=unique(Code.AUTO_REPLIED),
        replies=unique(Code.REPLIED),
    )


def _with_implied(opens: Engagement, counters: Mapping[str, bytes]) -> Engagement:
    """With an opening for each message that a person clicked in without one: pictures are often not shown."""
    implied = _number(counters, f"{IMPLIED_OPENS}:unique")
    return Engagement(unique=opens.unique + implied, total=opens.total + implied, machine=opens.machine)


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
        name=link.name,
        unique=_number(counters, f"{click_counter(link.position)}:unique"),
        total=_number(counters, f"{click_counter(link.position)}:total"),
        machine_total=_number(counters, f"{machine_click_counter(link.position)}:total"),
    )


def _documents(
    by_name: Mapping[str, list[int]], counters: Mapping[str, bytes], unique_by_name: Mapping[str, int]
) -> list[Document]:
    def total(counter: Callable[[int], str], positions: Sequence[int]) -> int:
        return sum(_number(counters, f"{counter(position)}:total") for position in positions)

    rows: list[tuple[str | None, list[int], list[int]]] = [(name, at, at) for name, at in by_name.items()]
    if total(document_counter, [NO_POSITION]) or total(machine_document_counter, [NO_POSITION]):
        rows.append((None, [], [NO_POSITION]))
    return [
        Document(
            name=name,
            positions=shown,
            unique=(
                _number(counters, f"{document_counter(at[0])}:unique")
                if name is None or len(at) == 1
                else unique_by_name[name]
            ),
            total=total(document_counter, at),
            machine_total=total(machine_document_counter, at),
        )
        for name, shown, at in rows
    ]


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
