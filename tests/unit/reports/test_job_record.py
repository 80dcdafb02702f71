"""When the messages of a job may go, as its report shows it."""

import msgspec
import pytest

from services.queueing import windows
from services.queueing.windows import Spread, Window
from services.reports.job_record import JobTiming
from shared.words import timing

WORKING = {day: {"from": "09:00", "to": "19:00"} for day in ("mon", "tue", "wed", "thu", "fri")}


@pytest.mark.parametrize(
    ("window", "spread", "best_hour", "shown"),
    [
        (None, None, False, None),
        (
            {"from": "09:00", "to": "19:00", "days": list(WORKING), "time_zone": "Europe/Paris"},
            None,
            False,
            {"hours": WORKING, "time_zone": "Europe/Paris", "spread": None, "best_hour": False},
        ),
        (
            {"from": "10:00", "days": ["sat"], "per_day": {"mon": {"from": "00:30", "to": "12:05"}}},
            "90m",
            True,
            {
                "hours": {"mon": {"from": "00:30", "to": "12:05"}, "sat": {"from": "10:00", "to": "24:00"}},
                "time_zone": "UTC",
                "spread": "90m",
                "best_hour": True,
            },
        ),
        (None, "48h", False, {"hours": None, "time_zone": "UTC", "spread": "2d", "best_hour": False}),
        (None, None, True, {"hours": None, "time_zone": "UTC", "spread": None, "best_hour": True}),
    ],
)
def test_the_times_of_a_job_are_shown_as_they_are_asked_for(
    window: dict[str, object] | None, spread: str | None, best_hour: bool, shown: object
) -> None:
    asked = msgspec.convert(window, Window) if window is not None else None
    found, faults = windows.read(asked, Spread(spread) if spread else None, best_hour)

    assert faults == []
    assert msgspec.to_builtins(JobTiming.read(timing.packed(found))) == shown
