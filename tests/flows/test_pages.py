"""Recipients → their pages: leaving and coming back, lists, channels, how often, in the look of the tenant."""

import quopri
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest
import pytest_asyncio

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
MAIL = (
    '<html lang="de"><p><a href="https://exemple.fr/a">a</a> {{ unsubscribe_url }} {{ preferences_url }} '
    "{{ tracking_url }}</p></html>"
)
LOOK = {
    "name": "Chouette",
    "accent": "#7a1f3d",
    "contact": "contact@exemple.fr",
    "lists": [{"name": "letter", "title": "La lettre"}, {"name": "offers", "title": "Les offres"}],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def look(stack: Stack) -> AsyncIterator[None]:
    """The pages of this module's tenant look like that."""
    key = await stack.new_key("demo", "admin")
    status, shown = await stack.call("PUT", "/v1/look", LOOK, key=key)
    assert (status, shown["name"], shown["accent_dark"]) == (200, "Chouette", "")
    yield
    assert (await stack.call("DELETE", "/v1/look", key=key))[0] == 204


async def _links(stack: Stack, address: str) -> dict[str, str]:
    """The pages of the one mail that somebody has, by their letters; that of tracking alone as `tracking`."""
    html = quopri.decodestring(await stack.source(await stack.mail(address))).decode("utf-8", "replace")
    found = re.findall(r"https?://[^\s\"<]*/([up])/[A-Za-z0-9_-]+(\?tracking)?", html)
    urls = [match[0] for match in re.finditer(r"https?://[^\s\"<]*/[up]/[A-Za-z0-9_-]+(?:\?tracking)?", html)]
    return {"tracking" if tracking else letter: url for (letter, tracking), url in zip(found, urls, strict=True)}


async def _page(stack: Stack, url: str, **options: Any) -> str:
    method = "POST" if "data" in options else "GET"
    status, page = await stack.call(method, url, headers=PERSON, **options)
    assert status == 200
    return page if isinstance(page, str) else page.decode()


def _filled(page: str, **changed: str | None) -> list[tuple[str, str]]:
    """What a browser sends of a form, with some fields another: None for none."""
    found = re.findall(r'<input type="(\w+)" name="(\w+)" value="([^"]*)"( checked)?>', page)
    kept = [(name, unescape(value)) for kind, name, value, checked in found if kind == "hidden" or checked]
    return [one for one in kept if one[0] not in changed] + [(k, v) for k, v in changed.items() if v is not None]


async def _scopes(stack: Stack, address: str) -> list[str]:
    status, answer = await stack.call("GET", f"/v1/suppressions/{address}")
    return sorted(one["scope"] for one in answer["entries"]) if status == 200 else []


async def _state(stack: Stack, name: str, address: str) -> str:
    status, answer = await stack.call("GET", f"/v1/lists/{name}/members/{address}")
    return str(answer["state"]) if status == 200 else ""


async def test_who_leaves_is_told_so_comes_back_and_leaves_again(stack: Stack) -> None:
    address = "leaves@pages.test"
    job = await stack.send(address, html=MAIL, list="letter")
    url = (await _links(stack, address))["u"]

    async def scopes(*wanted: str) -> bool:
        return await _scopes(stack, address) == list(wanted)

    asked = await _page(stack, url)
    left = await _page(stack, url, data={"by": "page", "why": "too_many", "lang": "de"})
    await stack.until(lambda: scopes("list:letter"))
    again = await _page(stack, url)
    back = await _page(stack, url, data={"undo": "yes"})
    await stack.until(scopes)
    once_more = await _page(stack, url)
    await _page(stack, url, data={"List-Unsubscribe": "One-Click"})
    await stack.until(lambda: scopes("list:letter"))

    assert '<html lang="de">' in asked  # as the mail says
    for shown in ("Chouette", "La lettre", "l…@p….test", "contact@exemple.fr", "--act:#7a1f3d"):
        assert shown in asked
    assert address not in asked
    assert 'name="undo"' in left
    assert "Sie sind bereits abgemeldet" in again
    assert "rückgängig gemacht" in back
    assert "Jetzt abmelden" in once_more
    events = [one for one in await stack.events(job) if one["type"] == "message.unsubscribed"]
    assert events[0]["details"]["reason"] == "too_many"


async def test_lists_channels_and_how_often_are_chosen_on_the_page_and_proved(stack: Stack) -> None:
    address = "chooses@pages.test"
    await stack.send(address, html=MAIL, list="letter")
    url = (await _links(stack, address))["p"]

    first = await _page(stack, url)
    await _page(stack, url, data=_filled(first, on="1", sms="no", often="1/7"))

    async def done() -> bool:
        return await _state(stack, "offers", address) == "joined" and await _state(stack, "letter", address) == "left"

    await stack.until(done)
    second = await _page(stack, url)
    _, consent = await stack.call("GET", f"/v1/consents/{address}")
    _, log = await stack.call("GET", f"/v1/consents/{address}/log")
    assert re.findall(r'name="(\w+)" value="([^"]*)" checked', first) == [("on", "0")]
    assert re.findall(r'name="(\w+)" value="([^"]*)" checked', second) == [("on", "1"), ("sms", "no"), ("often", "1/7")]
    assert consent["pressure"] == {"most": 1, "days": 7}
    assert consent["optin"]["sms"]["answer"] == "no"
    (entry,) = log["entries"]
    assert (entry["joined"], entry["left"], entry["by"], entry["text"]) == (
        ["offers"],
        ["letter"],
        "page",
        "estafette-preferences-de-2",
    )
    assert await _scopes(stack, address) == ["list:letter"]


async def test_who_leaves_everything_and_agrees_again_gets_mail_again(stack: Stack) -> None:
    address = "returns@pages.test"
    await stack.send(address, html=MAIL, list="letter")
    url = (await _links(stack, address))["p"]

    async def scopes(*wanted: str) -> bool:
        return await _scopes(stack, address) == list(wanted)

    await _page(stack, url, data={"leave": "all"})
    await stack.until(lambda: scopes("marketing"))
    stopped = await stack.done(await stack.send(address, list="letter"))
    page = await _page(stack, url)
    await _page(stack, url, data=_filled(page, email="yes"))
    await stack.until(scopes)

    async def mailed() -> bool:
        return bool((await stack.done(await stack.send(address, list="letter")))["counts"]["delivered"])

    assert stopped["counts"]["delivered"] == 0
    await stack.until(mailed)


@pytest.mark.parametrize("fields", [{"list": "letter"}, {}], ids=["of a list", "of none"])
async def test_who_left_everything_is_not_told_by_the_page_of_one_mail_that_they_are_back(
    stack: Stack, fields: dict[str, str]
) -> None:
    address = f"left-{len(fields)}@everything.test"
    await stack.send(address, html=MAIL, **fields)
    urls = await _links(stack, address)
    await _page(stack, urls["u"], data={"by": "page"})
    one = await stack.until(lambda: _scopes(stack, address))
    before = await _page(stack, urls["u"])
    await _page(stack, urls["p"], data={"leave": "all"})

    async def everything() -> bool:
        status, answer = await stack.call("GET", f"/v1/consents/{address}")
        return (
            status == 200
            and answer["optin"]["email"]["answer"] == "no"
            and "marketing" in await _scopes(stack, address)
        )

    await stack.until(everything)
    after = await _page(stack, urls["u"])
    undone = await _page(stack, urls["u"], data={"undo": "yes"})

    assert one == [f"list:{fields['list']}" if fields else "marketing"]
    assert 'name="undo"' in before
    assert "Sie sind bereits abgemeldet" in after
    assert 'name="undo"' not in after
    assert "Sie sind bereits abgemeldet" in undone


async def test_nobody_joins_a_list_that_is_not_offered(stack: Stack) -> None:
    address = "curious@pages.test"
    await stack.send(address, html=MAIL, list="letter")
    url = (await _links(stack, address))["p"]

    await _page(stack, url, data=[("list", "secret"), ("list", "offers"), ("on", "0"), ("on", "1")])

    async def joined() -> bool:
        return await _state(stack, "offers", address) == "joined"

    await stack.until(joined)
    assert await _state(stack, "secret", address) == ""


async def test_the_link_of_tracking_withdraws_the_consent_to_it(stack: Stack) -> None:
    address = "untracked@pages.test"
    await stack.send(address, html=MAIL)
    url = (await _links(stack, address))["tracking"]

    page = await _page(stack, url)
    await _page(stack, url, data=_filled(page, tracking="no"))

    async def known() -> Any:
        status, answer = await stack.call("GET", f"/v1/consents/{address}")
        return answer if status == 200 else None

    found = await stack.until(known)
    assert page.count("<button") == 1
    assert (found["tracking"]["answer"], found["tracking"]["by"]) == ("no", "page")


async def test_a_look_that_cannot_be_read_is_refused(stack: Stack) -> None:
    key = await stack.new_key("demo", "admin")

    status, answer = await stack.call("PUT", "/v1/look", {"accent": "#ffff00", "logo": "http://x.test/"}, key=key)

    assert status == 422
    assert [fault["at"] for fault in answer["faults"]] == ["$.logo", "$.accent"]
    assert (await stack.call("GET", "/v1/look"))[1]["name"] == "Chouette"


async def test_a_double_opt_in_is_confirmed_by_the_button_of_its_page_alone(stack: Stack) -> None:
    address = "asks@pages.test"
    sent = await stack.report(await stack.send("first@pages.test"))
    body = {"email": address, "from": sent["from"], "list": "letter", "purpose": "offers", "language": "it"}

    first, accepted = await stack.call("POST", "/v1/optins", body)
    again, repeated = await stack.call("POST", "/v1/optins", body)
    html = quopri.decodestring(await stack.source(await stack.mail(address))).decode("utf-8", "replace")
    found = re.search(r"https?://[^\s\"<]*/a/[A-Za-z0-9_-]+\?confirm", html)
    assert found is not None
    page = await _page(stack, found[0])  # as a scanner does
    before, _ = await stack.call("GET", f"/v1/consents/{address}")
    await _page(stack, found[0], data=_filled(page))

    async def joined() -> bool:
        return await _state(stack, "letter", address) == "joined"

    await stack.until(joined)
    _, log = await stack.call("GET", f"/v1/consents/{address}/log")
    (entry,) = log["entries"]
    assert (first, again, accepted["id"], before) == (202, 202, repeated["id"], 404)
    assert len(await stack.mails(address)) == 1
    assert '<html lang="it">' in page
    assert (entry["by"], entry["purpose"], entry["text"], entry["joined"], entry["answers"]) == (
        "double_opt_in",
        "offers",
        "estafette-confirm-it-2",
        ["letter"],
        {"email": "yes"},
    )


async def test_no_mail_asks_where_the_tenant_wants_none(stack: Stack) -> None:
    key = await stack.new_key("demo", "admin")
    body = {"email": "none", "from": "Chouette <news@exemple.test>"}
    await stack.call("PUT", "/v1/consent-rules", {"double_opt_in": False}, key=key)

    async def off() -> bool:
        status, answer = await stack.call("POST", "/v1/optins", body)
        return status == 409 and answer["type"].endswith("double_opt_in_off")

    try:
        await stack.until(off)
    finally:
        await stack.call("PUT", "/v1/consent-rules", {}, key=key)

    async def on() -> str:
        status, answer = await stack.call("POST", "/v1/optins", body)
        return str(answer["faults"][0]["at"]) if status == 422 else ""

    assert await stack.until(on) == "$.email"
