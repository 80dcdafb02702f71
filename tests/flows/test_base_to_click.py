"""The first day of who keeps their base here, on an instance as `make run` starts one: a file of 10,000 contacts, a
segment of it, a job to the segment, a click in the mailbox, the rank; whoever clicked is among the most active, and
nobody else is."""

import re
from pathlib import Path
from typing import Any

from tests.flows.stack import Stack

#: People in tests click at once.
OWN = {"ESTAFETTE_CONTACTS_PRIVATE": "true", "ESTAFETTE_CONTACTS_SOON_MS": "0"}
PEOPLE = 10_000
#: So many are of each town.
TOWNS = ("Lille", "Lens", "Paris", "Lyon", "Brest", "Nice", "Metz", "Dijon", "Rennes", "Nantes")
OF_A_TOWN = PEOPLE // len(TOWNS)
CLICKER = "p120@base.test"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
IN_LILLE = {"kind": "field", "field": "town", "test": "equals", "value": "lille"}


def base() -> str:
    lines = [f"p{n}@base.test;P{n};{TOWNS[n % len(TOWNS)]};Oui" for n in range(PEOPLE)]
    return "\n".join(["Adresse Email;Prénom;Ville;Opt-In Email", *lines, ""])


async def imported(stack: Stack) -> dict[str, Any]:
    """What became of the lines."""
    status, told = await stack.call(
        "POST", "/v1/contact-imports?name=Base", data=base().encode(), headers={"Content-Type": "text/csv"}
    )
    assert status == 202, told

    async def done() -> dict[str, Any] | None:
        _, found = await stack.call("GET", f"/v1/contact-imports/{told['id']}")
        return dict(found) if found["state"] == "done" else None

    return await stack.until(done)


async def clicked_in_the_mailbox(stack: Stack, address: str) -> None:
    """As a person does: the mail is found in the list, opened, looked at, and a link in it pressed."""

    async def page(url: str) -> str:
        async with stack.session.get(url, headers=BROWSER) as answer:
            assert answer.status == 200, url
            return await answer.text()

    await stack.mail(address)
    (there,) = set(re.findall(r'href="(/mailbox/\d+-\d+)"', await page(f"{stack.base}/mailbox?q={address}")))
    (frame,) = re.findall(r'<iframe[^>]* src="([^"]+)"', await page(stack.base + there))
    link = re.findall(r'<a [^>]*href="(http[^"]+/c/[^"]+)"', await page(stack.base + frame))[0]
    async with stack.session.get(link, headers=BROWSER, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "https://exemple.fr/soldes")


async def of_notes(stack: Stack, lowest: int, highest: int) -> tuple[int, list[str]]:
    """How many contacts have such a note, and the addresses of up to ten of them."""
    body = {"criteria": {"kind": "activity", "at_least": lowest, "at_most": highest}}
    _, counted = await stack.call("POST", "/v1/segments/count", body)
    _, sampled = await stack.call("POST", "/v1/segments/sample", {**body, "limit": 10})
    return counted["contacts"], [one["email"] for one in sampled["contacts"]]


async def test_whoever_clicked_a_job_to_a_segment_of_an_imported_base_is_of_the_band_8_to_10(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        found = await imported(stack)
        assert (found["lines"], found["results"]["added"], found["results"]["refused"]) == (PEOPLE, PEOPLE, 0)

        status, saved = await stack.call("POST", "/v1/segments", {"name": "Lille", "criteria": IN_LILLE})
        assert status == 201, saved
        of_segment = {"kind": "segment", "test": "in", "segments": [saved["segment"]]}
        _, counted = await stack.call("POST", "/v1/segments/count", {"criteria": of_segment})
        assert (counted["contacts"], counted["email"]) == (OF_A_TOWN, OF_A_TOWN)

        body = {
            "from": "Chouette <news@exemple.fr>",
            "subject": "Bonjour {{ first_name }}",
            "html": '<p>Bonjour {{ first_name }} <a href="https://exemple.fr/soldes">Soldes</a> '
            '<a href="{{ unsubscribe_url }}">out</a></p>',
            "recipients_from": {"segment": "Lille"},
        }
        status, job = await stack.call("POST", "/v1/jobs", body)
        assert status == 202, job
        report = await stack.done(job["id"])
        assert (report["total"], report["counts"]["delivered"]) == (OF_A_TOWN, OF_A_TOWN)

        await clicked_in_the_mailbox(stack, CLICKER)

        async def is_noted() -> bool:
            """By the process that follows what happens, a little later than the click."""
            criteria = {"kind": "operation", "was": "clicked", "operations": [job["id"]]}
            return bool((await stack.call("POST", "/v1/segments/count", {"criteria": criteria}))[1]["contacts"])

        await stack.until(is_noted)
        assert await of_notes(stack, 1, 10) == (0, [])  # no note changes between runs

        status, ranked = await stack.call("POST", "/v1/activity/run")

        assert (status, ranked["last_run"]["active"]) == (200, 1)
        assert ranked["bands"] == {"not_addressable": 0, "none": PEOPLE - 1, "low": 0, "medium": 0, "high": 1}
        assert await of_notes(stack, 8, 10) == (1, [CLICKER])
        _, clicker = await stack.call("GET", f"/v1/contacts/{CLICKER}")
        assert 8 <= clicker["activity"] <= 10
        others, some = await of_notes(stack, 0, 0)
        assert (others, CLICKER in some) == (PEOPLE - 1, False)
