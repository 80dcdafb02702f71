"""The client knows a genuine webhook as the library of Standard Webhooks signs it, and refuses every other one."""

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from services.client.webhooks import TOLERANCE_S, NotGenuine, verified

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW_S = 1_800_000_000
EVENT = {"event_id": "9f86d081884c7d65", "type": "message.delivered", "time": "2026-01-31T09:05:00.123Z"}


def headers(body: bytes, at_s: int = NOW_S, secret: str = SECRET) -> dict[str, str]:
    signed = Webhook(secret).sign("msg_1", datetime.fromtimestamp(at_s, UTC), body.decode())
    return {"Webhook-Id": "msg_1", "webhook-timestamp": str(at_s), "webhook-signature": f"v1,AAAA {signed}"}


@pytest.mark.parametrize("told", [EVENT, {"type": "events", "data": [EVENT, EVENT]}])
def test_the_events_of_a_genuine_request_are_handed_out(told: dict[str, object]) -> None:
    body = json.dumps(told).encode()

    assert verified(SECRET, headers(body), body, NOW_S + 10) == told.get("data", [EVENT])


@pytest.mark.parametrize("late_s", [TOLERANCE_S + 1, -TOLERANCE_S - 1])
def test_another_time_is_refused(late_s: int) -> None:
    body = json.dumps(EVENT).encode()

    with pytest.raises(NotGenuine):
        verified(SECRET, headers(body), body, NOW_S + late_s)


@pytest.mark.parametrize("changed", ["body", "secret", "id", "nothing", "time"])
def test_whatever_is_another_is_refused(changed: str) -> None:
    body = json.dumps(EVENT).encode()
    given = headers(body, secret="whsec_" + "A" * 32 if changed == "secret" else SECRET)
    if changed == "id":
        given["Webhook-Id"] = "msg_2"
    if changed == "time":
        given["webhook-timestamp"] = "\N{SUPERSCRIPT TWO}"

    with pytest.raises(NotGenuine):
        verified(SECRET, {} if changed == "nothing" else given, body + b" " * (changed == "body"), NOW_S)


def test_a_secret_that_is_none_is_said_so() -> None:
    with pytest.raises(ValueError, match="base64"):
        verified("whsec_!", {"webhook-timestamp": str(NOW_S)}, b"{}", NOW_S)
