"""events, clock ⇒ suppression: a click counts, and of whom nothing came for years their tenant is told."""

from typing import Any

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
HTML = '<p><a href="https://exemple.fr/offer">offer</a></p>'


async def test_the_day_and_the_hour_of_a_click_are_kept(stack: Stack) -> None:
    job = await stack.send("clicks@retention.test", html=HTML)
    await stack.done(job)
    mail = await stack.mail("clicks@retention.test")
    (link,) = [one for one in mail["links"] if "/c/" in one]
    await stack.call("GET", link, headers=FIREFOX, allow_redirects=False)

    async def heard_of() -> str | None:
        _, person = await stack.call("GET", "/v1/people/clicks@retention.test")
        return str(person["last_interaction"]) if person["last_interaction"] else None

    async def hours() -> dict[str, int] | None:
        _, person = await stack.call("GET", "/v1/people/clicks@retention.test")
        return dict(person["usual_hours"]["hours"]) if person["usual_hours"] else None

    assert len(await stack.until(heard_of)) == len("2026-01-31")
    assert list((await stack.until(hours)).values()) == [1]


async def test_who_is_silent_for_years_is_told_of_and_shown(stack: Stack) -> None:
    silent = {"email": "silent@retention.test", "at": "2020-02-29T09:00:00Z"}
    await stack.call("POST", "/v1/interactions", json={"interactions": [silent]})

    status, _ = await stack.call("PUT", "/v1/retention", json={"years": 3, "warn_days": 30})

    async def told() -> dict[str, Any] | None:
        _, page = await stack.call("GET", "/v1/events", params={"type": "address.retention_near"})
        return next((one for one in page["events"] if one["email"] == "silent@retention.test"), None)

    event = await stack.until(told)
    _, page = await stack.call("GET", "/v1/retention/people")
    shown = await stack.console("retention", "show", "demo", "--json")
    await stack.call("DELETE", "/v1/retention")
    assert status == 200
    assert event["details"]["last_at"] == "2020-02-29T00:00:00.000Z"
    (one,) = [one for one in page["people"] if one["address"] == "silent@retention.test"]
    assert (one["last"], one["warned"] is not None) == ("2020-02-29", True)
    assert "silent@retention.test" in shown
