"""Questions that come while another is under way are asked together: one call at a time, and all who wait in the next.

Rules:

- What is asked first is in the first call; a call gets its questions in the order of asking, and answers in that order.
- Nobody waits for company: the first question is asked at once, alone or with those of the same turn of the loop.
  Batches grow with the load by themselves.
- A call that fails is told to those who were in it, and to nobody else; the next one goes on.
- Who stops waiting takes nothing back: the question is asked, its answer is dropped, and the others never notice.
- A call that is cancelled (the loop ends) cancels all who wait: nobody is left waiting for ever.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """`call` answers up to `most` questions, one answer for each, whose `weight`s are `heaviest` at most together; one
    that is heavier by itself is asked alone."""

    def __init__(
        self,
        call: Callable[[list[Question]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        weight: Callable[[Question], int] | None = None,
        heaviest: int = 0,
        name: str = "together",
    ) -> None:
        self._call = call
        self._most = most
        self._weight = weight
        self._heaviest = heaviest
        self._name = name
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._asking: asyncio.Task[None] | None = None

    def ask(self, question: Question) -> "asyncio.Future[Answer]":
        """The answer, to be awaited by whoever asks; or what the call failed with."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = loop.create_task(self._ask(), name=self._name)
        return answer

    async def _ask(self) -> None:
        """For as long as somebody waits."""
        taken: list[tuple[Question, asyncio.Future[Answer]]] = []
        try:
            while self._waiting:
                taken = self._take()
                try:
                    answers = await self._call([question for question, _ in taken])
                    if len(answers) != len(taken):
                        raise ValueError(f"{self._name}: {len(answers)} answers to {len(taken)} questions")
                except Exception as fault:
                    for _, answer in taken:
                        if not answer.done():
                            answer.set_exception(fault)
                else:
                    for (_, answer), its in zip(taken, answers, strict=True):
                        if not answer.done():  # who asked may have stopped waiting
                            answer.set_result(its)
        except BaseException:
            for _, answer in (*taken, *self._waiting):
                answer.cancel()
            self._waiting.clear()
            raise
        finally:
            self._asking = None

    def _take(self) -> list[tuple[Question, "asyncio.Future[Answer]"]]:
        """Those who wait, up to the bounds; at least one."""
        waiting = self._waiting
        if self._weight is None:
            return [waiting.popleft() for _ in range(min(len(waiting), self._most))]
        taken = [waiting.popleft()]
        room = self._heaviest - self._weight(taken[0][0])
        while waiting and len(taken) < self._most and (room := room - self._weight(waiting[0][0])) >= 0:
            taken.append(waiting.popleft())
        return taken
