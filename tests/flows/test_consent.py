"""Recipients → pages, programs → /v1/consents: who agreed to what, what is proved of it, and what follows."""

import re
from typing import Any

import pytest

from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
PAGES = '<p><a href="https://exemple.fr/a">a</a> {{ preferences_url }} {{ opt_in_url }}</p>'


async def _consent(stack: Stack, address: str) -> dict[str, Any] | None:
    status, answer = await stack.call("GET", f"/v1/consents/{address}")
    return answer if status == 200 else None


def _link(html: str, path: str) -> str:
    found = re.search(rf"https?://[^\s\"<]*/{path}/[A-Za-z0-9_-]+", html)
    assert found is not None
    return found[0]


async def _clicks_and_opens(stack: Stack, job_id: str) -> tuple[int, int]:
    counts = (await stack.report(job_id))["counts"]
    return counts["clicks"]["total"], counts["opens"]["total"]


async def test_who_withdraws_on_the_page_is_not_tracked_any_more_in_mails_they_have_either(stack: Stack) -> None:
    first = await stack.send("withdraws@consent.test", "agrees@consent.test", html=PAGES)
    mail, other = await stack.mail("withdraws@consent.test"), await stack.mail("agrees@consent.test")
    html = await stack.html(mail)
    page = _link(html, "p")

    seen = await stack.call("GET", page)
    assert await _consent(stack, "withdraws@consent.test") is None
    saved = await stack.call("POST", page, data={"tracking": "no", "by": "page"}, headers=PERSON)
    found = await stack.until(lambda: _consent(stack, "withdraws@consent.test"))
    picture = await stack.call("GET", _link(html, "o"), headers=PERSON)
    followed = await stack.call("GET", mail["links"][0], headers=PERSON, allow_redirects=False)
    await stack.call("GET", other["links"][0], headers=PERSON, allow_redirects=False)

    async def counted() -> bool:
        return (await _clicks_and_opens(stack, first))[0] > 0

    await stack.until(counted)
    assert (seen[0], saved[0], picture[0], followed[0]) == (200, 200, 200, 302)
    # The other's, whose click implies an opening.
    assert await _clicks_and_opens(stack, first) == (1, 1)
    assert "message.clicked" not in await stack.facts(f"{first}.0")
    assert (found["tracking"]["answer"], found["tracking"]["by"]) == ("no", "page")
    html = await stack.until(lambda: _plain(stack, "withdraws@consent.test"))
    assert "/o/" not in html


async def _plain(stack: Stack, address: str) -> str | None:
    """The HTML of a mail that is sent now, once its links are plain: a tenant's first consent holds within a second."""
    await stack.done(await stack.send(address, html=PAGES))
    sources = [await stack.html(mail) for mail in await stack.mails(address)]
    return next((html for html in sources if 'href="https://exemple.fr/a"' in html), None)


async def test_what_a_program_notes_is_proved_and_holds_for_the_next_mail(stack: Stack) -> None:
    body = {"tracking": "no", "text": "call-1", "who": "the telephone"}

    status, _ = await stack.call("PUT", "/v1/consents/told@consent.test", body)

    await stack.until(lambda: _plain(stack, "told@consent.test"))
    _, log = await stack.call("GET", "/v1/consents/told@consent.test/log")
    assert status == 200
    assert [(one["answers"], one["text"], one["who"], one["by"]) for one in log["entries"]] == [
        ({"tracking": "no"}, "call-1", "the telephone", "api")
    ]


async def test_nothing_comes_of_the_pages_of_a_test(stack: Stack) -> None:
    await stack.send("tester@consent.test", html=PAGES, test=True)
    html = await stack.html(await stack.mail("tester@consent.test"))

    opted_in = await stack.call("POST", _link(html, "a"), data={"by": "page"})
    saved = await stack.call("POST", _link(html, "p"), data={"tracking": "no"})
    await stack.call("PUT", "/v1/consents/other@consent.test", {"objected": "yes"})

    assert (opted_in[0], saved[0]) == (200, 200)
    assert await _consent(stack, "tester@consent.test") is None


async def test_who_objects_gets_no_marketing_and_their_password(stack: Stack) -> None:
    await stack.call("PUT", "/v1/consents/objects@consent.test", {"objected": "yes", "kind": "professional"})
    body = job("objects@consent.test")
    body["recipients"][0] |= {"kind": "professional", "optin": True}

    async def held() -> bool:
        _, sent = await stack.call("POST", "/v1/jobs", body)
        return bool((await stack.done(sent["id"]))["counts"]["suppressed"]["total"] == 1)

    await stack.until(held)
    report = await stack.done(await stack.send("objects@consent.test", stream="transactional"))
    assert report["counts"]["delivered"] == 1


async def test_the_button_opts_in_and_the_gate_lets_through_who_did(stack: Stack) -> None:
    await stack.send("asked@gate.test", html=PAGES, stream="transactional")
    page = _link(await stack.html(await stack.mail("asked@gate.test")), "a")
    key = await stack.new_key("demo", "admin")
    changed, _ = await stack.call("PUT", "/v1/consent-rules", {"gate": "required"}, key=key)
    assert changed == 200

    async def required() -> bool:
        report = await stack.done(await stack.send("nobody@gate.test"))
        return bool(report["counts"]["rejected"])

    try:
        await stack.until(required)
        shown = await stack.call("GET", page)
        before = await stack.done(await stack.send("asked@gate.test"))
        pressed = await stack.call("POST", page, data={"by": "page"}, headers=PERSON)
        found = await stack.until(lambda: _consent(stack, "asked@gate.test"))
        after = await stack.done(await stack.send("asked@gate.test", "nobody@gate.test"))
    finally:
        await stack.call("PUT", "/v1/consent-rules", {"gate": "declared"}, key=key)

    assert (shown[0], pressed[0]) == (200, 200)
    assert (before["counts"]["rejected"], before["counts"]["delivered"]) == (1, 0)
    assert (found["optin"]["email"]["answer"], found["optin"]["email"]["by"]) == ("yes", "button")
    assert (after["counts"]["rejected"], after["counts"]["delivered"]) == (1, 1)
