"""What the gate makes of refusals in words that no rule knows, and of those of our name."""

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.relay.traffic.gate import (
    RUN_MAILS,
    RUN_S,
    TOLD_AGAIN_S,
    Gate,
)
from services.relay.words.reply import Reply
from tests.redis.test_gate import SITE, Clock, clock, make

__all__ = ["clock", "make"]  # fixtures
SHIPPED_ALONE = '[[rule]]\nname = "r"\nmatch = "known"\naction = "none"\nexample = "450 known"\nbut_not = "450 y"'
HELO = Reply(504, "5.5.2", "<relay>: Helo command rejected: need fully-qualified hostname", "rcpt", "mx1.example.net")


async def test_one_refusal_changes_nothing_and_a_run_of_them_is_a_pace(make: Callable[..., Gate]) -> None:
    gate = make(SHIPPED_ALONE)

    gate.refused(SITE, "default")
    await gate.finish()
    before = gate._paces.pace(SITE, "default")
    gate.refused(SITE, "default")
    await gate.finish()

    assert before is None
    assert gate._paces.pace(SITE, "default") is not None


@pytest.mark.parametrize(("mails", "later_s"), [(RUN_MAILS, 0.0), (0, RUN_S + 1)])
async def test_refusals_far_apart_are_no_run(
    make: Callable[..., Gate], clock: Clock, mails: int, later_s: float
) -> None:
    gate = make(SHIPPED_ALONE)

    for _ in range(4):
        gate.refused(SITE, "default")
        for _ in range(mails):
            gate.accepted(SITE, "default")
        clock.ahead_s += later_s
    await gate.finish()

    assert gate._paces.pace(SITE, "default") is None


async def test_one_customers_host_slows_nobody_elses(make: Callable[..., Gate]) -> None:
    gate = make(SHIPPED_ALONE)

    for _ in range(20):
        gate.refused("microsoft365", "default")
    await gate.finish()

    assert gate._paces.pace("microsoft365", "default") is None


async def test_a_refusal_of_our_name_is_told_loudly_and_not_once_a_message(
    make: Callable[..., Gate], clock: Clock
) -> None:
    gate = make(SHIPPED_ALONE)
    counted = REGISTRY.get_sample_value("estafette_relay_helo_refused_total") or 0

    with capture_logs() as logs:
        for _ in range(100):
            gate.heard(SITE, "default", HELO)
        clock.ahead_s += TOLD_AGAIN_S + 1
        gate.heard(SITE, "default", HELO)

    told = [line for line in logs if line["event"] == "helo_refused"]
    assert [(line["log_level"], line["site"], line["host"]) for line in told] == [("error", SITE, HELO.host)] * 2
    assert (REGISTRY.get_sample_value("estafette_relay_helo_refused_total") or 0) - counted == 101
