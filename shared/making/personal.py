"""Header fields that depend on the recipient, as they stand in that recipient's mail.

Whatever the variables hold, what comes out is one field: folded, encoded, without an end of line of its own
(`shared.mail.headers`); an address is parsed before it is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.mail import addresses, headers, templates
from shared.mail.showing import shows
from shared.making.emptiness import Line
from shared.words.content import Personal

#: Of one value. More than this is not a header field, and hosts refuse a header that is too long.
MAX_CHARS = 2_000


class NoField(Exception):
    """It cannot be written for this recipient."""


class Fields:
    """Those of one job. `sender` is the address of From."""

    def __init__(self, personal: Sequence[Personal], sender: str) -> None:
        self._fields = [
            (
                one.field,
                Line(_name(at), one.text),
                None if one.address is None else Line(_address_name(at), one.address),
            )
            for at, one in enumerate(personal)
        ]
        self._sender = sender

    def values(
        self, values: Mapping[str, Any], texts: Mapping[templates.Name, str]
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """The name and the value of each; None where there is none for this recipient. NoField, TemplateFailed."""
        for field, line, address_line in self._fields:
            text = line.text(values, texts)
            if len(text) > MAX_CHARS:
                raise NoField(f"{field}: {len(text)} characters; at most {MAX_CHARS}")
            if field == "From":
                value = addresses.format_mailbox(text, self._sender, len(field))
            elif address_line is not None:
                address = address_line.text(values, texts).strip()
                value = _mailbox(field, text, address) if shows(address) else ""
            else:
                value = headers.unstructured(text, len(field)) if shows(text) else ""
            yield field.encode("ascii"), value.encode() or None


def sources(personal: Sequence[Personal]) -> dict[templates.Name, str]:
    """The templates with logic, by name."""
    found = {}
    for at, one in enumerate(personal):
        for name, line in ((_name(at), one.text), (_address_name(at), one.address)):
            if line is not None and line.template:
                found[name] = line.template
    return found


def _name(at: int) -> templates.Name:
    return f"field {at}"


def _address_name(at: int) -> templates.Name:
    return f"field {at} address"


def _mailbox(field: str, name: str, address: str) -> str:
    try:
        return addresses.format_mailbox(name, str(addresses.parse(address)), len(field))
    except addresses.InvalidAddress as error:
        raise NoField(f"{field}: not an address: {error}") from None
