"""Who a recipient of an operation is, and what stands for them there (D7)."""

from hypothesis import given
from hypothesis import strategies as st

from shared.redis.recipients import Waiting, pack_page, pack_waiting, pack_waiting_row, read
from shared.words import once, pressure
from shared.words.result_sets import REASONS

AUTUMN, WINTER = once.half("autumn-2026"), once.half("winter-2026")


def test_an_address_is_the_same_in_whatever_case_and_a_key_as_it_is_written() -> None:
    assert once.identity("Ana@X.test") == once.identity("ana@x.test")
    assert once.identity("ana@x.test", "K1") != once.identity("ana@x.test", "k1")
    assert once.identity("ana@x.test", "k1") == once.identity("bo@x.test", "k1")


def test_a_key_that_is_spelt_like_an_address_is_not_that_address() -> None:
    assert once.identity("bo@x.test", "ana@x.test") != once.identity("ana@x.test")


def test_a_recipient_has_another_place_in_each_operation_and_begins_the_same_in_all() -> None:
    who = once.identity("ana@x.test")

    places = [once.unpacked(once.place(who, operation)) for operation in (AUTUMN, WINTER)]

    assert places == [once.half(who) + AUTUMN, once.half(who) + WINTER]


@given(st.text(max_size=80), st.text(min_size=1, max_size=64))
def test_any_place_is_sixteen_characters_and_comes_back(who: str, operation: str) -> None:
    place = once.place(who, once.half(operation))

    assert (len(place), len(once.unpacked(place))) == (16, 2 * once.HALF_BYTES)


def test_a_place_lasts_for_ninety_days_and_its_reasons_are_known() -> None:
    assert (once.LIFETIME_S, once.RULE.most) == (90 * pressure.DAY_S, 1)
    assert {once.ALREADY_SENT, once.DUPLICATE_KEY} <= set(REASONS)


def test_a_recipient_that_waits_has_their_key_whether_they_have_files_or_not_and_is_short_without() -> None:
    plain, keyed = Waiting(email="a@x.test"), Waiting(email="a@x.test", key="k")
    filed, both = Waiting(email="a@x.test", files="[]"), Waiting(email="a@x.test", files="[]", key="k")
    rows = [plain, keyed, filed, both]

    assert read(pack_waiting(0, rows)).waiting() == rows
    assert pack_page(rows)[3:] == b"".join(map(pack_waiting_row, rows))
    assert [len(pack_waiting_row(one)) - len(pack_waiting_row(plain)) for one in rows] == [0, 3, 3, 5]
