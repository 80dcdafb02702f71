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
