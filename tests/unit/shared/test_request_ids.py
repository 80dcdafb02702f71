"""Every request has a name: its caller's where that is one, else its trace's, else a new one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words.request_ids import MAX_CHARS, request_id, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def made() -> str:
    return "made"


@pytest.mark.parametrize(
    "name", ["a", "order-4711", "5e6f1c9a-0b2d-4a01-9a3c-0123456789ab", "Root=1-67:a/b+c", "x" * 64]
)
def test_a_name_that_the_caller_gives_is_taken(name: str) -> None:
    assert request_id(name, TRACEPARENT, made) == name


@pytest.mark.parametrize("name", ["", " ", "a b", "a\r\nX: y", "é", "x" * 65, '"', "<script>", "a\x00", "a\n"])
def test_what_is_no_name_is_passed_over(name: str) -> None:
    assert request_id(name, None, made) == "made"
    assert request_id(name, TRACEPARENT, made) == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACE,
        f"00-{TRACE}-00f067aa0ba902b7",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01x",
    ],
)
def test_what_is_no_traceparent_names_no_trace(traceparent: str) -> None:
    assert trace_id(traceparent) == ""
    assert request_id(None, traceparent, made) == "made"


def test_a_later_version_of_the_header_may_say_more() -> None:
    assert trace_id(f"cc-{TRACE}-00f067aa0ba902b7-01-what-is-to-come") == TRACE


@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_comes_the_name_is_short_and_ends_no_line(name: str, traceparent: str) -> None:
    found = request_id(name, traceparent, made)

    assert 0 < len(found) <= MAX_CHARS
    assert found.isascii()
    assert found.isprintable()
    assert not set(found) & set(' "\\,;')
