"""The pages of contacts on a whole instance: a file becomes contacts, a segment, notes; nobody else sees them."""

import re
from html import unescape
from pathlib import Path

import aiohttp

from tests.flows.stack import Stack
from tests.flows.test_people_pages import Visitor, browsing

OWN = {"ESTAFETTE_CONTACTS_PRIVATE": "true"}
FILE = "Adresse Email;Prénom;Ville;Opt-In Email\nana@exemple.fr;Ana;Paris;Oui\nbo@exemple.fr;Bo;Lyon;Non\npersonne;;;\n"


async def sent_file(stack: Stack, session: aiohttp.ClientSession, do: str, **fields: str) -> tuple[int, str]:
    """A file, by the form of its page, and the button that says so."""
    async with session.get(f"{stack.base}/console/imports") as answer:
        token = re.findall(r'name="form" value="(\w+)"', await answer.text())[0]
    form = aiohttp.FormData()
    for name, value in {"form": token, "name": "Salon", "mode": "update", **fields}.items():
        form.add_field(name, value)
    form.add_field("file", FILE.encode(), filename="salon.csv", content_type="text/csv")
    where = f"{stack.base}/console/imports?do={do}"
    async with session.post(where, data=form, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location") or unescape(await answer.text())


async def imported(stack: Stack, visitor: Visitor, session: aiohttp.ClientSession) -> str:
    """Where the import is that a person made, once it is done."""
    status, looked_at = await sent_file(stack, session, "look")
    assert (status, "personne" in looked_at, 'value="Ville"' in looked_at) == (200, True, True)
    mapped = {"head.0": "Adresse Email", "map.0": "email", "head.1": "Prénom", "map.1": "first_name"}
    status, there = await sent_file(
        stack, session, "import", **mapped, **{"head.2": "Ville", "map.2": "town", "head.3": "Opt-In Email"}
    )
    assert status == 303, there

    async def is_done() -> bool:
        return '<span class="badge good">done</span>' in (await visitor.get(there))[1]

    await stack.until(is_done)
    return there


async def test_a_file_becomes_contacts_a_segment_and_notes_and_no_other_tenant_sees_them(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack, browsing() as ours, browsing() as theirs:
        admin = await stack.new_key("base", "read,send,admin")
        mine, stranger, nobody = Visitor(stack, ours), Visitor(stack, theirs), await stack.new_key("others", "read")
        await mine.sign_in(admin)
        await stranger.sign_in(nobody)

        there = await imported(stack, mine, ours)
        page = unescape((await mine.get(there))[1])
        report = await mine.get(f"{there}/report.csv")
        assert "not an address" in page
        assert (report[0], "personne" in report[1]) == (200, True)

        listed = unescape((await mine.get("/console/contacts?q=ANA"))[1])
        one = "/console/contacts/one?key=ana%40exemple.fr"
        assert ("ana@exemple.fr" in listed, "bo@exemple.fr" in listed) == (True, False)
        status, page = await mine.get(one)
        assert (status, "Paris" in page, "they did not agree" in page) == (200, True, True)

        criteria = '{"kind": "all", "of": []}'
        form = {"json": criteria, "name": "Paris", "at": "+", "chosen": "field:town"}
        new = "/console/segments/new"
        status, page = await mine.post(new, new, **form, do="put", **{"p.test": "equals", "p.value": "PARIS"})
        assert "Town equals PARIS" in unescape(page), page
        (criteria,) = re.findall(r'<textarea id="json"[^>]*>(.*?)</textarea>', page, re.DOTALL)
        status, page = await mine.post(new, new, json=unescape(criteria), name="Paris", do="sample")
        assert (status, "ana@exemple.fr" in unescape(page), "bo@exemple.fr" in unescape(page)) == (200, True, False)
        status, segment = await mine.post(new, new, json=unescape(criteria), name="Paris", do="save")
        assert status == 303, segment
        assert ">Paris</a>" in (await mine.get("/console/segments"))[1]

        assert await mine.post("/console/activity/run", "/console/activity") == (303, "/console/activity?done=ran")
        assert "0: 2." in (await mine.get("/console/activity?done=ran"))[1]

        for path in (one, there, f"{there}/report.csv", segment.partition("?")[0]):
            assert (await stranger.get(path))[0] == 404, path
        for path in ("/console/contacts", "/console/imports", "/console/segments", "/console/activity"):
            status, page = await stranger.get(path)
            assert (status, "exemple.fr" in page, "Paris" in page, "Salon" in page) == (200, False, False, False), path
        for path in (there, f"{segment.partition('?')[0]}/archive"):
            assert (await stranger.post(path, "/console/jobs"))[0] in (403, 404, 405), path
        assert (await stranger.post("/console/activity/run", "/console/jobs"))[0] == 403
        assert (await sent_file_of_a_reader(stack, theirs))[0] == 403

        fields = {"key": "ana@exemple.fr", "copy": "0", "sure": "yes"}
        assert (await stranger.post("/console/contacts/erase", "/console/jobs", **fields))[0] == 403
        assert await mine.post("/console/contacts/erase", one, **fields) == (303, "/console/contacts?done=erased")
        assert (await mine.get(one))[0] == 404
        archived = await mine.post(f"{segment.partition('?')[0]}/archive", "/console/segments/new")
        assert archived == (303, "/console/segments?done=archived")


async def sent_file_of_a_reader(stack: Stack, session: aiohttp.ClientSession) -> tuple[int, str]:
    async with session.get(f"{stack.base}/console/jobs") as answer:
        token = re.findall(r'name="form" value="(\w+)"', await answer.text())[0]
    return await sent_file(stack, session, "import", form=token)
