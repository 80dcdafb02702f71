"""Encoded text is read back by others, and relaxing it changes nothing."""

import quopri

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import example, given
from hypothesis import strategies as st

from shared.mail import quoted_printable
from shared.mail.quoted_printable import SOFT_BREAK, encode, wrap

texts = (
    st.text(max_size=300)
    | st.text(" \t\r\n.=aé\U0001f600", max_size=300)
    | st.text("a =", min_size=70, max_size=90)
    | st.text("a.\n", max_size=250)
)


def lf(text: str) -> bytes:
    return text.encode("utf-8", "replace").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


@given(texts)
@example("x" * 76)
@example("x" * 75 + " ")
@example("x" * 75 + " \nb")
@example("x" * 73 + "é")
@example("x" * 74 + "é")
@example("\rFrom .\r")
def test_text_is_read_back_by_others(text: str) -> None:
    assert quopri.decodestring(encode(text)).replace(b"\r\n", b"\n") == lf(text)


@given(texts)
def test_lines_are_short_and_the_last_one_leaves_room_for_a_soft_break(text: str) -> None:
    encoded = encode(text)

    lines = encoded.split(b"\r\n")
    assert all(len(line) <= quoted_printable.MAX_LINE_CHARS for line in lines)
    assert len(lines[-1]) < quoted_printable.MAX_LINE_CHARS
    assert b"\r" not in encoded.replace(b"\r\n", b"")
    assert b"\n" not in encoded.replace(b"\r\n", b"")
    assert encoded.isascii()


@given(texts)
def test_the_relaxed_form_is_the_encoded_text_itself(text: str) -> None:
    body = encode(text.rstrip("\r\n") + ".\n")

    assert Relaxed.canonicalize_body(body) == body


@given(texts, texts)
@example("x" * 75 + ".", "y")
@example("." * 200, "." * 200)
@example("x" * 72 + "...", "")
def test_no_line_begins_with_a_dot(first: str, second: str) -> None:
    joined = SOFT_BREAK.join([encode(first), encode(second)])

    assert not any(line.startswith(b".") for line in joined.split(b"\r\n"))


@given(texts, texts, texts)
def test_pieces_join_at_soft_breaks(first: str, second: str, third: str) -> None:
    joined = SOFT_BREAK.join([encode(first), encode(second), encode(third)])

    assert quopri.decodestring(joined).replace(b"\r\n", b"\n") == lf(first) + lf(second) + lf(third)
    body = joined + b".\r\n"
    assert Relaxed.canonicalize_body(body) == body
    assert max(map(len, body.split(b"\r\n"))) <= quoted_printable.MAX_LINE_CHARS


@given(st.text("ab/:.", max_size=400), st.integers(0, 75))
def test_wrapped_text_goes_on_from_its_column(text: str, column: int) -> None:
    wrapped, end = wrap(text.encode(), column)

    lines = (b"x" * column + wrapped).split(b"\r\n")
    assert all(len(line) <= 76 for line in lines)
    assert len(lines[-1]) == end <= 75
    assert quopri.decodestring(wrapped) == text.encode()
    assert not any(line.startswith(b".") for line in (b"x" * column + wrapped).split(b"\r\n"))


@pytest.mark.parametrize("text", ["", "Ana", "Ana Maria", "https://exemple.fr/a"])
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert encode(text) == text.encode()
