"""Any text can stand in a header field, and is read back by others."""

from email.parser import HeaderParser
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mail import headers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Bonjour", "Bonjour"),
        ("", ""),
        ("Bonjour\r\nBcc: a@b.fr", "Bonjour Bcc: a@b.fr"),
        ("a \t b\x00c\x85d\u2028e", "a b c d e"),
        ("Été", "=?utf-8?B?w4l0w6k=?="),
        ("=?utf-8?B?w4l0w6k=?=", "=?utf-8?B?PT91dGYtOD9CP3c0bDB3Nms9Pz0=?="),
        ("word " * 20, "word word word word word word word word word word word word word\r\n"
         " word word word word word word word"),
    ],
)  # fmt: skip
def test_text_is_made_safe_for_a_header_field(text: str, value: str) -> None:
    assert headers.unstructured(text, len("Subject")) == value


@given(st.text(max_size=400) | st.text("ab é\r\n", max_size=400), st.integers(1, 40))
def test_any_text_is_read_back_by_others(text: str, name_chars: int) -> None:
    name = "S" * name_chars
    value = headers.unstructured(text, name_chars)

    lines = f"{name}: {value}".split("\r\n")
    assert all(line[0] == " " and line.strip() for line in lines[1:])
    assert all(" " <= char <= "~" for line in lines for char in line)
    assert all(len(line) <= 76 or " " not in line[1:].removeprefix(f"{name}: ") for line in lines)
    assert all(len(line) <= 998 for line in lines)
    read = HeaderParser(policy=default).parsestr(f"{name}: {value}\r\n\r\n")[name]
    expected = headers.one_line(text).encode("utf-8", "replace").decode()
    if expected.isprintable():
        assert str(read) == expected


@given(st.text("a", min_size=100, max_size=3000))
def test_a_word_of_any_length_keeps_lines_short(word: str) -> None:
    assert max(map(len, f"Subject: {headers.unstructured(word, 7)}".split("\r\n"))) <= 209
