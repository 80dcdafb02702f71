"""Whole lists in and out, over HTTP, with the list in a real Redis and a real cluster."""

import asyncio
import csv
import io
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import test_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.suppression.book import Book
from services.suppression.moving import telling
from services.suppression.moving.forms import OWN, Asked
from services.suppression.moving.http import MOST_AT_ONCE, Moving, routes
from services.suppression.moving.imports import KEPT_MS, MOST_KEPT, SILENT_MS, Imports, Progress
from services.suppression.moving.running import Runs, Source
from services.suppression.moving.wishes import Act
from services.suppression.store import Addition, Lists
from shared.http import api
from shared.redis import bus, keys, redis
from shared.redis.addressed import Place
from shared.redis.suppression import Asked as AskedOf
from shared.redis.suppression import Listed, SuppressionList
from shared.redis.tenants import Tenants
from shared.words import events, scopes
from shared.words.ids import name_partition
from tests.moving import EXAMPLES, many

PARTITIONS = 3
NOW_MS = 1_800_000_000_000
HEAD = b"Email;Opt-In Email\n"


class Softs:
    """Remembers whom it was told of."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str]] = []
        self.forgiven: list[tuple[str, str]] = []

    async def count(self, tenant: str, softs: Sequence[tuple[str, Act]], now_ms: int) -> None:
        assert now_ms == NOW_MS
        self.counted += [(tenant, address) for address, _ in softs]

    async def forgive(self, tenant: str, addresses: Sequence[str], now_ms: int) -> None:
        assert now_ms == NOW_MS
        self.forgiven += [(tenant, address) for address in addresses]


class Site:
    """The routes, the list behind them, and somebody of the tenant `acme` who asks."""

    def __init__(self, client: Any, site: test_utils.TestClient[Any, Any], moving: Moving, key: str) -> None:
        self.client = client
        self.lists = Lists(client, PARTITIONS, lambda: NOW_MS)
        self.lookup = SuppressionList(client, PARTITIONS, lambda: NOW_MS)
        self.moving = moving
        self._site = site
        self._headers = {"Authorization": f"Bearer {key}"}

    async def send(self, body: Any, content_type: str = "text/csv", key: str = "", **query: Any) -> tuple[int, Any]:
        headers = {**self._headers, "Content-Type": content_type} | ({"Authorization": f"Bearer {key}"} if key else {})
        async with self._site.post("/v1/suppressions/import", data=body, headers=headers, params=query) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str, **query: Any) -> tuple[int, Any]:
        async with self._site.get(path, headers=self._headers, params=query) as answer:
            said = await answer.read()
            return answer.status, said.decode() if answer.content_type == "text/csv" else json.loads(said)

    async def until(self, name: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What is known of an import as soon as that is so."""
        for _ in range(2_000):
            _, shown = await self.get(f"/v1/imports/{name}")
            if is_so(shown):
                return dict(shown)
            await asyncio.sleep(0.01)
        raise AssertionError(f"never: {shown}")

    async def report(self, name: str) -> list[list[str]]:
        status, said = await self.get(f"/v1/imports/{name}/report")
        assert status == 200
        return [line.split(",", 3) for line in said.split("\r\n")[1:-1]]

    async def reasons(self, *addresses: str, tenant: str = "acme", stream: str = "bulk") -> list[str | None]:
        return await self.lookup.check([AskedOf(tenant, one, "email", stream, "") for one in addresses])


def made(client: Any, softs: Softs, *, wait_s: float = 20, monotonic: Callable[[], float] = lambda: 0.0) -> Moving:
    book = Book(client, PARTITIONS, Lists(client, PARTITIONS, lambda: NOW_MS))
    numbers = itertools.count(1)
    runs = Runs(book, softs, Imports(client, PARTITIONS, lambda: NOW_MS), lambda: NOW_MS, monotonic)
    return Moving(runs, book, lambda: f"made{next(numbers)}", wait_s=wait_s)


@pytest.fixture
def softs() -> Softs:
    return Softs()


