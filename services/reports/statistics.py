"""The statistics of a tenant and of a job: what is kept, read and added up for an answer."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.reports import kept_days
from services.reports.cells import HOUR_MS
from services.reports.figures import StatisticCounts, StatisticRates, counts_of, rates_of
from services.reports.job_report import JobReport, Link, Position
from services.reports.state import FACT_NAMES
from shared.archive.asked import AskedNumbers, Counts
from shared.archive.columns import NumberKind
from shared.redis import keys, statistics
from shared.redis.redis import Client
from shared.redis.statistics import Group, OfDay, OfJob
from shared.words import events, ids
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

By = Literal[
    "hour", "day", "list", "tag", "category", "stream", "domain", "provider", "source", "device", "client", "reason"
]
Interval = Literal["none", "day", "hour"]
DAY_MS = 24 * HOUR_MS
#: Of one request: the days that it reads, and the rows of its answer.
MOST_DAYS, MOST_ROWS = 92, 10_000
#: And what it is told of by the archive: each code of each row.
MOST_NUMBERS = 100 * MOST_ROWS
#: What a tenant's statistics are kept of by the hour only for all jobs together, and by group for the day.
_PLACES = ("provider", "source")
#: And only for the day.
_DETAILS = ("device", "client", "reason")


class StatisticsQuery(msgspec.Struct, frozen=True):
    """Which statistics of the tenant are shown."""

    since: Annotated[
        datetime | None, says("From this time on; the hour that it is in counts whole.", "2026-01-01T00:00:00Z")
    ] = msgspec.field(default=None, name="from")
    until: Annotated[
        datetime | None, says("Up to this time; the hour that it is in counts whole.", "2026-02-01T00:00:00Z")
    ] = msgspec.field(default=None, name="to")
    by: Annotated[By, says("By what they are told apart.", "list")] = "day"
    interval: Annotated[Interval, says("Whether each of these is told apart by day or by hour, too.", "day")] = "none"
    list: Annotated[str | None, says("Of jobs of this list only.", "newsletter")] = None
    tag: Annotated[str | None, says("Of jobs with this tag only.", "soldes")] = None
    category: Annotated[str | None, says("Of jobs of this category only.", "promotion")] = None
    stream: Annotated[
        Literal["bulk", "one_to_one", "transactional"] | None, says("Of jobs of this kind only.", "bulk")
    ] = None
    domain: Annotated[str | None, says("Of jobs with a sender of this domain only.", "exemple.fr")] = None

    @property
    def filters(self) -> Mapping[str, str]:
        """What jobs must have, by name."""
        named = {
            "list": self.list, "tag": self.tag, "category": self.category, "stream": self.stream, "domain": self.domain
        }  # fmt: skip
        return {name: value for name, value in named.items() if value is not None}


class StatisticsRow(msgspec.Struct, frozen=True, kw_only=True):
    """What happened of one of those by which the statistics are told apart."""

    key: Annotated[
        str | None, says("Which one: a list, a tag, a provider …; null of jobs or facts that have none.", "newsletter")
    ]
    time: Annotated[
        str | None, says("When the day or the hour begins, where it is told apart by that.", "2026-01-31T09:00:00.000Z")
    ]
    counts: Annotated[StatisticCounts, says("What happened.")]
    rates: Annotated[StatisticRates, says("The same as shares.")]


class StatisticsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a tenant. A message whose job has several tags is in several rows by tag, and once in `total`."""

    since: Annotated[str, says("The beginning of the first hour that is counted.", "2026-01-01T00:00:00.000Z")] = (
        msgspec.field(name="from")
    )
    until: Annotated[str, says("The end of the last hour that is counted.", "2026-02-01T00:00:00.000Z")] = (
        msgspec.field(name="to")
    )
    by: Annotated[str, says("By what they are told apart.", "list")]
    rows: Annotated[list[StatisticsRow], says("One for each, sorted; only those of which something happened.")]
    total: Annotated[StatisticsRow, says("All of them together.")]


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of a job."""

    time: Annotated[str, says("When the hour begins.", "2026-01-31T09:00:00.000Z")]
    counts: Annotated[StatisticCounts, says("What happened in it.")]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the funnel."""

    step: Annotated[str, says("Which step.", "recipients", "accepted", "delivered", "opened", "clicked")]
    messages: Annotated[int, says("How many messages came so far.", 945)]
    of_previous: Annotated[float | None, says("Their share of the step before; null of the first.", 0.9594)]


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What happened of one provider, source, device or client."""

    name: Annotated[str | None, says("Which one; null where it is not known.", "gmail")]
    counts: Annotated[StatisticCounts, says("What happened.")]
    rates: Annotated[StatisticRates, says("The same as shares.")]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """How often something happened for one reason."""

    type: Annotated[str, says("What happened, as in events.", "message.bounced")]
    reason: Annotated[str, says("Why, in one word.", "unknown_user")]
    total: Annotated[int, says("How often.", 24)]


class JobStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of a job, a second or two behind its report."""

    job: Annotated[str, says("The id of the job.", "068vjfm5s9m2rc1jqqrg")]
    total: Annotated[int, says("How many recipients were taken so far.", 1_000)]
    counts: Annotated[StatisticCounts, says("What happened of it until now.")]
    rates: Annotated[StatisticRates, says("The same as shares.")]
    hours: Annotated[list[Hour], says("Hour by hour, those in which something happened.")]
    funnel: Annotated[list[Step], says("How many came how far: from the recipients to the clicks.")]
    providers: Annotated[list[Named], says("By the provider that takes the mail.")]
    sources: Annotated[list[Named], says("By the address of ours that sent it.")]
    devices: Annotated[list[Named], says("Openings and clicks by the kind of device.")]
    clients: Annotated[list[Named], says("Openings and clicks by mail program or browser.")]
    reasons: Annotated[
        list[Reason], says("Why messages bounced, were deferred, rejected or suppressed, and recipients left.")
    ]
    links: Annotated[Sequence[Link], says("Clicks by URL, at whichever of its places.")]
    positions: Annotated[Sequence[Position], says("Clicks by place in the source of the HTML.")]


