"""The messages of a site in line: how many of them are asked about ahead of their turn."""

from services.relay.mail import Mail
from services.relay.relay import FRESHENED_LEAST, FRESHENED_MOST, Line
from shared import events
from shared.ready import Lease


def line_of(count: int) -> Line:
    line = Line("gmail")
    line.mails.extend(
        Mail(Lease(0, n, "gmail", b""), events.Ready(tenant="acme", job="job", ordinal=n, email="ana@example.net"))
        for n in range(count)
    )
    return line


def test_a_line_of_which_nothing_is_known_is_asked_about_as_far_as_may_be() -> None:
    line = line_of(300)

    assert [mail.lease.number for mail in line.soon(100.0)] == list(range(FRESHENED_MOST))


def test_a_line_that_does_not_move_is_asked_about_as_far_as_its_head() -> None:
    line = line_of(300)
    line.soon(100.0)

    assert [mail.lease.number for mail in line.soon(101.0)] == list(range(FRESHENED_LEAST))


def test_a_line_is_asked_about_twice_as_far_as_it_moves_meanwhile() -> None:
    line = line_of(1000)
    line.soon(100.0)
    for _ in range(160):
        line.take()

    asked = line.soon(101.0)  # 160 a second are 40 until an answer is old

    assert [mail.lease.number for mail in asked] == list(range(160, 240))


def test_its_pace_is_remembered_while_little_time_has_passed() -> None:
    line = line_of(1000)
    line.soon(100.0)
    for _ in range(160):
        line.take()
    line.soon(101.0)

    assert len(line.soon(101.1)) == 80


def test_a_fast_line_is_asked_about_up_to_a_bound() -> None:
    line = line_of(2000)
    line.soon(100.0)
    for _ in range(1000):
        line.take()

    assert len(line.soon(101.0)) == FRESHENED_MOST
