"""What a relay has open and what holds it back is told by provider, and is gone when it is over."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import REGISTRY

from services.relay import figures
from services.relay.traffic.shaping import Shape
from shared.words.rates import parse_rate


@dataclass
class Line:
    site: str
    connected: int = 0
    waiting: int = 0

    def __len__(self) -> int:
        return self.waiting


@dataclass
class Known:
    paces: list[tuple[str, float]] = field(default_factory=list)
    rests: list[tuple[str, str, int]] = field(default_factory=list)

    def found(self) -> Iterable[tuple[str, float]]:
        return self.paces

    def held(self) -> Iterable[tuple[str, str, int]]:
        return self.rests


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"estafette_relay_{name}", labels)


def test_connections_and_lines_are_summed_by_provider() -> None:
    figures.tell([Line("gmail", 2, 5), Line("gmail", 1), Line("mx.a.example", 1), Line("mx.b.example", 3)], Known())

    assert value("provider_connections", provider="gmail") == 3
    assert value("provider_connections", provider="other") == 4
    assert value("provider_line_messages", provider="gmail") == 5


def test_limits_are_told_as_they_are_now() -> None:
    figures.tell_limits(lambda site: Shape(connections=3, rates=(parse_rate("5/s"), parse_rate("60/m"))))
    before = limits("gmail")
    figures.tell_limits(lambda site: Shape())
    after = limits("gmail")

    assert (before, after) == ([3, 1], [0, 0])


def limits(provider: str) -> list[float | None]:
    return [value(f"limit_{name}", provider=provider) for name in ("connections", "messages_per_second")]


def test_paces_and_rests_are_told_and_gone_when_they_are_over() -> None:
    known = Known(
        [("gmail", 2.5), ("gmail", 1.5)], [("orange", "rest_source", 9_000), ("orange", "rest_source", 5_000)]
    )

    figures.tell([], known)

    assert value("pace_messages_per_second", provider="gmail") == 4
    assert value("pace_sources", provider="gmail") == 2
    assert value("rests", provider="orange", why="rest_source") == 2
    assert value("rests_until_timestamp_seconds", provider="orange", why="rest_source") == 9

    figures.tell([], Known())

    assert value("pace_messages_per_second", provider="gmail") is None
    assert value("rests", provider="orange", why="rest_source") is None


async def test_limits_are_those_of_shaping_and_the_oldest_policy_is_told() -> None:
    closed = asyncio.Event()

    def shape(site: str) -> Shape:
        return Shape(connections=7, rates=(parse_rate("10/s"), parse_rate("3600/h"))) if site == "gmail" else Shape()

    running = asyncio.create_task(figures.tell_forever([], Known(), shape, lambda: 4_000, closed))
    await asyncio.sleep(0)
    closed.set()
    await running

    assert value("limit_connections", provider="gmail") == 7
    assert value("limit_messages_per_second", provider="gmail") == 1
    assert value("limit_connections", provider="other") == 0
    assert value("mta_sts_oldest_timestamp_seconds") == 4
