"""What one fact changes in the report of its job, as data for the script that applies it.

Names of counters, as they are in the hash `job_counts`:

    state:<byte>                        messages in that state (`services.reports.state`)
    <counter>:total, <counter>:unique   how often, and by how many messages; the counters are below
    implied_opens:unique                messages that a person clicked in, or of which they opened a document, and no
                                        opening by a person is known of
    excluded-<reason>:total …           recipients who were left out, by why
    visit-<name>:total …                what people did on the tenant's site, by name; machine_visit-… of machines
    amount-<name>-<currency>            what that came to, of people, in ten-thousandths
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from services.reports import timeline
from services.reports.cells import Cell, cell_of
from services.reports.state import Code, code_of
from shared.words import events, standing
from shared.words.result_sets import REASONS
from shared.words.standing import IMPLIED_OPENS as IMPLIED_OPENS
from shared.words.standing import click_counter as click_counter
from shared.words.tokens import NO_POSITION

#: Beyond any job; an invalid number would make Redis allocate strings up to it.
MAX_ORDINAL = 50_000_000

#: Code → its counter, which is also the name of its bitmap.
COUNTERS: dict[Code, str] = {
    Code.DEFERRED: "deferrals",
    Code.OPENED: standing.OPENS,
    Code.MACHINE_OPENED: "machine_opens",
    Code.CLICKED: standing.CLICKS,
    Code.MACHINE_CLICKED: "machine_clicks",
    Code.DOCUMENT_OPENED: standing.DOCUMENTS,
    Code.OTHER_DOCUMENT_OPENED: standing.DOCUMENTS,
    Code.MACHINE_DOCUMENT_OPENED: "machine_documents",
    Code.PAGE_VIEWED: "page_views",
    Code.MACHINE_PAGE_VIEWED: "machine_page_views",
    Code.UNSUBSCRIBED: standing.UNSUBSCRIPTIONS,
    Code.COMPLAINED: standing.COMPLAINTS,
    Code.AUTO_REPLIED: standing.AUTO_REPLIES,
    Code.REPLIED: standing.REPLIES,
}


#: What counters of visits begin with: how often, and amounts, which are counted in such parts.
VISITS, AMOUNTS, AMOUNT_PARTS = "visit-", "amount-", 10_000


class Impossible(ValueError):
    """A fact that no report can show; the text says why."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """`record` is the fact in the timeline, `event` the eight bytes that stand for it, `counters` the names of what it
    counts for, each with a bitmap of its own."""

    job: str
    ordinal: int
    code: int
    record: bytes
    event: bytes
    occurred_at: int
    counters: tuple[str, ...] = ()
    #: Of a click, and of a document in the mail.
    position: int = 0
    #: Counters that go up by so much.
    amounts: tuple[tuple[str, int], ...] = ()
    #: Where it counts in statistics; None: nowhere.
    cell: Cell | None = None


class Applied(NamedTuple):
    """What became of the changes of a batch: counted, known already, or about jobs that are not kept any more. `judged`
    clicks that had been counted as a person's are a machine's now (`services.reports.late`)."""

    counted: int
    repeated: int
    orphaned: int
    judged: int = 0


def machine_click_counter(position: int) -> str:
    return f"machine_click-{position}"


def document_counter(position: int) -> str:
    """The counter of openings by people of the document at a position; NO_POSITION: of those whose links are in no
    mail. These are counted together: they may be as many as there are recipients."""
    return f"document-{position}"


def machine_document_counter(position: int) -> str:
    return f"machine_document-{position}"


def visit_counter(name: str) -> str:
    """The counter of what people did on a site, by its name."""
    return f"{VISITS}{name}"


def machine_visit_counter(name: str) -> str:
    return f"machine_{VISITS}{name}"


def amount_counter(name: str, currency: str) -> str:
    """What it came to, in ten-thousandths of that currency."""
    return f"{AMOUNTS}{name}-{currency}"


def _amounts(fact: events.VisitorActed) -> tuple[tuple[str, int], ...]:
    if not fact.currency or not fact.is_by_person:
        return ()
    try:
        parts = int(Decimal(fact.value) * AMOUNT_PARTS)
    except ArithmeticError as fault:
        raise Impossible(f"{fact.value!r:.40} is no amount") from fault
    return ((amount_counter(fact.name, fact.currency), parts),)


def _of_excluded(fact: events.Suppressed | events.Rejected) -> list[str]:
    return [standing.excluded_counter(fact.reason)] if fact.reason in REASONS else []


def _of_click(fact: events.Clicked) -> list[str]:
    return [click_counter(fact.position) if fact.is_by_person else machine_click_counter(fact.position)]


def _of_document(fact: events.DocumentOpened) -> list[str]:
    counter = document_counter if fact.is_by_person else machine_document_counter
    return [counter(NO_POSITION if fact.position is None else fact.position)]


def _of_visit(fact: events.VisitorActed) -> list[str]:
    return [visit_counter(fact.name) if fact.is_by_person else machine_visit_counter(fact.name)]


#: What facts of these kinds count for beside the counter of their code.
_MORE_COUNTERS: dict[type[events.Fact], Callable[[Any], list[str]]] = {
    events.Suppressed: _of_excluded,
    events.Rejected: _of_excluded,
    events.Clicked: _of_click,
    events.DocumentOpened: _of_document,
    events.VisitorActed: _of_visit,
}


def change(fact: events.Fact, stream_id: str) -> Change | None:
    """What the fact changes; None if it is not about a message. Impossible if it makes no sense."""
    code = code_of(fact)
    if code is None or not fact.job or fact.ordinal is None:
        return None
    if not 0 <= fact.ordinal <= MAX_ORDINAL:
        raise Impossible(f"no job has a recipient {fact.ordinal}")
    try:
        record = timeline.pack(fact, fact.ordinal, code, stream_id)
    except ValueError as fault:
        raise Impossible(str(fault)) from fault
    counters = [COUNTERS[code]] if code in COUNTERS else []
    if more := _MORE_COUNTERS.get(type(fact)):
        counters += more(fact)
    return Change(
        job=fact.job,
        ordinal=fact.ordinal,
        code=code,
        record=record,
        event=timeline.event_bytes(fact.event_id),
        occurred_at=fact.occurred_at,
        counters=tuple(counters),
        position=(fact.position or 0) if isinstance(fact, events.Clicked | events.DocumentOpened) else 0,
        amounts=_amounts(fact) if isinstance(fact, events.VisitorActed) else (),
        cell=cell_of(fact, code, int(stream_id.partition("-")[0])),
    )
