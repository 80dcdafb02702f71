"""Facts as the API shows them."""

from typing import Any

import msgspec

from services.reports import describe
from services.reports.state import Code
from services.reports.timeline import Record
from shared.words import events, ids

JOB = ids.new_job_id(1_700_000_000_000, b"chance", 8)
COMMON: dict[str, Any] = {"event_id": "e1", "occurred_at": 1_700_000_000_123, "tenant": "t", "job": JOB, "ordinal": 4}


def test_an_event_has_its_word_its_time_its_message_and_its_details() -> None:
    fact = events.Deferred(**COMMON, attempt=2, host="mx.example", reply="451 later", retry_at=1_700_000_060_000)

    assert msgspec.to_builtins(describe.event(fact, "a@b.example")) == {
        "event_id": "e1",
        "type": "message.deferred",
        "time": "2023-11-14T22:13:20.123Z",
        "job": JOB,
        "message": f"{JOB}.4",
        "email": "a@b.example",
        "details": {
            "attempt": 2,
            "site": "",
            "host": "mx.example",
            "reply": "451 later",
            "reason": "",
            "retry_at": "2023-11-14T22:14:20.000Z",
            "source": "",
        },
    }


def test_an_address_that_enters_the_list_is_not_a_message_that_was_suppressed() -> None:
    entered = events.Suppressed(event_id="e", occurred_at=1, tenant="t", email="a@b.example", reason="manual")

    shown = describe.event(entered, None)

    assert (shown.type, shown.job, shown.message, shown.email) == ("address.suppressed", None, None, "a@b.example")
    assert describe.event(events.Suppressed(**COMMON), None).type == "message.suppressed"


def test_every_fact_can_be_shown_as_json() -> None:
    for name, fact in events.FACTS.items():
        shown = describe.event(fact(**COMMON), None)
        assert describe.TYPES[shown.type] == name
        assert msgspec.json.decode(msgspec.json.encode(shown), type=describe.Event) == shown


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
