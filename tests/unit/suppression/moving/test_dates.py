"""Times as other engines write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.suppression.moving.dates import exact_ms, moment_ms
from shared.words.times import rfc3339

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-31T09:05:00.123Z", 1_769_850_300_123),
        ("2026-01-31T10:05:00+01:00", 1_769_850_300_000),
        ("2026-01-31 09:05:00", 1_769_850_300_000),
        ("2019-12-10T02:58:33-05:00", 1_575_964_713_000),
        ("Fri, 18 Oct 2024 18:28:14 UTC", 1_729_276_094_000),
        ("1443651141", 1_443_651_141_000),
        ("1443651141000", 1_443_651_141_000),
        ("31/01/2026 09:05", 1_769_850_300_000),
        ("31/01/2026", 1_769_817_600_000),
        ("", 0),
        ("yesterday", 0),
        ("17", 0),
        ("2126-01-31T09:05:00Z", 0),
        ("Mon, 01 Jan 0001 00:00:00 UTC", 0),
        ("9" * 30, 0),
    ],
)
def test_a_time_is_read_and_what_is_none_is_nothing(text: str, ms: int) -> None:
    assert moment_ms(text, NOW_MS) == ms


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    assert moment_ms(text, NOW_MS) >= 0
    exact_ms(text)


@given(st.integers(1, 253_402_300_799_999))
def test_our_own_times_are_read_to_the_millisecond(ms: int) -> None:
    assert exact_ms(rfc3339(ms)) == ms
