"""What the names of a template stand for: the job's defaults, under the recipient's address and name, under their own
variables, under what the engine sets. The same when a content is tried and when a mail is made."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.mail import templates
from shared.words import way_out
from shared.words.way_out import WAY_OUT

#: No variables.
NONE = msgspec.Raw(b"\x80")
#: Levels of lists and dicts that variables may have.
MAX_DEPTH = 32

#: The one that says in which language its recipient is written to.
LANGUAGE = "language"

_NULL = b"\xc0"
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class TooDeep(ValueError):
    """They are nested too deeply."""


def decoded(packed: msgspec.Raw) -> dict[str, Any]:
    """A fresh copy. TooDeep."""
    try:
        values = _decode(packed)
        # The byte is cheap to look for; it may also be part of something else, so the values decide.
        return _without_nulls(values) if _NULL in bytes(packed) else values
    except RecursionError:
        raise TooDeep("the variables are nested too deeply") from None


def merged(
    defaults: dict[str, Any], own: msgspec.Raw, email: str, name: str, pages: Mapping[str, str]
) -> dict[str, Any]:
    """`defaults` with a recipient's added. `pages` are the addresses of theirs, by the names of `content.PAGES`.
    TooDeep."""
    of_job = defaults.get(WAY_OUT)
    defaults["email"] = email
    if name:
        defaults["name"] = name
    defaults.update(decoded(own))
    for page, url in pages.items():
        defaults[page] = templates.safe(url)
    if of_job is not None:
        defaults[WAY_OUT] = way_out.words(defaults.get(way_out.LANGUAGE), of_job)
    return defaults


def of_recipient(
    defaults: msgspec.Raw, own: msgspec.Raw, email: str, name: str, pages: Mapping[str, str]
) -> dict[str, Any]:
    """Fresh ones: templates can change lists and dicts. TooDeep."""
    return merged(decoded(defaults), own, email, name, pages)


def language(defaults: Mapping[str, Any], own: msgspec.Raw) -> str:
    """The tag of the language in which somebody with these variables is written to, "" if they do not say."""
    try:
        found = decoded(own).get(LANGUAGE, defaults.get(LANGUAGE))
    except TooDeep:
        return ""
    return found if isinstance(found, str) else ""


def look_up(variables: Mapping[str, Any], path: Sequence[str]) -> object:
    """The value of `{{ a.b }}`; "" if nothing defines it."""
    value: Any = variables
    for name in path:
        if not isinstance(value, dict) or (value := value.get(name)) is None:
            return ""
    return value


def _without_nulls(value: Any) -> Any:
    """A null is a name that nothing defines."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
