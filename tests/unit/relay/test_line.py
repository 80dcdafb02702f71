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


def test_a_line_that_does_not_move_is_asked_about_as_far_as_its_head() -> None:
    line = line_of(300)

    assert [mail.lease.number for mail in line.soon()] == list(range(FRESHENED_LEAST))


def test_a_line_is_asked_about_as_far_as_it_moves_meanwhile() -> None:
    line = line_of(300)
    for _ in range(40):
        line.take()

    assert [mail.lease.number for mail in line.soon()] == list(range(40, 120))
    assert len(line.soon()) == FRESHENED_LEAST


def test_a_fast_line_is_asked_about_up_to_a_bound() -> None:
    line = line_of(1000)
    for _ in range(500):
        line.take()

    assert len(line.soon()) == FRESHENED_MOST
