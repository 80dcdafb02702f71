"""The two forms of a chunk of recipients."""

import msgspec
import pytest

from shared.redis.recipients import (
    Recipient,
    Waiting,
    keyed,
    pack_slim,
    pack_viewable,
    pack_waiting,
    pack_waiting_row,
    read,
)
from shared.words import once

PEOPLE = [
    Waiting(email="a@b.example", name="Ana", variables=msgspec.Raw(msgspec.msgpack.encode({"n": 1}))),
    Waiting(email="é@c.example", metadata={"crm_id": "17"}, untracked=True),
    Waiting(email="bad", rejected="invalid_address"),
]


def test_a_waiting_chunk_has_all_that_was_said_of_each_recipient() -> None:
    chunk = read(pack_waiting(40, PEOPLE))

    assert (chunk.first_ordinal, chunk.slim) == (40, False)
    assert [(one.email, one.name, one.rejected, one.untracked) for one in chunk.waiting()] == [
        ("a@b.example", "Ana", None, False),
        ("é@c.example", "", None, True),
        ("bad", "", "invalid_address", False),
    ]
    assert msgspec.msgpack.decode(chunk.waiting()[0].variables) == {"n": 1}


def test_both_forms_name_the_same_recipients_in_the_same_order() -> None:
    waiting, slim = read(pack_waiting(0, PEOPLE)), read(pack_slim(0, PEOPLE))

    assert slim.slim
    assert waiting.recipients() == slim.recipients()
    assert slim.recipients()[1] == Recipient("é@c.example", {"crm_id": "17"})


def test_a_slim_chunk_is_never_queued_again() -> None:
    with pytest.raises(ValueError, match="slim"):
        read(pack_slim(0, PEOPLE)).waiting()


def test_a_thousand_slim_recipients_with_metadata_take_less_than_thirty_bytes_each() -> None:
    people = [
        Waiting(email=f"{first}.{last}{number}@example{number % 7}.org", metadata={"crm_id": str(number * 7919)})
        for number in range(10)
        for first in ("anna", "bruno", "chloe", "david", "emma", "felix", "gina", "hugo", "ines", "jules")
        for last in ("martin", "bernard", "dubois", "thomas", "robert", "petit", "durand", "leroy", "moreau", "simon")
    ]

    assert len(pack_slim(0, people)) < 30 * len(people)


def test_rows_put_together_by_a_script_are_a_chunk() -> None:
    rows = b"".join(map(pack_waiting_row, PEOPLE))
    body = b"\xdc" + len(PEOPLE).to_bytes(2, "big") + rows
    member = b"\x93\xce" + (7).to_bytes(4, "big") + b"\xc2\xc6" + len(body).to_bytes(4, "big") + body

    assert read(member).first_ordinal == 7
    assert read(member).recipients() == read(pack_waiting(7, PEOPLE)).recipients()


def test_who_has_a_key_in_an_operation_is_kept_with_their_place_and_nobody_else_is() -> None:
    keyed_ones = [msgspec.structs.replace(one, key=f"order-{number}") for number, one in enumerate(PEOPLE * 300)]

    for pack in (pack_slim, pack_viewable):
        chunk = read(pack(40, keyed_ones, "autumn"))
        assert chunk.recipients() == read(pack(40, keyed_ones)).recipients()
        expected = [once.place(once.identity("", name), once.half("autumn")) for name in ("order-2", "order-0")]
        assert keyed(chunk, [2, 0]) == list(zip((42, 40), expected, strict=True))
        assert keyed(read(pack(40, keyed_ones)), [0]) == keyed(read(pack(40, PEOPLE, "autumn")), [0]) == []
    grown = len(pack_slim(0, keyed_ones, "autumn")) - len(pack_slim(0, keyed_ones))
    assert grown < 15 * len(keyed_ones)