class StatisticsReader:
    """`now_ms` is the clock. `days`: for how long Redis keeps a tenant's; `behind` has older ones, if anything has.
    Every method raises RedisAway."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        now_ms: Callable[[], int],
        days: int = MOST_DAYS,
        behind: Counts | None = None,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._now_ms = now_ms
        self._days = days
        self._behind = behind

    async def of_tenant(self, tenant: str, query: StatisticsQuery) -> StatisticsAnswer:
        """What the query asks for. Problem 422 if it cannot be told. SearchFailed."""
        first, last = span(query, self._now_ms())
        names = await asyncio.gather(*map(self._names, range(self._partitions)))
        sums: dict[tuple[str | None, int], Counter[int]] = {}
        total: Counter[int] = Counter()
        here: set[tuple[int, int]] = set()
        letters = _letters(query)
        for day in range(first // 24, last // 24 + 1):
            read = await asyncio.gather(
                *(self._client.hgetall(keys.statistics(p, tenant, day)) for p in range(self._partitions))
            )
            for p, (stored, known) in enumerate(zip(read, names, strict=True)):
                if stored:
                    here.add((day, p))
                    found = statistics.of_day(stored, known, day, letters)
                    add_up(found, query, first, last, day, sums)
                    _add_total(found, query, first, last, total)
                    await asyncio.sleep(0)  # others are answered in between
            _require_few(len(sums))
        await self._add_archived(tenant, query, first, last, here, sums, total)
        rows = [
            _row(key, hour, sums[key, hour]) for key, hour in sorted(sums, key=_order) if any(sums[key, hour].values())
        ]
        return StatisticsAnswer(
            since=rfc3339(first * HOUR_MS),
            until=rfc3339((last + 1) * HOUR_MS),
            by=query.by,
            rows=rows,
            total=_row(None, -1, total),
        )

    async def _add_archived(
        self,
        tenant: str,
        query: StatisticsQuery,
        first: int,
        last: int,
        here: AbstractSet[tuple[int, int]],
        sums: dict[tuple[str | None, int], Counter[int]],
        total: Counter[int],
    ) -> None:
        """What Redis has no more. It was asked first: what it forgets is in the archive by then."""
        if self._behind is None:
            return
        kept = await kept_days.first_day(self._client, self._days, self._now_ms() // DAY_MS)
        if first // 24 >= kept:
            return
        last = min(last, kept * 24 - 1)
        found = await self._behind.numbers(archived(tenant, query, first, last, here))
        if sum(map(len, found.rows.values())) == MOST_NUMBERS:
            _require_few(MOST_ROWS + 1)
        for row, numbers in found.rows.items():
            sums.setdefault(row, Counter()).update(numbers)
        total.update(found.total)
        _require_few(len(sums))

    async def of_job(self, shown: JobReport) -> JobStatistics:
        """Beside what the report of a job says."""
        p = ids.job_partition(shown.id, self._partitions)
        stored, names = await asyncio.gather(self._client.hgetall(keys.job_statistics(p, shown.id)), self._names(p))
        return job_statistics(shown, statistics.of_job(stored, names))

    async def _names(self, p: int) -> statistics.Names:
        return statistics.names_of(await self._client.hgetall(keys.statistics_names(p)))


def span(query: StatisticsQuery, now_ms: int) -> tuple[int, int]:
    """The first and the last hour since 1970 that are counted: by default the week until now. Where statistics are by
    day, those of whole days. Problem 422 if there is none, or they are too many."""
    until_ms = now_ms if query.until is None else int(query.until.timestamp() * 1000)
    since_ms = until_ms - 7 * DAY_MS if query.since is None else int(query.since.timestamp() * 1000)
    if since_ms >= until_ms:
        raise _refused("?from", "not before `to`")
    first, last = since_ms // HOUR_MS, (until_ms - 1) // HOUR_MS
    if is_by_day(query):
        if query.interval == "hour":
            raise _refused(
                "?interval",
                f"by {query.by} there are days and no hours"
                + (", as soon as only some jobs are asked for" if query.by in _PLACES else ""),
            )
        first, last = first // 24 * 24, last // 24 * 24 + 23
    if last // 24 - first // 24 >= MOST_DAYS + 1:
        raise _refused("?from", f"more than {MOST_DAYS} days before `to`")
    return first, last


def is_by_day(query: StatisticsQuery) -> bool:
    """Whether what is asked for is kept by day alone."""
    return query.by in _DETAILS or (query.by in _PLACES and bool(query.filters))


def archived(
    tenant: str, query: StatisticsQuery, first: int, last: int, here: AbstractSet[tuple[int, int]]
) -> AskedNumbers:
    """What the archive is asked for these hours; days and partitions that are `here` are passed over."""
    kind: NumberKind = "hour"
    if query.by in _PLACES:
        kind = "place" if query.filters else ("provider" if query.by == "provider" else "source")
    elif query.by in _DETAILS:
        kind = "detail"
    by = "" if query.by in ("hour", "day") else query.by
    known = frozenset((day, p) for day, p in here if first // 24 <= day <= last // 24)
    return AskedNumbers(tenant, first, last, known, kind, by, _interval(query), query.filters, MOST_NUMBERS)


def add_up(
    found: OfDay,
    query: StatisticsQuery,
    first: int,
    last: int,
    day: int,
    sums: dict[tuple[str | None, int], Counter[int]],
) -> None:
    """What a day adds to the rows, by their key and the hour at which they begin, -1 where there is none."""
    for key, hour, code, number in _told(found, query, day):
        if first <= hour <= last:
            sums.setdefault((key, _begins(query, hour)), Counter())[code] += number


def _letters(query: StatisticsQuery) -> str:
    """Of the numbers that an answer is made of: the total of it is always by hour. A day of a large tenant has tens of
    thousands, and while they are read nobody else is answered."""
    if query.by in _DETAILS:
        return "hd"
    if query.by in _PLACES:
        return "hp" if query.filters else ("hP" if query.by == "provider" else "hS")
    return "h"


def _told(found: OfDay, query: StatisticsQuery, day: int) -> Iterator[tuple[str | None, int, int, int]]:
    by, filters = query.by, query.filters
    if by in _PLACES and not filters:
        for (hour, code, name), number in (found.providers if by == "provider" else found.sources).items():
            yield name or None, hour, code, number
    elif by in _PLACES:
        for (group, code, provider, source), number in found.places.items():
            if fits(group, filters):
                yield (provider if by == "provider" else source) or None, day * 24, code, number
    elif by in _DETAILS:
        for (group, code, detail), number in found.details.items():
            told = _detail(by, code, detail)
            if told is not None and fits(group, filters):
                yield told, day * 24, code, number
    else:
        for (group, hour, code), number in found.hours.items():
            if fits(group, filters):
                for one in _names_of(group, by):
                    yield one, hour, code, number


def _add_total(found: OfDay, query: StatisticsQuery, first: int, last: int, total: Counter[int]) -> None:
    for (group, hour, code), number in found.hours.items():
        if first <= hour <= last and fits(group, query.filters):
            total[code] += number


def _detail(by: str, code: int, detail: str) -> str | None:
    """The device, the client or the reason; None where the fact has another kind of detail."""
    if statistics.is_seen(code):
        device, _, client = detail.partition("/")
        return None if by == "reason" else (device if by == "device" else client or device)
    return detail if by == "reason" else None


def _names_of(group: Group, by: str) -> Sequence[str | None]:
    match by:
        case "tag":
            return group.tags or (None,)
        case "list" | "category" | "stream" | "domain":
            return (getattr(group, by) or None,)
    return (None,)


def fits(group: Group, filters: Mapping[str, str]) -> bool:
    """Whether jobs of that group are asked for."""
    return all(
        value in group.tags if name == "tag" else getattr(group, name) == value for name, value in filters.items()
    )


def _interval(query: StatisticsQuery) -> Interval:
    """By what times rows are told apart, as rows or beside them."""
    if "hour" in (query.by, query.interval):
        return "hour"
    return "day" if "day" in (query.by, query.interval) else "none"


def _begins(query: StatisticsQuery, hour: int) -> int:
    match _interval(query):
        case "hour":
            return hour
        case "day":
            return hour // 24 * 24
    return -1


def _order(row: tuple[str | None, int]) -> tuple[int, bool, str]:
    key, hour = row
    return hour, key is None, key or ""


def _row(key: str | None, hour: int, numbers: Mapping[int, int]) -> StatisticsRow:
    counts = counts_of(numbers)
    time = rfc3339(hour * HOUR_MS) if hour >= 0 else None
    return StatisticsRow(key=key, time=time, counts=counts, rates=rates_of(counts))


def job_statistics(shown: JobReport, found: OfJob) -> JobStatistics:
    """From what is kept of a job, and its report, which has the links."""
    hours: dict[int, Counter[int]] = {}
    total: Counter[int] = Counter()
    for (hour, code), number in found.hours.items():
        hours.setdefault(hour, Counter())[code] += number
        total[code] += number
    counts = counts_of(total)
    seen = [(code, *detail.partition("/")[::2], number) for (code, detail), number in found.details.items()
            if statistics.is_seen(code)]  # fmt: skip
    return JobStatistics(
        job=shown.id,
        total=shown.total,
        counts=counts,
        rates=rates_of(counts),
        hours=[
            Hour(time=rfc3339(hour * HOUR_MS), counts=counts_of(numbers))
            for hour, numbers in sorted(hours.items())
            if any(numbers.values())
        ],
        funnel=funnel(shown.total, counts),
        providers=_named((name, code, number) for (code, name, _), number in found.places.items()),
        sources=_named((name, code, number) for (code, _, name), number in found.places.items()),
        devices=_named((device, code, number) for code, device, _, number in seen),
        clients=_named((client or device, code, number) for code, device, client, number in seen),
        reasons=_reasons(found),
        links=shown.links,
        positions=shown.positions,
    )


def funnel(total: int, counts: StatisticCounts) -> list[Step]:
    """From the recipients to the clicks, each step of messages that came so far."""
    steps = (
        ("recipients", total),
        ("accepted", counts.accepted),
        ("delivered", counts.delivered - counts.bounced.late),
        ("opened", counts.opens.unique),
        ("clicked", counts.clicks.unique),
    )
    return [
        Step(
            step=name,
            messages=number,
            of_previous=round(number / before, 6) if before > 0 else None,
        )
        for (name, number), before in zip(steps, (0, *(number for _, number in steps)), strict=False)
    ]


def _named(told: Iterator[tuple[str, int, int]]) -> list[Named]:
    sums: dict[str, Counter[int]] = {}
    for name, code, number in told:
        sums.setdefault(name, Counter())[code] += number
    found = []
    for name in sorted(sums, key=lambda one: (not one, one)):
        if any(sums[name].values()):
            counts = counts_of(sums[name])
            found.append(Named(name=name or None, counts=counts, rates=rates_of(counts)))
    return found


def _reasons(found: OfJob) -> list[Reason]:
    sums: Counter[tuple[str, str]] = Counter()
    for (code, reason), number in found.details.items():
        if code in FACT_NAMES and not statistics.is_seen(code):
            sums[events.FACTS[FACT_NAMES[code]].topic, reason] += number
    return [
        Reason(type=topic, reason=reason, total=number)
        for (topic, reason), number in sorted(sums.items(), key=lambda one: (one[0][0], -one[1], one[0][1]))
        if number
    ]


def _require_few(rows: int) -> None:
    if rows > MOST_ROWS:
        raise _refused("?by", f"more than {MOST_ROWS} rows: ask for fewer hours, or for days")


def _refused(name: str, why: str) -> Problem:
    return Problem("invalid_query", "the query does not fit", [Fault(name, why)])
