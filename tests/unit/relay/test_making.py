"""Mails are made before their turn, once, and not kept for longer than they are good."""

import asyncio

import pytest

from services.relay.making.making import GOOD_S, KEPT_BYTES, Making, Outdated
from services.relay.message.line import Line
from services.relay.message.mail import Made, Mail, Unmade
from services.relay.words.outlet import Outlet
from shared.redis.ready import Lease
from shared.redis.redis import RedisAway
from shared.words import events

JOB = "06dndml801in6t31cpig"


def mail(number: int) -> Mail:
    ready = events.Ready(tenant="acme", job=JOB, ordinal=number, email=f"u{number}@a.test")
    return Mail(Lease(0, number, "a.test", b"", 1, "acme"), ready)


class Mails:
    """Makes a mail once `gate` is open; `made` are the ordinals in the order in which they were begun."""

    def __init__(self, size_bytes: int | None = 100, message: bytes = b"x") -> None:
        self.made: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.withdrawn: set[str] = set()
        self._size_bytes = size_bytes
        self._message = message

    async def make(self, ready: events.Ready, *, signed: bool = True) -> Made | Unmade:
        self.made.append(ready.ordinal)
        await self.gate.wait()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return Made(f"b-{ready.ordinal}@b", self._message, "bulk", tracked=ready.email not in self.withdrawn)

    def is_withdrawn(self, ready: events.Ready) -> bool:
        return ready.email in self.withdrawn

    def size_bytes(self, ready: events.Ready) -> int | None:
        return self._size_bytes


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def line(count: int, workers: int) -> Line[int]:
    made: Line[int] = Line("a.test", Outlet("default"))
    made.workers.update(range(workers))
    for number in range(count):
        made.put(mail(number))
    return made


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_as_many_are_made_ahead_as_there_are_workers() -> None:
    mails, some = Mails(), line(20, workers=4)
    making = Making(mails, Clock())

    making.ahead(some, 0.0)
    await settled()

    assert mails.made == [0, 1, 2, 3]
    first = some.take(0.0)
    assert first is not None
    made = await making.made(first)
    assert isinstance(made, Made)
    assert made.mail_from == "b-0@b"
    assert mails.made == [0, 1, 2, 3]


async def test_half_of_them_are_made_at_a_time() -> None:
    mails, some = Mails(), line(20, workers=4)
    making = Making(mails, Clock())
    begun = []

    for _ in range(5):
        making.ahead(some, 0.0)
        await settled()
        begun.append(len(mails.made))
        some.take(0.0)

    assert begun == [4, 4, 6, 6, 8]


async def test_a_mail_whose_turn_comes_while_it_is_made_is_not_made_twice() -> None:
    mails, some = Mails(), line(2, workers=2)
    making = Making(mails, Clock())
    mails.gate.clear()
    making.ahead(some, 0.0)
    await settled()
    first = some.take(0.0)
    assert first is not None

    waiting = asyncio.create_task(making.made(first))
    await settled()
    mails.gate.set()

    assert isinstance(await waiting, Made)
    assert mails.made == [0, 1]


@pytest.mark.parametrize("size_bytes", [None, KEPT_BYTES + 1])
async def test_what_is_large_or_not_known_is_made_in_its_turn(size_bytes: int | None) -> None:
    mails, some = Mails(size_bytes), line(5, workers=2)
    making = Making(mails, Clock())

    making.ahead(some, 0.0)
    await settled()

    assert mails.made == []


async def test_what_was_made_too_long_ago_is_made_again() -> None:
    mails, some, clock = Mails(), line(1, workers=1), Clock()
    making = Making(mails, clock)
    making.ahead(some, 0.0)
    await settled()
    first = some.take(0.0)
    assert first is not None

    clock.now_s += GOOD_S + 0.1
    await making.made(first)

    assert mails.made == [0, 0]


async def test_what_was_made_for_somebody_who_withdrew_since_is_made_again_once() -> None:
    mails, first, other = Mails(), mail(0), mail(1)
    making = Making(mails, Clock())
    for one in (first, other):
        await making.made(one)
        making.check(one)

    mails.withdrawn.add(first.ready.email)
    making.check(other)
    with pytest.raises(Outdated):
        making.check(first)
    made = await making.made(first)
    making.check(first)

    assert isinstance(made, Made)
    assert not made.tracked
    await making.made(first)
    await making.made(other)
    assert mails.made == [0, 1, 0]


async def test_a_mail_that_could_not_go_is_kept_and_one_that_was_tried_is_not() -> None:
    mails, first = Mails(), mail(0)
    making = Making(mails, Clock())
    await making.made(first)

    making.settle(first, keep=True)
    await making.made(first)
    assert mails.made == [0]

    making.settle(first, keep=False)
    await making.made(first)
    assert mails.made == [0, 0]


async def test_a_mail_that_could_not_go_is_not_made_again_before_its_turn() -> None:
    mails, some = Mails(), line(1, workers=1)
    making = Making(mails, Clock())
    first = some.take(0.0)
    assert first is not None
    await making.made(first)
    making.settle(first, keep=True)
    some.put_first(first)

    making.ahead(some, 0.0)
    await settled()

    assert mails.made == [0]


async def test_a_large_mail_is_not_kept() -> None:
    mails, first = Mails(message=b"x" * (KEPT_BYTES + 1)), mail(0)
    making = Making(mails, Clock())
    await making.made(first)

    making.settle(first, keep=True)

    assert first.made is None


async def test_a_fault_of_what_was_begun_before_its_turn_is_met_in_its_turn_and_once() -> None:
    mails, some = Mails(), line(1, workers=1)
    making = Making(mails, Clock())
    mails.fault = RedisAway("gone")
    making.ahead(some, 0.0)
    await settled()
    first = some.take(0.0)
    assert first is not None

    with pytest.raises(RedisAway):
        await making.made(first)

    assert isinstance(await making.made(first), Made)


async def test_a_fault_of_what_nobody_takes_is_nobodys() -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    mails = Mails()
    some = line(1, workers=1)
    mails.fault = ZeroDivisionError("a bug of ours")
    Making(mails, Clock()).ahead(some, 0.0)
    await settled()

    some.give_back(None, 0)
    await settled()

    assert faults == []
