"""What was found out is remembered, bounded in number and time, and looked up once by all who ask at the same time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.net.remembered import AskedOnce, Remembered


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Source:
    """Answers a question with its length, once it is let go on; fails while `fault` is set."""

    def __init__(self, life_s: float = 10.0) -> None:
        self.life_s = life_s
        self.asked: list[str] = []
        self.fault: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, question: str) -> tuple[int, float]:
        self.asked.append(question)
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        return len(question), self.life_s


async def test_an_answer_is_looked_up_once_and_again_when_its_time_is_over() -> None:
    clock, source = Clock(), Source()
    asked = AskedOnce(source, 10, clock)

    assert [await asked.ask("a"), await asked.ask("a"), asked.known("a")] == [1, 1, 1]
    assert source.asked == ["a"]

    clock.now_s = 10.0

    assert asked.known("a") is None
    assert await asked.ask("a") == 1
    assert source.asked == ["a", "a"]


async def test_all_who_ask_at_the_same_time_wait_for_one_look_up() -> None:
    source = Source()
    asked = AskedOnce(source, 10, Clock())

    assert await asyncio.gather(*(asked.ask(name) for name in ("a", "bb", "a", "a"))) == [1, 2, 1, 1]
    assert source.asked == ["a", "bb"]


async def test_who_stops_waiting_does_not_take_the_answer_away_from_the_others() -> None:
    source = Source()
    source.open.clear()
    asked = AskedOnce(source, 10, Clock())
    gone, stays = (asyncio.create_task(asked.ask("a")) for _ in range(2))
    await asyncio.sleep(0)

    gone.cancel()
    source.open.set()

    assert await stays == 1
    assert source.asked == ["a"]


async def test_a_failure_is_told_to_all_who_wait_and_not_remembered() -> None:
    source = Source()
    source.fault = RuntimeError("away")
    asked = AskedOnce(source, 10, Clock())

    told = await asyncio.gather(asked.ask("a"), asked.ask("a"), return_exceptions=True)
    source.fault = None

    assert [str(one) for one in told] == ["away", "away"]
    assert await asked.ask("a") == 1
    assert source.asked == ["a", "a"]


async def test_when_it_is_closed_nobody_waits_on() -> None:
    source = Source()
    source.open.clear()
    asked = AskedOnce(source, 10, Clock())
    waiting = asyncio.create_task(asked.ask("a"))
    await asyncio.sleep(0)

    await asked.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_without_a_clock_answers_hold_until_they_are_forgotten() -> None:
    remembered = Remembered[str, int](2)
    remembered.keep("a", 1)
    remembered.keep("b", 2)

    remembered.forget("a")
    remembered.forget("never known")

    assert (remembered.known("a"), remembered.known("b")) == (None, 2)
    remembered.clear()
    assert remembered.known("b") is None


#: Steps of a life: a question is kept for so long, looked at, or time passes.
steps = st.lists(st.tuples(st.sampled_from(["keep", "look", "wait"]), st.integers(0, 5)), max_size=60)


@settings(deadline=None)  # a machine may be busy
@given(steps=steps, most=st.integers(1, 4))
def test_it_knows_the_ones_used_last_whose_time_is_not_over(steps: list[tuple[str, int]], most: int) -> None:
    clock = Clock()
    remembered = Remembered[int, int](most, clock)
    model: dict[int, float] = {}  # the one used last at its end
    for step, number in steps:
        if step == "wait":
            clock.now_s += number
        elif step == "keep":
            model.pop(number, None)
            model[number] = clock.now_s + number
            remembered.keep(number, number * 2, number)
            for oldest in list(model)[:-most]:
                del model[oldest]
        else:
            holds = number in model and clock.now_s < model[number]
            if holds:
                model[number] = model.pop(number)

            assert remembered.known(number) == (number * 2 if holds else None)
