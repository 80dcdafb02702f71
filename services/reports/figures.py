"""What statistics say: counts and rates, made of numbers by code. Pure.

Where nothing else is said a number is of messages, or, in `total`, of how often; people and machines are apart. Each
rate has its numerator and its denominator in `docs/statistics.md`.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from services.reports.cells import RAW, UNIQUE
from services.reports.job_report import Figures
from services.reports.state import Code
from shared.words.described import says


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that will not arrive. `late` of the total had been taken by a host before."""

    total: Annotated[int, says("All that bounced.", 31)]
    hard: Annotated[int, says("The address is invalid.", 24)]
    soft: Annotated[int, says("The address may be good later.", 5)]
    block: Annotated[int, says("The refusal was about the sender.", 2)]
    late: Annotated[int, says("Of the total: reported after a host had taken the message.", 1)]


class Responses(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to messages, or came back of them."""

    unique: Annotated[int, says("Of how many messages, by the hour of the first.", 7)]
    total: Annotated[int, says("How often.", 8)]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """By people; beside it what was recognised as no person, and both together. `unique` counts a message once, in the
    hour of the first."""

    unique: Annotated[int, says("Of how many messages, by people; each in the hour of its first.", 412)]
    total: Annotated[int, says("How often, by people.", 655)]
    machine: Annotated[Figures, says("What was recognised as no person.")]
    raw: Annotated[Figures, says("By anybody, a person or a machine; a message of both counts once in `unique`.")]


class StatisticCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in that time, by the hour in which it did."""

    accepted: Annotated[int, says("Queued for their hosts.", 985)]
    rejected: Annotated[int, says("Never queued, for a reason that lies in the job.", 5)]
    suppressed: Annotated[int, says("Not sent, because the address is on the suppression list.", 12)]
    delivered: Annotated[int, says("Taken by a host; those that bounced afterwards are in `bounced.late`, too.", 946)]
    deferred: Annotated[Responses, says("Messages of which an attempt failed for now, and how often.")]
    bounced: Annotated[Ends, says("Messages that will not arrive.")]
    expired: Annotated[int, says("Their time ran out before a host took them.", 3)]
    failed: Annotated[int, says("The engine could not make or send them.", 0)]
    cancelled: Annotated[int, says("Not sent, because somebody cancelled them.", 0)]
    opens: Annotated[
        Seen,
        says("Pictures that were fetched, and messages that a person followed a link of without: one opening each."),
    ]
    clicks: Annotated[Seen, says("Links that were followed, but for those to documents.")]
    documents: Annotated[Seen, says("Tracked documents that were opened.")]
    unsubscriptions: Annotated[Responses, says("Recipients who asked to be left alone.")]
    complaints: Annotated[Responses, says("Messages that a provider reported a complaint about.")]
    auto_replies: Annotated[Responses, says("Automatic answers that came back.")]
    replies: Annotated[Responses, says("Answers by people, to the return path.")]


class StatisticRates(msgspec.Struct, frozen=True, kw_only=True):
    """Shares, null where there is nothing to divide by. What is seen in a time may be of messages that were sent
    before: then a share may be more than 1."""

    delivered: Annotated[float | None, says("Delivered and not bounced late, of what was accepted.", 0.9594)]
    bounced: Annotated[float | None, says("Bounced, of what was accepted.", 0.0315)]
    invalid: Annotated[float | None, says("Bounced hard, of what was accepted.", 0.0244)]
    opened: Annotated[float | None, says("Opened by people, of what was delivered and not bounced late.", 0.436)]
    clicked: Annotated[float | None, says("Clicked by people, of the same.", 0.0974)]
    click_to_open: Annotated[float | None, says("Clicked by people, of what was opened by people.", 0.2233)]
    complained: Annotated[float | None, says("Complained about, of what was delivered and not bounced late.", 0.0011)]
    unsubscribed: Annotated[float | None, says("Unsubscribed, of the same.", 0.0074)]


def counts_of(numbers: Mapping[int, int]) -> StatisticCounts:
    """From how many there are of each code (`services.reports.cells`)."""

    def number(*codes: int) -> int:
        return sum(numbers.get(code, 0) for code in codes)

    def told(code: int) -> Responses:
        return Responses(unique=number(code + UNIQUE), total=number(code))

    def seen(person: int, machine: int) -> Seen:
        return Seen(
            unique=number(person + UNIQUE),
            total=number(person),
            machine=Figures(unique=number(machine + UNIQUE), total=number(machine)),
            raw=Figures(unique=number(person + RAW), total=number(person, machine)),
        )

    hard = number(Code.BOUNCED_HARD, Code.LATE_HARD)
    soft = number(Code.BOUNCED_SOFT, Code.LATE_SOFT)
    block = number(Code.BOUNCED_BLOCK, Code.LATE_BLOCK)
    return StatisticCounts(
        accepted=number(Code.ACCEPTED),
        rejected=number(Code.REJECTED),
        suppressed=number(Code.SUPPRESSED),
        delivered=number(Code.DELIVERED),
        deferred=told(Code.DEFERRED),
        bounced=Ends(
            total=hard + soft + block,
            hard=hard,
            soft=soft,
            block=block,
            late=number(Code.LATE_HARD, Code.LATE_SOFT, Code.LATE_BLOCK),
        ),
        expired=number(Code.EXPIRED),
        failed=number(Code.FAILED),
        cancelled=number(Code.CANCELLED),
        opens=seen(Code.OPENED, Code.MACHINE_OPENED),
        clicks=seen(Code.CLICKED, Code.MACHINE_CLICKED),
        documents=seen(Code.DOCUMENT_OPENED, Code.MACHINE_DOCUMENT_OPENED),
        unsubscriptions=told(Code.UNSUBSCRIBED),
        complaints=told(Code.COMPLAINED),
        auto_replies=told(Code.AUTO_REPLIED),
        replies=told(Code.REPLIED),
    )


def rates_of(counts: StatisticCounts) -> StatisticRates:
    """The shares of these."""

    def share(part: int, whole: int) -> float | None:
        return round(max(0, part) / whole, 6) if whole > 0 else None

    arrived = counts.delivered - counts.bounced.late
    return StatisticRates(
        delivered=share(arrived, counts.accepted),
        bounced=share(counts.bounced.total, counts.accepted),
        invalid=share(counts.bounced.hard, counts.accepted),
        opened=share(counts.opens.unique, arrived),
        clicked=share(counts.clicks.unique, arrived),
        click_to_open=share(counts.clicks.unique, counts.opens.unique),
        complained=share(counts.complaints.unique, arrived),
        unsubscribed=share(counts.unsubscriptions.unique, arrived),
    )
