"""What the script that counts keeps of statistics (`store_statistics_common.lua`), read: bytes become numbers. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from services.reports.cells import OTHER_GROUP, OTHER_NAME

#: What stands for all that have no number of their own.
OTHER = "other"
_HOURS_OF_A_DAY = 24

#: Number → name, by the kind's letter; the numbers of why and of with what are apart, and never meet in one code.
Names = Mapping[str, Mapping[int, str]]


class Group(NamedTuple):
    """The words of a job by which a tenant's statistics are kept."""

    stream: str
    domain: str
    list: str
    category: str
    tags: tuple[str, ...]


#: The jobs whose words were one combination too many for a day.
OTHERS = Group(OTHER, OTHER, OTHER, OTHER, (OTHER,))


class OfJob(NamedTuple):
    """Numbers of a job. `hours` by hour since 1970 and code, `places` by code, provider and source, `details` by code
    and what says why or with what (`services.reports.cells`)."""

    hours: Counter[tuple[int, int]]
    places: Counter[tuple[int, str, str]]
    details: Counter[tuple[int, str]]


class OfDay(NamedTuple):
    """Numbers of a tenant's day, of one partition. `hours` by group, hour since 1970 and code; `places` and `details`
    by group as those of a job; `providers` and `sources` by hour, code and name, of all groups."""

    hours: Counter[tuple[Group, int, int]]
    places: Counter[tuple[Group, int, str, str]]
    details: Counter[tuple[Group, int, str]]
    providers: Counter[tuple[int, int, str]]
    sources: Counter[tuple[int, int, str]]


def names_of(stored: Mapping[bytes, bytes]) -> dict[str, dict[int, str]]:
    """From the hash `statistics_names`."""
    names: dict[str, dict[int, str]] = {}
    for name, number in stored.items():
        text = name.decode("utf-8", "replace")
        if text[0] != "#":
            names.setdefault(text[0], {})[int(number)] = text[1:]
    return names


def of_job(stored: Mapping[bytes, bytes], names: Names) -> OfJob:
    """From the hash `job_statistics`."""
    found = OfJob(Counter(), Counter(), Counter())
    for field, value in stored.items():
        number = int(value)
        match field[0]:
            case 0x68:  # h
                found.hours[int.from_bytes(field[1:4], "big"), field[4]] += number
            case 0x70:  # p
                found.places[field[1], _name(names, "p", field[2]), _name(names, "s", field[3])] += number
            case 0x64:  # d
                found.details[field[1], _detail(names, field[1], field[2])] += number
    return found


def of_day(stored: Mapping[bytes, bytes], names: Names, day: int) -> OfDay:
    """From a hash `statistics`, of that day since 1970."""
    groups = {int(number): _group(field[1:]) for field, number in stored.items() if field[0] == 0x67}
    groups[OTHER_GROUP] = OTHERS
    first_hour = day * _HOURS_OF_A_DAY
    found = OfDay(Counter(), Counter(), Counter(), Counter(), Counter())
    for field, value in stored.items():
        kind = field[0]
        if kind in (0x23, 0x67):  # how many groups, and which
            continue
        number = int(value)
        if kind == 0x50:  # P
            found.providers[first_hour + field[1], field[2], _name(names, "p", field[3])] += number
        elif kind == 0x53:  # S
            found.sources[first_hour + field[1], field[2], _name(names, "s", field[3])] += number
        else:
            group = groups.get(int.from_bytes(field[1:3], "big"), OTHERS)
            if kind == 0x68:  # h
                found.hours[group, first_hour + field[3], field[4]] += number
            elif kind == 0x70:  # p
                place = _name(names, "p", field[4]), _name(names, "s", field[5])
                found.places[group, field[3], *place] += number
            elif kind == 0x64:  # d
                found.details[group, field[3], _detail(names, field[3], field[4])] += number
    return found


def _group(words: bytes) -> Group:
    stream, domain, listed, category, tags = words.decode("utf-8", "replace").split("\0", 4)
    return Group(stream, domain, listed, category, tuple(tags.split("\n")) if tags else ())


def _name(names: Names, kind: str, number: int) -> str:
    """ "" of what is not known of a fact."""
    return names.get(kind, {}).get(number, OTHER if number == OTHER_NAME else "")


def _detail(names: Names, code: int, number: int) -> str:
    return _name(names, "a" if is_seen(code) else "r", number)


def is_seen(code: int) -> bool:
    """Whether facts of the code, or of what is beside it, have a user agent and no reason."""
    return code % 64 in _SEEN


_SEEN = frozenset((13, 14, 18, 19, 26, 27))
