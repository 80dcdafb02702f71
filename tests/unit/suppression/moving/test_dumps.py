"""Lists that come as JSON: the same wishes, however the bytes were cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.suppression.moving import formats
from services.suppression.moving.dumps import Dump
from services.suppression.moving.forms import MAX_LINE_BYTES, Asked, Form
from services.suppression.moving.wishes import Wish
from shared.words.errors import Fault

ITEMS = [
    {"EmailAddress": "a@x.fr", "SuppressionReason": "HardBounce", "Origin": "Recipient", "CreatedAt": ""},
    {"EmailAddress": "é@x.fr", "SuppressionReason": "SpamComplaint", "Origin": "Recipient", "CreatedAt": ""},
]
WISHES = [Wish("a@x.fr", formats.HARD), Wish("é@x.fr", formats.COMPLAINT)]
BODIES = {
    "wrapped": json.dumps({"Suppressions": ITEMS}),
    "wrapped behind others": json.dumps({"paging": {"next": "x", "all": ["y"]}, "Suppressions": ITEMS, "more": 1}),
    "pretty": json.dumps({"Suppressions": ITEMS}, indent=4, ensure_ascii=False),
    "array": json.dumps(ITEMS),
    "lines": "\n".join(json.dumps(item) for item in ITEMS),
    "mark": "\ufeff" + json.dumps(ITEMS),
}


def read(body: bytes, cut: int = 10_000, **asked: Any) -> list[Any]:
    dump = Dump(Form(Asked(**asked), 1))
    found = [one for at in range(0, len(body), cut) for one in dump.feed(body[at : at + cut])]
    return [row for _, row in [*found, *dump.feed(b"", last=True)]]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("cut", [1, 3, 100, 10_000])
def test_however_a_dump_is_wrapped_and_cut_it_says_the_same(body: str, cut: int) -> None:
    assert read(body.encode(), cut) == WISHES


def test_lists_in_items_are_no_list_of_items() -> None:
    body = b'{"address":"a@x.fr","tags":["*"],"created_at":""}\n{"address":"b@x.fr","tags":["news","x"]}'

    first, second = read(body)

    assert first == Wish("a@x.fr", formats.UNSUBSCRIBED)
    assert [act.scope for act in second.acts] == ["list:news", "list:x"]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"nothing", "not JSON"),
        (b"[1, 2]", "not an object with an address"),
        (b'[{"EmailAddress": "a@x.fr", "SuppressionReason": "HardB', "not JSON"),
        (b'[{"x": 1}]', "no column of the address"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"x": "' + b"y" * (3 * MAX_LINE_BYTES), "longer than 65536 characters"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_what_is_no_dump_is_told_once_and_takes_no_memory(body: bytes, what: str) -> None:
    faults = [one for one in read(body, 16_384) if isinstance(one, Fault)]

    assert what in faults[0].what


def test_an_empty_list_has_no_items() -> None:
    assert read(b'{"items": []}') == []


@given(st.binary(max_size=200), st.integers(1, 50))
def test_nothing_that_comes_raises(body: bytes, cut: int) -> None:
    read(body, cut)
    read(b'{"items":[{"address":"a@x.fr","tags":["*"]},' + body, cut)
