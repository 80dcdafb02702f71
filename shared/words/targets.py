"""Whom a job is sent to, where that is decided by the contacts of the tenant: a segment, or criteria that nobody saved.

    {"segment": 3}    {"segment": "Paris", "once_per_address": true}    {"criteria": {"kind": "field", …}}

Who reads a job knows no segments: what is asked for is handed on to the service that has the contacts, which alone can
say whether there is such a segment and whether the criteria mean anything.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from shared.words.errors import Fault

#: A segment's number has no more.
MAX_SEGMENT = 2**31 - 1
MAX_NAME_CHARS = 200
#: What tells such a wish apart from a set of recipients of other jobs.
FIELDS = ("segment", "criteria")
#: What may stand beside it: of contacts that share an address one is sent to (E3).
ONCE = "once_per_address"

#: Why a job takes nobody from the contacts, in one word: there is no such segment; it, or the criteria, name what there
#: is not (any more).
UNKNOWN, UNREADABLE = "segment_unknown", "segment_unreadable"

#: Variables of one recipient, as msgpack: a campaign's are 200 bytes; this stops what belongs into the content. A
#: contact with more is left out for that reason.
MAX_VARIABLES_BYTES = 16_384
TOO_LARGE = "fields_too_large"
#: Another contact of the job with that address is sent to.
SHARED = "duplicate_address"


class Target(NamedTuple):
    """Exactly one of the two: a saved segment, by number or by name, or criteria as JSON has them; and whether each
    address is sent to once."""

    segment: int | str | None = None
    criteria: Any = None
    once_per_address: bool = False


def is_target(given: object) -> TypeGuard[dict[str, Any]]:
    """Whether it asks for contacts, and not for a set of recipients."""
    return isinstance(given, dict) and any(given.get(name) is not None for name in FIELDS)


def read(given: Mapping[str, Any], at: str = "$") -> tuple[Target | None, list[Fault]]:
    """As JSON gave it, and all that is wrong with its form; None if anything is."""
    there = {name: value for name, value in given.items() if value is not None}
    faults = [
        Fault(f"{at}.{name}"[:60], "not with `segment` or `criteria`") for name in there if name not in (*FIELDS, ONCE)
    ]
    if len(there.keys() & set(FIELDS)) == 2:
        faults.append(Fault(f"{at}.criteria", "`segment` or `criteria`, not both"))
    segment, criteria = there.get("segment"), there.get("criteria")
    if (what := _wrong_segment(segment)) is not None:
        faults.append(Fault(f"{at}.segment", what))
    if criteria is not None and not isinstance(criteria, dict):
        faults.append(Fault(f"{at}.criteria", "not an object with a `kind`"))
    once = there.get(ONCE, False)
    if not isinstance(once, bool):
        faults.append(Fault(f"{at}.{ONCE}", "neither true nor false"))
    return (None, faults) if faults else (Target(segment, criteria, once), [])


def _wrong_segment(segment: object) -> str | None:
    if segment is None:
        return None
    if isinstance(segment, str):
        return None if len(segment.strip()) > 0 and len(segment) <= MAX_NAME_CHARS else "not the name of a segment"
    if isinstance(segment, int) and not isinstance(segment, bool) and 0 < segment <= MAX_SEGMENT:
        return None
    return "neither the number of a segment nor its name"


def packed(target: Target) -> dict[str, Any]:
    """As JSON has it."""
    return {name: value for name, value in target._asdict().items() if value not in (None, False)}
