"""Questions that come while another is under way are asked together, in order, and each gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.process.together import Together


class Echo:
    """Answers each question with twice it, once it is let go on; fails in the calls whose numbers are told."""

    def __init__(self, failing: Sequence[int] = ()) -> None:
        self.failing = failing
        self.calls: list[list[int]] = []
        self.under_way = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, questions: list[int]) -> list[int]:
        self.calls.append(questions)
        number = len(self.calls)
        self.under_way += 1
        assert self.under_way == 1
        try:
            await self.open.wait()
            await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        if number in self.failing:
            raise RuntimeError(f"call {number}")
        return [2 * question for question in questions]


async def test_what_comes_while_a_call_is_under_way_goes_together_with_the_next() -> None:
    echo = Echo()
    together = Together(echo, most=10)
    echo.open.clear()

    first = together.ask(1)
    await asyncio.sleep(0)
    later = [together.ask(number) for number in (2, 3, 4)]
    echo.open.set()

    assert await asyncio.gather(first, *later) == [2, 4, 6, 8]
    assert echo.calls == [[1], [2, 3, 4]]


async def test_what_is_asked_in_one_turn_of_the_loop_is_one_call() -> None:
    echo = Echo()
    together = Together(echo, most=10)

    assert await asyncio.gather(*map(together.ask, (1, 2, 3))) == [2, 4, 6]
    assert echo.calls == [[1, 2, 3]]


async def test_what_is_too_heavy_by_itself_is_asked_alone() -> None:
    echo = Echo()
    together = Together(echo, most=10, weight=int, heaviest=5)

    await asyncio.gather(*map(together.ask, (9, 2, 3, 1, 9)))

    assert echo.calls == [[9], [2, 3], [1], [9]]


async def test_a_call_that_fails_is_told_to_those_in_it_alone() -> None:
    echo = Echo(failing=[2])
    together = Together(echo, most=2)

    answers = await asyncio.gather(*map(together.ask, (1, 2, 3, 4, 5)), return_exceptions=True)

    assert [str(one) for one in answers] == ["2", "4", "call 2", "call 2", "10"]


async def test_who_stops_waiting_holds_up_nobody_and_takes_nothing_back() -> None:
    echo = Echo()
    together = Together(echo, most=10)
    gone, stays = together.ask(1), together.ask(2)

    gone.cancel()

    assert await stays == 4
    assert echo.calls == [[1, 2]]


async def test_a_call_with_the_wrong_number_of_answers_is_told_to_all_who_were_in_it() -> None:
    async def short(_questions: list[int]) -> list[int]:
        return []

    together = Together(short, most=10)

    answers = await asyncio.gather(together.ask(1), together.ask(2), return_exceptions=True)

    assert [type(one) for one in answers] == [ValueError, ValueError]


async def test_when_its_task_is_cancelled_nobody_is_left_waiting() -> None:
    echo = Echo()
    together = Together(echo, most=1, name="sought")
    echo.open.clear()
    asked = [together.ask(number) for number in (1, 2, 3)]
    await asyncio.sleep(0)

    (task,) = (one for one in asyncio.all_tasks() if one.get_name() == "sought")
    task.cancel()
    await asyncio.wait(asked)
    echo.open.set()

    assert all(one.cancelled() for one in asked)
    assert await together.ask(4) == 8


#: Each step of a life: a question comes, its asker leaves at once, or the loop goes round.
steps = st.lists(st.sampled_from(["ask", "ask and leave", "turn"]), max_size=40)


@settings(deadline=None)  # a machine may be busy
@given(steps=steps, most=st.integers(1, 5), heaviest=st.integers(0, 9), failing=st.sets(st.integers(1, 10)))
def test_each_gets_its_own_answer_in_the_order_of_asking_and_never_two_calls_at_once(
    steps: list[str], most: int, heaviest: int, failing: set[int]
) -> None:
    def weight(question: int) -> int:
        return question % 4

    async def live() -> None:
        echo = Echo(sorted(failing))
        together = Together(echo, most=most, weight=weight if heaviest else None, heaviest=heaviest)
        asked: dict[int, asyncio.Future[int]] = {}
        for number, step in enumerate(steps):
            if step == "turn":
                await asyncio.sleep(0)
                continue
            asked[number] = together.ask(number)
            if step == "ask and leave":
                asked[number].cancel()
        for _ in range(10 * len(asked)):  # the last may be of one who left, for whom nobody waits
            await asyncio.sleep(0)

        assert [question for call in echo.calls for question in call] == list(asked)
        for number, call in enumerate(echo.calls, 1):
            assert len(call) <= most
            assert not heaviest or len(call) == 1 or sum(map(weight, call)) <= heaviest
            for question in call:
                if asked[question].cancelled():
                    continue
                if number in failing:
                    assert str(asked[question].exception()) == f"call {number}"
                else:
                    assert asked[question].result() == 2 * question

    asyncio.run(live())


async def test_a_failure_does_not_end_the_asking() -> None:
    echo = Echo(failing=[1])
    together = Together(echo, most=1)

    with pytest.raises(RuntimeError):
        await together.ask(1)

    assert await together.ask(2) == 4
