"""Alerts in the drill's time: what takes minutes in a rule takes seconds there, and nothing else is changed. Pure.

A rule that is to hold for ten minutes cannot be seen to fire within one. So the drill divides by one factor:

    for: 10m                                   what is true has to stay so for as long
    rate(…[5m])                                over which it is counted, but never less than `LEAST_S`
    estafette_queue_oldest_seconds > 14400     ages of what waits, but never less than `LEAST_S`

What else a rule compares is a number or a part, and stays as it is. Where such a number is counted over a range
(`increase(…[5m]) > 20`) the drill is the stricter one: as many are to come in less time.
"""

import re
from collections.abc import Mapping
from typing import Any

#: A rate needs samples that differ, of a drill that looks once a second, and an age is told every ten seconds.
LEAST_S = 10.0
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_RANGE = re.compile(r"\[((?:\d+(?:ms|[smhd]))+)\]")
#: The age of what waits, compared with a number of seconds.
_AGE = re.compile(r"(estafette_(?:queue_oldest|stream_lag)_seconds(?:\{[^}]*\})?\)? > )(\d+)")


def quick_rules(rules: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The groups of a file of rules, each rule as `quick_rule` leaves it."""
    return {
        "groups": [
            {**group, "rules": [quick_rule(rule, factor) for rule in group["rules"]]} for group in rules["groups"]
        ]
    }


def quick_rule(rule: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """An alert whose times are divided by `factor`. ValueError of a duration that is none."""
    quick = {**rule, "expr": quick_expression(str(rule["expr"]), factor)}
    if "for" in rule:
        quick["for"] = _shown(seconds(str(rule["for"])) / factor)
    return quick


def quick_expression(expression: str, factor: float) -> str:
    """The same with shorter ranges, and lower ages of what waits."""
    ranged = _RANGE.sub(lambda found: f"[{_shown(_shorter(seconds(found[1]), factor))}]", expression)
    return _AGE.sub(lambda found: f"{found[1]}{_shorter(float(found[2]), factor):g}", ranged)


def seconds(duration: str) -> float:
    """As Prometheus writes it: `90s`, `1h30m`. ValueError."""
    parts = _DURATION.findall(duration)
    if "".join(map("".join, parts)) != duration or not parts:
        raise ValueError(f"{duration!r} is no duration")
    return sum(int(number) * _UNIT_S[unit] for number, unit in parts)


def _shorter(long_s: float, factor: float) -> float:
    """Divided, but never below `LEAST_S`, or what it was."""
    return min(long_s, max(LEAST_S, long_s / factor))


def _shown(long_s: float) -> str:
    return f"{round(long_s * 1000)}ms"
