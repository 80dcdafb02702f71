"""Tenants take turns on a loop: whoever keeps it busy waits, others do not, and nothing of a coroutine is lost."""

import asyncio
from collections.abc import Awaitable, Iterable
from itertools import pairwise

import pytest

from shared.http.turns import (
    BODY_BYTE_S,
    LIGHT_AGO_S,
    LIGHT_S,
    MAX_KNOWN,
    ROUND_S,
    Turns,
)


class Clock:
    """Goes on only when work is done."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class House:
    """Who did a step, in order."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.steps: list[str] = []

    async def work(self, name: str, steps: int, step_s: float) -> str:
        for _ in range(steps):
            self.steps.append(name)
            self.clock.now += step_s
            await asyncio.sleep(0)
        return name

    def request(self, name: str, steps: int = 1, step_s: float = 0.001) -> Awaitable[str]:
        return self.turns.run(name, self.work(name, steps, step_s))

    async def make_heavy(self, name: str) -> None:
        await self.request(name, 1, LIGHT_S * 5)
        self.steps.clear()

    async def most_in_a_round(self, requests: Iterable[Awaitable[str]]) -> int:
        """Steps between two rounds of the loop, until all requests are answered."""
        answered = asyncio.ensure_future(together(*requests))
        most = 0
        while not answered.done():
            before = len(self.steps)
            await asyncio.sleep(0)
            most = max(most, len(self.steps) - before)
        return most


async def together(*requests: Awaitable[str]) -> list[str]:
    async def one(request: Awaitable[str]) -> str:
        return await request

    return await asyncio.gather(*(one(request) for request in requests))


async def test_a_request_gives_what_its_coroutine_gives() -> None:
    assert await House().request("acme", 3) == "acme"


async def test_a_heavy_request_gives_what_its_coroutine_gives() -> None:
    house = House()
    await house.make_heavy("acme")

    assert await house.request("acme", 3) == "acme"


async def test_light_tenants_are_not_held() -> None:
    house = House()

    await together(*(house.request(f"n{number}", 3) for number in range(10)))

    assert house.steps == [f"n{number}" for number in range(10)] * 3


async def test_of_many_requests_of_a_heavy_tenant_one_step_goes_between_two_of_a_light_one() -> None:
    house = House()
    await house.make_heavy("big")

    await together(*(house.request("big", 5) for _ in range(50)), house.request("small", 20))

    at = [number for number, name in enumerate(house.steps) if name == "small"]
    assert all(after - before <= 2 for before, after in pairwise(at))
    assert at[0] <= ROUND_S / 0.001
    assert house.steps.count("big") == 250


async def test_heavy_tenants_take_turns_however_many_requests_one_sends() -> None:
    house = House()
    await house.make_heavy("one")
    await house.make_heavy("two")

    await together(*(house.request("one") for _ in range(20)), *(house.request("two") for _ in range(3)))

    at_once = int(ROUND_S / 0.001)
    assert house.steps[at_once : at_once + 6].count("two") == 3


async def test_what_is_under_way_of_the_heavy_among_themselves_is_no_more_than_a_round() -> None:
    house = House()
    await house.make_heavy("big")
    house.clock.now += LIGHT_AGO_S

    most = await house.most_in_a_round(house.request("big", 1, ROUND_S / 5) for _ in range(200))

    assert house.steps.count("big") == 200
    assert 5 <= most <= 10


async def test_long_steps_of_the_heavy_go_one_at_a_time() -> None:
    house = House()
    await house.make_heavy("big")

    most = await house.most_in_a_round(house.request("big", 1, ROUND_S * 2) for _ in range(50))

    assert house.steps.count("big") == 50
    assert most <= 2


async def test_a_heavy_tenant_that_rests_is_light_again() -> None:
    house = House()
    await house.make_heavy("acme")
    house.clock.now += 5

    await together(*(house.request("acme") for _ in range(3)), house.request("other"))

    assert house.steps == ["acme", "acme", "acme", "other"]


async def test_what_many_small_requests_cost_the_server_counts() -> None:
    house = House()

    for _ in range(1_000):
        await house.request("acme", 1, 0)
    house.steps.clear()
    await together(*(house.request("acme") for _ in range(5)), house.request("other", 5))

    at = [number for number, name in enumerate(house.steps) if name == "other"]
    assert all(after - before <= 2 for before, after in pairwise(at))


async def failing() -> str:
    await asyncio.sleep(0)
    raise ValueError("no")


async def test_an_error_of_the_coroutine_is_the_requests_and_the_next_one_has_its_turn() -> None:
    house = House()
    await house.make_heavy("acme")

    with pytest.raises(ValueError, match="no"):
        await house.turns.run("acme", failing())

    assert await house.request("acme") == "acme"


async def catching(told: list[str]) -> str:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        told.append("cancelled")
        raise
    return ""


@pytest.mark.parametrize("is_heavy", [False, True])
async def test_a_coroutine_is_told_that_it_is_cancelled(is_heavy: bool) -> None:
    house = House()
    told: list[str] = []
    if is_heavy:
        await house.make_heavy("acme")

    async def request() -> str:
        return await house.turns.run("acme", catching(told))

    task = asyncio.create_task(request())
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert told == ["cancelled"]
    assert await house.request("acme") == "acme"


async def test_requests_that_are_cancelled_while_they_wait_leave_their_turns_to_others() -> None:
    house = House()
    await house.make_heavy("acme")

    async def request() -> str:
        return await house.request("acme", 50)

    tasks = [asyncio.create_task(request()) for _ in range(10)]
    for turns_of_the_loop in range(7):
        await asyncio.sleep(0)
        tasks[turns_of_the_loop].cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert [one for one in ended if isinstance(one, str)] == ["acme"] * 3
    assert await house.request("acme") == "acme"


async def test_a_time_limit_inside_of_a_held_coroutine_holds() -> None:
    house = House()
    await house.make_heavy("acme")

    async def limited() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)
        except TimeoutError:
            return "in time"
        return "late"

    assert await house.turns.run("acme", limited()) == "in time"


async def test_tenants_that_rest_are_forgotten() -> None:
    house = House()
    for number in range(MAX_KNOWN):
        await house.request(f"n{number}", 1, 0)
    house.clock.now += 60

    await house.request("another")

    assert len(vars(house.turns)["_known"]) == 1


async def test_a_step_is_followed_by_a_pause_of_three_times_its_length_only_while_others_have_work() -> None:
    house = House()
    await house.make_heavy("acme")
    house.clock.now += LIGHT_AGO_S

    alone = house.turns.pause_s(0.02)
    house.turns.light()
    beside_a_stranger = house.turns.pause_s(0.02)
    house.clock.now += 1
    alone_again = house.turns.pause_s(0.02)
    await house.request("small")
    beside_another = house.turns.pause_s(0.02)

    assert (alone, beside_a_stranger, alone_again, beside_another) == (0, 0.06, 0, 0.06)


async def test_what_is_received_of_a_body_counts_as_what_is_done_with_it() -> None:
    house = House()

    async def read(size_bytes: int) -> str:
        house.turns.received(size_bytes)
        return "read"

    await house.turns.run("uploads", read(int(LIGHT_S * 2 / BODY_BYTE_S)))
    await house.turns.run("other", read(1000))
    await together(house.request("uploads"), house.request("other"))

    assert house.steps == ["other", "uploads"]
