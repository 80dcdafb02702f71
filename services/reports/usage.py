"""What tenants used, day by day: which days are asked for, what is read, and how it is shown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import msgspec

from shared.http import paging
from shared.http.query import Read
from shared.redis import usage
from shared.redis.redis import Client
from shared.redis.usage import DAY_MS, KEPT_DAYS, Used
from shared.words.described import says
from shared.words.errors import Fault, Problem

#: Where nothing is said: today, and so many days before.
USUAL_DAYS = 31
#: Tenants on one page: each day of theirs is a row, and a window of them a read of every partition.
MOST_TENANTS = 200
_EPOCH = date(1970, 1, 1)
#: The columns of a file.
COLUMNS = ("tenant", "day", "accepted", "delivered", "calls", "stored_bytes")


def read_day(text: str) -> int:
    """A day since 1970. ValueError says what is wrong."""
    try:
        return (datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date() - _EPOCH).days
    except ValueError:
        raise ValueError("expected a day such as 2026-01-31") from None


_DAY = Read(read_day, {"format": "date"})
_SINCE = says(f"The first day (UTC); without it the one {USUAL_DAYS - 1} days before the last.", "2026-01-01")
_UNTIL = says("The last day (UTC), which counts, too; without it today.", "2026-01-31")


class UsageQuery(msgspec.Struct, frozen=True):
    """Which days are shown, and of whom."""

    sub_accounts: Annotated[bool, says("Whether what the tenant's sub-accounts used is added.", True)] = False

    since: Annotated[int | None, _SINCE, _DAY] = None
    until: Annotated[int | None, _UNTIL, _DAY] = None


class UsageExportQuery(msgspec.Struct, frozen=True):
    """Which days are in the file."""

    since: Annotated[int | None, _SINCE, _DAY] = None
    until: Annotated[int | None, _UNTIL, _DAY] = None
    by: Annotated[Literal["tenant", "day"], says("Whether a row is of a tenant, or of a day of it.", "day")] = "tenant"


class InstallationUsageQuery(msgspec.Struct, frozen=True):
    """Which days of which tenants are shown."""

    after: Annotated[str, paging.after("acme")] = ""
    limit: Annotated[int, paging.limit(MOST_TENANTS)] = paging.DEFAULT_LIMIT
    since: Annotated[int | None, _SINCE, _DAY] = None
    until: Annotated[int | None, _UNTIL, _DAY] = None
    by: Annotated[Literal["tenant", "day"], says("Whether each day of a tenant is shown, too.", "day")] = "tenant"


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """What was used."""

    accepted: Annotated[int, says("Mails that were taken up to be sent: neither rejected nor suppressed.", 1_000)]
    delivered: Annotated[int, says("Mails that a host took, whatever it said of them later.", 969)]
    calls: Annotated[int, says("Requests with a key that were let in: not those refused with 401, 403 or 429.", 4_210)]
    stored_bytes: Annotated[
        int, says("The most that was kept at one time, read once a minute, of what that quota counts.", 12_480_113)
    ]


class UsageDay(Amounts, frozen=True, kw_only=True):
    """What was used in a day."""

    day: Annotated[str, says("The day (UTC).", "2026-01-31")]


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the tenant used. Today is a second or two behind."""

    since: Annotated[str, says("The first day.", "2026-01-01")]
    until: Annotated[str, says("The last day.", "2026-01-31")]
    days: Annotated[list[UsageDay], says("Day by day, those of which there is anything.")]
    total: Annotated[Amounts, says("All of them together; of bytes the most of any.")]


class UsageOfTenant(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant used."""

    tenant: Annotated[str, says("The name of the tenant.", "acme")]
    total: Annotated[Amounts, says("All days together; of bytes the most of any.")]
    days: Annotated[list[UsageDay], says("Day by day, if that was asked for.")]


class InstallationUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What each tenant used."""

    since: Annotated[str, says("The first day.", "2026-01-01")]
    until: Annotated[str, says("The last day.", "2026-01-31")]
    tenants: Annotated[list[UsageOfTenant], says("The tenants of this page by name, those that used nothing, too.")]
    next: Annotated[str | None, paging.following("acme")]


class UsageReader:
    """`now_ms` is the clock. Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._partitions = partitions
        self._now_ms = now_ms

    def span(self, since: int | None, until: int | None) -> tuple[int, int]:
        """The first and the last day since 1970. Problem 422 if they cannot be shown."""
        return span(since, until, self._now_ms() // DAY_MS)

    async def of_tenants(self, tenants: Iterable[str], since: int | None, until: int | None) -> UsageAnswer:
        """What these used in these days, together. Problem 422."""
        first, last = self.span(since, until)
        sums: dict[int, Used] = {}
        for tenant in tenants:
            for day, used in (await usage.read(self._client, self._partitions, tenant, first, last)).items():
                sums[day] = sums[day].beside(used) if day in sums else used
        found = {day: sums[day] for day in sorted(sums)}
        return UsageAnswer(since=shown_day(first), until=shown_day(last), days=_days(found), total=_total(found))

    async def of_each(self, tenants: Iterable[str], first: int, last: int, *, by_day: bool) -> list[UsageOfTenant]:
        """What each of these used, one after the other: there may be many."""
        shown = []
        for tenant in tenants:
            found = await usage.read(self._client, self._partitions, tenant, first, last)
            shown.append(UsageOfTenant(tenant=tenant, total=_total(found), days=_days(found) if by_day else []))
        return shown


def span(since: int | None, until: int | None, today: int) -> tuple[int, int]:
    """The first and the last day. Problem 422 if there is none, or they are too many."""
    last = today if until is None else until
    first = last - USUAL_DAYS + 1 if since is None else since
    if first > last:
        raise _refused("after `until`")
    if last - first >= KEPT_DAYS:
        raise _refused(f"more than {KEPT_DAYS} days before `until`")
    return first, last


def shown_day(day: int) -> str:
    """As people write it."""
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat()


def rows(shown: Sequence[UsageOfTenant], *, by_day: bool) -> str:
    """The rows of a file, without the heading."""
    lines = []
    for one in shown:
        days: Sequence[tuple[str, Amounts]] = [(day.day, day) for day in one.days] if by_day else [("", one.total)]
        for day, used in days:
            cells = (one.tenant, day, used.accepted, used.delivered, used.calls, used.stored_bytes)
            lines.append(",".join(map(str, cells)) + "\r\n")
    return "".join(lines)


def _days(found: Mapping[int, Used]) -> list[UsageDay]:
    return [
        UsageDay(
            day=shown_day(day),
            accepted=used.accepted,
            delivered=used.delivered,
            calls=used.calls,
            stored_bytes=used.bytes,
        )
        for day, used in found.items()
    ]


def _total(found: Mapping[int, Used]) -> Amounts:
    total = sum(found.values(), Used())
    return Amounts(accepted=total.accepted, delivered=total.delivered, calls=total.calls, stored_bytes=total.bytes)


def _refused(why: str) -> Problem:
    return Problem("invalid_query", "the query does not fit", [Fault("?since", why)])
