"""A message is put together for HTTP and the console alike."""

from typing import Any

from services.reports.shown import message_shown
from services.reports.state import Code
from services.reports.timeline import Record


class Reader:
    """Has these records of every message, and no event any more."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)

    async def message(self, _job: str, _ordinal: int) -> tuple[int, list[Record]]:
        return 0, self.records

    async def details(self, _job: str, stream_ids: list[str]) -> list[None]:
        return [None for _ in stream_ids]


async def test_a_timeline_is_in_the_order_of_time_and_without_what_a_newer_program_counted() -> None:
    known, first = sorted(Code)[:2]
    reader: Any = Reader(Record(31, "3-0", 1_500), Record(known, "2-0", 2_000), Record(first, "1-0", 1_000))

    _, timeline = await message_shown(reader, "068vjfm5s9m2rc1jqqrg", 0)

    assert [one.time for one in timeline] == ["1970-01-01T00:00:01.000Z", "1970-01-01T00:00:02.000Z"]
