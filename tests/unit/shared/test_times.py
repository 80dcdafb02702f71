"""Times as everybody outside sees them."""

import pytest

from shared.words.times import rfc3339


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
        (-1, "1970-01-01T00:00:00.000Z"),
        (2**60, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_ms_become_utc_text_with_ms(ms: int, text: str) -> None:
    assert rfc3339(ms) == text
