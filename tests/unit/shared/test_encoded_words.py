"""Encoded words are decoded once, in order, whatever they claim to be."""

from email.header import Header, decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mail import encoded_words
from shared.mail.encoded_words import MAX_FIELD_CHARS, field, text

ODD = ["rot13", "zip", "zlib", "bz2", "hex", "base64", "uu", "unicode_escape", "raw_unicode_escape", "idna", "punycode",
       "undefined", "mbcs", "x-martian", "\x00", "é", "", "utf-8\n"]  # fmt: skip


@pytest.mark.parametrize("charset", ODD)
def test_a_codec_that_mail_is_not_written_in_is_not_used(charset: str) -> None:
    assert text(b"caf\xc3\xa9 a-b", charset) == "café a-b"


@pytest.mark.parametrize("charset", ODD)
def test_a_word_in_an_odd_charset_is_read_or_stays(charset: str) -> None:
    assert field(f"=?{charset}?q?a-b?=") in ("a-b", f"=?{charset}?q?a-b?=")


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp", "Cn")), min_size=1, max_size=200)
)
def test_what_the_library_encodes_is_decoded(said: str) -> None:
    encoded = Header(said, "utf-8", maxlinelen=60).encode(linesep="\r\n")

    assert field(encoded) == str(make_header(decode_header(encoded.replace("\r\n", ""))))


@pytest.mark.parametrize(
    "unit",
    ["=?utf-8?q?a?= ", "=?utf-8?q?a?=\r\n ", "=?utf-8?q?a", "=?", "=?=?utf-8?q?", "=?utf-8?b?YQ==?=x", "?=", "\r\n "],
)
def test_twice_the_field_is_no_more_work_beyond_the_bound(unit: str) -> None:
    once, twice = (field(unit * (count // len(unit))) for count in (9_000_000, 18_000_000))

    assert once == twice
    assert len(once) <= MAX_FIELD_CHARS


def test_each_word_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0
    content = encoded_words._content

    def counted(encoding: str, encoded: str) -> bytes | None:
        nonlocal decoded
        decoded += 1
        return content(encoding, encoded)

    monkeypatch.setattr(encoded_words, "_content", counted)
    counts = []
    for words in (400, 800):
        decoded = 0
        field("=?utf-8?q?a?= " * words)
        counts.append(decoded)

    assert counts == [400, 800]
