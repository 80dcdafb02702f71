"""A run of 421, or of refused connections, in words that no rule knows lowers concurrency and pace, and the way back is
found: real couriers and a simulated host, in simulated time."""

import pytest

from tests.unit.relay.simulated import Behaviour, Minute, simulate

#: After so many minutes a host's limits are known.
KNOWN_MINUTES = 3
MINUTES = 10


def together(minutes: list[Minute]) -> Minute:
    return Minute(sum(minute.taken for minute in minutes), sum(minute.refused for minute in minutes))


@pytest.mark.parametrize(
    ("behaviour", "most_per_s"),
    [
        pytest.param(Behaviour(connections=9, mail_s=0.5), 18, id="takes 9 connections"),
        pytest.param(Behaviour(connections=9, mail_s=0.5, words=None), 18, id="takes 9 connections and resets"),
        pytest.param(
            Behaviour(connections=1, mail_s=0.5, words="Je suis tres occupe"), 2, id="takes 1 connection, in French"
        ),
        pytest.param(Behaviour(connections=3, mails=1, mail_s=0.5), 5.5, id="takes 3, of one mail each"),
        pytest.param(Behaviour(connections=9, mails=20, mail_s=0.5), 17, id="takes 9, of 20 mails each"),
        pytest.param(Behaviour(mails_per_s=10), 10, id="takes 10 mails a second"),
        pytest.param(Behaviour(mails_per_s=10, words=None), 10, id="takes 10 mails a second, without words"),
        pytest.param(Behaviour(mails_per_s=1), 1, id="takes a mail a second"),
        pytest.param(Behaviour(connections_per_s=1, mails=20, mail_s=0.5), 15, id="takes a connection a second"),
        pytest.param(Behaviour(connections_per_s=2, mails=1), 2, id="takes 2 connections a second, of one mail each"),
        pytest.param(
            Behaviour(connections=5, mails_per_s=6, mail_s=0.5), 6, id="takes 5 connections and 6 mails a second"
        ),
    ],
)
def test_after_three_minutes_less_than_a_twentieth_is_refused_whatever_the_words(
    behaviour: Behaviour, most_per_s: float
) -> None:
    host, _ = simulate(behaviour, MINUTES)

    known = together(host.minutes[KNOWN_MINUTES:MINUTES])
    assert known.refused_part < 0.05
    assert known.taken > 0.3 * most_per_s * 60 * (MINUTES - KNOWN_MINUTES)


@pytest.mark.parametrize("words", ["hold your horses", None])
def test_a_host_that_takes_some_connections_and_no_more_costs_no_message_an_attempt(words: str | None) -> None:
    host, workers = simulate(Behaviour(connections=9, words=words, mail_s=0.5), 2)

    assert workers.deferred == []
    assert together(host.minutes).refused <= 11 + 3
    assert together(host.minutes).taken > 0.9 * 9 * 2 * 120


@pytest.mark.parametrize(("words", "most"), [("hold your horses", 8), (None, 4)])
def test_a_host_that_refuses_everything_is_asked_seldom(words: str | None, most: int) -> None:
    host, workers = simulate(Behaviour(words=words, down=lambda _: True), 10, workers=1)

    assert sum(at < 12 for at in workers.deferred) <= 4
    assert together(host.minutes[KNOWN_MINUTES:]).refused <= most


def test_a_host_that_was_down_for_twenty_minutes_is_full_of_our_mail_again_within_six() -> None:
    host, _ = simulate(Behaviour(mail_s=1, words=None, down=lambda at_s: 60 < at_s < 1260), 28)

    before, after = host.minutes[0], host.minutes[27]
    assert together(host.minutes[2:21]).refused < 20
    assert after.taken > 0.9 * before.taken
