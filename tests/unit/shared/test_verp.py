"""Return paths and unsubscribe addresses name one message, and cannot be made or turned by anybody else."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.words import ids
from shared.words.verp import InvalidVerp, Verp, VerpKeys

MASTER = b"m" * 32
JOB = ids.new_job_id(1_760_000_000_000, b"chance", 8)
KEYS = VerpKeys(MASTER)

jobs = st.binary(min_size=12, max_size=12).map(ids.job_text)
ordinals = st.integers(0, ids.MAX_ORDINAL)


@given(jobs, ordinals)
def test_a_return_path_names_its_message(job: str, ordinal: int) -> None:
    assert KEYS.read(KEYS.return_path(job, ordinal, "bounces.example")) == Verp("bounce", job, ordinal)


@given(jobs, ordinals)
def test_an_unsubscribe_address_names_its_message(job: str, ordinal: int) -> None:
    assert KEYS.read(KEYS.unsubscribe_address(job, ordinal, "bounces.example")) == Verp("unsubscribe", job, ordinal)


@given(jobs, ordinals)
def test_a_complaint_address_names_its_message_with_and_without_its_domain(job: str, ordinal: int) -> None:
    address = KEYS.feedback_address(job, ordinal, "bounces.example")

    assert KEYS.read(address) == KEYS.read(address.partition("@")[0]) == Verp("feedback", job, ordinal)


@given(jobs, ordinals)
def test_a_return_path_and_a_complaint_address_are_not_each_other(job: str, ordinal: int) -> None:
    """Every host on the way sees the return path; who complains has seen the mail."""
    with pytest.raises(InvalidVerp):
        KEYS.read("f" + KEYS.return_path(job, ordinal, "bounces.example")[1:])
    with pytest.raises(InvalidVerp):
        KEYS.read("u" + KEYS.feedback_address(job, ordinal, "bounces.example")[1:])


@given(jobs, ordinals, st.data())
def test_the_case_of_the_address_does_not_matter(job: str, ordinal: int, data: st.DataObject) -> None:
    address = KEYS.return_path(job, ordinal, "bounces.example")
    upper = data.draw(st.lists(st.booleans(), min_size=len(address), max_size=len(address)))
    changed = "".join(char.upper() if up else char for char, up in zip(address, upper, strict=True))

    assert KEYS.read(changed) == Verp("bounce", job, ordinal)


@given(jobs, ordinals)
def test_the_local_part_fits_in_64_characters(job: str, ordinal: int) -> None:
    local_part, _, domain = KEYS.return_path(job, ordinal, "bounces.example").partition("@")

    assert len(local_part) == 41
    assert domain == "bounces.example"


@given(jobs, ordinals, st.data())
def test_one_other_character_is_refused(job: str, ordinal: int, data: st.DataObject) -> None:
    address = KEYS.return_path(job, ordinal, "bounces.example")
    at = data.draw(st.integers(0, 40))
    other = data.draw(st.characters())
    assume(other.lower() != address[at] and not (at == 0 and other.lower() == address[0]))

    with pytest.raises(InvalidVerp):
        KEYS.read(address[:at] + other + address[at + 1 :])


@given(jobs, ordinals)
def test_a_return_path_cannot_be_turned_into_an_unsubscription(job: str, ordinal: int) -> None:
    with pytest.raises(InvalidVerp):
        KEYS.read("u" + KEYS.return_path(job, ordinal, "bounces.example")[1:])


@given(st.text(max_size=80))
def test_garbage_is_refused_and_never_raises_anything_else(text: str) -> None:
    for address in (text, text + "@bounces.example", "b-" + text + "@bounces.example"):
        with pytest.raises(InvalidVerp):
            KEYS.read(address)


@pytest.mark.parametrize("char", ["ſ", "ı", "K", "=", "w", "İ", "０"])
def test_characters_that_fold_to_ascii_are_refused(char: str) -> None:
    address = KEYS.return_path(JOB, 0, "bounces.example")

    with pytest.raises(InvalidVerp):
        KEYS.read(address[:10] + char + address[11:])


def test_an_address_signed_with_a_previous_secret_is_still_read() -> None:
    old = VerpKeys(b"o" * 32).return_path(JOB, 7, "bounces.example")

    assert VerpKeys(MASTER, [b"o" * 32]).read(old) == Verp("bounce", JOB, 7)
    with pytest.raises(InvalidVerp):
        KEYS.read(old)


def test_an_address_without_a_domain_is_read_too() -> None:
    assert KEYS.read(KEYS.return_path(JOB, 7, "d").removesuffix("@d")) == Verp("bounce", JOB, 7)


def test_an_address_of_today_is_readable_for_ever() -> None:
    """The bytes are out in other people's queues: this string may never change."""
    job = ids.job_text(bytes(range(12)))

    assert KEYS.return_path(job, 258, "b.example") == "b-000g40o40k30e209185g0001090ra886mjahjm8@b.example"


@pytest.mark.parametrize(("job", "ordinal"), [("", 0), ("x" * 20, 0), (JOB, -1), (JOB, 2**32)])
def test_what_is_no_message_has_no_return_path(job: str, ordinal: int) -> None:
    with pytest.raises(ValueError, match="not a"):
        KEYS.return_path(job, ordinal, "bounces.example")
