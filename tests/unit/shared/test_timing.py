"""The moment of a message is in the hours that were asked for, by the clock of its recipient, whatever clocks do."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import ids, timing
from shared.words.timing import Hours, Timing

#: With clocks that are turned at night, at midnight, by half an hour, a day left out; and some that are not.
ZONES = (
    "UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Havana", "Asia/Kolkata",
    "Pacific/Apia", "Africa/Casablanca", "America/Asuncion",
)  # fmt: skip
WORK: Hours = ((540, 1140),) * 5 + ((0, 0),) * 2
JOB = ids.new_job_id(1_790_000_000_000, b"chance", 4, 2)

minutes = st.integers(0, 1440)
spans = st.tuples(minutes, minutes).map(lambda pair: (min(pair), max(pair)))
hours_of_week = (
    st.lists(spans, min_size=7, max_size=7)
    .map(tuple)
    .filter(lambda hours: any(end - begin > 60 for begin, end in hours))
)
moments = st.integers(1_600_000_000_000, 2_000_000_000_000)
#: Around the nights in which the clocks of Paris and New York are turned, minute by minute.
turned = st.sampled_from([1_774_746_000_000, 1_792_890_000_000, 1_772_953_200_000, 1_793_512_800_000]).flatmap(
    lambda at: st.integers(-600, 600).map(lambda minute: at + minute * 60_000)
)
shares = st.floats(0, 1, exclude_max=True)


def is_open(hours: Hours, zone: str, at_ms: int) -> bool:
    shown = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
    begin, end = hours[shown.weekday()]
    return begin <= shown.hour * 60 + shown.minute < end


def ms(*words: int, zone: str = "UTC") -> int:
    return int(datetime(*words, tzinfo=ZoneInfo(zone)).timestamp() * 1000)  # type: ignore[arg-type, misc]


@given(hours_of_week, st.sampled_from(ZONES), st.one_of(moments, turned), shares)
def test_a_moment_is_in_the_hours_of_the_recipients_clock_and_never_before_the_job_began(
    hours: Hours, zone: str, begin_ms: int, share: float
) -> None:
    open_ms = sum(end - begin for begin, end in hours) * 60_000
    for spread_ms in (0, min(open_ms, 4 * 3_600_000)):
        at = timing.due(Timing(hours, "UTC", spread_ms), zone, begin_ms, begin_ms, share)

        assert at >= begin_ms
        assert is_open(hours, zone, at)


@given(hours_of_week, st.sampled_from(ZONES), st.one_of(moments, turned))
def test_what_a_message_carries_of_the_hours_says_the_same(hours: Hours, zone: str, at_ms: int) -> None:
    window = timing.window(hours, zone)
    opens = timing.open_from(window, at_ms)

    assert opens == timing.due(Timing(hours), zone, at_ms, at_ms, 0.0)
    assert timing.open_from(window, opens) == opens


@given(hours_of_week, st.sampled_from(ZONES), moments, shares, shares)
def test_who_comes_later_in_a_spread_goes_later(hours: Hours, zone: str, at_ms: int, one: float, other: float) -> None:
    asked = Timing(hours, zone, 3_600_000)
    first, second = (timing.due(asked, "", at_ms, at_ms, share) for share in sorted((one, other)))

    assert first <= second


@pytest.mark.parametrize("count", [100, 10_000])
def test_a_job_is_spread_evenly(count: int) -> None:
    places = sorted(timing.place(JOB, ordinal) for ordinal in range(count))

    assert places[0] >= 0
    assert places[-1] < 1
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps) < 3 / count


def test_each_goes_at_nine_of_their_own_morning() -> None:
    friday_evening = ms(2026, 12, 4, 20)
    asked = Timing(WORK, "Europe/Paris")

    def at(zone: str) -> int:
        return timing.due(asked, zone, friday_evening, friday_evening, 0.5)

    assert at("") == at("Europe/Paris") == at("no/zone") == ms(2026, 12, 7, 9, zone="Europe/Paris")
    assert at("America/New_York") == friday_evening  # three in the afternoon there
    assert at("Asia/Kolkata") == ms(2026, 12, 7, 9, zone="Asia/Kolkata")


def test_a_spread_runs_while_it_is_open() -> None:
    begin = ms(2026, 12, 4, 17)
    asked = Timing(WORK, "UTC", 4 * 3_600_000)

    assert timing.due(asked, "", begin, begin, 0.25) == ms(2026, 12, 4, 18)
    assert timing.due(asked, "", begin, begin, 0.75) == ms(2026, 12, 7, 10)


def test_whose_moment_has_passed_goes_as_soon_as_it_is_open() -> None:
    begin, late = ms(2026, 12, 4, 9), ms(2026, 12, 4, 23)

    assert timing.due(Timing((), "UTC", 3_600_000), "", begin, late, 0.5) == late
    assert timing.due(Timing(WORK, "UTC"), "", begin, late, 0.5) == ms(2026, 12, 7, 9)


@pytest.mark.parametrize(
    "name",
    ["", "x", "../../etc/passwd", "/etc/passwd", "Europe", "Europe/Paris\x00", "x" * 65, "localtime", "right/UTC"],
)
def test_what_is_no_time_zone_is_none(name: str) -> None:
    assert timing.zone(name) is None
    assert timing.zone("Europe/Paris") is not None


def test_what_is_kept_with_a_job_comes_back() -> None:
    asked = Timing(WORK, "Europe/Paris", 5)

    assert timing.unpacked(timing.packed(asked)) == asked
    assert timing.unpacked(timing.packed(None)) is None
    assert timing.moment((), UTC, 5, 7) == 12