@pytest.fixture
async def site(client: Any, softs: Softs) -> AsyncIterator[Site]:
    tenants = Tenants(client)
    await tenants.create("acme")
    _, key = await tenants.create_key("acme", ["read", "suppress"])
    moving = made(client, softs)
    app = api.application(routes(moving), tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as server:
        yield Site(client, server, moving, key)
        await moving.close()


async def told(client: Any) -> list[tuple[str, str | None]]:
    found = []
    for partition in range(PARTITIONS):
        for number, fields in await client.xrange(keys.events(partition)):
            fact = bus.entry(number, fields).message()
            assert isinstance(fact, events.Fact)
            found.append((type(fact).__name__, fact.email))
    return sorted(found, key=str)


# What becomes of a line


async def test_who_has_opted_out_has_left_marketing_and_gets_the_rest(site: Site) -> None:
    status, said = await site.send(HEAD + b"ana@exemple.fr;Non\nBo@exemple.fr;0\ncy@exemple.fr;\n")

    assert (status, said["state"], said["format"], said["lines"]) == (200, "done", "list", 3)
    assert said["results"]["listed"] == 3
    assert await site.reasons("ana@exemple.fr", "bo@exemple.fr", "cy@exemple.fr") == ["unsubscribed"] * 3
    assert await site.reasons("ana@exemple.fr", stream="transactional") == [None]
    assert await site.reasons("ana@exemple.fr", tenant="other") == [None]


async def test_who_is_back_is_audited_and_warned_about(site: Site) -> None:
    await site.send(HEAD + b"ana@exemple.fr;Non\n")

    _, said = await site.send(HEAD + b"ana@exemple.fr;Oui\nnew@exemple.fr;1\n", id="back")

    assert (said["results"]["reactivated"], said["results"]["unchanged"]) == (1, 1)
    assert "1 addresses are mailed again" in said["warnings"][0]["what"]
    assert await site.report("back") == [
        ["2", "ana@exemple.fr", "reactivated", '"gets marketing again, was unsubscribed"']
    ]
    assert await site.reasons("ana@exemple.fr") == [None]
    assert await told(site.client) == [("Reactivated", "ana@exemple.fr")]


async def test_who_complained_is_not_back_by_a_list(site: Site) -> None:
    await site.lists.add([Addition("acme", "ana@exemple.fr", "complaint", 5, is_told=False)])

    _, said = await site.send(HEAD + b"ana@exemple.fr;Oui\n", id="x")

    assert said["results"]["kept"] == 1
    assert (await site.report("x"))[0][2:] == ["kept", "complaint is not taken off by a list"]
    assert await site.reasons("ana@exemple.fr") == ["complaint"]


async def test_bad_addresses_are_never_mailed_counted_or_forgiven(site: Site, softs: Softs) -> None:
    await site.lists.add([
        Addition("acme", "good@x.fr", "hard_bounce", 5, diagnostic="550 5.1.1 No such user", is_told=False),
        Addition("acme", "good@x.fr", "unsubscribed", 5, is_told=False),
    ])  # fmt: skip
    body = b"Adresse Email;Statut Email\nbad@x.fr;Hard\nfull@x.fr;Soft\ngood@x.fr;Valide\nwell@x.fr;Valide\nz@x.fr;?\n"

    _, said = await site.send(body)

    assert said["results"] == {
        "listed": 1, "counted": 1, "reactivated": 1, "unchanged": 1, "refused": 1, "kept": 0, "replaced": 0,
    }  # fmt: skip
    assert await site.reasons("bad@x.fr", "full@x.fr", "well@x.fr", stream="transactional") == [
        "hard_bounce", None, None,
    ]  # fmt: skip
    assert await site.reasons("good@x.fr", stream="transactional") == [None]
    assert await site.reasons("good@x.fr") == ["unsubscribed"]
    assert softs.counted == [("acme", "full@x.fr")]
    assert sorted(softs.forgiven) == [("acme", "good@x.fr"), ("acme", "well@x.fr")]


async def test_the_last_diagnostic_of_an_address_that_works_stays_known(site: Site) -> None:
    entry = Addition("acme", "good@x.fr", "hard_bounce", 5, diagnostic="550 5.1.1 No such user", is_told=False)
    await site.lists.add([entry])

    await site.send(b"Email;Statut Email\ngood@x.fr;Valide\n")

    (found,) = await site.lookup.listed("acme", ["good@x.fr"])
    assert found.entries == ()
    assert [said.diagnostic for said in found.said.values()] == ["550 5.1.1 No such user"]


async def test_the_last_line_of_an_address_wins_and_the_report_says_so(site: Site, softs: Softs) -> None:
    body = b"Email;Statut Email\na@x.fr;Hard\nA@X.fr;Soft\nb@x.fr;Soft\na@x.fr;Soft\nb@x.fr;Hard\n"

    _, said = await site.send(body, id="twice")

    assert said["results"] == {
        "listed": 1, "counted": 1, "replaced": 3, "unchanged": 0, "refused": 0, "kept": 0, "reactivated": 0,
    }  # fmt: skip
    assert [one[:3] for one in await site.report("twice")] == [
        ["2", "a@x.fr", "replaced"], ["3", "a@x.fr", "replaced"], ["4", "b@x.fr", "replaced"],
    ]  # fmt: skip
    assert await site.reasons("a@x.fr", "b@x.fr") == [None, "hard_bounce"]
    assert softs.counted == [("acme", "a@x.fr")]


async def test_a_dry_run_says_what_would_become_of_each_line_and_changes_nothing(site: Site, softs: Softs) -> None:
    await site.send(HEAD + b"ana@exemple.fr;Non\n")
    body = b"Email;Opt-In;Statut Email\nana@exemple.fr;Oui;\nbo@x.fr;Non;Hard\ncy@x.fr;Oui;Soft\nbo@x.fr;Non;\n;;;;x\n"

    _, dry = await site.send(body, dry_run="true")
    before = await site.reasons("ana@exemple.fr", "bo@x.fr", "cy@x.fr")
    counted = list(softs.counted)
    _, real = await site.send(body)

    assert dry["dry_run"]
    assert dry["results"] == real["results"]
    assert sum(dry["results"].values()) == dry["lines"] == 5
    assert before == ["unsubscribed", None, None]
    assert counted == []
    assert "would be mailed again" in dry["warnings"][0]["what"]


# Progress and report


async def test_an_import_is_followed_by_its_id_and_by_nobody_else(site: Site) -> None:
    await site.send(HEAD + b"ana@exemple.fr;Non\nbad;Non\n", id="first")
    await site.send(HEAD + b"ana@exemple.fr;Non\n")

    status, shown = await site.get("/v1/imports/first")
    _, last = await site.get("/v1/imports")

    assert (status, shown["state"], shown["lines"], shown["report_lines"]) == (200, "done", 2, 1)
    assert [one["id"] for one in last["imports"]] == ["made1", "first"]
    assert await site.report("first") == [["3", "", "refused", "line 3: not an address: it has no @: 'bad'"]]
    assert (await site.get("/v1/imports/nothing"))[0] == 404
    assert (await site.get("/v1/imports/nothing/report"))[0] == 404
    assert (await site.send(HEAD, id="first"))[0] == 409
    assert (await site.send(HEAD, id="no id"))[0] == 422


async def test_while_the_file_comes_in_it_is_told_how_far_it_is(client: Any, softs: Softs) -> None:
    tenants = Tenants(client)
    await tenants.create("acme")
    _, key = await tenants.create_key("acme", ["read", "suppress"])
    seconds = itertools.count()
    moving = made(client, softs, monotonic=lambda: float(next(seconds)))
    app = api.application(routes(moving), tenants, max_body_bytes=10_000)
    more = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield HEAD + b"".join(b"a%d@x.fr;Non\n" % n for n in range(3_000))
        await more.wait()
        yield b"b@x.fr;Non\n"

    async with test_utils.TestClient(test_utils.TestServer(app)) as server:
        site = Site(client, server, moving, key)
        sending = asyncio.create_task(site.send(body(), id="long"))
        reading = await site.until("long", lambda shown: shown.get("lines", 0) >= 1_000)
        listed = await site.reasons("a1@x.fr")
        more.set()
        status, done = await sending

    assert reading["state"] == "reading"
    assert listed == [None]
    assert (status, done["state"], done["lines"]) == (200, "done", 3_001)


async def test_what_takes_long_goes_on_behind_its_answer(client: Any, softs: Softs) -> None:
    moving = made(client, softs, wait_s=0)
    tenants = Tenants(client)
    await tenants.create("acme")
    _, key = await tenants.create_key("acme", ["read", "suppress"])
    app = api.application(routes(moving), tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as server:
        site = Site(client, server, moving, key)

        status, said = await site.send(HEAD + b"a@x.fr;Non\n", id="long")
        shown = await site.until("long", lambda shown: shown["state"] != "applying")

    assert (status, said["state"]) == (202, "applying")
    assert (shown["state"], shown["results"]["listed"]) == ("done", 1)
    assert not moving._applying


async def test_an_upload_that_breaks_off_has_changed_nothing(site: Site) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield HEAD + b"ana@exemple.fr;Non\n" * 3
        await site.until("broken", lambda shown: shown.get("state") == "reading")
        raise ConnectionError("gone")

    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await site.send(body(), id="broken")
    shown = await site.until("broken", lambda shown: shown["state"] != "reading")

    assert shown["state"] == "interrupted"
    assert await site.reasons("ana@exemple.fr") == [None]
    assert site.moving._running == 0


async def test_imports_are_counted_by_how_they_end_and_while_they_run(client: Any, softs: Softs) -> None:
    class Broken(Book):
        async def add(self, tenant: str, acts: Sequence[tuple[str, Act]], now_ms: int) -> list[bool]:
            raise redis.RedisAway("gone")

    book = Broken(client, PARTITIONS, Lists(client, PARTITIONS, lambda: NOW_MS))
    runs = Runs(book, softs, Imports(client, PARTITIONS, lambda: NOW_MS), lambda: NOW_MS, lambda: 0.0)
    run = runs.new("acme", "one", Asked("", {}, ""), Source(), dry_run=False)
    interrupted, broken_off = ended("interrupted"), ended("broken_off")

    assert await run.begin()
    assert REGISTRY.get_sample_value(RUNNING) == 1
    await run.read(HEAD + b"ana@exemple.fr;Non\n")
    await run.read(b"", last=True)
    with pytest.raises(redis.RedisAway):
        await run.apply()

    assert REGISTRY.get_sample_value(RUNNING) == 0
    assert (ended("interrupted"), ended("broken_off")) == (interrupted + 1, broken_off)
    other = runs.new("acme", "two", Asked("", {}, ""), Source(), dry_run=False)
    assert await other.begin()
    await other.end("interrupted", "the upload broke off")
    assert ended("broken_off") == broken_off + 1


RUNNING = "estafette_suppression_imports_running"


def ended(end: str) -> float:
    return REGISTRY.get_sample_value("estafette_suppression_imports_total", {"end": end}) or 0.0


async def test_an_import_of_which_nothing_is_heard_has_ended_with_its_process(client: Any, softs: Softs) -> None:
    later = Imports(client, PARTITIONS, lambda: NOW_MS + SILENT_MS + 1)
    moving = made(client, softs)
    begun = moving._imports
    await begun.begin("acme", _progress("x"))

    assert (await begun.get("acme", "x")).state == "reading"  # type: ignore[union-attr]
    assert (await later.get("acme", "x")).state == "interrupted"  # type: ignore[union-attr]


async def test_of_a_tenant_the_last_twenty_imports_are_known_for_a_week(client: Any) -> None:
    imports = Imports(client, PARTITIONS, lambda: NOW_MS)
    for number in range(MOST_KEPT + 3):
        await imports.begin("acme", _progress(f"n{number}", NOW_MS + number))
        await imports.save_report("acme", f"n{number}", ["x"])

    assert [one.id for one in await imports.last("acme")] == [f"n{n}" for n in range(MOST_KEPT + 2, 2, -1)]
    assert list(await imports.report("acme", "n0")) == []
    assert list(await imports.report("acme", "n9")) == [b"x"]
    assert await imports.last("other") == []
    left = await client.execute_command("PTTL", keys.import_(name_partition("acme", PARTITIONS), "acme", "n9"))
    assert 0 < left <= KEPT_MS


def _progress(name: str, at_ms: int = NOW_MS) -> Progress:
    return Progress(
        id=name, state="reading", dry_run=False, format="", encoding="utf-8", started_ms=at_ms,
        updated_ms=at_ms, lines=0, counts=dict.fromkeys(telling.WORDS, 0), told=0, warnings=[],
    )  # fmt: skip


async def test_as_many_imports_as_there_may_be_are_under_way_and_no_more(site: Site) -> None:
    site.moving._running = MOST_AT_ONCE

    status, problem = await site.send(HEAD)

    assert (status, problem["type"]) == (429, "urn:estafette:problem:imports_busy")


# What is no list


@pytest.mark.parametrize(
    ("body", "content_type", "status", "quoted"),
    [
        (b"PK\x03\x04" + b"\0" * 100, "text/csv", 422, "a workbook (.xlsx, .ods) or a ZIP"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 100, "text/csv", 422, "a workbook (.xls)"),
        (b"\x1f\x8b\x08" + b"\0" * 100, "text/csv", 422, "compressed (gzip)"),
        (b"\x89PNG\r\n\x1a\n\0\0", "text/csv", 422, "no column of the address"),
        (b"", "text/csv", 422, "no line with an address"),
        (HEAD, "text/csv", 422, "no line with an address"),
        (b"Nom;Ville\nx;y\n", "text/csv", 422, "it has 'Nom', 'Ville'"),
        (b"Email\na@x.fr\n", "text/csv", 422, "no column says what the addresses are"),
        (HEAD + b"x;Non\n", "text/csv", 422, "line 2: not an address"),
        (b"x" * 900_000, "text/csv", 422, "longer than 65536 bytes"),
        (HEAD + b"x;Non\n" * 30_000, "text/csv", 422, "lines cannot be read"),
        (b'{"Suppressions": [{"a": 1}]}', "application/json", 422, "no column of the address"),
        (HEAD, "application/pdf", 415, "expected text/csv or application/json"),
        (HEAD, "text/csv; charset=klingon", 415, "the charset 'klingon' is not known"),
    ],
)
async def test_what_is_no_list_is_refused_with_words_and_changes_nothing(
    site: Site, body: bytes, content_type: str, status: int, quoted: str
) -> None:
    found, problem = await site.send(body, content_type)

    assert found == status
    assert quoted in problem["detail"]
    assert await site.lists.page("acme", Place(), 10) == ([], None)
    assert site.moving._running == 0


async def test_a_line_of_two_gigabytes_costs_its_own_row_and_no_memory(site: Site) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield HEAD + b"ana@exemple.fr;Non\n"
        for _ in range(200):
            yield b"x" * 100_000
        yield b"\nbo@exemple.fr;Non\n"

    _, said = await site.send(body())

    assert (said["results"]["listed"], said["results"]["refused"]) == (2, 1)


async def test_the_encoding_that_was_found_is_said(site: Site) -> None:
    body = "Email;Opt-In Email;Prénom\nana@exemple.fr;Non;Zoé\n".encode("cp1252")

    _, found = await site.send(body)
    _, named = await site.send(body, "text/csv; charset=windows-1252")

    assert found["charset"] == named["charset"] == "cp1252"
    assert "was read as windows-1252" in found["warnings"][0]["what"]
    assert named["warnings"] == []


# Moving in


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.file)
async def test_the_file_of_another_engine_goes_in_by_one_call_and_its_report_adds_up(
    site: Site, softs: Softs, example: Any
) -> None:
    status, said = await site.send(example.body(), example.content_type, **example.query)

    assert (status, said["state"], said["format"]) == (200, "done", example.format)
    assert {word: count for word, count in said["results"].items() if count} == example.results
    assert sum(said["results"].values()) == said["lines"]
    for address, stream, reason in example.stopped:
        assert await site.reasons(address, stream=stream) == [reason], address
    for listed in await site.lookup.listed("acme", [example.dated] if example.dated else []):
        assert (listed.entries[0].first_ms, listed.entries[0].source) == (example.dated_ms, "import")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.file)
