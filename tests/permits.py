"""What one limit permits, in Python: the model that the script of the limits is held against."""

from shared.words.rates import Spacing


def permitted(due_us: float, now_us: float, spaced: Spacing) -> tuple[float, float]:
    """The next `due_us` and 0, or the same and after how many µs to ask again. The script of the limits does the same.

    A `due_us` later than a permit can leave it (a clock set back, a rate that was lower before) is taken as the latest.
    """
    due_us = min(due_us, now_us + spaced.tolerance_us + spaced.interval_us)
    wait_us = due_us - spaced.tolerance_us - now_us
    if wait_us > 0:
        return due_us, wait_us
    return max(due_us, now_us) + spaced.interval_us, 0.0
