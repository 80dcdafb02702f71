"""How many connections fit, and who gives way."""

import resource

import pytest

from shared.net.connections import (
    OTHER_DESCRIPTORS,
    PROBES,
    Connections,
    Room,
    fitting,
)
from shared.net.server import MANY_DESCRIPTORS, descriptors_to_ask_for

INFINITE = resource.RLIM_INFINITY


class Stub:
    def __init__(self, places: Connections) -> None:
        self._places = places.callers
        self.is_idle = self.is_awaited = False
        self.gave_way = False

    def enters(self, peer: str) -> str:
        return self._places.enter(self, peer)

    def rooms(self) -> tuple[Room, ...]:
        return self._places.rooms(self)

    def rests(self) -> None:
        self.is_idle = True
        for room in self.rooms():
            room.idle(self)

    def drips(self) -> None:
        self.is_awaited = True
        for room in self.rooms():
            room.slow(self)

    def give_way(self) -> None:
        self.gave_way = True
        self._places.leave(self)


def entered(places: Connections, *peers: str) -> list[Stub]:
    found = [Stub(places) for _ in peers]
    assert [one.enters(peer) for one, peer in zip(found, peers, strict=True)] == [""] * len(peers)
    return found


@pytest.mark.parametrize(
    ("most", "descriptors", "fits"),
    [
        (10_000, 1_048_576, 10_000),
        (10_000, INFINITE, 10_000),
        (10_000, -1, 10_000),
        (10_000, 2**63 - 1, 10_000),
        (10_000, 4_096, 4_096 - OTHER_DESCRIPTORS),
        (10_000, 256, 64),
        (10_000, 1, 1),
        (1, 1_024, 1),
    ],
)
def test_no_more_connections_than_descriptors_are_left_for(most: int, descriptors: int, fits: int) -> None:
    assert fitting(most, descriptors) == fits


@pytest.mark.parametrize(
    ("soft", "hard", "asked"),
    [
        (1_024, 524_288, 524_288),
        (1_024, INFINITE, MANY_DESCRIPTORS),
        (MANY_DESCRIPTORS + 1, INFINITE, MANY_DESCRIPTORS + 1),
        (INFINITE, INFINITE, INFINITE),
        (1_024, 1_024, 1_024),
    ],
)
def test_no_limit_is_never_taken_for_a_number(soft: int, hard: int, asked: int) -> None:
    assert descriptors_to_ask_for(soft, hard) == asked


@pytest.mark.parametrize(("most", "descriptors"), [(10_000, INFINITE), (10_000, 1_024), (5, 1_024), (1, 100), (1, 1)])
def test_what_listeners_may_have_together_fits_into_the_process(most: int, descriptors: int) -> None:
    places = Connections(most, 0, descriptors)

    callers, probes = places.callers._listener.most, places.probes._listener.most
    assert 1 <= callers <= most
    assert 1 <= probes <= PROBES
    assert callers + probes <= max(2, places.most)


def test_in_a_full_room_the_longest_idle_goes_first_then_the_slow_and_no_other() -> None:
    places = Connections(4, 0, INFINITE)
    working, dripping, resting, rested = entered(places, "a", "b", "c", "d")
    dripping.drips()
    rested.rests()
    resting.rests()

    newcomers = [Stub(places) for _ in range(4)]
    told = [one.enters("e") for one in newcomers]

    assert told == ["", "", "", "full"]
    assert [one.gave_way for one in (rested, resting, dripping, working)] == [True, True, True, False]


def test_who_has_begun_to_work_since_does_not_give_way() -> None:
    places = Connections(2, 0, INFINITE)
    one, other = entered(places, "a", "b")
    one.rests()
    other.drips()
    one.is_idle = other.is_awaited = False

    assert Stub(places).enters("c") == "full"
    assert not (one.gave_way)
    assert not (other.gave_way)


def test_the_bound_of_a_peer_takes_the_place_of_its_own_alone() -> None:
    places = Connections(100, 2, INFINITE)
    mine, theirs = entered(places, "a", "b")
    theirs.rests()
    [also_mine] = entered(places, "a")
    refused = Stub(places).enters("a")
    also_mine.rests()

    assert refused == "peer"
    assert Stub(places).enters("a") == ""
    assert (mine.gave_way, also_mine.gave_way, theirs.gave_way) == (False, True, False)


def test_sockets_without_an_address_are_bounded_together_with_all_others() -> None:
    places = Connections(3, 1, INFINITE)
    entered(places, "", "", "")

    assert Stub(places).enters("") == "full"


def test_a_look_for_a_place_is_paid_once_for_each_that_was_noted() -> None:
    places = Connections(1_000, 0, INFINITE)
    looked = 0

    class Busy(Stub):
        @property
        def is_idle(self) -> bool:
            nonlocal looked
            looked += 1
            return False

        @is_idle.setter
        def is_idle(self, _value: bool) -> None: ...

    for _ in range(1_000):
        one = Busy(places)
        one.enters("a")
        one.rests()
    for _ in range(1_000):
        assert Stub(places).enters("b") == "full"

    assert looked == 1_000


def test_leaving_twice_is_leaving_once_and_nothing_is_left_behind() -> None:
    places = Connections(3, 2, INFINITE)
    one, other = entered(places, "a", "b")
    for stub in (one, one, other, other):
        places.callers.leave(stub)

    assert places.taken == 0
    assert not places.callers.taken()
    assert not places.callers._rooms