async def test_many_addresses_of_another_engine_go_in_by_one_call(site: Site, example: Any) -> None:
    """As many as a test has time for; `loadtests/suppression_csv.py` takes a hundred thousand of each."""
    body, lines = many(example, 3_000)

    status, said = await site.send(body, example.content_type, **example.query)

    assert (status, said["lines"], sum(said["results"].values())) == (200, lines, lines)
    assert said["results"]["refused"] == 0


# Out, and in again

_TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
_LOCALS = st.sampled_from(["ana", "=1+1", "+33", "-x", "o'neil", "'q", "a|b", "{x}", "é", '"a;b"', '"a,b"', '"a\\"b"'])
_ADDRESSES = st.builds(lambda local, number: f"{local}@exemple{number}.fr", _LOCALS, st.integers(1, 3))
_SCOPES = st.one_of(
    st.sampled_from(["all", "marketing", "list:news", 'list:a;b "c", d', "list:=1"]),
    st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20).map(scopes.of_list),
)
_ENTRIES = st.builds(
    lambda address, scope, channel, reason, source, said, first, last, expires: (
        address, Act("list", reason, scope, channel, said, first, first + last, expires, source)
    ),
    _ADDRESSES,
    _SCOPES,
    st.sampled_from(scopes.CHANNELS),
    st.sampled_from([reason for reason in scopes.REASONS if reason not in ("erased", "compliance")]),
    st.sampled_from(scopes.SOURCES),
    _TEXTS,
    st.integers(1, NOW_MS),
    st.integers(0, 10**10),
    st.sampled_from([0, NOW_MS + 10**10 + 7]),
)  # fmt: skip


