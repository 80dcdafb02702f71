"""Header fields that depend on the recipient: placeholders in the name of From, in Reply-To and in headers of the job's
own.

The address of From does not depend on them: its domain is one of the tenant's, and is looked at once.
"""

import re
from collections.abc import Mapping

import msgspec

from shared.mail import addresses
from shared.words.content import Personal, Subject
from shared.words.errors import Fault

_TAG = re.compile(r"\{[{%#]")
_WITH_ADDRESS = re.compile(r"(?P<name>.*)<(?P<address>[^<>]*)>\s*", re.DOTALL)
_ADDRESS = " address"
FROM, REPLY_TO = "from", "reply_to"


class Mailbox(msgspec.Struct, frozen=True):
    """What a job says of one: templates, or plain text."""

    name: str
    address: str


def is_template(text: str) -> bool:
    """Whether anything in it is the template's."""
    return _TAG.search(text) is not None


def mailbox(text: str) -> Mailbox:
    """`{{ agent }} <news@exemple.fr>`, or the address alone."""
    found = _WITH_ADDRESS.fullmatch(text)
    if found is None:
        return Mailbox("", text.strip())
    name = found["name"].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('\\"', '"')
    return Mailbox(name, found["address"].strip())


def header(name: str) -> str:
    """By which name the template of a header field is known."""
    return f"header {name}"


def is_address(name: str) -> bool:
    """Whether what the template of that name renders has to be an address, or empty."""
    return name.endswith(_ADDRESS)


def sources(from_: str, reply_to: str, own: Mapping[str, str]) -> dict[str, str]:
    """The templates by name."""
    found: dict[str, str] = {}
    if is_template(from_):
        found[FROM] = mailbox(from_).name
    if is_template(reply_to):
        given = mailbox(reply_to)
        found[REPLY_TO], found[REPLY_TO + _ADDRESS] = given.name, given.address
    return found | {header(name): value for name, value in own.items() if is_template(value)}


def place(name: str) -> str:
    """Where the template of that name stands in the job."""
    if name.startswith("header "):
        return f"$.headers[{name.removeprefix('header ')[:80]!r}]"
    return f"$.{name.removesuffix(_ADDRESS)}"


def sender(text: str) -> addresses.Mailbox | Fault:
    """The address of a From with placeholders."""
    given = mailbox(text)
    if is_template(given.address):
        what = (
            "its address cannot depend on the recipient, since its domain has to be one of the tenant's; its name can"
        )
        return Fault("$.from", what)
    try:
        return addresses.Mailbox("", addresses.parse(given.address))
    except addresses.InvalidAddress as error:
        return Fault("$.from", f"not an address: {error}")


def fields(compiled: Mapping[str, Subject], own: Mapping[str, str]) -> list[Personal]:
    """As the relay gets them."""
    found = []
    if FROM in compiled:
        found.append(Personal("From", compiled[FROM]))
    if REPLY_TO in compiled:
        found.append(Personal("Reply-To", compiled[REPLY_TO], compiled[REPLY_TO + _ADDRESS]))
    return found + [Personal(name, compiled[header(name)]) for name in own if header(name) in compiled]
