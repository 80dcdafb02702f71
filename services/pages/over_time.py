"""What happened hour by hour, day by day or week by week, without gaps: a curve, and a table beside it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.pages import charts
from services.pages.api import Json

HOUR_S, DAY_S = 3600, 86_400
#: What a curve is made of, by how much of it is told apart well; of what is longer there is a point for each week.
_STEPS = (("hour", HOUR_S, 96), ("day", DAY_S, 120), ("week", 7 * DAY_S, 10**9))
#: What is shown of the counts, under which name.
COLUMNS = (("Delivered", ("delivered",)), ("Opened", ("opens", "unique")), ("Clicked", ("clicks", "unique")))


@dataclass(frozen=True)
class OverTime:
    """`step` is an hour, a day or a week. `rows`: when each begins, and its numbers in the order of `names`."""

    step: str
    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[int]]]
    curve: charts.Curve

    @property
    def said(self) -> str:
        """What the curve shows, for who does not see it."""
        if not self.rows:
            return "Nothing happened."
        return "; ".join(f"{line.name}: {line.total}, {self._most(line.name)}" for line in self.curve.lines) + "."

    def _most(self, name: str) -> str:
        column = self.names.index(name)
        when, numbers = max(self.rows, key=lambda row: row[1][column])
        return f"at most {numbers[column]}, {when}"


def over_time(found: Sequence[Json], lines: Sequence[str], shortest: str = "hour") -> OverTime:
    """Of the rows of an answer, which have `time` and `counts`; a line for each of these columns, and a table of all
    of them."""
    told = [(int(datetime.fromisoformat(row["time"]).timestamp()), row["counts"]) for row in found]
    names = [name for name, _ in COLUMNS]
    if not told:
        return OverTime(shortest, names, [], charts.curve([], [(name, []) for name in lines]))
    first, last = min(told, key=_time)[0], max(told, key=_time)[0]
    steps = _STEPS if shortest == "hour" else _STEPS[1:]
    step, seconds = next((name, size) for name, size, most in steps if (last - first) // size < most)
    first -= first % min(seconds, DAY_S)
    sums = [[0] * len(names) for _ in range((last - first) // seconds + 1)]
    for time, counts in told:
        row = sums[(time - first) // seconds]
        for at, (_, path) in enumerate(COLUMNS):
            row[at] += count_at(counts, path)
    moments = [_said(first + at * seconds, step) for at in range(len(sums))]
    drawn = [(name, [row[names.index(name)] for row in sums]) for name in lines]
    return OverTime(step, names, list(zip(moments, sums, strict=True)), charts.curve(moments, drawn))


def count_at(counts: Json, path: Sequence[str]) -> int:
    for name in path:
        counts = counts[name]
    return int(counts)


def _time(one: tuple[int, Json]) -> int:
    return one[0]


def _said(time_s: int, step: str) -> str:
    at = datetime.fromtimestamp(time_s, UTC)
    return f"{at.day} {at:%b %H:%M}" if step == "hour" else f"{at.day} {at:%b %Y}"
