"""`proto/v1/*.proto` says of each message what its Struct says, field by field, and neither knows one more."""

import json
import typing
from pathlib import Path
from types import UnionType
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import events
from tests.contract import proto
from tests.contract.fields import defaults, fields_of, message_of

PROTO = Path(__file__).parents[2] / "proto" / "v1"
MESSAGES = proto.load(PROTO)
NAMES = sorted(MESSAGES)

#: What a field of the proto is in the Struct.
PYTHON_TYPES = {
    "string": str,
    "bool": bool,
    "uint32": int,
    "int64": int,
    "double": float,
    "bytes": bytes,
    "google.protobuf.Struct": msgspec.Raw,
    "reserved": None,
}
#: What a reader of the proto takes an absent field for, if the comment says nothing else.
ZEROS = {"string": "", "bool": False, "uint32": 0, "int64": 0, "double": 0.0, "bytes": b"", "reserved": None}

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
#: JSON's values: numbers beyond 64 bits have no place in msgpack.
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)
RANDOM = {
    "string": TEXTS,
    "bool": st.booleans(),
    "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(),
    "google.protobuf.Struct": st.dictionaries(TEXTS, VALUES, max_size=4),
    "reserved": st.none(),
}


def struct_fields(name: str) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(events.MESSAGES[name])


@st.composite
def messages(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """The fields of a message of that name, any values that its proto allows."""
    return {
        field.name: draw(st.none() | RANDOM[field.type] if field.optional else RANDOM[field.type])
        for field in MESSAGES[name].fields
    }


named = st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), messages(name)))


def test_every_message_has_a_struct_and_every_struct_a_message() -> None:
    assert set(MESSAGES) == set(events.MESSAGES)


def test_every_file_is_of_the_same_package() -> None:
    for path in PROTO.glob("*.proto"):
        assert proto.parse(path.read_text(encoding="utf-8")).package == "estafette.v1"


def test_every_message_says_what_it_means() -> None:
    assert [name for name, message in MESSAGES.items() if not message.comment] == []


@pytest.mark.parametrize("name", NAMES)
def test_fields_have_the_same_names_in_the_order_of_their_numbers(name: str) -> None:
    assert [field.name for field in MESSAGES[name].fields] == list(events.MESSAGES[name].__struct_fields__)


@pytest.mark.parametrize("name", NAMES)
def test_fields_have_the_same_types(name: str) -> None:
    for field, of_struct in zip(MESSAGES[name].fields, struct_fields(name), strict=True):
        wanted = PYTHON_TYPES[field.type]

        assert without_none(of_struct.type) == wanted, field.name


@pytest.mark.parametrize("name", NAMES)
def test_a_field_is_optional_in_both_or_in_neither(name: str) -> None:
    for field, of_struct in zip(MESSAGES[name].fields, struct_fields(name), strict=True):
        assert field.optional == (type(None) in typing.get_args(of_struct.type)), field.name


@pytest.mark.parametrize("name", NAMES)
def test_what_a_reader_insists_on_is_called_required(name: str) -> None:
    for field, of_struct in zip(MESSAGES[name].fields, struct_fields(name), strict=True):
        assert field.comment.startswith("Required.") == of_struct.required, field.name


@pytest.mark.parametrize("name", NAMES)
def test_what_an_absent_field_means_is_said_where_it_is_not_zero(name: str) -> None:
    default = defaults(events.MESSAGES[name])
    for field in MESSAGES[name].fields:
        if field.name not in default:
            continue
        zero = None if field.optional else ZEROS.get(field.type, "said")

        said = f"Absent is {json.dumps(default[field.name])}." in field.comment
        assert said == (default[field.name] != zero), field.name


@given(named)
def test_what_we_write_any_reader_of_msgpack_reads(drawn: tuple[str, dict[str, Any]]) -> None:
    name, fields = drawn

    array = msgpack.unpackb(events.encode(message_of(name, fields)))

    assert array == list(fields.values())


@given(named)
def test_what_any_writer_of_msgpack_writes_we_read(drawn: tuple[str, dict[str, Any]]) -> None:
    name, fields = drawn

    message = events.decode(name, msgpack.packb(list(fields.values())))

    assert fields_of(message) == fields
    assert events.decode(name, events.encode(message)) == message


@given(named, st.data())
def test_an_older_writer_is_read(drawn: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    name, fields = drawn
    default = defaults(events.MESSAGES[name])
    length = data.draw(st.integers(len(fields) - len(default), len(fields)))

    message = events.decode(name, msgpack.packb(list(fields.values())[:length]))

    assert fields_of(message) == {**default, **dict(list(fields.items())[:length])}


@given(named, st.lists(VALUES, max_size=4))
def test_a_newer_writer_is_read(drawn: tuple[str, dict[str, Any]], unknown: list[Any]) -> None:
    name, fields = drawn

    message = events.decode(name, msgpack.packb([*fields.values(), *unknown]))

    assert fields_of(message) == fields


@given(named, st.data())
def test_without_a_required_field_nothing_is_read(drawn: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    name, fields = drawn
    required = len(fields) - len(defaults(events.MESSAGES[name]))
    length = data.draw(st.integers(0, required - 1))

    with pytest.raises(ValueError, match="at least length"):
        events.decode(name, msgpack.packb(list(fields.values())[:length]))


def without_none(of_type: Any) -> Any:
    """The type that `X | None` is optional of; any other as it is."""
    if typing.get_origin(of_type) not in (UnionType, typing.Union):
        return of_type
    (one,) = (member for member in typing.get_args(of_type) if member is not type(None))
    return one
