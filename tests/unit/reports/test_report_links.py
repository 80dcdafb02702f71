"""The token of a link to a report says what was signed, until it is over, and nothing that somebody made up."""

from hypothesis import given
from hypothesis import strategies as st

from services.reports.report_links import LinkedReport, LinkTokens
from shared.words import ids

TOKENS = LinkTokens([b"k" * 32])
JOB = ids.new_job_id(1_750_000_000_000, b"chance", 8)
LINK = LinkedReport(b"12345678", JOB, 1_750_000_100)
BEFORE_MS, AFTER_MS = 1_750_000_099_999, 1_750_000_100_000


def test_a_token_says_what_was_signed_until_it_is_over() -> None:
    token = TOKENS.sign(LINK)

    assert TOKENS.read(token, BEFORE_MS) == LINK
    assert TOKENS.read(token, AFTER_MS) is None


def test_a_token_outlives_a_change_of_the_master_secret() -> None:
    token = TOKENS.sign(LINK)

    assert LinkTokens([b"n" * 32, b"k" * 32]).read(token, BEFORE_MS) == LINK
    assert LinkTokens([b"n" * 32]).read(token, BEFORE_MS) is None


@given(st.integers(0, 200), st.integers(1, 255))
def test_no_byte_of_a_token_can_be_changed(at: int, change: int) -> None:
    token = TOKENS.sign(LINK).encode()
    at %= len(token)
    changed = (token[:at] + bytes([token[at] ^ change]) + token[at + 1 :]).decode("latin-1")

    read = TOKENS.read(changed, BEFORE_MS)

    # The last character of base64 has bits that mean nothing.
    assert read is None or (at == len(token) - 1 and read == LINK)


@given(st.text(max_size=200))
def test_what_somebody_made_up_says_nothing(token: str) -> None:
    assert TOKENS.read(token, BEFORE_MS) is None
