"""A line: lanes in order, queues in turn, and what may not go waits without holding up the rest."""

from hypothesis import given
from hypothesis import strategies as st

from services.relay.message.line import (
    FRESHENED_LEAST,
    FRESHENED_MOST,
    MAILS_PER_CONNECTION,
    Line,
)
from services.relay.message.mail import Mail
from services.relay.words.outlet import Outlet
from shared.redis.ready import Lease
from shared.words import events

JOB = "06dndml801in6t31cpig"


def mail(number: int, queue: str = "acme", lane: int = 1) -> Mail:
    ready = events.Ready(tenant=queue, job=JOB, ordinal=number, email=f"u{number}@a.test")
    return Mail(Lease(0, number, "a.test", b"", lane, queue), ready)


def line(*mails: Mail) -> Line[object]:
    made: Line[object] = Line("a.test", Outlet("default"))
    for one in mails:
        made.put(one)
    return made


def all_of(some: Line[object], now: float = 0.0) -> list[int]:
    numbers = []
    while (one := some.take(now)) is not None:
        numbers.append(one.lease.number)
    return numbers


def test_queues_take_turns_and_each_keeps_its_order() -> None:
    some = line(*(mail(n) for n in range(3)), *(mail(n, "b") for n in range(10, 13)))

    assert all_of(some) == [0, 10, 1, 11, 2, 12]


def test_a_lane_goes_before_the_next() -> None:
    some = line(mail(1), mail(2), mail(3, lane=0))

    assert all_of(some) == [3, 1, 2]


def test_what_was_taken_and_may_not_go_is_first_again() -> None:
    some = line(mail(1), mail(2))

    some.put_first(some.take(0.0) or mail(9))

    assert all_of(some) == [1, 2]


def test_a_queue_at_its_limit_does_not_hold_up_the_others() -> None:
    some = line(mail(1), mail(2, "b"), mail(3, "b"))

    some.block((1, "acme"), 10.0, 0.0)

    assert all_of(some) == [2, 3]
    assert some.wait_s(4.0) == 6.0
    assert all_of(some, 10.0) == [1]


def test_a_line_that_is_reopened_asks_again_whatever_waited_for_a_limit() -> None:
    some = line(*(mail(n) for n in range(3)), mail(9, "b"))
    some.workers.add(object())
    some.block((1, "acme"), 60.0, 0.0)
    some.block(None, 60.0, 0.0)
    some.full_until = 60.0
    assert (some.take(1.0), some.workers_wanted(9, 1.0)) == (None, 0)

    some.reopen()

    assert some.wait_s(1.0) == 0
    assert sorted(all_of(some, 1.0)) == [0, 1, 2, 9]


def test_a_site_at_its_limit_holds_up_all_and_gets_no_workers() -> None:
    some = line(mail(1), mail(2, lane=0))

    some.block(None, 10.0, 0.0)

    assert some.take(9.9) is None
    assert some.wait_s(9.0) == 1.0
    assert some.workers_wanted(5, 9.9) == 0
    assert some.workers_wanted(5, 10.0) == 1
    assert all_of(some, 10.0) == [2, 1]


def test_of_those_that_were_refused_together_the_first_time_that_was_told_is_when_the_next_one_goes() -> None:
    some = line(mail(1))

    for told in (10.0, 5.0, 7.0):
        some.block(None, told, 1.0)

    assert some.take(4.9) is None
    assert some.take(5.0) is not None


def test_a_block_that_is_over_is_forgotten_and_a_later_one_counts() -> None:
    some = line(mail(1))
    some.block(None, 5.0, 0.0)

    some.block(None, 30.0, 5.0)

    assert some.take(29.9) is None
    assert some.take(30.0) is not None


def test_an_empty_line_waits_for_nothing() -> None:
    some = line()

    assert some.wait_s(0.0) is None
    assert some.take(0.0) is None
    assert len(some) == 0


def test_what_is_given_back_is_what_came_last() -> None:
    some = line(*(mail(n) for n in range(5)), *(mail(n, "b") for n in range(10, 12)))

    given_back = some.give_back((1, "acme"), 2)

    assert sorted(one.lease.number for one in given_back) == [2, 3, 4]
    assert all_of(some) == [0, 10, 1, 11]


