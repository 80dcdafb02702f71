"""Charts as geometry: numbers in, places out, which a template draws as SVG. Pure.

A chart is as wide as the page has room for it: across, places are parts of a hundred of its width; down, they are
pixels, so that words have one size on a telephone and on a desk. A table beside each chart has the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

#: How wide a chart is.
WIDTH = 100
_ROW, _BAR, _BASELINE = 44, 16, 15
#: A bar of a number that is not 0 is seen.
_LEAST = 0.6


@dataclass(frozen=True)
class Bar:
    """`share` of the first one, None where that is 0."""

    label: str
    amount: int
    share: float | None
    label_y: int
    y: int
    width: float


@dataclass(frozen=True)
class Funnel:
    """Bars below each other, the longest as long as the chart is wide."""

    height: int
    bar_height: int
    bars: Sequence[Bar]

    @property
    def said(self) -> str:
        """All of it in a sentence, for who does not see it."""
        return "; ".join(f"{bar.label}: {bar.amount}" for bar in self.bars) + "."


def funnel(stages: Sequence[tuple[str, int]]) -> Funnel:
    first = stages[0][1] if stages else 0
    most = max([count for _, count in stages], default=0)
    bars = [
        Bar(
            label,
            count,
            count / first if first else None,
            index * _ROW + _BASELINE,
            index * _ROW + _BASELINE + 7,
            _length(count, most, WIDTH),
        )
        for index, (label, count) in enumerate(stages)
    ]
    return Funnel(len(stages) * _ROW, _BAR, bars)


def _length(count: int, most: int, of: float) -> float:
    return round(max(_LEAST, of * count / most), 1) if count and most else 0.0


@dataclass(frozen=True)
class Line:
    """One row of numbers: `points` as the attribute of a polyline, and how it is drawn."""

    name: str
    style: str
    points: str
    total: int


@dataclass(frozen=True)
class Mark:
    """A text at an axis, where it stands (across, in parts of a hundred; down, in pixels), and which end of it."""

    text: str
    at: float
    anchor: str


@dataclass(frozen=True)
class Curve:
    """Lines over the same moments, from 0 to a round number. The points of a line are on a canvas of a hundred by
    `depth`, which is drawn `top` below the upper edge."""

    height: int
    top: int
    depth: int
    lines: Sequence[Line]
    levels: Sequence[Mark]
    moments: Sequence[Mark]


#: Above the upper level there is room for its number, below the last one for the moments.
_HEIGHT, _TOP, _DEPTH = 216, 22, 168
#: Of the classes of the style: lines are told apart by colour, and by their dashes.
_STYLES = ("first", "second", "third")


def curve(moments: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]]) -> Curve:
    """Each row, of at most three, has a number for each moment."""
    top = ceiling(max((number for _, numbers in rows for number in numbers), default=0))

    def x(index: int) -> float:
        return round(WIDTH * index / max(len(moments) - 1, 1), 2)

    def y(number: float) -> float:
        return round(_DEPTH - _DEPTH * number / top, 1)

    def points(numbers: Sequence[int]) -> str:
        # One moment alone is drawn as a level, for a line needs two points.
        return " ".join(
            f"{x(at)},{y(number)}" for at, number in enumerate([*numbers, *numbers][: max(2, len(numbers))])
        )

    lines = [
        Line(name, style, points(numbers), sum(numbers)) for (name, numbers), style in zip(rows, _STYLES, strict=False)
    ]
    levels = [Mark(short(top * part // 2), _TOP + y(top * part / 2), "start") for part in range(3)]
    last = len(moments) - 1
    # The first stands at the start, also where it is the last.
    told = {**({last // 2: "middle"} if last > 1 else {}), last: "end", 0: "start"}
    marks = [Mark(moments[at], x(at), anchor) for at, anchor in told.items()] if moments else []
    return Curve(_HEIGHT, _TOP, _DEPTH, lines, levels, marks)


def ceiling(most: int) -> int:
    """The next round number, by which an axis ends: 2, 4, 6 or 10 times some power of ten, and never 0."""
    power = 1
    while most > 10 * power:
        power *= 10
    return next(step * power for step in (2, 4, 6, 10) if most <= step * power)


def short(count: int) -> str:
    """A round number, as an axis has room for it."""
    for size, unit in ((10**9, "bn"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:g}{unit}"
    return str(count)
