"""Facts in twenty bytes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reports.timeline import BUCKET, RECORD_BYTES, Record, bucket_of, pack, unpack
from shared.words import events, ids

CREATED = 1_700_000_000_000
JOB = ids.new_job_id(CREATED, b"chance", 8)


def fact(ordinal: int, occurred_at: int = CREATED, event_id: str = "e", **more: Any) -> events.Opened:
    return events.Opened(
        event_id=event_id, occurred_at=occurred_at, tenant="t", job=more.get("job", JOB), ordinal=ordinal
    )


@given(
    st.integers(0, 2**31),
    st.integers(0, 255),
    st.integers(CREATED - 2**31, CREATED + 2**39),
    st.integers(0, 2**24 - 1),
    st.integers(CREATED - 2**31, CREATED + 2**39),
)
def test_a_record_is_read_as_it_was_written(ordinal: int, code: int, ms: int, number: int, occurred_at: int) -> None:
    packed = pack(fact(ordinal, occurred_at), ordinal, code, f"{ms}-{number}")

    assert len(packed) == RECORD_BYTES
    assert list(unpack(packed, JOB, ordinal)) == [Record(code, f"{ms}-{number}", occurred_at)]


def test_the_records_of_a_message_are_found_among_those_of_its_neighbours() -> None:
    bucket = b"".join(pack(fact(ordinal), ordinal, 1, f"{CREATED + ordinal}-0") for ordinal in [3, 5, 3, 31, 0])

    assert [record.stream_id for record in unpack(bucket, JOB, 3)] == [f"{CREATED + 3}-0"] * 2
    assert len(list(unpack(bucket, JOB, 31))) == 1
    assert list(unpack(bucket, JOB, 4)) == []
    assert bucket_of(BUCKET - 1) == 0
    assert bucket_of(BUCKET) == 1


def test_a_time_that_no_clock_has_is_kept_as_near_as_it_can_be() -> None:
    for occurred_at in (-5, 0, 2**60):
        (record,) = unpack(pack(fact(0, occurred_at), 0, 1, f"{CREATED}-0"), JOB, 0)
        assert record.stream_id == f"{CREATED}-0"


def test_one_event_is_recognised_and_another_is_not() -> None:
    one, again = (pack(fact(0), 0, 1, f"{CREATED + delay}-0") for delay in (0, 9))
    other = pack(fact(0, event_id="f"), 0, 1, f"{CREATED}-0")

    assert one[:7] == again[:7] != other[:7]
    assert one != again


def test_a_fact_about_no_job_has_no_record() -> None:
    with pytest.raises(ValueError, match="not a job id"):
        pack(fact(0, job="nonsense"), 0, 1, "1-0")
