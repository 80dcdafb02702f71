"""Cuts a large JSON body into the values of its fields and the recipients among them, a little at a time. Pure.

A decoder of JSON is one call: while it looks at 30 MB nobody else of the process has a turn, whatever thread it runs
in. Here no call looks at more than `STEP_BYTES`, and what is found is decoded piece by piece, by the decoder, which
says what is wrong with a piece as it says it of a whole. What is cut is not checked: an opened bracket is known by its
closing one, a string by its quotes.

    {"subject": …, "recipients": [{…}, {…}]}    →   {"subject": (12, 20)}, and (36, 39), (41, 44) of the list
"""

import re
from typing import Any, NoReturn

import msgspec

from shared.words.errors import NOT_JSON, Fault, Problem

#: What one call looks at: a tenth of a millisecond by an expression, less by `find`.
STEP_BYTES = 16_384
#: What is shown of a name or a value that is wrong.
MAX_SHOWN_CHARS = 200

Span = tuple[int, int]

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT = rb"\{[^{}\[\]\"]*+(?:" + _STRING + rb"[^{}\[\]\"]*+)*+\}"
#: What a recipient nearly always is: an object with objects in it.
_ROW = re.compile(rb"\{(?:[^{}\[\]\"]++|" + _STRING + rb"|" + _FLAT + rb")*+\}", re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_NO_BRACKETS = re.compile(rb'[^"{}\[\]]*+')
_SCALAR = re.compile(rb'[^\s,:"{}\[\]]++')


class NotJson(msgspec.DecodeError):
    """In the decoder's words, with the place in the whole body."""


def count(body: bytes, byte: bytes) -> int:
    return sum(body.count(byte, at, at + STEP_BYTES) for at in range(0, len(body), STEP_BYTES))


def fields(body: bytes, listed: str) -> tuple[dict[str, Span], list[Span]]:
    """Where the value of each field of the object stands, and each element of the field `listed`, if that is an array.
    Of a field that stands there twice, the last one counts. NotJson; msgspec.ValidationError if it is not an object."""
    found: dict[str, Span] = {}
    rows: list[Span] = []
    at = _blanks(body, 0)
    if body[at : at + 1] != b"{":
        other_kind(body, at, dict[str, msgspec.Raw])
    after, before = at, b""
    at = _blanks(body, at + 1)
    while body[at : at + 1] != b"}":
        if before:
            at = _comma(body, at, after, before)
        end = _end_of_string(body, at) if body[at : at + 1] == b'"' else -1
        if end < 0:
            _wrong(body, at, after, before)
        name = _name(body, at, end)
        colon = _blanks(body, end)
        begin = _blanks(body, colon + 1)
        stop = -1
        if body[colon : colon + 1] == b":":
            if name == listed:
                rows = []
            is_list = name == listed and body[begin : begin + 1] == b"["
            stop = _elements(body, begin, rows) if is_list else _end(body, begin)
        if stop < 0:
            _wrong(body, begin, after, before)
        found[name] = (begin, stop)
        after, before = stop, b'{"":0'
        at = _blanks(body, stop)
    at = _blanks(body, at + 1)
    if at < len(body):
        _wrong(body, at, at, b"{}")
    return found, rows


def _elements(body: bytes, at: int, rows: list[Span]) -> int:
    """Behind the array that begins there. NotJson."""
    after, before = at, b""
    at = _blanks(body, at + 1)
    while body[at : at + 1] != b"]":
        if before:
            at = _comma(body, at, after, before)
        stop = _end(body, at)
        if stop < 0:
            _wrong(body, at, after, before)
        rows.append((at, stop))
        after, before = stop, b"[0"
        at = _blanks(body, stop)
    return at + 1


def wrong_inside(fault: msgspec.DecodeError, begin: int) -> NotJson:
    """What the decoder says of a piece that begins there, as of the whole."""
    return NotJson(re.sub(r"\(byte (\d+)\)", lambda found: f"(byte {int(found[1]) + begin})", str(fault)))


def _name(body: bytes, begin: int, end: int) -> str:
    try:
        return msgspec.json.decode(memoryview(body)[begin:end], type=str)
    except msgspec.DecodeError as fault:
        raise wrong_inside(fault, begin) from fault


def other_kind(body: bytes, at: int, wanted: Any) -> NoReturn:
    """Whatever follows: only by its first byte is it told what it is."""
    first = body[at : at + 1]
    scalar = _SCALAR.match(body, at, at + STEP_BYTES)
    stub = {b"[": b"[]", b"{": b"{}", b'"': b'""'}.get(first) or (scalar[0] if scalar else body[at : at + 1])
    try:
        msgspec.json.decode(stub, type=wanted)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as fault:
        raise wrong_inside(fault, at) from fault
    raise NotJson(f"JSON is malformed (byte {at})")


def _comma(body: bytes, at: int, after: int, before: bytes) -> int:
    """Where the next one begins."""
    if body[at : at + 1] != b",":
        _wrong(body, at, after, before)
    return _blanks(body, at + 1)


def _wrong(body: bytes, at: int, after: int, before: bytes) -> NoReturn:
    """The decoder is shown what stands around the place, behind something that is right, and says what is wrong."""
    after = max(after, at - STEP_BYTES)
    shown = before + body[after : at + STEP_BYTES]
    try:
        msgspec.json.decode(shown, type=list[msgspec.Raw] if shown[:1] == b"[" else dict[str, msgspec.Raw])
    except msgspec.DecodeError as fault:
        raise wrong_inside(fault, after - len(before)) from fault
    raise NotJson(f"JSON is malformed: unexpected character (byte {at})")


def _is_json(scalar: bytes) -> bool:
    try:
        msgspec.json.decode(scalar, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _blanks(body: bytes, at: int) -> int:
    while True:
        found = _BLANKS.match(body, at, at + STEP_BYTES)
        assert found is not None  # it matches nothing, too
        if found.end() < at + STEP_BYTES:
            return found.end()
        at = found.end()


def _end_of_string(body: bytes, at: int) -> int:
    """Behind its closing quote; -1 if it has none."""
    at += 1
    while at < len(body):
        # Text without an escape, such as an attachment, is looked through twenty times as fast by `find`.
        quote = body.find(b'"', at, at + STEP_BYTES)
        stop = min(at + STEP_BYTES, len(body)) if quote < 0 else quote
        if body.find(b"\\", at, stop) >= 0:
            found = _REST_OF_STRING.match(body, at, at + STEP_BYTES)
            assert found is not None
            stop, quote = found.end(), found.end() if body[found.end() : found.end() + 1] == b'"' else -1
        if quote >= 0:
            return quote + 1
        if stop == at:
            return -1  # a backslash ends the body
        at = stop
    return -1


def _end(body: bytes, at: int) -> int:
    """Behind the value that begins there; -1 if none does, or it has no end."""
    first = body[at : at + 1]
    if first == b'"':
        return _end_of_string(body, at)
    if first not in (b"{", b"["):
        scalar = _SCALAR.match(body, at, at + STEP_BYTES)
        return scalar.end() if scalar is not None and _is_json(scalar[0]) else -1
    depth = 0
    while at < len(body):
        found = _NO_BRACKETS.match(body, at, at + STEP_BYTES)
        assert found is not None
        at = found.end()
        match body[at : at + 1]:
            case b"{" if (row := _ROW.match(body, at, at + STEP_BYTES)) is not None:
                at = row.end()
                if depth == 0:
                    return at
                continue
            case b'"':
                if (at := _end_of_string(body, at)) < 0:
                    return -1
                continue
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if depth == 0:
                    return at + 1
            case _:
                continue  # as far as one step looks
        at += 1
    return -1


def refuse_not_json(fault: Exception, json: bytes | msgspec.Raw | memoryview, begin: int | None) -> None:
    """What was cut out of a body and is not JSON makes the body no JSON. Problem 400."""
    if begin is None or isinstance(fault, msgspec.ValidationError):
        return
    try:
        msgspec.json.decode(json, type=msgspec.Raw)
    except NOT_JSON as why:
        told = wrong_inside(why, begin) if isinstance(why, msgspec.DecodeError) else why
        raise Problem("malformed_json", f"the body is not JSON: {told}") from why


def fault_of(at: str, error: Exception) -> Fault:
    what, _, inside = str(error).partition(" - at `$")
    return Fault((at + inside.rstrip("`"))[:MAX_SHOWN_CHARS], what[:MAX_SHOWN_CHARS])
