"""The room in a relay's hands: bounded, and a part of it kept for what people wait for."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.held import URGENT_PART, Held, Limits, Room
from services.relay.message.mail import Mail
from shared.redis import redis
from shared.redis.ready import Lease, ReadyQueues
from shared.words import events

P = 8


class Clock:
    def now_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return 0.0


def held(in_flight: int = 2_000, batch: int = 200, *, alone: bool = False) -> Held:
    limits = Limits(in_flight, batch, connections_per_site=20, lease_ms=15_000, alone=alone)
    relay = Held("r1", P, limits, ReadyQueues(redis.connect("redis://127.0.0.1:1"), "email"), Clock())
    relay.begin()
    return relay


def mail(number: int, lane: int) -> Mail:
    ready = events.Ready(tenant="acme", job="j", ordinal=number, email="u@a.test")
    return Mail(Lease(0, number, "a", b"", lane, "acme"), ready)


def test_an_empty_relay_asks_for_a_batch_of_whatever_there_is() -> None:
    assert held().room() == Room(room=1_750, limit=200, urgent_room=250, urgent_limit=0)


def test_bulk_never_takes_what_is_kept_for_what_people_wait_for() -> None:
    relay = held()
    relay.put(mail(number, lane=1) for number in range(1_750))

    room = relay.room()

    assert (room.room, room.limit, room.urgent_room) == (0, 0, 250)
    assert room.urgent_limit == 32


def test_all_partitions_may_ask_for_what_people_wait_for_at_once() -> None:
    relay = held()
    relay.put(mail(number, lane=1) for number in range(1_750))
    asked: list[Room] = []
    with ExitStack() as asking:
        for partition in range(P):
            asked.append(relay.room())
            asking.enter_context(relay.asking(partition, asked[-1]))

    assert all(room.urgent_limit > 0 for room in asked)
    assert sum(room.asked_for for room in asked) <= 250


def test_what_people_wait_for_may_fill_the_whole_relay() -> None:
    relay = held()
    relay.put(mail(number, lane=0) for number in range(1_990))

    assert relay.room() == Room(room=10, limit=10, urgent_room=0, urgent_limit=0)


@pytest.mark.parametrize("in_flight", [1, 5])
def test_a_relay_that_holds_next_to_nothing_keeps_none_of_it(in_flight: int) -> None:
    assert in_flight < URGENT_PART
    assert held(in_flight, 1, alone=True).room() == Room(room=in_flight, limit=1, urgent_room=0, urgent_limit=0)


changes = st.lists(st.tuples(st.sampled_from(["put", "forget"]), st.integers(0, 1), st.integers(1, 40)), max_size=30)


@given(st.integers(1, 100), st.integers(1, 50), changes)
def test_whatever_comes_as_it_was_asked_for_neither_bound_is_passed(
    in_flight: int, batch: int, done: list[tuple[str, int, int]]
) -> None:
    relay, in_hand, numbers = held(in_flight, batch), dict[int, Mail](), iter(range(10_000))
    for word, lane, count in done:
        room = relay.room()
        if word == "put":
            most = room.limit if lane else room.asked_for
            some = [mail(next(numbers), lane) for _ in range(min(count, most))]
            in_hand |= {one.lease.number: one for one in some}
            relay.put(some)
        else:
            for number in [number for number, one in in_hand.items() if one.lease.lane == lane][:count]:
                relay.forget(in_hand.pop(number))

        room = relay.room()
        bulk = sum(one.lease.lane == 1 for one in in_hand.values())
        assert len(in_hand) <= in_flight
        assert bulk <= in_flight - in_flight // URGENT_PART
        assert room.room + room.urgent_room == in_flight - len(in_hand)
        assert room.limit == min(room.room, batch)
        assert room.asked_for <= min(batch, room.room + room.urgent_room)
        assert (room.asked_for == 0) == (len(in_hand) == in_flight)
