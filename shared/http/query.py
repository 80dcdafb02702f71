"""The parameters of a query, typed: a Struct says which a route has, and here their texts become its values.

    class StopQuery(msgspec.Struct, frozen=True):
        after: Annotated[str, paging.after("job:…")] = ""
        limit: Annotated[int, paging.limit(1_000)] = 100

Every field has a default: what is not given has it, and so has an empty text, list or `Read`, as forms send them. All
that is wrong is found at once, each with the parameter's name. What OpenAPI says of a parameter is made of the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from shared.words.errors import Fault

#: Digits of a number; no limit of ours has more.
MAX_DIGITS = 9
#: What is shown of a name or a value that is wrong.
MAX_SHOWN_CHARS = 60
_TRUTHS = {"true": True, "false": False}
_times: msgspec.json.Decoder[datetime] = msgspec.json.Decoder(Annotated[datetime, Meta(tz=True)])


@dataclass(frozen=True)
class Read:
    """The field is made of the parameter's text by a function, whose ValueError says what is wrong with it. `schema` is
    what JSON Schema says of the text."""

    value: Callable[[str], Any]
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Words:
    """The field is a set of these, with commas between."""

    known: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """One parameter: `read` gives the value of its text, or a ValueError with what is wrong."""

    name: str
    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    sentence: str
    examples: Sequence[Any]
    #: An empty text is as good as none.
    may_be_empty: bool
    #: Several values with commas between.
    is_list: bool = False
    #: The field that it becomes: `from` is no name in Python, and is that of `msgspec.field(name="from")`.
    field: str = ""


@cache
def parameters(shape: type[msgspec.Struct]) -> tuple[Parameter, ...]:
    """What the fields of the Struct say."""
    return tuple(_parameter(one) for one in msgspec.structs.fields(shape))


def decode(shape: type[msgspec.Struct], given: Mapping[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    """The values of the Struct's fields that were given, and what is wrong with any of them."""
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for parameter in parameters(shape):
        text = given.get(parameter.name)
        if text is None or (parameter.may_be_empty and not text):
            continue
        try:
            values[parameter.field] = parameter.read(text)
        except ValueError as fault:
            faults.append(Fault(f"?{parameter.name}", str(fault)))
    return values, faults


def _parameter(of: msgspec.structs.FieldInfo) -> Parameter:
    kind, metadata = _unfolded(of.type)
    metas = [one for one in metadata if isinstance(one, Meta)]
    sentence = next((meta.description for meta in metas if meta.description), "")
    examples = next((meta.examples for meta in metas if meta.examples), [])
    how = next((one for one in metadata if isinstance(one, (Read, Words))), None)
    match how:
        case Read():
            schema = {"type": "string", **how.schema}
            return Parameter(of.encode_name, how.value, schema, sentence, examples, may_be_empty=True, field=of.name)
        case Words():
            listed = {"type": "array", "items": {"type": "string", "enum": list(how.known)}}
            read_words = _words(how.known)
            return Parameter(of.encode_name, read_words, listed, sentence, examples, True, True, of.name)
    if kind is datetime:
        metas.append(Meta(tz=True))
    schema = msgspec.json.schema(Annotated[(kind, *metas)] if metas else kind)
    schema = {name: said for name, said in schema.items() if name not in ("description", "examples")}
    if of.default is not None and of.default is not msgspec.NODEFAULT:
        schema["default"] = of.default
    read, may_be_empty = _reader(kind, schema)
    return Parameter(of.encode_name, read, schema, sentence, examples, may_be_empty, field=of.name)


def _unfolded(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type without its notes and without the None that is its default, and the notes."""
    metadata: tuple[Any, ...] = ()
    if get_origin(kind) is Annotated:
        kind, *notes = get_args(kind)
        metadata = tuple(notes)
    if get_origin(kind) in (Union, UnionType):
        kinds = [one for one in get_args(kind) if one is not NoneType]
        kind = kinds[0] if len(kinds) == 1 else kind
    return kind, metadata


def _reader(kind: Any, schema: Mapping[str, Any]) -> tuple[Callable[[str], Any], bool]:
    """How a text becomes such a value, and whether an empty one is as good as none."""
    if kind is str:
        return _text(schema.get("maxLength")), True
    if kind is int:
        return _integer(schema.get("minimum"), schema.get("maximum")), False
    if kind is bool:
        return _truth, False
    if kind is datetime:
        return _time, False
    if get_origin(kind) is Literal:
        return _one_of(get_args(kind)), False
    raise TypeError(f"no parameter is a {kind!r}: say how it is read (Read, Words)")


def _text(max_chars: int | None) -> Callable[[str], str]:
    def read(text: str) -> str:
        if max_chars is not None and len(text) > max_chars:
            raise ValueError(f"longer than {max_chars} characters")
        return text

    return read


def _integer(least: int | None, most: int | None) -> Callable[[str], int]:
    expected = f"expected {least} to {most}" if None not in (least, most) else "expected a number"

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
            raise ValueError(expected)
        number = int(text)
        if (least is not None and number < least) or (most is not None and number > most):
            raise ValueError(expected)
        return number

    return read


def _truth(text: str) -> bool:
    if text not in _TRUTHS:
        raise ValueError("expected true or false")
    return _TRUTHS[text]


def _time(text: str) -> datetime:
    try:
        return _times.decode(msgspec.json.encode(text))
    except msgspec.ValidationError:
        raise ValueError("expected a time such as 2026-01-31T09:05:00Z") from None


def _one_of(known: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"expected {' or '.join(known)}")
        return text

    return read


def _words(known: Sequence[str]) -> Callable[[str], frozenset[str]]:
    def read(text: str) -> frozenset[str]:
        words = frozenset(part.strip() for part in text.split(","))
        if unknown := sorted(words - frozenset(known)):
            shown = ", ".join(repr(word[:MAX_SHOWN_CHARS]) for word in unknown)
            raise ValueError(f"expected some of {', '.join(known)}, got {shown}")
        return words

    return read
