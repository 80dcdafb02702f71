"""When the rank of a tenant is to be run. Pure.

The first run is seven days after the account was made: before, hardly anybody has had a mail. Every other one is thirty
days after the last, whoever asked for that. One that was asked for in the first seven days does not put off the first
run, which would else come a month too late. A run that was missed, because the service was away, is made up for once.
"""

DAY_MS = 86_400_000
FIRST_AFTER_MS = 7 * DAY_MS
EVERY_MS = 30 * DAY_MS


def due_ms(made_ms: int, last_run_ms: int | None) -> int:
    """When the next run is due, in ms since the epoch. `made_ms`: when the account was made; `last_run_ms`: the last
    run, None if there was none."""
    first_ms = made_ms + FIRST_AFTER_MS
    if last_run_ms is None or last_run_ms < first_ms:
        return first_ms
    return last_run_ms + EVERY_MS


def is_due(made_ms: int, last_run_ms: int | None, now_ms: int) -> bool:
    return due_ms(made_ms, last_run_ms) <= now_ms
