"""What sites ask, as HTTP says it, through a real server and a real client."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.tracking import visit_http
from services.tracking.tracking import Tracking
from services.tracking.visiting import MAX_BODY_BYTES, Pace, Visiting
from services.tracking.visits import Ties
from shared.http import api
from shared.words import ids
from shared.words.events import PageViewed
from shared.words.tokens import TokenKeys
from tests.edges.tracking.test_http import NoKeys
from tests.fakes.recipients import Jobs
from tests.fakes.recorder import Memory
from tests.fakes.untracked import Said
from tests.fakes.web_trackings import Sites

NOW_MS = 1_750_000_005_000
JOB = ids.new_job_id(NOW_MS - 5_000, b"chance", 8)
KEYS = TokenKeys(b"k" * 32)
CLICK = KEYS.click(JOB, 3, "demo", "ana@example.fr", 2, "https://www.exemple.fr/")
TELL = f"/w/{KEYS.visit(CLICK, NOW_MS // 1000)}"
PAGE = b'{"kind": "page", "url": "https://www.exemple.fr/a"}'
BROWSER = {"User-Agent": "Firefox", "Content-Type": "text/plain;charset=UTF-8", "Origin": "https://www.exemple.fr"}

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
async def client(memory: Memory) -> AsyncIterator[Client]:
    untracked, sites = Said(), Sites()
    tracking = Tracking(KEYS, memory, "edge", Jobs(), untracked, ties=Ties(KEYS, sites, untracked))
    visiting = Visiting(KEYS, tracking, untracked, sites, Pace(lambda: 0.0))
    app = api.application(visit_http.routes(visiting, lambda: NOW_MS), NoKeys(), max_body_bytes=65536)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_the_script_is_small_kept_and_known_again(client: Client) -> None:
    async with client.get("/w.js?v=1") as answer:
        assert (answer.status, answer.content_type) == (200, "text/javascript")
        assert len(await answer.read()) < 6_000
        assert answer.headers["Cache-Control"] == "public, max-age=3600"
        assert "Set-Cookie" not in answer.headers
        tag = answer.headers["ETag"]

    for known, status in ((tag, 304), (f'"other", W/{tag}', 304), ('"other"', 200)):
        async with client.get("/w.js", headers={"If-None-Match": known}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (status, tag)
    async with client.head("/w.js") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_what_a_page_tells_is_recorded_and_any_site_may_read_the_answer(client: Client, memory: Memory) -> None:
    async with client.post(TELL, data=PAGE, headers=BROWSER) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Set-Cookie" not in answer.headers

    assert [fact.url for fact in memory.facts if isinstance(fact, PageViewed)] == ["https://www.exemple.fr/a"]


@pytest.mark.parametrize("header", ["DNT", "Sec-GPC"])
async def test_a_browser_that_asks_not_to_be_tracked_is_heard(client: Client, memory: Memory, header: str) -> None:
    async with client.post(TELL, data=PAGE, headers={**BROWSER, header: "1"}) as answer:
        assert answer.status == 204

    assert memory.facts == []


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        (TELL, b"{}", 422, "invalid_body"),
        (TELL, b"no json", 400, "malformed_json"),
        (TELL, b" " * (MAX_BODY_BYTES + 1), 413, "body_too_large"),
        ("/w/nonsense", PAGE, 404, "unknown_visit"),
        (f"/w/{CLICK}", PAGE, 404, "unknown_visit"),
    ],
)
async def test_what_is_wrong_is_said_so_that_a_site_can_read_it(
    client: Client, memory: Memory, path: str, body: bytes, status: int, word: str
) -> None:
    async with client.post(path, data=body, headers=BROWSER) as answer:
        problem: dict[str, Any] = await answer.json()
        assert (answer.status, problem["type"].rpartition(":")[2]) == (status, word)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"

    assert memory.facts == []


async def test_a_visit_is_told_and_not_asked(client: Client, memory: Memory) -> None:
    async with client.get(TELL) as answer:
        assert answer.status == 405

    assert memory.facts == []
