"""Replies, however they are cut and whatever they say."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.words.reply import (
    MAX_KEPT_BYTES,
    MAX_REPLY_BYTES,
    MAX_TEXT_CHARS,
    Garbled,
    Reply,
    ReplyReader,
    make_reply,
)

STREAM = b"250 ok\r\n550-5.1.1 no such\r\n550-5.1.1 user\r\n550 5.1.1 here\r\n354 go on\r\n221\r\n"
REPLIES = [(250, b"ok"), (550, b"5.1.1 no such|5.1.1 user|5.1.1 here"), (354, b"go on"), (221, b"")]


def read(reader: ReplyReader, data: bytes) -> list[tuple[int, bytes]]:
    return [(code, b"|".join(line.strip() for line in lines)) for code, lines in reader.feed(data)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_replies_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    reader = ReplyReader()
    edges = [0, *sorted(cuts), len(STREAM)]

    replies = [reply for start, end in pairwise(edges) for reply in read(reader, STREAM[start:end])]

    assert replies == REPLIES


def test_a_bare_line_feed_ends_a_line_too() -> None:
    assert read(ReplyReader(), STREAM.replace(b"\r\n", b"\n")) == REPLIES


@pytest.mark.parametrize("junk", [b"hello", b"25 ok", b"250x", b"150 ok", b"600 ok", b"\xff", b"-50 ok", b"2 0 ok"])
def test_what_is_no_reply_is_garbled(junk: bytes) -> None:
    with pytest.raises(Garbled, match="not an SMTP reply"):
        read(ReplyReader(), junk + b"\r\n")


@pytest.mark.parametrize("piece", [b"250-" + b"x" * 9_994 + b"\r\n", b"x" * 10_000])
def test_a_reply_without_end_is_garbled(piece: bytes) -> None:
    reader = ReplyReader()

    with pytest.raises(Garbled, match="more than"):  # noqa: PT012 - it is one of them that is too much
        for _ in range(MAX_REPLY_BYTES // 10_000 + 1):
            read(reader, piece)


def test_many_replies_may_be_longer_than_one_may_be() -> None:
    reader = ReplyReader()

    for _ in range(3):
        assert len(read(reader, b"250 ok\r\n" * (MAX_REPLY_BYTES // 16))) == MAX_REPLY_BYTES // 16


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_garbled(data: bytes) -> None:
    with suppress(Garbled):
        read(ReplyReader(), data)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_reply_that_is_complete_counts_whatever_follows_and_however_it_is_cut(junk: bytes, cut: int) -> None:
    reader = ReplyReader()
    heard: list[tuple[int, list[bytes]]] = []

    stream = b"250 2.0.0 queued\r\n" + junk
    with suppress(Garbled):
        for piece in (stream[:cut], stream[cut:]):
            heard.extend(iter(reader.feed(piece)))

    assert heard[:1] == [(250, [b"2.0.0 queued\r"])] or cut < 18


def test_a_long_reply_is_kept_in_part_and_its_code_counts() -> None:
    reader = ReplyReader()
    long = b"550-5.1.1 no\r\n" + (b"550-" + b"x" * 5_000 + b"\r\n") * 100 + b"550 end\r\n"

    ((code, text),) = read(reader, long)

    assert code == 550
    assert text.startswith(b"5.1.1 no|xxx")
    assert len(text) <= MAX_KEPT_BYTES


@pytest.mark.parametrize(
    ("lines", "enhanced", "text"),
    [
        ([b"2.0.0 queued as 4F\r"], "2.0.0", "queued as 4F"),
        ([b"5.1.1 no such", b"5.1.1 user"], "5.1.1", "no such user"),
        ([b"<a@b>: rejected", b"5.7.1 spam"], "5.7.1", "<a@b>: rejected spam"),
        ([b"5.1.1"], "5.1.1", ""),
        ([b""], "", ""),
        ([b"10.1.1.1 is listed"], "", "10.1.1.1 is listed"),
        ([b"5.1.1.1 is no status"], "", "5.1.1.1 is no status"),
        ([b"3.1.1 neither is this"], "", "3.1.1 neither is this"),
        ([b"caf\xc3\xa9 \xff\x00\x1b[2J"], "", "café �  [2J"),
    ],
)
def test_a_reply_is_one_readable_text_without_its_codes(lines: list[bytes], enhanced: str, text: str) -> None:
    assert make_reply(550, lines, "rcpt", "mx") == Reply(550, enhanced, text, "rcpt", "mx")


def test_a_text_is_cut_where_nobody_reads_on() -> None:
    assert len(make_reply(550, [b"x" * 30_000], "rcpt", "mx").text) == MAX_TEXT_CHARS


def test_the_line_is_the_reply_as_people_read_it() -> None:
    assert Reply(550, "5.1.1", "User unknown", "rcpt", "mx").line == "550 5.1.1 User unknown"
    assert Reply(421, "", "bye", "mail", "mx").line == "421 bye"
    assert Reply(250, "", "", "dot", "mx").line == "250"
