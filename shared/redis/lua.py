"""Scripts name what they read as Python does: `JOB.total` is a field of a hash, `STOP.reason` a place in an array."""

import re
from collections.abc import Mapping

import msgspec

#: What stands in a script for each field of each record.
Names = Mapping[str, Mapping[str, str]]

_NAMED = re.compile(r"\b([A-Z]+)\.(\w+)")


def fields(**hashes: Mapping[str, object]) -> Names:
    """What stands for `HASH.field` in a script: the field's name, as a string of Lua."""
    return {name: {field: f"'{field}'" for field in known} for name, known in hashes.items()}


def places(**structs: type[msgspec.Struct]) -> Names:
    """What stands for `STRUCT.field` in an array that cmsgpack has unpacked: its place, from 1."""
    return {
        name: {field: str(at) for at, field in enumerate(struct.__struct_fields__, 1)}
        for name, struct in structs.items()
    }


def named(script: str, names: Names) -> str:
    """The script with these in place of what it names. KeyError: there is no such record, or no such field of it."""
    return _NAMED.sub(lambda found: names[found[1]][found[2]], script)