async def everything(lists: Lists, tenant: str) -> dict[str, Any]:
    found: list[Listed] = []
    place: Place | None = Place()
    while place is not None:
        some, place = await lists.page(tenant, place, 100)
        found += some
    return {
        one.address: sorted((*entry.place, entry.reason, entry.source, entry.first_ms, entry.last_ms, entry.expires_ms,
                             one.said_of(entry).diagnostic) for entry in one.entries)
        for one in found
    }  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(_ENTRIES, max_size=30), delimiter=st.sampled_from(["comma", "semicolon", "tab"]), bom=st.booleans()
)
def test_what_goes_out_comes_in_again_unchanged(
    redis_url: str, entries: list[tuple[str, Act]], delimiter: str, bom: bool
) -> None:
    async def run() -> None:
        client: Any = redis.connect(redis_url)
        await client.execute_command("FLUSHALL")
        tenants = Tenants(client)
        moving = made(client, Softs())
        keys_of = {}
        for tenant in ("acme", "other"):
            await tenants.create(tenant)
            keys_of[tenant] = (await tenants.create_key(tenant, ["read", "suppress"]))[1]
        app = api.application(routes(moving), tenants, max_body_bytes=10_000)
        async with test_utils.TestClient(test_utils.TestServer(app)) as server:
            site = Site(client, server, moving, keys_of["acme"])
            await Book(client, PARTITIONS, site.lists).add("acme", entries, NOW_MS)
            query = {"delimiter": delimiter, "bom": str(bom).lower()}

            _, exported = await site.get("/v1/suppressions/export", **query)
            if entries:
                status, said = await site.send(exported.encode(), key=keys_of["other"])
                again, _ = await site.send(exported.encode())
                assert (status, again, said["format"], said["results"]["refused"]) == (200, 200, "estafette", 0)

            before = await everything(site.lists, "acme")
            assert await everything(site.lists, "other") == before
            assert set(before) == {address for address, _ in entries}
            assert not any(cell.startswith(tuple("=+-@\t\r")) for cell in _cells(exported, delimiter))
        await redis.close(client)

    asyncio.run(run())


