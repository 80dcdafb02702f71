"""Job → mail → click → page: what a recipient does on the tenant's site, by consent, comes into report and timeline."""

import json
import re
from typing import Any

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
SHOP = {"sites": ["www.shop.test"], "events": ["basket", "purchase"], "currencies": ["EUR"]}
HTML = '<p>Bonjour</p><a href="https://www.shop.test/shoes">A</a> <a href="https://other.test/">B</a>'
LINKS = re.compile(r'"(https?://[^"]*/c/[\w-]+)"')
PAGE = "https://www.shop.test/merci?order=4711"


async def _links(stack: Stack, address: str) -> list[str]:
    mail = await stack.mail(address)
    return LINKS.findall(await stack.html(mail))


async def _followed(stack: Stack, link: str) -> str:
    """Where a click leads."""
    async with stack.session.get(link, headers=PERSON, allow_redirects=False) as answer:
        assert answer.status == 302
        return answer.headers["Location"]


async def _visit(stack: Stack, link: str) -> str:
    """The token that a click carries, once trackers know of the site."""

    async def carried() -> str:
        return (await _followed(stack, link)).partition("#estafette=")[2]

    return await stack.until(carried)


async def _tell(stack: Stack, token: str, told: dict[str, Any]) -> int:
    body = json.dumps({"url": PAGE, **told}).encode()
    async with stack.session.post(f"{stack.base}/w/{token}", data=body, headers=PERSON) as answer:
        return answer.status


async def test_what_a_recipient_does_on_the_site_is_in_report_timeline_and_feed(stack: Stack) -> None:
    key = await stack.new_key("demo", "admin")
    assert (await stack.call("PUT", "/v1/web-tracking", SHOP, key=key))[0] == 200
    job = await stack.send("buyer@web.test", html=HTML)
    to_shop, to_other = await _links(stack, "buyer@web.test")

    token = await _visit(stack, to_shop)
    assert await _followed(stack, to_other) == "https://other.test/"
    purchase: dict[str, Any] = {"kind": "event", "name": "purchase", "id": "4711", "value": 59.9, "currency": "EUR"}
    told: list[dict[str, Any]] = [
        {"kind": "consent", "given": True},
        {"kind": "page"},
        purchase,
        purchase,
        {"kind": "event", "name": "x"},
    ]
    statuses = [await _tell(stack, token, one) for one in told]
    forged = await _tell(stack, token[:-3] + "abc", {"kind": "page"})

    assert (statuses, forged) == ([204, 204, 204, 204, 422], 404)

    async def counted() -> dict[str, Any] | None:
        visits: dict[str, Any] = (await stack.report(job))["visits"]
        return visits if visits["events"] and visits["total"] else None

    visits = await stack.until(counted)
    assert (visits["unique"], visits["total"], visits["machine_total"]) == (1, 1, 0)
    assert visits["events"] == [
        {
            "name": "purchase", "unique": 1, "total": 1, "machine_total": 0,
            "amounts": [{"currency": "EUR", "total": "59.9"}],
        }
    ]  # fmt: skip
    _, shown = await stack.call("GET", f"/v1/messages/{job}.0")
    types = [one["type"] for one in shown["timeline"]]
    assert [types.count(f"message.{one}") for one in ("visitor_consented", "page_viewed", "visitor_acted")] == [1, 1, 1]
    _, page = await stack.call("GET", f"/v1/events?job={job}&type=message.visitor_acted&limit=100")
    assert {one["event_id"] for one in page["events"]} == {one["event_id"] for one in page["events"][:1]}
    assert page["events"][0]["details"]["url"] == "https://www.shop.test/merci"


async def test_of_who_withdrew_nothing_is_recorded_on_the_site_either(stack: Stack) -> None:
    await stack.call("PUT", "/v1/web-tracking", SHOP, key=await stack.new_key("demo", "admin"))
    job = await stack.send("shy@web.test", html=HTML)
    link = (await _links(stack, "shy@web.test"))[0]
    token = await _visit(stack, link)

    await stack.call("PUT", "/v1/consents/shy@web.test", {"tracking": "no"})

    async def plain() -> bool:
        return "#estafette=" not in await _followed(stack, link)

    await stack.until(plain)
    assert await _tell(stack, token, {"kind": "page"}) == 204
    await stack.send("other@web.test", html=HTML)  # whose visit comes after it
    later = await _visit(stack, (await _links(stack, "other@web.test"))[0])
    assert await _tell(stack, later, {"kind": "page"}) == 204
    assert (await stack.report(job))["visits"]["total"] == 0


async def test_without_sites_no_click_carries_anything_and_nothing_is_taken(stack: Stack) -> None:
    key = await stack.new_key("demo", "admin")
    await stack.call("PUT", "/v1/web-tracking", SHOP, key=key)
    await stack.send("quiet@web.test", html=HTML)
    link = (await _links(stack, "quiet@web.test"))[0]
    token = await _visit(stack, link)

    assert (await stack.call("DELETE", "/v1/web-tracking", key=key))[0] == 204

    async def plain() -> bool:
        return await _followed(stack, link) == "https://www.shop.test/shoes"

    await stack.until(plain)
    assert await _tell(stack, token, {"kind": "page"}) == 422