def test_all_queues_keep_their_share() -> None:
    some = line(*(mail(n) for n in range(5)), *(mail(n, "b") for n in range(10, 15)))

    given_back = some.give_back(None, 4)

    assert sorted(one.lease.number for one in given_back) == [2, 3, 4, 12, 13, 14]
    assert len(some) == 4
    assert len(some.give_back(None, 0)) == 4
    assert some.places == []


def test_workers_come_with_the_messages_and_not_while_others_are_idle() -> None:
    some = line(*(mail(n) for n in range(MAILS_PER_CONNECTION * 3)))

    assert some.workers_wanted(20, 0.0) == 3
    assert some.workers_wanted(2, 0.0) == 2
    some.workers.update({1, 2, 3})
    assert some.workers_wanted(20, 0.0) == 0
    some.leaving = 1
    assert some.workers_wanted(20, 0.0) == 1
    some.idle = 3
    assert some.workers_wanted(20, 0.0) == 0


def test_no_worker_comes_while_there_is_no_connection_for_it_but_the_first() -> None:
    some = line(*(mail(n) for n in range(MAILS_PER_CONNECTION * 3)))
    some.full_until = 10.0

    assert some.workers_wanted(20, 9.0) == 3
    some.workers.add(1)
    assert some.workers_wanted(20, 9.0) == 0
    assert some.workers_wanted(20, 10.0) == 2


def test_a_line_of_which_nothing_is_known_is_asked_about_as_far_as_may_be() -> None:
    some = line(*map(mail, range(300)))

    assert [one.lease.number for one in some.soon(100.0)] == list(range(FRESHENED_MOST))


def test_a_line_that_does_not_move_is_asked_about_as_far_as_its_head() -> None:
    some = line(*map(mail, range(300)))
    some.soon(100.0)

    assert [one.lease.number for one in some.soon(101.0)] == list(range(FRESHENED_LEAST))


def test_a_line_is_asked_about_twice_as_far_as_it_moves_meanwhile() -> None:
    some = line(*map(mail, range(1000)))
    some.soon(100.0)
    for _ in range(80):
        some.take(100.0)

    asked = some.soon(101.0)  # 80 a second are 40 until an answer is old

    assert [one.lease.number for one in asked] == list(range(80, 160))
    assert len(some.soon(101.1)) == 80


def test_a_fast_line_is_asked_about_up_to_a_bound() -> None:
    some = line(*map(mail, range(2000)))
    some.soon(100.0)
    for _ in range(1000):
        some.take(100.0)

    assert len(some.soon(101.0)) == FRESHENED_MOST


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abc"))), st.integers(0, 5))
def test_nothing_is_lost_and_nothing_doubled(places: list[tuple[int, str]], keep: int) -> None:
    some = line(*(mail(n, queue, lane) for n, (lane, queue) in enumerate(places)))

    out = [one.lease.number for one in some.give_back(None, keep)]
    left = len(some)
    kept = all_of(some)

    assert sorted(out + kept) == list(range(len(places)))
    assert left == len(kept)
    assert len(some) == 0


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 1)), max_size=30),
    st.sets(st.tuples(st.integers(0, 1), st.sampled_from(["a", "b", "c"]))),
    st.integers(0, 40),
)
def test_who_is_next_is_who_will_be_taken(
    places: list[tuple[str, int]], blocked: set[tuple[int, str]], most: int
) -> None:
    some = line(*(mail(number, queue, lane) for number, (queue, lane) in enumerate(places)))
    for place in blocked:
        some.block(place, 10.0, 0.0)

    soon = [one.lease.number for one in some.next(most, 0.0)]

    assert soon == all_of(some)[:most]


def test_nobody_is_next_while_all_are_held_back() -> None:
    some = line(mail(1))

    some.block(None, 10.0, 0.0)

    assert some.next(5, 9.9) == []
    assert [one.lease.number for one in some.next(5, 10.0)] == [1]
