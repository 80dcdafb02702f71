"""The route by which mail comes in, over real sockets: who may, what is answered when, and what is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.bounces import inbound
from shared.http import api
from shared.words import events
from tests.unit.bounces.parts import COMPLAIN, DOMAIN, RETURN_PATH, UNSUBSCRIBE, Desk, sample

BOUNCE = sample("postfix-user-unknown.eml")
MAX_BYTES = 100_000
Client = TestClient[Any, Any]


class Keys:
    """One for each scope, of that name."""

    async def verify(self, text: str) -> api.Principal | None:
        return api.Principal("acme", frozenset({text}))


@asynccontextmanager
async def serving(desk: Desk) -> AsyncIterator[Client]:
    app = api.application(inbound.routes(desk.bounces, MAX_BYTES), Keys(), max_body_bytes=10 * MAX_BYTES)
    async with TestClient(TestServer(app)) as client:
        yield client


async def bring(
    client: Client, raw: bytes, query: dict[str, str] | None = None, scope: str = "inbound", **headers: str
) -> tuple[int, Any, str]:
    told = {"Authorization": f"Bearer {scope}", "Content-Type": "message/rfc822"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.post("/v1/inbound", params=query, data=raw, headers=told) as answer:
        return answer.status, await answer.json(), answer.headers.get("Retry-After", "")


async def test_a_mail_is_answered_once_its_facts_are_stored() -> None:
    desk = Desk()

    async with serving(desk) as client:
        status, answer, _ = await bring(client, BOUNCE, {"recipient": RETURN_PATH, "sender": "<>"})

    assert (status, answer) == (200, {"taken": [RETURN_PATH], "refused": []})
    assert [type(fact) for fact in desk.bus.facts] == [events.Bounced]


async def test_the_envelope_may_stand_in_the_header_of_the_request() -> None:
    desk = Desk()

    async with serving(desk) as client:
        status, answer, _ = await bring(
            client,
            b"Subject: unsubscribe\n\n",
            X_Envelope_To=f"<{UNSUBSCRIBE}>, nobody@{DOMAIN}",
            X_Envelope_From="a@b.fr",
        )

    assert (status, answer["refused"]) == (200, [f"nobody@{DOMAIN}"])
    assert [type(fact) for fact in desk.bus.facts] == [events.Unsubscribed]


async def test_or_in_the_header_of_the_mail() -> None:
    desk = Desk()

    async with serving(desk) as client:
        status, answer, _ = await bring(client, b"Return-Path: <>\nDelivered-To: %b\n" % RETURN_PATH.encode() + BOUNCE)

    assert (status, answer["taken"]) == (200, [RETURN_PATH])
    assert [type(fact) for fact in desk.bus.facts] == [events.Bounced]


async def test_the_same_mail_again_is_the_same_event_whatever_its_line_ends_are() -> None:
    desk = Desk()

    async with serving(desk) as client:
        for raw in (BOUNCE, BOUNCE, BOUNCE.replace(b"\r\n", b"\n")):
            assert (await bring(client, raw, {"recipient": RETURN_PATH, "sender": "<>"}))[0] == 200

    assert len(desk.bus.facts) == 1


@pytest.mark.parametrize("part", ["bus", "drawer"])
async def test_while_nothing_can_be_stored_it_has_to_come_again(part: str) -> None:
    desk = Desk()
    getattr(desk, part).is_away = True
    raw = BOUNCE if part == "bus" else b"Subject: Hello\n\nHello\n"

    async with serving(desk) as client:
        status, problem, retry_after = await bring(client, raw, {"recipient": RETURN_PATH, "sender": "<>"})

    assert (status, problem["type"], retry_after) == (503, "urn:estafette:problem:unavailable", "1")


@pytest.mark.parametrize("scope", ["send", "read", "suppress", "admin", "operator"])
async def test_no_other_scope_brings_mail(scope: str) -> None:
    desk = Desk()

    async with serving(desk) as client:
        status, problem, _ = await bring(client, BOUNCE, {"recipient": RETURN_PATH}, scope)

    assert (status, problem["type"]) == (403, "urn:estafette:problem:missing_scope")
    assert desk.bus.facts == []


@pytest.mark.parametrize(
    ("raw", "query", "headers", "word"),
    [
        (b"", {"recipient": RETURN_PATH}, {}, "no_mail"),
        (b"x" * (MAX_BYTES + 1), {"recipient": RETURN_PATH}, {}, "body_too_large"),
        (BOUNCE, {"recipient": f"nobody@{DOMAIN}"}, {}, "unknown_recipient"),
        (BOUNCE, {"recipient": "u" + RETURN_PATH[1:]}, {}, "unknown_recipient"),
        (BOUNCE, {"recipient": ",".join(f"{n}@{DOMAIN}" for n in range(101))}, {}, "invalid_query"),
        (BOUNCE, {"peer": "192.0.2.7"}, {}, "invalid_query"),
        (BOUNCE, {}, {"X_Envelope_To": "x" * 600}, "invalid_header"),
        (BOUNCE, {"recipient": RETURN_PATH}, {"Content_Type": "application/json"}, "unsupported_media_type"),
    ],
)
async def test_what_does_not_fit_is_refused_and_changes_nothing(
    raw: bytes, query: dict[str, str], headers: dict[str, str], word: str
) -> None:
    desk = Desk()

    async with serving(desk) as client:
        _, problem, _ = await bring(client, raw, query, **headers)

    assert problem["type"] == f"urn:estafette:problem:{word}"
    assert desk.bus.facts == []
    assert desk.drawer.mails == []


async def test_promise_7_nobody_makes_a_fact_about_a_message_whose_address_they_do_not_have() -> None:
    desk = Desk()
    forged = COMPLAIN[:-20] + ("0" if COMPLAIN[-20] != "0" else "1") + COMPLAIN[-19:]

    async with serving(desk) as client:
        status, _, _ = await bring(client, sample("arf-abuse-signed.eml"), {"recipient": forged})
        fixed, _, _ = await bring(
            client, b"Subject: about %b\n\nunsubscribe" % RETURN_PATH.encode(), {"recipient": f"abuse@{DOMAIN}"}
        )

    assert (status, fixed) == (404, 200)
    assert desk.bus.facts == []
