"""What a client says in MAIL and RCPT of the reports that it wants (RFC 3461 section 4): read, or refused. Pure.

    MAIL FROM:<app@exemple.fr> RET=HDRS ENVID=order-4711
    RCPT TO:<ana@exemple.fr> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;ana@exemple.fr

Whoever says no NOTIFY is told nothing by mail. DELAY may be said, and is never told of (section 4.1 allows both).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

#: Sections 4.4, 4.2; and by how much commands may be longer for them (section 4, point 6).
MAX_ENVID_CHARS, MAX_ORCPT_CHARS = 100, 500
MAIL_CHARS = len(" RET=HDRS ENVID=") + MAX_ENVID_CHARS
RCPT_CHARS = len(" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=") + MAX_ORCPT_CHARS

#: A path with its keyword; what stands in quotes may be anything.
_PATH = re.compile(r'\s*(?:FROM|TO):\s*<(?:"(?:[^"\\]|\\.)*"|[^">])*>', re.IGNORECASE)
#: Section 4: printable ASCII but for "+" and "=", which stand, as all else, as "+" and two digits.
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_ENCODED = re.compile(r"\+([0-9A-F]{2})")
_PRINTABLE = re.compile(r"[ -~]+")
_TYPE = re.compile(r"[A-Za-z0-9-]{1,60}")
_WHEN = {"SUCCESS": "success", "FAILURE": "failure", "DELAY": ""}


class OfMail(NamedTuple):
    """`content`: what comes back of a mail that failed."""

    content: str = "headers"
    envelope_id: str = ""


class OfRecipient(NamedTuple):
    """`notify`: when, in the words of the API. `original` is the address as ORCPT has it, decoded."""

    notify: tuple[str, ...] = ()
    original: str = ""


class Refused(Exception):
    """The message is the reply."""


def of_mail(arg: str) -> tuple[str, OfMail]:
    """MAIL's argument without what is said of reports, and that. Refused."""
    rest, said = _split(arg, {"RET": _ret, "ENVID": _envid})
    return rest, OfMail(said.get("RET", "headers"), said.get("ENVID", ""))


def of_recipient(arg: str) -> tuple[str, OfRecipient]:
    """The same of RCPT. Refused."""
    rest, said = _split(arg, {"NOTIFY": _notify, "ORCPT": _orcpt})
    return rest, OfRecipient(said.get("NOTIFY", ()), said.get("ORCPT", ""))


def _split(arg: str, known: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]]:
    path = _PATH.match(arg)
    if path is None:
        return arg, {}
    said: dict[str, Any] = {}
    others = []
    for one in arg[path.end() :].split():
        name, _, value = one.partition("=")
        read = known.get(name.upper())
        if read is None:
            others.append(one)
        elif name.upper() in said:
            raise Refused(f"501 5.5.4 {name.upper()} is given twice")
        else:
            said[name.upper()] = read(value)
    return " ".join([path[0], *others]), said


def _ret(value: str) -> str:
    if value.upper() not in ("FULL", "HDRS"):
        raise Refused("501 5.5.4 RET is FULL or HDRS")
    return "full" if value.upper() == "FULL" else "headers"


def _envid(value: str) -> str:
    text = decoded(value) if len(value) <= MAX_ENVID_CHARS else None
    if text is None:
        raise Refused(f"501 5.5.4 ENVID is xtext of printable characters, at most {MAX_ENVID_CHARS}")
    return text


def _notify(value: str) -> tuple[str, ...]:
    words = value.upper().split(",")
    if words == ["NEVER"]:
        return ()
    if any(word not in _WHEN for word in words):
        raise Refused("501 5.5.4 NOTIFY is NEVER, or of SUCCESS, FAILURE and DELAY")
    return tuple(sorted({_WHEN[word] for word in words} - {""}))


def _orcpt(value: str) -> str:
    kind, semicolon, address = value.partition(";")
    if kind.lower() == "utf-8":  # RFC 6533 section 3: unitext may stand there, too
        address = "".join(one if one.isascii() else f"\\x{{{ord(one):X}}}" for one in address)
    text = decoded(address) if len(value) <= MAX_ORCPT_CHARS else None
    if text is None or not semicolon or _TYPE.fullmatch(kind) is None or len(f"{kind};{text}") > MAX_ORCPT_CHARS:
        raise Refused(f"501 5.5.4 ORCPT is a type, a semicolon and xtext, at most {MAX_ORCPT_CHARS} characters")
    return f"{kind};{text}"


def decoded(xtext: str) -> str | None:
    """What an xtext says; None if it is none, or says what is not printable."""
    if _XTEXT.fullmatch(xtext) is None:
        return None
    text = _ENCODED.sub(lambda found: chr(int(found[1], 16)), xtext)
    return text if _PRINTABLE.fullmatch(text) else None
