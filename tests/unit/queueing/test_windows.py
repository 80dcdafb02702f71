"""What a job may say of the time of its messages, and what it comes to."""

from typing import Any

import msgspec
import orjson
import pytest

from services.queueing import jobs, taking, windows
from services.queueing.compile import Limits
from shared.redis.jobs import New
from shared.redis.recipients import Waiting
from shared.words.errors import Problem
from shared.words.timing import Timing, unpacked
from tests.jobs import read_job

NOW_MS = 1_790_000_000_000


def read(**fields: Any) -> jobs.Job:
    body = {"from": "news@exemple.fr", "subject": "s", "text": "t", "recipients": [{"email": "a@x.test"}], **fields}
    return read_job(orjson.dumps(body), open_job=False, now_ms=NOW_MS, max_recipients=10, limits=Limits())


def timing(**fields: Any) -> Timing | None:
    request = read(**fields).request
    return windows.read(request.window, request.spread, request.best_hour)[0]


def faults(**fields: Any) -> set[str]:
    with pytest.raises(Problem) as caught:
        read(**fields)
    return {fault.at for fault in caught.value.faults}


def test_hours_are_the_same_on_each_day_but_for_those_that_have_their_own() -> None:
    work = (540, 1140)
    asked = {"days": ["mon", "fri"], "from": "09:00", "to": "19:00", "time_zone": "Europe/Paris"}

    plain = timing(window=asked)
    own = timing(window={**asked, "per_day": {"sat": {"from": "10:00", "to": "24:00"}}}, spread={"over": "90m"})

    none = (0, 0)
    assert plain == Timing((work, none, none, none, work, none, none), "Europe/Paris", 0)
    assert own == Timing((work, none, none, none, work, (600, 1440), none), "Europe/Paris", 5_400_000)
    assert timing(window={}) == Timing(((0, 1440),) * 7, "UTC", 0)
    assert timing(spread={"over": "2d"}) == Timing((), "UTC", 2 * windows.DAY_MS)
    assert timing(best_hour=True) == Timing((), "UTC", 0, best_hour=True)
    assert timing(best_hour=True, window={}, spread={"over": "2d"}) == Timing(
        ((0, 1440),) * 7, "UTC", 2 * windows.DAY_MS, best_hour=True
    )
    assert timing() is timing(best_hour=False) is None


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"window": {"from": "19:00", "to": "09:00"}}, {"$.window.to"}),
        ({"window": {"from": "9:00"}}, {"$.window.from"}),
        ({"window": {"days": []}}, {"$.window.days"}),
        ({"window": {"days": ["lundi"]}}, {"$.window.days[0]"}),
        ({"window": {"time_zone": "Paris"}}, {"$.window.time_zone"}),
        ({"window": {"per_day": {"sat": {"from": "10:00", "to": "10:00"}}}}, {"$.window.per_day.sat.to"}),
        ({"spread": {"over": "8d"}}, {"$.spread.over"}),
        ({"spread": {"over": "0h"}}, {"$.spread.over"}),
        ({"spread": {"over": "soon"}, "window": {"time_zone": "x"}}, {"$.spread.over", "$.window.time_zone"}),
        ({"best_hour": True, "stream": "transactional"}, {"$.best_hour"}),
        ({"best_hour": True, "stream": "one_to_one", "spread": {"over": "8d"}}, {"$.best_hour", "$.spread.over"}),
        ({"best_hour": "yes"}, {"$.best_hour"}),
        ({"spread": {"over": "2d"}, "window": {"days": ["mon"]}}, {"$.spread.over"}),
        ({"recipients": [{"email": "a@x.test", "time_zone": "Paris"}]}, {"$.recipients[0].time_zone"}),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], at: set[str]) -> None:
    assert faults(**fields) == at


def test_a_test_goes_at_once_and_a_best_hour_lets_a_job_live_a_day_longer() -> None:
    def stored(**fields: Any) -> New:
        return taking.new_job("acme", read(**fields), NOW_MS, "queueing")

    plain, best, spread = stored(), stored(best_hour=True), stored(best_hour=True, spread={"over": "2d"})

    assert (plain.timing, stored(best_hour=True, test=True).timing) == (b"", b"")
    assert unpacked(best.timing) == Timing(best_hour=True)
    assert [one.expires_at_ms - plain.expires_at_ms for one in (best, spread)] == [windows.DAY_MS, 2 * windows.DAY_MS]


def test_what_was_stored_before_there_were_best_hours_asks_for_none() -> None:
    assert unpacked(b"\x93\x90\xa3UTC\x05") == Timing((), "UTC", 5, best_hour=False)


@pytest.mark.parametrize(
    ("field", "variables", "zone"),
    [
        ("Asia/Tokyo", {"time_zone": "Europe/Paris"}, "Asia/Tokyo"),
        ("", {"time_zone": "Europe/Paris"}, "Europe/Paris"),
        ("", {"time_zone": "Paris"}, ""),
        ("", {"time_zone": 7}, ""),
        ("", {"zone": "Europe/Paris"}, ""),
    ],
)
def test_a_recipients_clock_is_that_of_the_field_or_the_variable(
    field: str, variables: dict[str, Any], zone: str
) -> None:
    packed = msgspec.Raw(msgspec.msgpack.encode(variables))

    assert windows.zone_of(Waiting(email="a@x.test", variables=packed, time_zone=field)) == zone
