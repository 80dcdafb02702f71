"""When a message is tried again."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.message.retry import (
    GREYLISTED_S,
    JITTER,
    SCHEDULES_S,
    Retries,
    parse_schedule,
)

NOW_MS = 1_800_000_000_000


class NoChance(Random):
    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize("stream", SCHEDULES_S)
def test_waits_grow_along_the_schedule_and_the_last_one_repeats(stream: str) -> None:
    retries = Retries(NoChance())

    waits = [(retries.next_attempt(attempt, stream, NOW_MS) - NOW_MS) / 1000 for attempt in range(1, 10)]

    schedule = SCHEDULES_S[stream]
    assert waits == [*schedule, *[schedule[-1]] * (9 - len(schedule))]
    assert waits == sorted(waits)


def test_a_campaign_waits_five_minutes_at_first_and_four_hours_at_last() -> None:
    assert SCHEDULES_S["bulk"][0] == 300
    assert SCHEDULES_S["bulk"][-1] == 4 * 3600


def test_a_transactional_mail_comes_back_sooner() -> None:
    pairs = zip(SCHEDULES_S["transactional"], SCHEDULES_S["bulk"], strict=True)
    assert all(sooner < later for sooner, later in pairs)


@given(st.integers(1, 100), st.sampled_from(sorted(SCHEDULES_S)), st.integers(0, 2**32))
def test_chance_makes_a_wait_longer_and_never_shorter(attempt: int, stream: str, seed: int) -> None:
    least = Retries(NoChance()).next_attempt(attempt, stream, NOW_MS) - NOW_MS

    wait = Retries(Random(seed)).next_attempt(attempt, stream, NOW_MS) - NOW_MS

    assert least <= wait <= least * (1 + JITTER)


def test_messages_deferred_together_do_not_come_back_together() -> None:
    retries = Retries(Random(1))

    assert len({retries.next_attempt(1, "bulk", NOW_MS) for _ in range(100)}) > 90


def test_a_schedule_of_the_settings_replaces_that_of_every_stream() -> None:
    retries = Retries(NoChance(), parse_schedule("1,2,4"))

    for stream in SCHEDULES_S:
        waits = [retries.next_attempt(attempt, stream, 0) for attempt in (1, 2, 3, 4)]
        assert waits == [1000, 2000, 4000, 4000]


def test_a_host_that_asks_for_more_time_gets_it() -> None:
    retries = Retries(NoChance())

    assert retries.next_attempt(1, "bulk", 0, retry_after_s=1800) == 1_800_000
    assert retries.next_attempt(1, "bulk", 0, retry_after_s=10) == 300_000


@given(st.integers(1, 3), st.sampled_from(sorted(SCHEDULES_S)), st.integers(0, 2**32))
def test_a_greylisted_message_comes_back_after_five_to_six_minutes(attempt: int, stream: str, seed: int) -> None:
    wait_ms = Retries(Random(seed)).next_attempt(attempt, stream, NOW_MS, greylisted=True) - NOW_MS

    assert 5 * 60_000 <= wait_ms <= 6 * 60_000


@pytest.mark.parametrize("stream", SCHEDULES_S)
@pytest.mark.parametrize("attempt", [1, 6])
def test_it_comes_back_when_the_host_said_whatever_the_schedule_says(stream: str, attempt: int) -> None:
    retries = Retries(NoChance(), parse_schedule("7200"))

    assert retries.next_attempt(attempt, stream, 0, retry_after_s=90, greylisted=True) == 95_000
    assert retries.next_attempt(attempt, stream, 0, retry_after_s=1800, greylisted=True) == 1_805_000


def test_a_quicker_schedule_of_the_settings_is_quicker_after_greylisting_too() -> None:
    retries = Retries(NoChance(), parse_schedule("1,7200"))

    assert retries.next_attempt(1, "bulk", 0, greylisted=True) == 1_000
    assert retries.next_attempt(2, "bulk", 0, greylisted=True) == 300_000


def test_greylisting_that_never_ends_is_not_asked_every_five_minutes() -> None:
    retries = Retries(NoChance())

    waits = [retries.next_attempt(attempt, "bulk", 0, greylisted=True) / 1000 for attempt in range(1, 10)]

    assert waits == [*GREYLISTED_S, *[GREYLISTED_S[-1]] * (9 - len(GREYLISTED_S))]
    assert waits == sorted(waits)


def test_a_retry_after_the_end_is_too_late_and_without_an_end_none_is() -> None:
    retries = Retries(NoChance())

    assert retries.is_over(NOW_MS, NOW_MS)
    assert retries.is_over(NOW_MS, retries.next_attempt(1, "bulk", NOW_MS))
    assert not retries.is_over(NOW_MS + 1, NOW_MS)
    assert not retries.is_over(0, NOW_MS)


@pytest.mark.parametrize(("text", "schedule"), [("", ()), ("  ", ()), ("1,2,4", (1, 2, 4)), ("0.2, 30", (0.2, 30))])
def test_a_schedule_is_seconds_separated_by_commas(text: str, schedule: tuple[float, ...]) -> None:
    assert parse_schedule(text) == schedule


@pytest.mark.parametrize("text", ["a", "1,,2", "0", "-1", "1;2", "nan", "inf", "1e9"])
def test_what_is_no_schedule_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="retry schedule"):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("wait_ms", "own", "latest_ms"),
    [(500, "", 5_500), (5_000, "", 55_000), (300_000, "", 420_000), (5_000, "1,2", 6_000)],
)
def test_what_could_not_be_tried_comes_back_when_its_host_may_be_dialled_and_not_all_at_once(
    wait_ms: int, own: str, latest_ms: int
) -> None:
    retries = Retries(Random(1), parse_schedule(own))

    waits = [retries.untried(NOW_MS, wait_ms) - NOW_MS for _ in range(1000)]

    assert min(waits) >= wait_ms
    assert 0.9 * latest_ms < max(waits) <= latest_ms
