"""When a run is due."""

import pytest

from services.contacts.rank.due import DAY_MS, due_ms, is_due

MADE_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("last_day", "due_day"),
    [
        (None, 7),
        (7, 37),
        # Asked for on the eighth day: the next one is thirty days behind it.
        (8, 38),
        # Asked for in the first seven days: the first run is where it was.
        (2, 7),
        # Made up for on the tenth day: only once.
        (10, 40),
        (37, 67),
    ],
)
def test_e36_the_first_run_is_after_seven_days_and_each_other_one_thirty_days_after_the_last(
    last_day: int | None, due_day: int
) -> None:
    last_ms = None if last_day is None else MADE_MS + last_day * DAY_MS

    assert due_ms(MADE_MS, last_ms) == MADE_MS + due_day * DAY_MS
    assert not is_due(MADE_MS, last_ms, MADE_MS + due_day * DAY_MS - 1)
    assert is_due(MADE_MS, last_ms, MADE_MS + due_day * DAY_MS)
