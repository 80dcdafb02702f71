"""Ids: names of jobs and messages, and the partition each belongs to."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.words import ids

MOMENTS = st.integers(min_value=0, max_value=2**48 - 1)
CHANCES = st.binary(min_size=6, max_size=6)
PARTITIONS = st.integers(min_value=1, max_value=1024)
JOBS = st.binary(min_size=12, max_size=12).map(ids.job_text)
ORDINALS = st.integers(min_value=0, max_value=ids.MAX_ORDINAL)


@given(MOMENTS, MOMENTS, CHANCES, CHANCES, PARTITIONS)
def test_ids_sort_by_the_time_of_their_jobs(
    first_ms: int, second_ms: int, first_chance: bytes, second_chance: bytes, partitions: int
) -> None:
    assume(first_ms < second_ms)

    first = ids.new_job_id(first_ms, first_chance, partitions)
    second = ids.new_job_id(second_ms, second_chance, partitions)

    assert first < second
    assert ids.job_bytes(first) < ids.job_bytes(second)


@given(MOMENTS, CHANCES, PARTITIONS)
def test_an_id_says_when_its_job_was_made(now_ms: int, chance: bytes, partitions: int) -> None:
    assert ids.job_created_ms(ids.new_job_id(now_ms, chance, partitions)) == now_ms


@given(MOMENTS, CHANCES, PARTITIONS, st.data())
def test_a_wanted_partition_is_where_the_job_lands(
    now_ms: int, chance: bytes, partitions: int, data: st.DataObject
) -> None:
    wanted = data.draw(st.integers(min_value=0, max_value=partitions - 1))

    job = ids.new_job_id(now_ms, chance, partitions, wanted)

    assert ids.job_partition(job, partitions) == wanted


@pytest.mark.parametrize("partitions", [1, 2, 3, 7, 8, 1000, 1023, 1024])
@pytest.mark.parametrize("tail", [b"\x00\x00", b"\x00\x01", b"\x7f\xff", b"\xff\xfe", b"\xff\xff"])
def test_the_last_partition_is_reached_from_either_end_of_chance(partitions: int, tail: bytes) -> None:
    for wanted in (0, partitions - 1):
        job = ids.new_job_id(1_700_000_000_000, b"\x01\x02\x03\x04" + tail, partitions, wanted)

        assert ids.job_partition(job, partitions) == wanted


@given(MOMENTS, CHANCES, PARTITIONS, st.data())
def test_a_wanted_partition_costs_only_the_last_two_bytes_of_chance(
    now_ms: int, chance: bytes, partitions: int, data: st.DataObject
) -> None:
    wanted = data.draw(st.integers(min_value=0, max_value=partitions - 1))

    free = ids.new_job_id(now_ms, chance, partitions)
    bound = ids.new_job_id(now_ms, chance, partitions, wanted)

    assert ids.job_bytes(bound)[:10] == ids.job_bytes(free)[:10]
    assert ids.job_bytes(free)[6:] == chance


@given(st.binary(max_size=16).filter(lambda chance: len(chance) != 6))
def test_a_job_id_takes_six_bytes_of_chance(chance: bytes) -> None:
    with pytest.raises(ValueError, match="six bytes"):
        ids.new_job_id(0, chance, 8)


@given(st.binary(min_size=12, max_size=12))
def test_text_and_bytes_of_a_job_id_are_inverse(raw: bytes) -> None:
    text = ids.job_text(raw)

    assert len(text) == ids.JOB_CHARS
    assert ids.is_job_id(text)
    assert ids.job_bytes(text) == raw


@given(st.one_of(st.text(max_size=24), st.text(alphabet="0123456789abcdefghijklmnopqrstuvwxyzAGV=", max_size=24)))
def test_job_bytes_takes_the_one_spelling_of_an_id_and_nothing_else(text: str) -> None:
    try:
        raw = ids.job_bytes(text)
    except ValueError:
        assert not ids.is_job_id(text)
    else:
        assert ids.job_text(raw) == text


@given(JOBS, st.data())
def test_a_job_id_with_one_character_changed_is_another_id_or_none(job: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(min_value=0, max_value=ids.JOB_CHARS - 1))
    changed = job[:at] + data.draw(st.characters()) + job[at + 1 :]
    assume(changed != job)

    if ids.is_job_id(changed):
        assert ids.job_bytes(changed) != ids.job_bytes(job)
    else:
        with pytest.raises(ValueError, match="not a job id"):
            ids.job_bytes(changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 19,
        "0" * 21,
        "0" * 19 + "1",  # the four bits that the last character does not need
        "0" * 19 + "v",
        "0" * 18 + "=0",
        "A" + "0" * 19,  # upper case is another spelling
        "w" + "0" * 19,  # not in the alphabet
        "٠" * 20,  # a digit to str.isdigit
        "0" * 19 + "\n",
    ],
)
def test_what_is_not_canonical_is_no_job_id(text: str) -> None:
    assert not ids.is_job_id(text)
    with pytest.raises(ValueError, match="not a job id"):
        ids.job_bytes(text)


@given(JOBS, ORDINALS)
def test_split_message_id_is_the_inverse_of_message_id(job: str, ordinal: int) -> None:
    assert ids.split_message_id(ids.message_id(job, ordinal)) == (job, ordinal)


@given(st.one_of(st.text(max_size=32), st.tuples(JOBS, st.text(alphabet="0123456789 +-_.", max_size=12)).map(".".join)))
def test_a_message_has_one_id(text: str) -> None:
    try:
        job, ordinal = ids.split_message_id(text)
    except ValueError:
        return

    assert ids.message_id(job, ordinal) == text


@pytest.mark.parametrize(
    "ordinal", ["", "-1", "+1", " 1", "1 ", "1_0", "01", "00", "1.", ".1", "4294967296", "²", "١", "0x1", "1e3"]
)
def test_an_ordinal_is_plain_decimal_of_32_bits(ordinal: str) -> None:
    with pytest.raises(ValueError, match="not a message id"):
        ids.split_message_id("0" * 20 + "." + ordinal)


@given(st.text(), PARTITIONS)
def test_any_name_has_a_partition(name: str, partitions: int) -> None:
    assert 0 <= ids.name_partition(name, partitions) < partitions


@pytest.mark.parametrize(
    ("name", "of_8", "of_3", "of_1024"),
    [("gmail.com", 7, 0, 479), ("demo/ana@exemple.fr", 1, 0, 1017), ("demo/é@exemple.fr", 7, 0, 871)],
)
def test_the_partition_of_a_name_never_moves(name: str, of_8: int, of_3: int, of_1024: int) -> None:
    # What is stored lies where these say: another hash would lose it.
    assert ids.name_partition(name, 8) == of_8
    assert ids.name_partition(name, 3) == of_3
    assert ids.name_partition(name, 1024) == of_1024


def test_the_partition_of_a_job_never_moves() -> None:
    job = ids.new_job_id(1_767_225_600_000, b"estafe", 8)

    assert job == "06dndml801in6t31cpig"
    assert ids.job_partition(job, 8) == 5
    assert ids.job_partition(job, 3) == 2
    assert ids.job_partition(job, 1024) == 613


@given(JOBS, PARTITIONS)
def test_any_job_has_a_partition(job: str, partitions: int) -> None:
    assert 0 <= ids.job_partition(job, partitions) < partitions