def _cells(text: str, delimiter: str) -> list[str]:
    sign = {"comma": ",", "semicolon": ";", "tab": "\t"}[delimiter]
    return [
        cell for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=sign) for cell in row
    ]


async def test_the_export_of_an_empty_list_is_its_heading(site: Site) -> None:
    assert await site.get("/v1/suppressions/export") == (200, ",".join(OWN) + "\r\n")


async def test_the_export_has_every_address_once(site: Site) -> None:
    addresses = [f"a{number}@exemple.fr" for number in range(4_500)]
    await site.send(HEAD + "".join(f"{one};Non\n" for one in addresses).encode())

    _, exported = await site.get("/v1/suppressions/export")

    rows = [line.split(",") for line in exported.split("\r\n")[1:-1]]
    assert sorted(row[0] for row in rows) == sorted(addresses)
    assert {tuple(row[1:5]) for row in rows} == {("email", "marketing", "unsubscribed", "import")}


async def test_what_is_on_the_list_all_the_time_is_exported_once_while_it_grows(client: Any) -> None:
    lists = Lists(client, PARTITIONS, lambda: NOW_MS)
    book = Book(client, PARTITIONS, lists)
    before = [f"a{number}@exemple.fr" for number in range(3_000)]
    await lists.add([Addition("acme", one, "manual", 5, is_told=False) for one in before])

    found: list[str] = []
    async for text in book.lines("acme", ",", NOW_MS):
        found += [line.partition(",")[0] for line in text.splitlines()]
        more = [f"b{number}.{len(found)}@exemple.fr" for number in range(2_000)]
        await lists.add([Addition("acme", one, "manual", 5, is_told=False) for one in more])

    assert sorted(one for one in found if one.startswith("a")) == sorted(before)
    assert len(set(found)) == len(found)


