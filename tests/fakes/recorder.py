"""A recorder that keeps facts in a list."""

from collections.abc import Callable

from services.tracking.tracking import NotRecorded
from shared.words.events import Fact


class Memory:
    """`refusing` refuses."""

    def __init__(self, refusing: bool = False) -> None:
        self.facts: list[Fact] = []
        self.refusing = refusing

    async def record(self, fact: Fact, mark: bytes = b"") -> None:
        if self.refusing:
            raise NotRecorded("full")
        self.facts.append(fact)

    def hand_in(self, fact: Fact, mark: bytes, told: Callable[[bool], None]) -> None:
        if self.refusing:
            raise NotRecorded("full")
        self.facts.append(fact)
        told(True)

    async def start(self) -> None: ...

    async def close(self) -> None: ...
