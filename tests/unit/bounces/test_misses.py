"""Peers that bring what names no message are counted, held off for a while, and forgotten."""

from services.bounces.misses import Misses


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_peer_is_held_off_from_its_last_allowed_miss_to_the_end_of_the_period() -> None:
    clock = Clock()
    misses = Misses(clock, limit=3, period_s=60)

    told = [misses.count("192.0.2.1") for _ in range(4)]
    held = misses.are_too_many("192.0.2.1"), misses.are_too_many("192.0.2.2")
    clock.now_s += 60

    assert told == [False, False, True, False]
    assert held == (True, False)
    assert not misses.are_too_many("192.0.2.1")
    assert not misses.count("192.0.2.1")


def test_the_addresses_of_one_ipv6_host_are_one_peer() -> None:
    misses = Misses(Clock(), limit=3)

    for number in range(3):
        misses.count(f"2001:db8::{number}")

    assert misses.are_too_many("2001:db8::abcd")


def test_peers_beyond_the_bound_push_out_the_first() -> None:
    misses = Misses(Clock(), limit=1, max_peers=10)

    for number in range(100):
        misses.count(f"192.0.2.{number}")

    assert len(misses) == 10
    assert misses.are_too_many("192.0.2.99")
    assert not misses.are_too_many("192.0.2.0")


def test_without_a_limit_nobody_is_held_off() -> None:
    misses = Misses(Clock(), limit=0)

    assert not any(misses.count("192.0.2.1") for _ in range(100))
    assert not misses.are_too_many("192.0.2.1")
