"""What is kept of statistics, as the fields of hashes: numbers become fields, and fields become numbers. Pure.

    of a job        `h` hour (3 bytes) code · `p` code provider source · `d` code detail → how many
    of a tenant's   `h` group (2 bytes) hour of the day code · `p` group code provider source · `d` group code detail ·
      day           `P` hour of the day code provider · `S` hour of the day code source → how many
                    `g` and the words of a group → its number · `#` → how many groups there are

What else is a byte each; names are numbers (`services.reports.cells`). By provider, source, why and with what there is
a number of a day for each group, and by provider and source of an hour for all groups together.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

#: What stands for all that have no number of their own, and its numbers: of names, which are a byte, and of groups.
OTHER, OTHER_NAME, OTHER_GROUP = "other", 255, 65_535
_HOURS_OF_A_DAY = 24
#: The letters of all numbers of a tenant's day.
EVERY = "hpdPS"

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


#: Of a job, by the cell and code as one number: how many.
Numbers = Mapping[int, int]


class Part(NamedTuple):
    """A cell and a code."""

    hour: int
    provider: int
    source: int
    detail: int
    code: int


def part(key: int) -> Part:
    """From one number: a byte each, the code the lowest, the hour what is above all others."""
    return Part(key >> 32, key >> 24 & 255, key >> 16 & 255, key >> 8 & 255, key & 255)


def job_fields(numbers: Numbers) -> dict[bytes, int]:
    """What these add to the fields of their job."""
    sums: Counter[bytes] = Counter()
    for key, number in numbers.items():
        hour, provider, source, detail, code = part(key)
        sums[b"h" + hour.to_bytes(3, "big") + bytes((code,))] += number
        if provider or source:
            sums[bytes((0x70, code, provider, source))] += number
        if detail:
            sums[bytes((0x64, code, detail))] += number
    return sums


def days_of(numbers: Numbers) -> set[int]:
    """The days since 1970 that these are about."""
    return {(key >> 32) // _HOURS_OF_A_DAY for key in numbers}


def day_fields(numbers: Numbers, day: int, group: int) -> dict[bytes, int]:
    """What these add to the fields of their tenant's day, by the number of the job's group."""
    sums: Counter[bytes] = Counter()
    high, low = divmod(group, 256)
    for key, number in numbers.items():
        hour, provider, source, detail, code = part(key)
        of, at = divmod(hour, _HOURS_OF_A_DAY)
        if of != day:
            continue
        sums[bytes((0x68, high, low, at, code))] += number
        if provider or source:
            sums[bytes((0x70, high, low, code, provider, source))] += number
            sums[bytes((0x50, at, code, provider))] += number
            sums[bytes((0x53, at, code, source))] += number
        if detail:
            sums[bytes((0x64, high, low, code, detail))] += number
    return sums


def group_words(group: Group) -> str:
    """A group as the name of a field has it."""
    return "\0".join((group.stream, group.domain, group.list, group.category, "\n".join(group.tags)))


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


def of_day(stored: Mapping[bytes, bytes], names: Names, day: int, letters: str = EVERY) -> OfDay:
    """From a hash `statistics`, of that day since 1970: the numbers whose fields begin with one of the letters."""
    wanted = frozenset(letters.encode())
    groups = {int(number): _group(field[1:]) for field, number in stored.items() if field[0] == 0x67}
    groups[OTHER_GROUP] = OTHERS
    first_hour = day * _HOURS_OF_A_DAY
    found = OfDay(Counter(), Counter(), Counter(), Counter(), Counter())
    for field, value in stored.items():
        kind = field[0]
        if kind not in wanted:
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
