"""Who withdrew their consent to be tracked, said by a test."""

from collections.abc import Iterable

from shared.redis.untracked import Told


class Said:
    """Knows those marks of the tenant `demo`; `is_known` says whether it knows all."""

    def __init__(self, *marks: bytes, is_known: bool = True) -> None:
        self.marks = set(marks)
        self.is_known = is_known

    async def load(self) -> None: ...

    def hear(self, told: Iterable[Told]) -> None:
        for one in told:
            (self.marks.add if one.is_withdrawn else self.marks.discard)(one.mark)

    def has_any(self, tenant: str) -> bool:
        return bool(self.marks) and tenant == "demo"

    def is_withdrawn(self, tenant: str, marks: Iterable[bytes]) -> bool:
        return self.has_any(tenant) and not self.marks.isdisjoint(marks)
