"""The fields of a message's Struct as plain values: what the independent reader and the examples are compared with."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.words import events


def defaults(message: type[events.Message]) -> dict[str, Any]:
    """What each field with a default is when it is absent."""
    return {field.name: plain(field.default) for field in msgspec.structs.fields(message) if not field.required}


def fields_of(message: events.Message) -> dict[str, Any]:
    return {name: plain(getattr(message, name)) for name in message.__struct_fields__}


def message_of(name: str, fields: Mapping[str, Any]) -> events.Message:
    """The Struct with those plain values."""
    shape = events.MESSAGES[name]
    raw = {field.name for field in msgspec.structs.fields(shape) if field.type is msgspec.Raw}
    return shape(
        **{key: msgspec.Raw(msgspec.msgpack.encode(value)) if key in raw else value for key, value in fields.items()}
    )


def plain(value: Any) -> Any:
    """The value itself; what is kept undecoded is decoded."""
    return msgspec.msgpack.decode(value) if isinstance(value, msgspec.Raw) else value
