"""The recipients' side as HTTP says it, through a real server and a real client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict
from structlog.testing import capture_logs

from services.tracking import http, pages
from services.tracking.about import NOTHING_KNOWN
from services.tracking.deciding import MAX_FORM_BYTES, PIXEL
from services.tracking.edge import edge
from services.tracking.tracking import Tracking
from shared.http import api
from shared.net.quick import Quick, QuickRunner
from shared.words import ids
from shared.words.events import (
    Clicked,
    DocumentOpened,
    Fact,
    Opened,
    Unsubscribed,
)
from shared.words.tokens import MAX_DESTINATION_BYTES, MAX_TOKEN_CHARS, TokenKeys
from tests.fakes.recipients import Jobs
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said

NOW_MS = 1_750_000_005_000
JOB = ids.new_job_id(NOW_MS - 5_000, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)
URL = "https://exemple.fr/a%20b?c=d&e=%C3%A9#f"

Client = TestClient[web.Request, web.Application]


class NoKeys:
    async def verify(self, text: str) -> None:
        return None


@pytest.fixture
def memory() -> Memory:
    return Memory()


class _QuickServer(TestServer):
    """With the edge in front of the routes, as every process of ours serves them."""

    __test__ = False

    def __init__(self, app: web.Application, quick: Quick) -> None:
        super().__init__(app)
        self._quick = quick

    async def _make_runner(self, **options: Any) -> web.AppRunner:
        del options["handler_cancellation"]
        return QuickRunner(self.app, quick=self._quick, **options)


@pytest.fixture(params=["the routes alone", "the edge in front"])
async def client(memory: Memory, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    tracking = Tracking(KEYS, memory, "edge", Jobs(), Said())
    app = api.application(http.routes(tracking, lambda: NOW_MS, forwarded_hops=1), NoKeys(), max_body_bytes=65536)
    if request.param == "the routes alone":
        server = TestServer(app)
    else:
        server = _QuickServer(app, edge(tracking, lambda: NOW_MS, lambda: 0.0, forwarded_hops=1))
    await server.start_server(max_line_size=MAX_TOKEN_CHARS + 1024)
    async with TestClient(server, auto_decompress=False) as client:
        yield client


async def test_the_pixel(client: Client, memory: Memory) -> None:
    async with client.get(
        f"/o/{KEYS.open(JOB, 1, 'demo', 'ana@example.fr')}", headers={"User-Agent": "Thunderbird"}
    ) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "image/gif", PIXEL)
        assert answer.headers["Content-Length"] == "43"
        assert "no-store" in answer.headers["Cache-Control"]

    assert [(fact.ordinal, fact.machine) for fact in memory.facts if isinstance(fact, Opened)] == [(1, "")]


async def test_a_click(client: Client, memory: Memory) -> None:
    headers = {"User-Agent": "Firefox", "X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
    path = f"/c/{KEYS.click(JOB, 1, 'demo', 'ana@example.fr', 4, URL)}"
    async with client.get(path, allow_redirects=False, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (302, b"")
        assert answer.headers.getall("Location") == [URL]

    (fact,) = memory.facts
    assert isinstance(fact, Clicked)
    assert (fact.url, fact.position, fact.machine, fact.ip) == (URL, 4, "", "203.0.113.9")


async def test_a_document(client: Client, memory: Memory) -> None:
    path = f"/d/{KEYS.document(JOB, 1, 'demo', 'ana@example.fr', URL, 'Devis é')}"
    headers = {"User-Agent": "Firefox", "X-Forwarded-For": "203.0.113.9"}
    async with client.get(f"{path}/?fbclid=1", allow_redirects=False, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (302, b"")
        assert answer.headers.getall("Location") == [URL]

    (fact,) = memory.facts
    assert isinstance(fact, DocumentOpened)
    assert (fact.document, fact.url, fact.position, fact.ip) == ("Devis é", URL, None, "203.0.113.9")


async def test_a_document_whose_link_is_over(client: Client, memory: Memory) -> None:
    token = KEYS.document_for("demo", "ana@example.fr", URL, "Devis", NOW_MS // 1000)
    async with client.get(f"/d/{token}", allow_redirects=False, headers={"Accept-Language": "nl"}) as answer:
        assert (answer.status, await answer.read()) == (410, pages.invalid("nl"))
        assert "Location" not in answer.headers

    assert memory.facts == []


async def test_the_longest_link_works(client: Client, memory: Memory) -> None:
    url = "https://exemple.fr/".ljust(MAX_DESTINATION_BYTES, "x")
    token = KEYS.click(JOB, 1, "demo", "ana@example.fr", 0, url)

    async with client.get(f"/c/{token}", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, url)


async def test_the_unsubscribe_page_then_its_button(client: Client, memory: Memory) -> None:
    path = f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}"

    async with client.get(path, headers={"Accept-Language": "nl"}) as answer:
        assert (answer.status, await answer.read()) == (200, pages.leave(NOTHING_KNOWN, "nl").body)
        assert answer.headers["Content-Security-Policy"] == pages.HEADERS["Content-Security-Policy"]
    assert memory.facts == []

    async with client.post(path, data={"by": "page"}, headers={"Accept-Language": "nl"}) as answer:
        status, page = answer.status, await answer.read()
    left = [fact for fact in memory.facts if isinstance(fact, Unsubscribed)]
    assert [fact.by for fact in left] == ["page"]
    # It can be taken back.
    assert (status, page) == (200, pages.left(NOTHING_KNOWN, "nl", left[0].event_id).body)


@pytest.mark.parametrize("multipart", [False, True])
async def test_one_click_as_rfc_8058_writes_it(client: Client, memory: Memory, multipart: bool) -> None:
    form = aiohttp.FormData({"List-Unsubscribe": "One-Click"}, default_to_multipart=multipart)

    async with client.post(
        f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}", data=form, allow_redirects=False
    ) as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")

    assert [fact.by for fact in memory.facts if isinstance(fact, Unsubscribed)] == ["one_click"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size_bytes", [5_000, MAX_FORM_BYTES + 1, 300_000])
async def test_a_form_of_any_size_unsubscribes(client: Client, memory: Memory, size_bytes: int, chunked: bool) -> None:
    form = b"List-Unsubscribe=One-Click&rest=".ljust(size_bytes, b"x")

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(form), 4096):
            yield form[at : at + 4096]

    path = f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with client.post(path, data=chunks() if chunked else form, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, pages.left_plain(""))

    assert [fact.by for fact in memory.facts if isinstance(fact, Unsubscribed)] == ["one_click"]


@pytest.mark.parametrize(
    ("content_type", "body", "by"),
    [
        (None, b"", "page"),
        (None, b"List-Unsubscribe=One-Click", "one_click"),
        ("text/plain", b"List-Unsubscribe=One-Click\r\n", "one_click"),
        ("application/x-www-form-urlencoded; charset=utf-8", b"list-unsubscribe=one-click", "one_click"),
        ("application/json", b'{"List-Unsubscribe": "One-Click"}', "page"),
        ("application/octet-stream", bytes(range(256)), "page"),
        ("multipart/form-data", b"no boundary at all", "page"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
            "one_click",
        ),
    ],
)
async def test_whatever_body_is_posted_unsubscribes(
    client: Client, memory: Memory, content_type: str | None, body: bytes, by: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    skipped = () if content_type else ("Content-Type",)
    path = f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}"
    async with client.post(path, data=body, headers=headers, skip_auto_headers=skipped) as answer:
        assert answer.status == 200

    assert [fact.by for fact in memory.facts if isinstance(fact, Unsubscribed)] == [by]


@pytest.mark.parametrize("kind", ["open", "click", "unsubscribe", "preferences", "opt_in", "document"])
async def test_head_is_answered_as_get_is_without_a_body_and_does_nothing(
    client: Client, memory: Memory, kind: str
) -> None:
    token = {
        "open": f"/o/{KEYS.open(JOB, 1, 'demo', 'ana@example.fr')}",
        "click": f"/c/{KEYS.click(JOB, 1, 'demo', 'ana@example.fr', 0, URL)}",
        "document": f"/d/{KEYS.document(JOB, 1, 'demo', 'ana@example.fr', URL, 'Devis')}",
        "unsubscribe": f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}",
        "preferences": f"/p/{KEYS.for_job(JOB, 'demo').addressed('preferences', 1, 'ana@example.fr').decode()}",
        "opt_in": f"/a/{KEYS.for_job(JOB, 'demo').addressed('opt_in', 1, 'ana@example.fr').decode()}?box",
    }[kind]
    varies = {"Date", "Content-Length", "X-Request-ID"}  # of nothing a length need not be told
    async with client.get(token, allow_redirects=False) as answer:
        asked = answer.status, {name: value for name, value in answer.headers.items() if name not in varies}
    memory.facts.clear()

    async with client.head(token, allow_redirects=False) as answer:
        body = await answer.read()
        headed = answer.status, {name: value for name, value in answer.headers.items() if name not in varies}

    assert (headed, body) == (asked, b"")
    assert memory.facts == []


@pytest.mark.parametrize("appended", ["/", "?utm_source=x", "/?fbclid=1&fbclid=2", "?a&b=c"])
async def test_what_is_appended_to_a_link_changes_nothing(client: Client, memory: Memory, appended: str) -> None:
    links = {
        f"/o/{KEYS.open(JOB, 1, 'demo', 'ana@example.fr')}": 200,
        f"/c/{KEYS.click(JOB, 1, 'demo', 'ana@example.fr', 0, URL)}": 302,
        f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}": 200,
    }
    for link, status in links.items():
        for method in ("GET", "HEAD"):
            async with client.request(method, link + appended, allow_redirects=False) as answer:
                assert answer.status == status
    async with client.post(f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}{appended}") as answer:
        assert answer.status == 200
    assert [type(fact) for fact in memory.facts].count(Unsubscribed) == 1


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/o/x", {"GET", "HEAD"}), ("/c/x/", {"GET", "HEAD"}), ("/u/x", {"GET", "HEAD", "POST"})],
)
async def test_options_tell_the_methods_and_do_nothing(
    client: Client, memory: Memory, path: str, allowed: set[str]
) -> None:
    async with client.options(path) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
        assert set(answer.headers["Allow"].split(",")) == {*allowed, "OPTIONS"}
    assert memory.facts == []


@pytest.mark.parametrize(
    ("lines", "ip"),
    [
        (["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6, 7.7.7.7", "203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6", "7.7.7.7, 203.0.113.9:50123"], "203.0.113.9"),
        (["6.6.6.6", "[2001:db8::9]:443"], "2001:db8::9"),
        (["6.6.6.6", ""], "6.6.6.6"),
        (["6.6.6.6", "unknown"], "127.0.0.1"),
    ],
)
async def test_a_proxy_may_add_a_line_of_its_own(client: Client, memory: Memory, lines: list[str], ip: str) -> None:
    headers = CIMultiDict(("X-Forwarded-For", line) for line in lines)

    async with client.get(f"/o/{KEYS.open(JOB, 1, 'demo', 'ana@example.fr')}", headers=headers) as answer:
        assert answer.status == 200

    assert [fact.ip for fact in memory.facts if isinstance(fact, Opened)] == [ip]


async def test_the_lines_of_a_list_are_one_list(client: Client, memory: Memory) -> None:
    languages = CIMultiDict([("Accept-Language", "xx, fr;q=0.1"), ("Accept-Language", "nl;q=0.9")])
    async with client.get(f"/u/{KEYS.unsubscribe(JOB, 1, 'demo', 'ana@example.fr')}", headers=languages) as answer:
        assert await answer.read() == pages.leave(NOTHING_KNOWN, "nl").body

    purposes = CIMultiDict([("Sec-Purpose", "other"), ("Sec-Purpose", "prefetch"), ("User-Agent", "Firefox")])
    async with client.get(f"/o/{KEYS.open(JOB, 1, 'demo', 'ana@example.fr')}", headers=purposes) as answer:
        assert answer.status == 200
    assert [fact.machine for fact in memory.facts if isinstance(fact, Opened)] == ["prefetch"]


@pytest.mark.parametrize("path", ["/o/", "/c/", "/d/", "/u/"])
async def test_an_invalid_token_gets_a_page_that_repeats_nothing_of_it(
    client: Client, memory: Memory, path: str
) -> None:
    for token in ("%3Cscript%3Ealert(1)%3C%2Fscript%3E", "https:%2F%2Fmal.example", "%00", "%FF", "A" * 8500):
        async with client.get(path + token, allow_redirects=False, headers={"Accept-Language": "es"}) as answer:
            assert (answer.status, await answer.read()) == (404, pages.invalid("es"))
            assert "Location" not in answer.headers
    assert memory.facts == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/c/x", {"GET", "HEAD"}),
        ("POST", "/d/x", {"GET", "HEAD"}),
        ("DELETE", "/u/x", {"GET", "HEAD", "POST"}),
        ("PUT", "/o/x", {"GET", "HEAD"}),
    ],
)
async def test_other_methods_are_not_allowed(client: Client, method: str, path: str, allowed: set[str]) -> None:
    async with client.request(method, path) as answer:
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(",")) == allowed


@pytest.mark.parametrize("path", ["/c/", "/c", "/u/a/b", "/o"])
async def test_a_path_that_is_none_of_ours_is_not_found(client: Client, path: str) -> None:
    async with client.get(path) as answer:
        assert answer.status == 404


async def test_a_header_that_is_not_utf_8_harms_nothing(client: Client, memory: Memory) -> None:
    server = client.server
    token = KEYS.open(JOB, 1, "demo", "ana@example.fr").encode()

    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"GET /o/" + token + b" HTTP/1.1\r\nHost: x\r\nUser-Agent: M\xe9\xff\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()

    assert [fact.user_agent for fact in memory.facts if isinstance(fact, Opened)] == ["M??"]


async def test_a_failure_of_ours_is_logged_without_the_token(
    client: Client, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fact: Fact, mark: bytes, *_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(memory, "record", broken)
    monkeypatch.setattr(memory, "hand_in", broken)
    token = KEYS.open(JOB, 1, "demo", "ana@example.fr")

    with capture_logs() as lines:
        async with client.get(f"/o/{token}") as answer:
            assert answer.status == 500

    assert [line["event"] for line in lines].count("request_failed") == 1
    assert token not in str(lines)


async def test_the_routes_are_described_and_open_to_everybody(client: Client) -> None:
    async with client.get("/v1/openapi.json") as answer:
        paths = (await answer.json())["paths"]

    assert {path: set(found) for path, found in paths.items()} == {
        "/o/{token}": {"get"},
        "/c/{token}": {"get", "head"},
        "/d/{token}": {"get", "head"},
        "/u/{token}": {"get", "post"},
        "/p/{token}": {"get", "post"},
        "/a/{token}": {"get", "post"},
    }
    assert not any("security" in operation for found in paths.values() for operation in found.values())
