"""Charts as geometry: numbers in, places on a small canvas out, which a template draws as SVG. Pure.

The canvas is as wide as a telephone, so that its words can be read there; a table beside each chart has the same
numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

#: In user units of SVG: a page on a telephone is as many pixels wide.
WIDTH = 340
_ROW, _BAR, _BASELINE = 44, 16, 15
#: A bar of a number that is not 0 is seen.
_LEAST = 2.0
_PLOT_LEFT, _PLOT_TOP, _PLOT_BOTTOM = 40, 8, 160
CURVE_HEIGHT = 184


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
    """Bars below each other, each at most as long as the first."""

    width: int
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
    return Funnel(WIDTH, len(stages) * _ROW, _BAR, bars)


def _length(count: int, most: int, of: float) -> float:
    return round(max(_LEAST, of * count / most), 1) if count and most else 0.0


@dataclass(frozen=True)
class Line:
    """One row of numbers: `points` as the attribute of a polyline."""

    name: str
    points: str
    total: int


@dataclass(frozen=True)
class Mark:
    """A number at an axis, and where it stands."""

    text: str
    at: float


@dataclass(frozen=True)
class Curve:
    """Lines over the same moments, from 0 to a round number."""

    width: int
    height: int
    left: int
    bottom: int
    lines: Sequence[Line]
    levels: Sequence[Mark]
    moments: Sequence[Mark]


def curve(moments: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]]) -> Curve:
    """Each row has a number for each moment."""
    top = ceiling(max((number for _, numbers in rows for number in numbers), default=0))
    wide, high = WIDTH - _PLOT_LEFT - 8, _PLOT_BOTTOM - _PLOT_TOP
    last = max(len(moments) - 1, 1)

    def x(index: int) -> float:
        return round(_PLOT_LEFT + wide * index / last, 1)

    def y(number: float) -> float:
        return round(_PLOT_BOTTOM - high * number / top, 1)

    lines = [
        Line(name, " ".join(f"{x(index)},{y(number)}" for index, number in enumerate(numbers)), sum(numbers))
        for name, numbers in rows
    ]
    levels = [Mark(f"{round(top * part / 2):,}", y(top * part / 2)) for part in range(3)]
    told = sorted({0, len(moments) // 2, len(moments) - 1}) if moments else []
    return Curve(
        WIDTH, CURVE_HEIGHT, _PLOT_LEFT, _PLOT_BOTTOM, lines, levels, [Mark(moments[one], x(one)) for one in told]
    )


def ceiling(most: int) -> int:
    """The next round number, by which an axis ends: 2, 4, 6, 10 or 20 of some power of ten, and never 0."""
    power = 1
    while True:
        for step in (2, 4, 6, 10):
            if most <= step * power:
                return step * power
        power *= 10
