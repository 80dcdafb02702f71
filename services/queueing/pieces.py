"""A JSON object as the pieces that its values are, so that each is decoded by itself and all faults are found. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from services.queueing import cut
from shared.words.errors import NOT_JSON, Fault, Problem

#: A body is decoded in one go up to here, which takes half a millisecond; a larger one piece by piece.
WHOLE_BYTES = 262_144
#: Faults listed in one answer; the first hundred say what the others would.
MAX_FAULTS = 100


class Piece(NamedTuple):
    """A value as it stands in a body: marked by the decoder, or cut out of it unseen, where it begins then."""

    json: msgspec.Raw | memoryview
    begin: int | None = None
    #: Of the recipients, if they were cut out of it.
    rows: "Sequence[Piece]" = ()


def pieces(body: bytes) -> dict[str, Piece]:
    """The values of an object, by name, as they stand there. Problem 400 or 422."""
    try:
        return _cut(body) if len(body) > WHOLE_BYTES else _whole(body)
    except NOT_JSON as fault:
        raise Problem("malformed_json", f"the body is not JSON: {fault}") from fault


def _whole(body: bytes) -> dict[str, Piece]:
    try:
        return {name: Piece(raw) for name, raw in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items()}
    except msgspec.ValidationError as fault:
        msgspec.json.decode(body)  # JSON, but no object; or neither
        raise refused([Fault("$", str(fault))]) from fault


def _cut(body: bytes) -> dict[str, Piece]:
    """The same of a large body, which is never looked at in one go."""
    view = memoryview(body)
    try:
        found, rows = cut.fields(body, "recipients")
    except msgspec.ValidationError as fault:
        raise refused([Fault("$", str(fault))]) from fault
    pieces = {name: Piece(view[begin:end], begin) for name, (begin, end) in found.items()}
    if (listed := pieces.get("recipients")) is not None:
        pieces["recipients"] = listed._replace(rows=[Piece(view[begin:end], begin) for begin, end in rows])
    return pieces


def refused(faults: Sequence[Fault], so: str = "nothing was stored") -> Problem:
    """With all that is wrong with a job."""
    shown = list(faults[:MAX_FAULTS])
    more = f"; {len(faults) - len(shown)} more are not listed" if len(faults) > len(shown) else ""
    number = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    return Problem("invalid_job", f"the job has {number}{more}; {so}", shown)


def rows_of(given: Piece) -> Sequence[Piece]:
    """Each as it stands there. NOT_JSON."""
    if given.begin is None:
        return [Piece(row) for row in msgspec.json.decode(given.json, type=list[msgspec.Raw])]
    if bytes(memoryview(given.json)[:1]) != b"[":
        cut.other_kind(bytes(memoryview(given.json)[: cut.STEP_BYTES]), 0, list[msgspec.Raw])
    return given.rows
