"""What was found out is remembered: a bounded number of answers, each for its time, and each question asked once.

`Remembered` keeps answers, the ones that were used last. `AskedOnce` finds them out, too: whoever asks what is being
looked up already waits for that look-up, and who stops waiting does not take the answer away from the others. What a
look-up fails with is told to those who wait for it, and not remembered; an answer that says "not known" is one like any
other, remembered for as long as the look-up says.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


def no_time_passes() -> float:
    return 0.0


class Remembered(Generic[Question, Answer]):
    """At most `most` answers. `clock` counts seconds and never goes back; without one, answers hold for ever."""

    def __init__(self, most: int, clock: Callable[[], float] = no_time_passes) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[Question, tuple[float, Answer]] = OrderedDict()

    def known(self, question: Question) -> Answer | None:
        """What is known and still holds."""
        if kept := self._kept.get(question):
            expires_at, answer = kept
            if self._clock() < expires_at:
                self._kept.move_to_end(question)
                return answer
        return None

    def keep(self, question: Question, answer: Answer, life_s: float = float("inf")) -> None:
        self._kept[question] = (self._clock() + life_s, answer)
        self._kept.move_to_end(question)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, question: Question) -> None:
        self._kept.pop(question, None)

    def clear(self) -> None:
        self._kept.clear()


class AskedOnce(Remembered[Question, Answer]):
    """`look_up` gives an answer, and for how many seconds it holds. `close` once nobody asks any more."""

    def __init__(
        self, look_up: Callable[[Question], Awaitable[tuple[Answer, float]]], most: int, clock: Callable[[], float]
    ) -> None:
        super().__init__(most, clock)
        self._look_up = look_up
        self._asking: dict[Question, asyncio.Task[Answer]] = {}

    async def ask(self, question: Question) -> Answer:
        """What is known, or else what the look-up answers or raises."""
        if (answer := self.known(question)) is not None:
            return answer
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = asyncio.create_task(self._looked_up(question))
        return await asyncio.shield(task)

    async def close(self) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _looked_up(self, question: Question) -> Answer:
        try:
            answer, life_s = await self._look_up(question)
        finally:
            del self._asking[question]
        self.keep(question, answer, life_s)
        return answer
