"""The account of `make chaos`: what is lost, doubled and in flight is what the host took and what is on record."""

from collections import Counter
from pathlib import Path

from loadtests.chaos import CONNECTIONS, Account, Kill, holds, in_flight
from loadtests.tally import Taken, taken


def account(*, kills: tuple[Kill, ...] = (), ended: int = 3) -> Account:
    found = Account(submitted={0, 1, 2}, kills=list(kills))
    found.ended = Counter(("job", number) for number in range(ended))
    return found


ALL = [Taken(10, "reset0"), Taken(20, "reset1"), Taken(30, "reset2")]


def test_all_that_was_handed_over_and_taken_once_is_no_fault() -> None:
    result = account().result(ALL)

    assert (result["lost"], result["doubled"], result["on_record"]) == (0, 0, 3)
    assert holds(result)


def test_what_was_answered_and_never_taken_is_lost() -> None:
    result = account().result(ALL[:2])

    assert result["lost"] == 1
    assert not holds(result)


def test_what_is_taken_again_is_a_fault_unless_it_was_in_flight_when_a_relay_was_killed() -> None:
    again = [*ALL, Taken(40, "reset2")]

    assert not holds(account().result(again))
    assert not holds(account(kills=(Kill(35, "http"),)).result(again))
    assert holds(account(kills=(Kill(35, "relay"),)).result(again))


def test_a_message_without_an_end_or_with_two_is_a_fault() -> None:
    twice = account()
    twice.ended["job", 0] += 1

    assert not holds(account(ended=2).result(ALL))
    assert not holds(twice.result(ALL))


def test_in_flight_is_what_was_taken_first_and_not_on_record_at_that_moment() -> None:
    took = [Taken(10, "a"), Taken(20, "b"), Taken(21, "b"), Taken(50, "c")]

    assert in_flight([Kill(30, "redis"), Kill(30, "queueing")], took, [12]) == [1 + CONNECTIONS]
    assert in_flight([Kill(60, "relay")], took, [12, 25, 55]) == [CONNECTIONS]


def test_a_line_that_was_cut_off_is_no_mail(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"1700000000000 reset7\n17000000")

    assert list(taken(tmp_path / "taken")) == [Taken(1_700_000_000_000, "reset7")]
