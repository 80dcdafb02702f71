"""Bulk mails begin a few in each turn of the loop: who goes on before who begins, and nobody waits for ever."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.relay.turns import IN_A_ROW, Turns

EACH = 3


async def begun_in(turns: Turns, worker: int, mails: int, order: list[int]) -> None:
    """Begins so many mails one after the other."""
    for had in range(mails):
        if (its_turn := turns.begin(had)) is not None:
            await its_turn
        order.append(worker)


async def test_who_is_alone_never_waits() -> None:
    turns = Turns(EACH)

    for had in range(20):
        assert turns.begin(had) is None
        await asyncio.sleep(0)


async def test_no_more_begin_in_one_turn_of_the_loop_than_a_few() -> None:
    turns, order, in_turn = Turns(EACH), list[int](), list[int]()
    workers = [asyncio.create_task(begun_in(turns, number, 2, order)) for number in range(30)]
    while not all(worker.done() for worker in workers):
        before = len(order)
        await asyncio.sleep(0)
        in_turn.append(len(order) - before)

    assert len(order) == 60
    assert max(in_turn) == EACH
    assert sum(in_turn) == 60


async def test_who_goes_on_comes_before_who_begins_up_to_a_bound() -> None:
    turns, order = Turns(1), list[int]()

    await asyncio.gather(*(begun_in(turns, number, 2 * IN_A_ROW, order) for number in range(3)))

    assert order[:IN_A_ROW] == [0] * IN_A_ROW
    assert [order[at] for at in range(0, len(order), IN_A_ROW)] == [0, 1, 2, 0, 1, 2]


async def test_who_stops_waiting_holds_up_nobody() -> None:
    turns, order = Turns(1), list[int]()
    workers = [asyncio.create_task(begun_in(turns, number, 1, order)) for number in range(4)]
    await asyncio.sleep(0)

    workers[1].cancel()
    await asyncio.gather(*workers, return_exceptions=True)

    assert order == [0, 2, 3]


async def test_a_loop_in_which_nobody_begins_is_left_alone() -> None:
    turns = Turns(EACH)
    turns.begin()
    for _ in range(3):
        await asyncio.sleep(0)

    assert not turns._is_counting


@given(st.lists(st.integers(1, 25), min_size=1, max_size=12), st.integers(1, 4))
def test_each_worker_begins_with_each_of_its_mails_once(mails: list[int], each: int) -> None:
    order: list[int] = []

    async def all_of_them() -> None:
        turns = Turns(each)
        await asyncio.gather(*(begun_in(turns, number, count, order) for number, count in enumerate(mails)))

    asyncio.run(all_of_them())

    assert Counter(order) == Counter(dict(enumerate(mails)))
