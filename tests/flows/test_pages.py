"""Recipients → their pages: leaving and coming back, lists, channels, how often, in the look of the tenant."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.tracking.consent_words import WORDS
from services.tracking.page_words import WORDS as PAGE_WORDS
from tests.flows.stack import Stack
from tests.peers.browser import browsing

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
MAIL = (
    '<html lang="de"><p><a href="https://exemple.fr/a">a</a> {{ unsubscribe_url }} {{ preferences_url }} '
    "{{ tracking_url }} {{ opt_in_url }}?box</p></html>"
)
LOOK = {
    "name": "Chouette",
    "accent": "#7a1f3d",
    "contact": "contact@exemple.fr",
    "channels": ["sms"],
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
    html = await stack.html(await stack.mail(address))
    found = re.findall(r"https?://[^\s\"<]*/([upa])/[A-Za-z0-9_-]+(\?tracking)?", html)
    urls = [match[0] for match in re.finditer(r"https?://[^\s\"<]*/[upa]/[A-Za-z0-9_-]+(?:\?tracking|\?box)?", html)]
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
    assert 'name="phone"' not in asked
    assert "Sie sind bereits abgemeldet" in again
    assert "rückgängig gemacht" in back
    assert "Jetzt abmelden" in once_more
    events = [one for one in await stack.events(job) if one["type"] == "message.unsubscribed"]
    assert [one["details"]["reason"] for one in events] == ["too_many", ""]
    assert len({one["event_id"] for one in events}) == 2


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
        "estafette-preferences-de-3",
    )

    async def out() -> bool:
        status, answer = await stack.call("GET", f"/v1/suppressions/{address}")
        found = {(one["channel"], one["scope"]) for one in answer["entries"]} if status == 200 else set()
        return found == {("email", "list:letter"), ("sms", "marketing")}

    await stack.until(out)


async def test_who_leaves_everything_and_agrees_again_gets_mail_again(stack: Stack) -> None:
    address = "returns@pages.test"
    await stack.send(address, html=MAIL, list="letter")
    url = (await _links(stack, address))["p"]

    async def scopes(*wanted: str) -> bool:
        return await _scopes(stack, address) == list(wanted)

    await _page(stack, url, data={"leave": "all"})
    await stack.until(lambda: scopes("marketing", "marketing", "marketing"))  # by e-mail, SMS and telephone
    stopped = await stack.done(await stack.send(address, list="letter"))
    page = await _page(stack, url)
    await _page(stack, url, data=_filled(page, email="yes"))
    await stack.until(lambda: scopes("marketing", "marketing"))

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


async def test_a_form_of_the_tenants_own_brings_back_who_had_left_and_is_overtaken_by_who_leaves_again(
    stack: Stack,
) -> None:
    address = "agrees@pages.test"
    await stack.send(address, html=MAIL)
    url = (await _links(stack, address))["u"]
    body = {"optin": {"email": "yes"}, "text": "form-3", "who": "form /subscribe"}

    async def scopes(*wanted: str) -> bool:
        return await _scopes(stack, address) == list(wanted)

    await _page(stack, url, data={"by": "page"})
    await stack.until(lambda: scopes("marketing"))
    _, told = await stack.call("PUT", f"/v1/consents/{address}", body)
    back, page = await _scopes(stack, address), await _page(stack, url)
    await _page(stack, url, data=_filled(page, by="page"))
    await stack.until(lambda: scopes("marketing"))
    preferences = await _page(stack, (await _links(stack, address))["p"])

    assert [one["at"] for one in told["warnings"]] == ["$.optin.email"]
    assert back == []
    assert "Jetzt abmelden" in page
    assert re.findall(r'name="email" value="(\w+)" checked', preferences) == ["no"]


async def test_in_a_browser_without_javascript_all_pages_work_and_by_keyboard_alone(
    stack: Stack, tmp_path: Path
) -> None:
    """Tab, Space and Enter tick the box of the opt-in and send it; all else is clicked."""
    address = "browses@pages.test"
    await stack.send(address, html=MAIL, list="letter")
    links = await _links(stack, address)
    async with browsing(tmp_path / "profile") as browser:
        await browser.scripts(run=False)

        async def press(url: str, *css: str) -> str:
            if url:
                await browser.go(url)
            for one in css[:-1]:
                await browser.click(one)
            async with browser.leaving():
                await browser.click(css[-1])
            return str(await browser.run("return document.querySelector('h1').textContent"))

        left = await press(links["u"], "input[value=too_many]", "button")
        back = await press("", "button[name=undo]")
        saved = await press(links["p"], "input[name=on][value='1']", "input[name=sms][value=no]", "button")
        untracked = await press(links["tracking"], "button")
        await browser.go(links["a"])
        async with browser.leaving():
            await browser.press("\ue004", " ", "\ue004", "\ue007")
        agreed = await browser.run("return document.querySelector('h1').textContent")

    async def log() -> Any:
        _, found = await stack.call("GET", f"/v1/consents/{address}/log")
        return found["entries"] if len(found.get("entries", [])) == 4 else None

    undone, chosen, withdrawn, opted_in = sorted(await stack.until(log), key=lambda one: str(one["time"]))
    assert [left, back, saved, untracked, agreed] == [
        PAGE_WORDS["de"].left_title,
        PAGE_WORDS["de"].back_title,
        WORDS["de"].saved_title,
        WORDS["de"].saved_title,
        WORDS["de"].in_done_title,
    ]
    assert undone["text"] == "estafette-undo-de-3"
    assert (chosen["joined"], chosen["answers"]) == (["offers"], {"sms": "no"})
    assert withdrawn["answers"] == {"tracking": "no"}
    assert (opted_in["by"], opted_in["answers"], opted_in["text"]) == ("page", {"email": "yes"}, "estafette-box-de-3")


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
    html = await stack.html(await stack.mail(address))
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
        "estafette-confirm-it-3",
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
