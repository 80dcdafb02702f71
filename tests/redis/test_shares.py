"""Shares of source addresses: they hold over a thousand messages, however many a connection may carry."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from services.relay.traffic.egress import Source
from services.relay.traffic.gate import Gate, Passage
from services.relay.words.outlet import Outlet
from tests.redis.test_gate import SITE, clock, make, ready

__all__ = ["clock", "make"]  # fixtures

SOURCE = '[source.a{n}]\naddress = "127.0.0.{n}"\nhelo = "a{n}.example.net"\nweight = {weight}\n'


def egress(*weights: int, warmup: str = "") -> str:
    sources = [SOURCE.format(n=n, weight=weight) for n, weight in enumerate(weights, 2)]
    sources[-1] += warmup
    names = ", ".join(f'"a{n}"' for n in range(2, 2 + len(weights)))
    return "".join(sources) + f"[pool.default]\nsources = [{names}]\n"


async def send(gate: Gate, messages: int, connections: int, mails: int = 0) -> tuple[Counter[str], int]:
    """Through connections that are kept as long as they are good, all open from the beginning; by source, and how many
    were opened."""
    sent: Counter[str] = Counter()
    opened = 0
    passages = [gate.passage(SITE, Outlet("default")) for _ in range(connections)]
    sources: dict[Passage, tuple[str, int]] = {}
    for number in range(messages + connections):
        passage = passages[number % connections]
        name, carried = sources.get(passage, ("", 0))
        if not name or not passage.is_good(carried, idle=False):
            await passage.leave()
            name, carried = await entered(passage), 0
            opened += 1
        if number < connections:  # all are open before the first mail goes
            sources[passage] = name, 0
            continue
        while await gate.permit(SITE, name, ready(), "") is not None:
            await passage.leave()
            name, carried = await entered(passage), 0
        sent[name] += 1
        sources[passage] = name, carried + 1
    for passage in passages:
        await passage.leave()
    return sent, opened


async def entered(passage: Passage) -> str:
    source = passage.source("127.0.0.1")
    assert isinstance(source, Source)
    assert await passage.enter(source) is None
    return source.name


@pytest.mark.parametrize("connections", [1, 2, 7, 20])
@pytest.mark.parametrize("mails", [0, 20, 100_000])
@pytest.mark.parametrize("weights", [(1, 1), (1, 2), (3, 1, 1), (1, 1, 1, 1, 1)], ids=str)
async def test_shares_hold_within_a_tenth_over_a_thousand_messages(
    make: Callable[..., Gate], weights: tuple[int, ...], mails: int, connections: int
) -> None:
    shape = f"[default]\nmessages_per_connection = {mails}\n"
    gate = make(shape, egress(*weights))

    sent, opened = await send(gate, 1000, connections)

    for n, weight in enumerate(weights, 2):
        fair = 1000 * weight / sum(weights)
        assert sent[f"a{n}"] == pytest.approx(fair, rel=0.1), sent
    assert opened < 220 + connections


@pytest.mark.parametrize("connections", [1, 10])
async def test_a_new_address_beside_a_warm_one_sends_what_it_may_while_there_is_mail(
    make: Callable[..., Gate], connections: int
) -> None:
    today = datetime.now(UTC).date().isoformat()
    gate = make("", egress(1, 1, warmup=f"warmup = {{ started = {today}, plan = [50, 100] }}\n"))

    sent, opened = await send(gate, 1000, connections)

    assert sent == {"a2": 950, "a3": 50}
    assert opened < 60 + connections


async def test_an_address_that_joins_a_pool_that_has_sent_for_long_is_used_at_once(make: Callable[..., Gate]) -> None:
    gate = make(
        '[[rule]]\nname = "r"\nmatch = "x"\naction = "none"\nexample = "450 x"\nbut_not = "450 y"', egress(1, 1)
    )
    gate._full.note((SITE, "a3"), gate._monotonic() + 3600, gate._monotonic())
    before, _ = await send(gate, 500, 5)
    gate._full.note((SITE, "a3"), 0.0, gate._monotonic())

    after, _ = await send(gate, 1000, 5)

    assert before == {"a2": 500}
    assert after["a3"] > 450
