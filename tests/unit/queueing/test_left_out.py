"""Who is not mailed is counted by why, whether by the list, a rule, the gate or an address that is none."""

from services.queueing.plan import Told, left_out
from shared.words import events

JOB = "06dndml801in6t31cpig"


def test_who_is_left_out_is_counted_by_reason_and_who_is_accepted_or_cancelled_is_not() -> None:
    about = [
        events.about_message("acme", JOB, ordinal, 1_800_000_000_000, "x", email="ana@exemple.fr")
        for ordinal in range(6)
    ]
    facts: list[Told] = [
        events.Accepted(**about[0], site="mx.exemple.fr"),
        events.Suppressed(**about[1], reason="hard_bounce", where="queueing"),
        events.Suppressed(**about[2], reason="rule", where="queueing"),
        events.Rejected(**about[3], reason="not_opted_in"),
        events.Suppressed(**about[4], reason="rule", where="queueing"),
        events.Cancelled(**about[5], by="tenant", why=""),
    ]

    assert left_out(facts) == {"hard_bounce": 1, "rule": 2, "not_opted_in": 1}
