"""The spool's bytes: what was written whole is read whole, and a torn end harms nothing before it."""

import struct
from zlib import crc32

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from services.tracking import frames
from services.tracking.frames import Batch, Reading
from shared.words import events
from shared.words.events import (
    Clicked,
    Fact,
    Opened,
    Unsubscribed,
)

JOB = "0cm9ug6jmd7m8000001g"

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_common = {
    "event_id": _text,
    "occurred_at": st.integers(0, 2**48),
    "tenant": _text,
    "job": st.just(JOB),
    "ordinal": st.integers(0, 2**32 - 1),
    "sequence": st.integers(0, 2**48),
    "user_agent": _text,
    "ip": _text,
}
_facts: st.SearchStrategy[Fact] = st.one_of(
    st.builds(Opened, machine=_text, **_common),
    st.builds(Clicked, machine=_text, position=st.integers(0, 65535), url=_text, **_common),
    st.builds(Unsubscribed, by=st.sampled_from(["page", "one_click"]), **_common),
)
_batches = st.lists(st.builds(Batch, name=_text, facts=st.lists(_facts, min_size=1, max_size=4).map(tuple)), max_size=5)


def opened(number: int) -> Opened:
    return Opened(event_id=str(number), occurred_at=number, tenant="demo", job=JOB, ordinal=number)


def batch(number: int, facts: int = 2) -> Batch:
    return Batch(f"b{number}", tuple(opened(number * 10 + at) for at in range(facts)))


@given(_batches)
def test_what_is_written_is_read(batches: list[Batch]) -> None:
    content = b"".join(map(frames.frame, batches))

    assert frames.read(content) == Reading(tuple(batches))


@given(_batches.filter(bool), st.data())
def test_a_file_torn_anywhere_keeps_every_whole_frame(batches: list[Batch], data: st.DataObject) -> None:
    written = [frames.frame(one) for one in batches]
    content = b"".join(written)
    cut = data.draw(st.integers(0, len(content) - 1))

    reading = frames.read(content[:cut])

    ends = [sum(map(len, written[: count + 1])) for count in range(len(written))]
    whole = sum(end <= cut for end in ends)
    assert reading.batches == tuple(batches[:whole])
    assert reading.torn_bytes == cut - (ends[whole - 1] if whole else 0)
    assert reading.damaged == 0


@given(_batches, st.binary(max_size=60))
def test_rubbish_at_the_end_harms_nothing_before_it(batches: list[Batch], rubbish: bytes) -> None:
    content = b"".join(map(frames.frame, batches))

    assert frames.read(content + rubbish).batches[: len(batches)] == tuple(batches)


def test_zeros_after_a_power_cut_are_a_torn_end() -> None:
    content = frames.frame(batch(1))

    assert frames.read(content + bytes(4096)) == Reading((batch(1),), torn_bytes=4096)


def test_a_damaged_frame_is_stepped_over_and_told() -> None:
    first, second, third = (frames.frame(batch(number)) for number in (1, 2, 3))
    damaged = second[:-1] + bytes([second[-1] ^ 1])

    assert frames.read(first + damaged + third) == Reading((batch(1), batch(3)), damaged=1)


def test_a_frame_whose_end_was_never_written_is_torn_though_the_file_is_long_enough() -> None:
    first, second = frames.frame(batch(1)), frames.frame(batch(2))

    reading = frames.read(first + second[:-9] + bytes(9))

    assert reading == Reading((batch(1),), torn_bytes=len(second))


def test_a_length_that_nobody_wrote_is_damage() -> None:
    first = frames.frame(batch(1))

    reading = frames.read(first + b"\xff" * 40)

    assert reading == Reading((batch(1),), torn_bytes=40, damaged=1)


def test_facts_of_another_major_version_are_kept_as_damage_rather_than_misread() -> None:
    body = msgpack.packb(["b", [["Opened", events.MAJOR_VERSION + 1, events.encode(opened(1))]]])

    reading = frames.read(struct.pack(">II", len(body), crc32(body)) + body)

    assert reading == Reading((), damaged=1)


def test_the_bytes_are_read_by_an_independent_reader() -> None:
    content = frames.frame(Batch("b", (opened(7),)))

    length, crc = struct.unpack_from(">II", content)
    body = content[8:]
    name, facts = msgpack.unpackb(body)

    assert (length, crc) == (len(body), crc32(body))
    assert name == "b"
    assert [(t, v, m) for t, v, _, m in facts] == [("Opened", 1, b"")]
    assert msgpack.unpackb(facts[0][2])[:5] == ["7", 7, "demo", JOB, 7]


def test_whom_a_fact_is_about_is_in_its_frame_and_nowhere_in_older_ones() -> None:
    marked = Batch("b", (opened(1), opened(2)), (b"mark 1", b""))

    assert frames.read(frames.frame(marked)).batches == (marked,)
    assert frames.read(frames.frame(batch(1, 2))).batches == (batch(1, 2),)