async def test_an_export_that_redis_breaks_off_has_no_end(client: Any, softs: Softs) -> None:
    class Broken(Book):
        async def lines(self, tenant: str, delimiter: str, now_ms: int) -> AsyncIterator[str]:
            yield "a@x.fr\r\n" * 10_000
            raise redis.RedisAway("gone")

    tenants = Tenants(client)
    await tenants.create("acme")
    _, key = await tenants.create_key("acme", ["read"])
    book = Broken(client, PARTITIONS, Lists(client, PARTITIONS, lambda: NOW_MS))
    runs = Runs(book, softs, Imports(client, PARTITIONS, lambda: NOW_MS), lambda: NOW_MS, lambda: 0.0)
    moving = Moving(runs, book, lambda: "x")
    app = api.application(routes(moving), tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as server:
        with pytest.raises(aiohttp.ClientError):
            await Site(client, server, moving, key).get("/v1/suppressions/export")


async def test_one_tenant_sees_and_changes_nothing_of_another(site: Site) -> None:
    tenants = Tenants(site.client)
    await tenants.create("other")
    _, key = await tenants.create_key("other", ["read", "suppress"])
    await site.send(HEAD + b"ana@exemple.fr;Non\n", id="mine")

    await site.send(HEAD + b"ana@exemple.fr;Oui\nbo@exemple.fr;Non\n", key=key, id="mine")
    _, exported = await site.get("/v1/suppressions/export")

    assert await site.reasons("ana@exemple.fr", "bo@exemple.fr") == ["unsubscribed", None]
    assert "bo@exemple.fr" not in exported
    assert (await site.get("/v1/imports/mine"))[1]["lines"] == 1
