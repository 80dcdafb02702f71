"""Notes, groups and bands, beside a model that cuts a list by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.rank import notes
from services.contacts.rank.notes import Active

COUNTED = st.lists(
    st.builds(Active, st.integers(1, 10_000), st.integers(0, 6), st.integers(0, 3)),
    max_size=60,
    unique_by=lambda one: one.contact,
)


def dealt(counted: list[Active], least: int) -> dict[int, int]:
    """The notes as somebody would give them with a pencil: each group gets its share of those who are left."""
    left = [one for one in counted if one.events >= least]
    left.sort(key=lambda one: one.contact)
    left.sort(key=lambda one: one.last_ms, reverse=True)
    left.sort(key=lambda one: one.events, reverse=True)
    found = {}
    for note in range(10, 0, -1):
        for one in [left.pop(0) for _ in range(-(-len(left) // note))]:
            found[one.contact] = note
    return found


@given(COUNTED, st.integers(1, 4))
def test_notes_are_those_of_the_model(counted: list[Active], least: int) -> None:
    assert notes.notes(counted, least) == dealt(counted, least)


@given(COUNTED, st.integers(1, 4))
def test_e32_who_has_fewer_than_the_least_number_of_events_has_no_note_of_1_to_10(
    counted: list[Active], least: int
) -> None:
    found = notes.notes(counted, least)

    assert set(found) == {one.contact for one in counted if one.events >= least}
    assert all(1 <= note <= 10 for note in found.values())


@given(COUNTED)
def test_e32_who_has_more_events_never_has_a_lower_note(counted: list[Active]) -> None:
    found = notes.notes(counted, 1)

    for one in counted:
        lower = [other for other in counted if other.events < one.events and other.contact in found]
        assert all(found[other.contact] <= found[one.contact] for other in lower)


@given(st.integers(0, 100_000))
def test_e33_groups_differ_by_one_at_most_and_the_larger_ones_have_the_higher_notes(count: int) -> None:
    found = notes.sizes(count)

    assert list(found) == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert sum(found.values()) == count
    assert max(found.values()) - min(found.values()) <= 1
    assert list(found.values()) == sorted(found.values(), reverse=True)


@given(st.integers(0, 300))
def test_e33_each_place_has_the_note_of_its_group(count: int) -> None:
    given = [notes.note_at(place, count) for place in range(count)]

    assert given == [note for note, size in notes.sizes(count).items() for _ in range(size)]


def test_e33_equal_numbers_are_ordered_by_the_last_event_and_then_by_the_contact() -> None:
    counted = [Active(3, 2, 50), Active(1, 2, 50), Active(2, 2, 60), Active(4, 3, 1)]

    assert notes.notes(counted, 1) == {4: 10, 2: 9, 1: 8, 3: 7}


@given(COUNTED.flatmap(lambda counted: st.tuples(st.just(counted), st.permutations(counted))))
def test_e33_a_run_can_be_repeated_in_whatever_order_contacts_come(both: tuple[list[Active], list[Active]]) -> None:
    counted, shuffled = both

    assert notes.notes(shuffled, 1) == notes.notes(counted, 1)


@pytest.mark.parametrize(
    ("count", "given"), [(0, []), (1, [10]), (3, [10, 9, 8]), (9, [10, 9, 8, 7, 6, 5, 4, 3, 2]), (11, [10, 10, 9])]
)
def test_e40_fewer_than_ten_are_spread_from_10_downwards(count: int, given: list[int]) -> None:
    found = notes.notes([Active(contact, 5, 0) for contact in range(count)], 1)

    assert list(found.values())[: len(given)] == given
    assert len(found) == count


@pytest.mark.parametrize(
    ("band", "of"), [("none", [0]), ("low", [1, 2, 3]), ("medium", [4, 5, 6, 7]), ("high", [8, 9, 10])]
)
def test_e39_bands_have_these_notes(band: notes.Band, of: list[int]) -> None:
    assert [note for note in range(11) if notes.band(note, is_addressable=True) == band] == of


@given(st.integers(0, 10))
def test_e39_who_is_not_addressable_is_that_before_any_band(note: int) -> None:
    assert notes.band(note, is_addressable=False) == "not_addressable"
