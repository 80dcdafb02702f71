"""The timeline of a message as its report shows it."""

import msgspec

from services.reports import describe
from services.reports.state import Code
from services.reports.timeline import Record


def test_a_fact_whose_details_are_gone_keeps_its_word_and_time() -> None:
    record = Record(Code.LATE_HARD, "1700000000999-0", 1_700_000_000_123)

    assert msgspec.to_builtins(describe.timeline_event(record, None)) == {
        "event_id": None,
        "type": "message.bounced",
        "time": "2023-11-14T22:13:20.123Z",
        "details": {"kind": "hard", "late": True},
    }
    for code in Code:
        describe.timeline_event(Record(code, "1-0", 1), None)


def test_what_a_newer_program_counted_is_passed_over() -> None:
    codes = range(1, 64)

    assert [code for code in codes if describe.is_known(Record(code, "1-0", 1))] == [*Code]
