"""What a tenant counts as activity: in which operations, since when, and how much of it is enough. Pure.

`KINDS` is the table: kinds of operation, and for each the activities that it knows. Something may count only where it
is told by an event; what nobody can know (that a mail was read to its end, say) is no activity.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args

import msgspec

from shared.words.described import says
from shared.words.errors import Fault

Kind = Literal["email", "sms", "survey", "form"]
Activity = Literal["opened", "clicked", "answered", "sent"]
Unit = Literal["days", "months"]

#: What counts in an operation of each kind, in the order in which people are shown it; all of it where a tenant says
#: nothing: opening or click of an e-mail campaign, click of an SMS, answer to a survey, sent form.
KINDS: Mapping[Kind, tuple[Activity, ...]] = {
    "email": ("opened", "clicked"),
    "sms": ("clicked",),
    "survey": ("answered",),
    "form": ("sent",),
}
#: Two years: what is older says nothing of who is active now.
MOST: Mapping[Unit, int] = {"days": 731, "months": 24}
#: Nobody opens more mails in two years.
MOST_LEAST = 10_000


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last so many days or calendar months before a run."""

    count: Annotated[int, says("How many of them.", 2)] = 2
    unit: Annotated[Unit, says("Days of 24 hours, or months of the calendar in UTC.", "months")] = "months"


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a tenant. `counts`: for each kind of operation that counts the activities that do; a kind that is
    left out does not count."""

    period: Annotated[Period, says("How far back a run looks.")] = Period()
    least: Annotated[int, says("So many events in the period make a contact active.", 1)] = 1
    counts: Annotated[
        dict[str, list[str]],
        says(
            "By kind of operation what counts as activity: "
            + "; ".join(f"`{kind}`: {', '.join(f'`{one}`' for one in known)}" for kind, known in KINDS.items())
            + ".",
            {"email": ["opened", "clicked"], "sms": ["clicked"]},
        ),
    ] = msgspec.field(default_factory=lambda: {kind: list(known) for kind, known in KINDS.items()})


#: Of a tenant that set nothing.
USUAL = Asked()


def faults(asked: Asked) -> list[Fault]:
    """All that is wrong with settings, each with its place; none if they can be followed."""
    return list(_faults(asked))


def _faults(asked: Asked) -> Iterator[Fault]:
    unit = asked.period.unit
    if not 1 <= asked.period.count <= MOST[unit]:
        yield Fault("$.period.count", f"expected 1 to {MOST[unit]} {unit}, got {asked.period.count}")
    if not 1 <= asked.least <= MOST_LEAST:
        yield Fault("$.least", f"expected 1 to {MOST_LEAST}, got {asked.least}")
    if not any(asked.counts.values()):
        yield Fault("$.counts", "nothing counts: nobody would ever be active")
    for kind, activities in asked.counts.items():
        yield from _faults_of_kind(kind, activities)


def _faults_of_kind(kind: str, activities: list[str]) -> Iterator[Fault]:
    at = f"$.counts.{kind[:40]}"
    known = next((known for name, known in KINDS.items() if name == kind), None)
    if known is None:
        yield Fault(at, f"there is no such kind of operation; there are {', '.join(get_args(Kind))}")
        return
    for index, activity in enumerate(activities):
        if activity not in known:
            what = f"{activity[:40]!r} is no activity of {kind}; there are {', '.join(known)}"
            yield Fault(f"{at}[{index}]", what)
        elif activity in activities[:index]:
            yield Fault(f"{at}[{index}]", f"{activity!r} stands there twice")


def counted(asked: Asked) -> list[tuple[str, str]]:
    """The pairs of kind and activity that count, each once, in the order of `KINDS`."""
    return [(kind, one) for kind, known in KINDS.items() for one in known if one in asked.counts.get(kind, ())]


def since_ms(period: Period, run_ms: int) -> int:
    """The first moment that a run at `run_ms` counts; the run's own is none any more. Both in ms since the epoch.

    A month ago is the same day of the month before, or its last: two months before 30 April is 28 or 29 February."""
    if period.unit == "days":
        return run_ms - round(timedelta(days=period.count) / timedelta(milliseconds=1))
    run = datetime.fromtimestamp(run_ms // 1000, UTC)
    years, month = divmod(run.year * 12 + run.month - 1 - period.count, 12)
    day = min(run.day, _days_of(years, month + 1))
    return round(run.replace(year=years, month=month + 1, day=day).timestamp()) * 1000 + run_ms % 1000


def _days_of(year: int, month: int) -> int:
    first = datetime(year, month, 1, tzinfo=UTC)
    return ((first + timedelta(days=31)).replace(day=1) - first).days
