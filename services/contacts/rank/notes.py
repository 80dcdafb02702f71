"""Who gets which note, and what people call the notes. Pure.

Contacts with enough events are ordered, the most active first: by the number of events, then by the more recent last
event, then by the contact's id. They are cut into ten groups whose sizes differ by one at most, the larger ones first;
the first group has the note 10. So fewer than ten contacts are spread from 10 downwards. That is what `ntile(10)` of
SQL does, and 11 less that is the note: `run.py` says it to PostgreSQL, and a test holds that both agree.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

LOWEST, HIGHEST = 1, 10
GROUPS = HIGHEST - LOWEST + 1
#: Of who did not do enough.
INACTIVE = 0

Band = Literal["not_addressable", "none", "low", "medium", "high"]
#: Of every note, and what stands before all of them.
BANDS: tuple[Band, ...] = ("not_addressable", "none", "low", "medium", "high")
_BAND_OF: tuple[Band, ...] = (
    "none",
    *("low", "low", "low"),
    *("medium", "medium", "medium", "medium"),
    *("high", "high", "high"),
)


class Active(NamedTuple):
    """What counts of a contact in the period: its events, and the last of them in ms since the epoch."""

    contact: int
    events: int
    last_ms: int


def notes(counted: Iterable[Active], least: int) -> dict[int, int]:
    """By contact the note of each that has at least `least` events; all others have `INACTIVE`."""
    enough = [one for one in counted if one.events >= least]
    enough.sort(key=lambda one: (-one.events, -one.last_ms, one.contact))
    return {one.contact: note_at(place, len(enough)) for place, one in enumerate(enough)}


def note_at(place: int, count: int) -> int:
    """The note of who is at this place, 0 for the most active one, among so many."""
    size, larger = divmod(count, GROUPS)
    in_larger = larger * (size + 1)
    if place < in_larger:
        return HIGHEST - place // (size + 1)
    return HIGHEST - larger - (place - in_larger) // size


def sizes(count: int) -> dict[int, int]:
    """How many of so many active contacts have each note, the highest first."""
    size, larger = divmod(count, GROUPS)
    return {HIGHEST - group: size + (group < larger) for group in range(GROUPS)}


def band(note: int, *, is_addressable: bool) -> Band:
    """Who is hard or unsubscribed is that before anything else."""
    return _BAND_OF[note] if is_addressable else "not_addressable"
