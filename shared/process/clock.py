"""The time of day as facts, tokens and limits have it: ms since the epoch."""

import time


def now_ms() -> int:
    return time.time_ns() // 1_000_000
