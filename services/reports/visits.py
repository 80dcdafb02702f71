"""The part of a job's report that says what who clicked did on the tenant's sites, where they agreed."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from services.reports.tally import AMOUNT_PARTS, AMOUNTS, VISITS, amount_counter, machine_visit_counter, visit_counter
from shared.words.described import says


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """What it came to in one currency."""

    currency: Annotated[str, says("Which currency (ISO 4217).", "EUR")]
    total: Annotated[str, says("The sum of what people told, as a decimal.", "1290.50")]


class SiteEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What visitors did, by one name."""

    name: Annotated[str, says("Its name.", "purchase")]
    unique: Annotated[int, says("Of how many messages, by people.", 21)]
    total: Annotated[int, says("How often, by people.", 23)]
    machine_total: Annotated[int, says("How often by what was recognised as no person.", 0)]
    amounts: Annotated[Sequence[Amount], says("What it came to, by people.")]


class Visits(msgspec.Struct, frozen=True, kw_only=True):
    """What who clicked did on the tenant's sites, where they agreed to be followed. Pages say it: compare it with your
    orders."""

    unique: Annotated[int, says("Of how many messages pages were looked at, by people.", 64)]
    total: Annotated[int, says("How many pages were looked at, by people.", 310)]
    machine_total: Annotated[int, says("How many were by what was recognised as no person.", 2)]
    events: Annotated[Sequence[SiteEvent], says("What else happened there, by name.")]


def of(counters: Mapping[str, bytes]) -> Visits:
    """From the counters of a job."""

    def number(name: str) -> int:
        return int(counters.get(name, b"0"))

    ends = (":unique", ":total")
    told = {name.partition(":")[0] for name in counters if name.endswith(ends)}
    names = {name.removeprefix("machine_").removeprefix(VISITS) for name in told if VISITS in name}
    return Visits(
        unique=number("page_views:unique"),
        total=number("page_views:total"),
        machine_total=number("machine_page_views:total"),
        events=[
            SiteEvent(
                name=name,
                unique=number(f"{visit_counter(name)}:unique"),
                total=number(f"{visit_counter(name)}:total"),
                machine_total=number(f"{machine_visit_counter(name)}:total"),
                amounts=[
                    Amount(
                        currency=currency, total=f"{Decimal(number(amount_counter(name, currency))) / AMOUNT_PARTS:f}"
                    )
                    for currency in _currencies(counters, name)
                ],
            )
            for name in sorted(names)
        ],
    )


def _currencies(counters: Mapping[str, bytes], name: str) -> list[str]:
    begin = f"{AMOUNTS}{name}-"
    return sorted(one.removeprefix(begin) for one in counters if one.startswith(begin))
