"""What the files of the archive are called: their folders say whose they are and of which day, their names what is in
them, so that the same events written again are the same file.

    tenant=acme/day=2026-01-31/part-3-1769850000000.0-1769853599999.4.parquet     a batch of partition 3, first to last
    tenant=acme/day=2026-01-31/hour-2026013109-6f1c0a9be4173c55.parquet           parts of an hour, once it is over
    tenant=acme/day=2026-01-31/day.parquet                                        everything, once the day is over

    _statistics/tenant=acme/month=2026-01/statistics.parquet                      its statistics of that month

The day is that of the event (UTC). The hour is that in which parts were written onto the stream: what comes late is in
a later one.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
#: The folder of what is no event.
STATISTICS = "_statistics"
#: What all events of a day end in.
OF_A_DAY = "day.parquet"
_PART = re.compile(r"part-(\d+)-(\d+)\.(\d+)-(\d+)\.(\d+)\.parquet")
_HOUR = re.compile(r"hour-(\d{10})-[0-9a-f]{16}\.parquet")
_FOLDER = re.compile(r"tenant=([^/]+)/day=(\d{4}-\d\d-\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Part(NamedTuple):
    partition: int
    first: tuple[int, int]
    last: tuple[int, int]

    @property
    def hour(self) -> int:
        """Since 1970, in which its last event was written."""
        return self.last[0] // HOUR_MS


def day_of(at_ms: int) -> str:
    """YYYY-MM-DD (UTC)."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%d")


def day_begins_ms(day: str) -> int:
    """ValueError if it is no day."""
    return int((datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) - _EPOCH).total_seconds() * 1000)


def tenant_folder(tenant: str) -> str:
    """Names of tenants are of a-z, 0-9 and - (`shared.redis.tenants`)."""
    return f"tenant={tenant}"


def folder(tenant: str, day: str) -> str:
    return f"{tenant_folder(tenant)}/day={day}"


def statistics_folder(tenant: str) -> str:
    """One level deeper than events, so that who reads all files at that level reads events alone."""
    return f"{STATISTICS}/{tenant_folder(tenant)}"


def statistics(tenant: str, month: str) -> str:
    """The path of the file of a month, YYYY-MM."""
    return f"{statistics_folder(tenant)}/month={month}/statistics.parquet"


def month_of(day: int) -> str:
    """YYYY-MM of a day since 1970 (UTC)."""
    return day_of(day * DAY_MS)[:7]


def parse_folder(path: str) -> tuple[str, str] | None:
    """Tenant and day; None if it is no folder of ours."""
    found = _FOLDER.fullmatch(path)
    return None if found is None else (found[1], found[2])


def part(partition: int, first: str, last: str) -> str:
    """Of the first and the last entry of the batch that it is of, by their ids: a tenant may have few of them."""
    return f"part-{partition}-{first.replace('-', '.')}-{last.replace('-', '.')}.parquet"


def parse_part(name: str) -> Part | None:
    found = _PART.fullmatch(name)
    if found is None:
        return None
    partition, *numbers = map(int, found.groups())
    return Part(partition, (numbers[0], numbers[1]), (numbers[2], numbers[3]))


def of_hour(hour: int, parts: Iterable[str]) -> str:
    """By the hour since 1970, and by the parts: what comes to the hour later is another file."""
    digest = blake2b("\n".join(sorted(parts)).encode(), digest_size=8).hexdigest()
    return f"hour-{(_EPOCH + timedelta(hours=hour)).strftime('%Y%m%d%H')}-{digest}.parquet"


def is_of_hour(name: str) -> bool:
    return _HOUR.fullmatch(name) is not None
