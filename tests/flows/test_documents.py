"""Senders → mails and `/v1/documents` → recipients → `/d/{token}`: openings of documents, told apart from clicks."""

import re
from typing import Any

import pytest

from tests.flows.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
MACHINE = {"User-Agent": "Barracuda Sentinel (EE)"}
HTML = (
    '<p><a data-document="Devis 2026-113" href="https://exemple.fr/devis/{{ numero }}.pdf">Votre devis</a> '
    '<a href="https://exemple.fr/a">a</a> {{ preferences_url }}</p>'
)
OUTSIDE = {"name": "Facture", "url": "https://exemple.fr/facture.pdf"}
DOCUMENT, PREFERENCES = (re.compile(rf"https?://[^\"\s<]*/{letter}/[\w-]+") for letter in "dp")


async def _opens(stack: Stack, link: str, headers: dict[str, str], method: str = "GET") -> str | None:
    """Where it leads."""
    async with stack.session.request(method, link, headers=headers, allow_redirects=False) as answer:
        return answer.headers.get("Location")


async def test_a_document_that_is_opened_from_a_mail_is_on_its_timeline_in_its_report_and_in_the_feed(
    stack: Stack,
) -> None:
    job = await stack.send("reads@document.test", html=HTML, variables={"numero": "113"})
    html = await stack.html(await stack.mail("reads@document.test"))
    (link,) = set(DOCUMENT.findall(html))  # in the text that is made of the HTML, too
    await stack.done(job)

    asked = await _opens(stack, link, PERSON, "HEAD")
    led = [await _opens(stack, link, by) for by in (MACHINE, PERSON, PERSON)]

    async def counted() -> dict[str, Any] | None:
        report = await stack.report(job)
        counts = report["counts"]["documents"]
        return report if counts["total"] + counts["machine"]["total"] == 3 else None

    report = await stack.until(counted)
    assert [asked, *led] == ["https://exemple.fr/devis/113.pdf"] * 4
    assert "data-document" not in html
    # Here a person may be as quick as a gateway, and is taken for one then.
    (row,) = report["documents"]
    assert (row["name"], row["positions"], row["total"] + row["machine_total"]) == ("Devis 2026-113", [0], 3)
    assert row["machine_total"] >= 1
    assert report["counts"]["clicks"]["total"] == report["counts"]["clicks"]["machine"]["total"] == 0
    assert "document_opened" in await stack.facts(f"{job}.0")
    _, feed = await stack.call("GET", f"/v1/events?job={job}&type=message.document_opened")
    told = [(one["email"], one["details"]["document"], one["details"]["machine"]) for one in feed["events"]]
    assert sorted(told) == [("reads@document.test", "Devis 2026-113", word) for word in ("", "", "scanner")]
    assert {one["details"]["url"] for one in feed["events"]} == {"https://exemple.fr/devis/113.pdf"}


async def test_links_of_the_api_are_for_a_message_or_an_address_and_end(stack: Stack) -> None:
    job = await stack.send("gets@document.test", html="<p>Bonjour</p>")
    await stack.done(job)

    for_message = await stack.call("POST", "/v1/documents", {**OUTSIDE, "message": f"{job}.0"})
    for_address = await stack.call("POST", "/v1/documents", {**OUTSIDE, "email": "by-sms@document.test"})
    over = await stack.call(
        "POST", "/v1/documents", {**OUTSIDE, "email": "late@document.test", "expires_at": "2020-01-01T00:00:00Z"}
    )
    others = await stack.new_key("elsewhere", "send")
    foreign = await stack.call("POST", "/v1/documents", {**OUTSIDE, "message": f"{job}.0"}, key=others)
    led = [await _opens(stack, answer["link"], PERSON) for _, answer in (for_message, for_address)]
    forged = await stack.call("GET", for_address[1]["link"][:-3] + "abc", headers=PERSON)

    async def counted() -> dict[str, Any] | None:
        report = await stack.report(job)
        return report if report["counts"]["documents"]["total"] else None

    async def told() -> list[dict[str, Any]] | None:
        _, page = await stack.call("GET", "/v1/events?type=address.document_opened&limit=1000")
        return page["events"] or None

    report, events = await stack.until(counted), await stack.until(told)
    assert led == ["https://exemple.fr/facture.pdf"] * 2
    assert (over[0], foreign[0], forged[0]) == (422, 404, 404)
    assert report["documents"] == [{"name": None, "positions": [], "unique": 1, "total": 1, "machine_total": 0}]
    assert report["counts"]["opens"]["unique"] == 0
    assert [(one["email"], one["job"], one["details"]["document"]) for one in events] == [
        ("by-sms@document.test", None, "Facture")
    ]


async def test_of_who_withdraws_no_opening_is_recorded_and_documents_are_plain_from_then_on(stack: Stack) -> None:
    job = await stack.send("withdraws@document.test", "stays@document.test", html=HTML, variables={"numero": "7"})
    html = await stack.html(await stack.mail("withdraws@document.test"))
    other = await stack.html(await stack.mail("stays@document.test"))
    (link,), (stays,) = set(DOCUMENT.findall(html)), set(DOCUMENT.findall(other))

    await stack.call("POST", PREFERENCES.findall(html)[0], data={"tracking": "no", "by": "page"}, headers=PERSON)
    led = await _opens(stack, link, PERSON)
    await _opens(stack, stays, PERSON)

    async def counted() -> bool:
        counts = (await stack.report(job))["counts"]["documents"]
        return bool(counts["total"] + counts["machine"]["total"])

    async def plain() -> bool:
        wanted = {**OUTSIDE, "email": "withdraws@document.test"}
        _, answer = await stack.call("POST", "/v1/documents", wanted)
        return bool(answer == {"link": OUTSIDE["url"], "tracked": False, "expires_at": None})

    await stack.until(counted)
    await stack.until(plain)
    assert led == "https://exemple.fr/devis/7.pdf"
    (row,) = (await stack.report(job))["documents"]
    assert row["total"] + row["machine_total"] == 1
