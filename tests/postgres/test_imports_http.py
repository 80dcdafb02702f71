"""Imports and the rank through their routes, over a real PostgreSQL."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import test_utils

from services.contacts import fields_http, http, imports_http, migrating, rank_http, risk_http, told_http
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts
from services.contacts.field_book import FieldBook
from services.contacts.imports.importing import Importing
from services.contacts.imports.store import Imports
from services.contacts.imports.writing import Writer
from shared.http import api
from shared.words.principal import Principal

NOW_MS = 1_800_000_000_000
FILE = """Adresse Email;Prénom;Opt-In Email;Tags;Couleur
ana@exemple.fr;Ana;Oui;vip|Été;rouge
bo@exemple.fr;Bo;Non;;bleu
ANA@exemple.fr;Anna;Oui;VIP;vert
personne;x;Oui;;
"""


class Keys:
    """A key is a tenant."""

    async def verify(self, text: str) -> Principal | None:
        return Principal(text, frozenset(("read", "admin")))


class Site:
    def __init__(self, client: test_utils.TestClient[Any, Any], database: Database) -> None:
        self._client = client
        self._database = database

    async def ask(self, method: str, path: str, body: Any = None, tenant: str = "acme") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {tenant}"}
        async with self._client.request(method, path, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text

    async def send(
        self, file: str, media: str = "text/csv", tenant: str = "acme", *, to: str = "", **query: str
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {tenant}", "Content-Type": media}
        path = f"/v1/contact-imports{to}?{urlencode(query)}"
        async with self._client.post(path, data=file.encode(), headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def work(self) -> None:
        imports = Imports(self._database)
        while (taken := await imports.take()) is not None:
            await Importing(imports, Writer(self._database)).run(taken)

    async def imported(self, file: str, **query: str) -> Any:
        """What became of a file."""
        status, told = await self.send(file, **query)
        assert (status, told["state"]) == (202, "waiting")
        await self.work()
        return (await self.ask("GET", f"/v1/contact-imports/{told['id']}"))[1]


@pytest.fixture
async def site(empty: Database) -> AsyncIterator[Site]:
    await migrating.migrate(empty, migrating.steps())
    routes = [
        *http.routes(Contacts(empty)),
        *fields_http.routes(FieldBook(empty)),
        *imports_http.routes(empty),
        *rank_http.routes(empty, lambda: NOW_MS),
        *told_http.routes(empty),
        *risk_http.routes(empty),
    ]
    app = api.application(routes, Keys(), max_body_bytes=http.MAX_BODY_BYTES)
    async with test_utils.TestClient(test_utils.TestServer(app)) as client:
        yield Site(client, empty)


def word(answer: tuple[int, Any]) -> tuple[int, str]:
    status, problem = answer
    return status, problem["type"].rpartition(":")[2]


async def test_a_file_is_imported_and_told_of(site: Site) -> None:
    found = await site.imported(FILE, name="Salon")

    assert (found["state"], found["name"], found["lines"], found["charset"]) == ("done", "Salon", 4, "utf-8")
    results = {"added": 2, "updated": 0, "unchanged": 0, "replaced": 1, "refused": 1, "reactivated": 0}
    assert found["results"] == results
    assert "'Couleur'" in found["warnings"][0]["what"]
    status, ana = await site.ask("GET", "/v1/contacts/ana@exemple.fr")
    assert (status, ana["fields"]) == (200, {"first_name": "Anna", "tags": ["vip"]})
    _, bo = await site.ask("GET", "/v1/contacts/bo@exemple.fr")
    assert (bo["channels"]["email"]["left"], bo["channels"]["email"]["why_not"]) == (True, "left")
    _, report = await site.ask("GET", f"/v1/contact-imports/{found['id']}/report")
    assert report.splitlines() == [
        "line,key,result,detail",
        "2,ana@exemple.fr,replaced,line 4 is about the same contact",
        "5,,refused,line 5.Adresse Email: not an address: it has no @: 'personne'",
    ]


async def test_e15_a_file_can_be_tried_first_and_tells_the_same(site: Site) -> None:
    await site.imported("Email;Tags\nbo@exemple.fr;old\n")

    tried = await site.imported(FILE, dry_run="true")

    assert (await site.ask("GET", "/v1/contacts/ana@exemple.fr"))[0] == 404
    _, bo = await site.ask("GET", "/v1/contacts/bo@exemple.fr")
    assert bo["fields"] == {"tags": ["old"]}
    assert tried["results"] == (await site.imported(FILE))["results"]


async def test_e7_and_e10_a_mapping_and_new_contacts_only(site: Site) -> None:
    await site.imported("Email;Prénom\nana@exemple.fr;Ana\n")

    mapping = json.dumps({"Mél": "email", "Petit nom": "first_name", "Tags": None})
    found = await site.imported(
        "Mél;Petit nom;Tags\nana@exemple.fr;X;y\nbo@exemple.fr;Bo;y\n", mapping=mapping, mode="new_only"
    )

    assert (found["mode"], found["results"]["added"], found["results"]["unchanged"]) == ("new_only", 1, 1)
    _, ana = await site.ask("GET", "/v1/contacts/ana@exemple.fr")
    _, bo = await site.ask("GET", "/v1/contacts/bo@exemple.fr")
    assert (ana["fields"], bo["fields"]) == ({"first_name": "Ana"}, {"first_name": "Bo"})


async def test_e11_who_is_mailed_again_is_counted_and_named(site: Site) -> None:
    await site.imported(FILE)

    found = await site.imported("Email;Opt-In Email\nbo@exemple.fr;Oui\n")

    assert (found["results"]["updated"], found["results"]["reactivated"]) == (1, 1)
    _, report = await site.ask("GET", f"/v1/contact-imports/{found['id']}/report")
    assert report.splitlines()[1] == "2,bo@exemple.fr,reactivated,is mailed again"


async def test_json_lines_are_imported(site: Site) -> None:
    body = '{"email": "ana@exemple.fr", "first_name": "Ana"}\n{"email": "bo@exemple.fr", "tags": ["x"]}\n'

    status, told = await site.send(body, "application/x-ndjson")
    await site.work()

    _, found = await site.ask("GET", f"/v1/contact-imports/{told['id']}")
    assert (status, found["results"]["added"]) == (202, 2)


async def test_what_is_no_file_of_contacts_is_refused(site: Site) -> None:
    assert word(await site.send("x", "image/png")) == (415, "unsupported_media_type")
    assert word(await site.send("x", charset="klingon")) == (415, "unsupported_media_type")
    assert word(await site.send(FILE, mapping="no")) == (422, "invalid_query")
    found = await site.imported("Nom;Ville\nAnn;Paris\n")
    assert found["state"] == "refused"
    assert "no column is the key" in found["detail"]


async def test_a_file_is_looked_at_before_it_is_imported_and_nothing_is_kept(site: Site) -> None:
    await site.ask("PUT", "/v1/fields/couleur", {"kind": "text", "label": "Couleur"})

    status, found = await site.send(FILE, to="/preview")
    _, long = await site.send("email\n" + 40_000 * "ana@exemple.fr\n", to="/preview")
    _, theirs = await site.send(FILE, to="/preview", tenant="other")
    json_lines = await site.send("{}", "application/x-ndjson", to="/preview")

    columns = {one["heading"]: one["target"] for one in found["columns"]}
    assert status == 200
    assert columns == {
        "Adresse Email": "email", "Prénom": "first_name", "Opt-In Email": "opt_in_email", "Tags": "tags",
        "Couleur": "couleur",
    }  # fmt: skip
    assert [(line["line"], bool(line["fault"])) for line in found["lines"]] == [
        (2, False), (3, False), (4, False), (5, True),
    ]  # fmt: skip
    assert "couleur" in found["targets"]
    assert "couleur" not in theirs["targets"]
    assert len(long["lines"]) == 10
    assert word(json_lines) == (415, "unsupported_media_type")
    assert (await site.ask("GET", "/v1/contact-imports"))[1]["imports"] == []


async def test_imports_are_listed_and_those_of_others_are_unknown(site: Site) -> None:
    ids = [(await site.imported(FILE))["id"] for _ in range(3)]

    _, first = await site.ask("GET", "/v1/contact-imports?limit=2")
    _, second = await site.ask("GET", f"/v1/contact-imports?limit=2&after={first['next']}")

    assert [one["id"] for one in first["imports"] + second["imports"]] == ids[::-1]
    assert second["next"] is None
    assert word(await site.ask("GET", f"/v1/contact-imports/{ids[0]}", tenant="other")) == (404, "unknown_import")
    assert word(await site.ask("GET", f"/v1/contact-imports/{ids[0]}/report", tenant="other")) == (
        404,
        "unknown_import",
    )
    assert word(await site.ask("GET", "/v1/contact-imports/x")) == (404, "unknown_import")
    assert (await site.ask("GET", "/v1/contact-imports", tenant="other"))[1]["imports"] == []


async def test_e35_and_e36_the_rank_is_set_run_and_shown(site: Site) -> None:
    await site.imported(FILE)

    refused = await site.ask("PUT", "/v1/activity", {"least": 0, "counts": {"fax": ["read"]}})
    status, _ = await site.ask("PUT", "/v1/activity", {"least": 2, "counts": {"email": ["clicked"]}})
    _, before = await site.ask("GET", "/v1/activity")
    _, after = await site.ask("POST", "/v1/activity/run")

    assert word(refused) == (422, "invalid_activity")
    assert [fault["at"] for fault in refused[1]["faults"]] == ["$.least", "$.counts.fax"]
    assert (status, before["last_run"], before["settings"]["least"]) == (200, None, 2)
    assert (after["last_run"]["at"], after["last_run"]["settings"]["least"]) == ("2027-01-15T08:00:00.000Z", 2)
    assert (after["notes"][0], after["bands"]["not_addressable"], after["bands"]["none"]) == (2, 1, 1)


async def test_of_which_contacts_events_tell_is_said_and_is_each_tenants_own(site: Site) -> None:
    first = await site.ask("GET", "/v1/contact-events")
    said = await site.ask("PUT", "/v1/contact-events", {"imports": True})
    refused, _ = await site.ask("PUT", "/v1/contact-events", {"faxes": True})
    after = await site.ask("GET", "/v1/contact-events")

    assert first == (200, {"requests": True, "imports": False, "at_risk": True})
    assert said == after == (200, {"requests": True, "imports": True, "at_risk": True})
    assert await site.ask("GET", "/v1/contact-events", tenant="other") == first
    assert refused == 422


async def test_the_period_of_who_is_at_risk_is_set_and_shown(site: Site) -> None:
    refused = await site.ask("PUT", "/v1/at-risk", {"days": 6})
    first = await site.ask("GET", "/v1/at-risk")
    after = await site.ask("PUT", "/v1/at-risk", {"days": 90})

    assert word(refused) == (422, "invalid_at_risk")
    assert refused[1]["faults"] == [{"at": "$.days", "what": "expected 7 to 3653, got 6"}]
    assert (first[1]["settings"], first[1]["last_look"]) == ({"days": 180}, None)
    assert after[1] == first[1] | {"settings": {"days": 90}}
    assert (await site.ask("GET", "/v1/at-risk", tenant="other"))[1]["settings"] == {"days": 180}


async def test_without_contacts_every_route_says_so() -> None:
    routes = [*imports_http.routes(None), *rank_http.routes(None, lambda: NOW_MS), *told_http.routes(None)]
    routes += risk_http.routes(None)
    app = api.application(routes, Keys(), max_body_bytes=http.MAX_BODY_BYTES)
    async with test_utils.TestClient(test_utils.TestServer(app)) as client:
        for route in routes:
            path = route.path.replace("{import}", "1")
            headers = {"Authorization": "Bearer acme", "Content-Type": "application/json"}
            async with client.request(route.method, path, data=b"{}", headers=headers) as answer:
                assert answer.status == 409, route.path
