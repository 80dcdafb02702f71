"""An instance with a PostgreSQL of its own: started, killed, started again on what it had."""

import re
from email import message_from_string, policy
from pathlib import Path
from typing import Any

from services.contacts.base.database import Database, DatabaseAway
from tests.flows.stack import Stack

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
OWN = {"ESTAFETTE_CONTACTS_PRIVATE": "true"}


async def has_tables(directory: Path) -> bool:
    """Asked through the URL that an instance writes down."""
    database = Database((directory / "contacts.url").read_text().strip(), 1, 30)
    try:
        async with database.connection() as sql:
            return bool(await sql.fetchval("SELECT count(*) FROM migrations"))
    except DatabaseAway:
        return False
    finally:
        await database.close()


async def test_an_instance_has_a_postgresql_of_its_own_which_is_started_again_when_it_dies(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    async with Stack.running(directory, OWN) as stack:
        assert await has_tables(directory)

        await stack.killed_and_back("postgresql")

        await stack.until(lambda: has_tables(directory))
    assert not (directory / "contacts.url").exists()

    async with Stack.running(directory, OWN):
        assert await has_tables(directory)


async def test_a_contact_is_written_and_what_is_agreed_to_elsewhere_reaches_it(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        status, made = await stack.call("PUT", "/v1/contacts/ana@exemple.fr", {"fields": {"town": "Lyon"}})
        assert (status, made["channels"]["email"]["why_not"]) == (201, "no_optin")

        await stack.answered("PUT", "/v1/consents/ana@exemple.fr", {"optin": {"email": "yes"}})

        async def opted_in() -> bool:
            _, found = await stack.call("GET", "/v1/contacts/ana@exemple.fr")
            return bool(found["channels"]["email"]["addressable"])

        await stack.until(opted_in)
        await stack.killed_and_back("contacts")
        assert (await stack.call("DELETE", "/v1/contacts/ana@exemple.fr"))[0] == 204
        assert (await stack.call("GET", "/v1/contacts/ana@exemple.fr"))[0] == 404


async def test_events_of_contacts_are_in_the_feed_once_whoever_is_killed_meanwhile(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        await stack.answered("PUT", "/v1/contact-events", {"imports": True})
        keys = [f"u{number}@exemple.fr" for number in range(60)]
        for number, key in enumerate(keys):
            if number in (20, 40):
                await stack.until(stack.is_ready)  # else there may be none to kill
                stack.kill("contacts")
            assert (await stack.call("PUT", f"/v1/contacts/{key}", {"fields": {"town": "Lyon"}}))[0] == 201
        await stack.until(stack.is_ready)
        lines = "".join(f"{key};Paris\n" for key in [*keys[:5], "new@exemple.fr"]).encode()
        status, _ = await stack.call(
            "POST", "/v1/contact-imports", data=b"Email;Ville\n" + lines, headers={"Content-Type": "text/csv"}
        )
        assert status == 202

        async def told() -> list[Any] | None:
            types = "contact.added,contact.updated"
            _, page = await stack.answered("GET", "/v1/events", params={"type": types, "limit": "1000"})
            return page["events"] if len({one["event_id"] for one in page["events"]}) >= 66 else None

        events = {one["event_id"]: one for one in await stack.until(told)}.values()
        added = [one["email"] for one in events if one["type"] == "contact.added"]
        updated = [one["email"] for one in events if one["type"] == "contact.updated"]
        assert sorted(added) == sorted([*keys, "new@exemple.fr"])
        assert sorted(updated) == keys[:5]
        assert {one["details"]["by"] for one in events} == {"api", "import"}


async def test_a_mail_that_is_sent_and_clicked_is_on_the_timeline_and_in_a_segment(tmp_path: Path) -> None:
    environ = OWN | {"ESTAFETTE_CONTACTS_SOON_MS": "0"}  # people in tests click at once
    async with Stack.running(tmp_path / "run", environ) as stack:
        for address in ("ana@exemple.fr", "bo@exemple.fr"):
            await stack.call("PUT", f"/v1/contacts/{address}", {"channels": {"email": {"optin": True}}})
        job = await stack.send("ana@exemple.fr", "bo@exemple.fr")
        await stack.done(job)
        source = (await stack.source(await stack.mail("ana@exemple.fr"))).decode("ascii", "replace")
        html = message_from_string(source, policy=policy.default).get_body(("html",))
        assert html is not None
        links = re.findall(r'href="(http[^"]+)"', html.get_content())

        async with stack.session.get(links[0], headers=BROWSER, allow_redirects=False) as answer:
            assert answer.status == 302

        async def timeline() -> list[Any] | None:
            _, found = await stack.call("GET", "/v1/contact-timeline/ana@exemple.fr")
            return found["moments"] if len(found["moments"]) >= 2 else None

        clicked, delivered = await stack.until(timeline)
        assert (clicked["what"], clicked["url"], clicked["position"]) == ("clicked", "https://exemple.fr/a?x=1&y=2", 0)
        assert (delivered["what"], delivered["operation"]["key"]) == ("delivered", job)
        for was, how_many in (("recipient", 2), ("clicked", 1), ("opened", 1), ("not_clicked", 1)):
            criteria = {"kind": "operation", "was": was, "operations": [job]}
            _, count = await stack.call("POST", "/v1/segments/count", {"criteria": criteria})
            assert count["contacts"] == how_many, was


async def test_one_request_has_all_that_is_kept_of_a_person_and_one_erases_it(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        person = "/v1/people/ana@exemple.fr"
        assert (await stack.call("GET", person))[0] == 404
        optin = {"fields": {"town": "Lens"}, "channels": {"email": {"optin": True}}}
        assert (await stack.call("PUT", "/v1/contacts/ana@exemple.fr", optin))[0] == 201
        job = await stack.send("ana@exemple.fr")
        await stack.done(job)

        async def whole() -> Any:
            _, found = await stack.call("GET", person)
            return found if found["contacts"] and found["contacts"][0]["moments"] else None

        found = await stack.until(whole)
        (contact,) = found["contacts"]
        assert [one["job"] for one in found["messages"]] == [job]
        assert (contact["fields"], contact["channels"]["email"]["optin"]) == ({"town": "Lens"}, True)
        assert [(one["what"], one["operation"]) for one in contact["moments"]] == [("delivered", job)]
        assert (await stack.call("DELETE", person))[0] == 202

        async def erased() -> bool:
            status, left = await stack.call("GET", person)
            return (status, left["contacts"], left["messages"]) == (200, [], [])

        await stack.until(erased)
        assert (await stack.call("GET", "/v1/contacts/ana@exemple.fr"))[0] == 404
