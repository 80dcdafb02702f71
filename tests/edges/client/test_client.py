"""The client against a server that answers as it is told: what is repeated, how, and what is refused."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from services.client import client as module
from services.client.answers import Fault
from services.client.client import Busy, Client, Conflict, Invalid, NoAnswer, NotAllowed, NotFound, Refused

JOB = {"from": "a@b.example", "subject": "s", "text": "t", "recipients": [{"email": "ana@exemple.fr"}]}
ACCEPTED = {"id": "j1", "state": "queueing", "accepted": 1, "new_field": 1, "messages": [{"id": "j1.0", "email": "x"}]}


def problem(word: str, status: int, **more: Any) -> web.Response:
    body = {"type": f"urn:estafette:problem:{word}", "title": word, "status": status, **more}
    return web.json_response(body, status=status, content_type="application/problem+json")


class Api:
    """Answers one after the other, the last for ever; remembers what was asked."""

    def __init__(self, *answers: Callable[[web.Request], web.StreamResponse | None]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        made = (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)
        if made is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return made

    @property
    def keys(self) -> set[str]:
        return {headers["Idempotency-Key"] for _, _, headers, _ in self.asked}


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are noted, and over at once."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(module, "asyncio", type("Waits", (), {"sleep": staticmethod(sleep)}))
    return waits


@asynccontextmanager
async def served(api: Api, tries: int = 4) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with Client(f"http://127.0.0.1:{port}/", "est_k", tries=tries) as client:
            yield client
    finally:
        await runner.cleanup()


def ok(body: Any, status: int = 200) -> Callable[[web.Request], web.StreamResponse]:
    return lambda request: web.json_response(body, status=status)


def later(status: int = 503, retry_after: str = "") -> Callable[[web.Request], web.StreamResponse]:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return lambda request: web.Response(status=status, headers=headers)


async def test_a_job_is_repeated_under_one_key_and_no_sooner_than_asked(slept: list[float]) -> None:
    api = Api(later(retry_after="7"), lambda request: None, later(429), ok(ACCEPTED, 202))
    async with served(api) as client:
        accepted = await client.send(JOB)

    assert (accepted.id, accepted.accepted, accepted.messages[0].id) == ("j1", 1, "j1.0")
    assert len(api.asked) == 4
    assert len(api.keys) == 1
    assert slept[0] == 7.0
    assert slept == sorted(slept[:1]) + sorted(slept[1:])
    assert all(headers["Authorization"] == "Bearer est_k" for _, _, headers, _ in api.asked)
    assert json.loads(api.asked[0][3]) == JOB


async def test_a_key_of_the_callers_is_taken() -> None:
    api = Api(ok(ACCEPTED, 202))
    async with served(api) as client:
        await client.open(JOB, idempotency_key="mine")

    assert api.keys == {"mine"}
    assert api.asked[0][1] == "/v1/jobs?state=open"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, NotAllowed), (403, NotAllowed), (404, NotFound), (409, Conflict), (422, Invalid), (500, Refused)],
)
async def test_what_is_refused_is_not_repeated_and_has_its_word_and_faults(status: int, kind: type[Refused]) -> None:
    faults = [{"at": "$.subject", "what": "is missing"}]
    api = Api(lambda request: problem("some_word", status, detail="no", faults=faults))
    async with served(api) as client:
        with pytest.raises(kind) as refused:
            await client.send(JOB)

    assert (refused.value.status, refused.value.word) == (status, "some_word")
    assert refused.value.faults == [Fault("$.subject", "is missing")]
    assert "$.subject: is missing" in str(refused.value)
    assert len(api.asked) == 1


async def test_who_is_busy_to_the_end_and_who_never_answers_are_told_apart() -> None:
    busy, silent = Api(lambda request: problem("engine_full", 429)), Api(lambda request: None)
    async with served(busy) as client:
        with pytest.raises(Busy, match="engine_full"):
            await client.report("j1")
    async with served(silent) as client:
        with pytest.raises(NoAnswer):
            await client.report("j1")

    assert len(busy.asked) == 4


async def test_who_is_to_come_back_tomorrow_is_told_at_once(slept: list[float]) -> None:
    api = Api(later(429, "40000"))
    async with served(api) as client:
        with pytest.raises(Busy) as busy:
            await client.send(JOB)

    assert busy.value.retry_after_s == 40_000
    assert (len(api.asked), slept) == (1, [])


async def test_a_whole_mail_is_handed_over_as_it_is() -> None:
    api = Api(ok(ACCEPTED, 202), ok(ACCEPTED, 202))
    async with served(api) as client:
        await client.send_mail(b"From: a@b.example\r\n\r\n\xff", ["ana@exemple.fr"], idempotency_key="k")
        told = {"sender": "a@b.example", "recipients": [{"notify": ["failure"]}]}
        await client.send_mail(b"From: a@b.example\r\n\r\n", ["ana@exemple.fr"], dsn=told, idempotency_key="k")

    assert ["dsn" in json.loads(asked[3]) for asked in api.asked] == [False, True]
    body = json.loads(api.asked[0][3])
    assert (api.asked[0][1], api.keys, body["recipients"]) == ("/v1/mails", {"k"}, ["ana@exemple.fr"])
    assert b64decode(body["mail"]) == b"From: a@b.example\r\n\r\n\xff"


async def test_a_list_is_read_page_by_page_to_its_end() -> None:
    api = Api(ok({"jobs": [{"id": "j1"}], "next": "c1"}), ok({"jobs": [{"id": "j2"}], "next": None}))
    async with served(api) as client:
        assert [one["id"] async for one in client.jobs(state="done")] == ["j1", "j2"]

    assert [path for _, path, _, _ in api.asked] == ["/v1/jobs?state=done", "/v1/jobs?state=done&after=c1"]


async def test_what_a_proxy_says_is_no_problem_of_ours() -> None:
    async with served(Api(lambda request: web.Response(status=404, text="<html>"))) as client:
        with pytest.raises(NotFound) as refused:
            await client.report("j1")

    assert refused.value.word == ""


async def test_recipients_are_streamed_and_a_list_is_streamed_again() -> None:
    appended = {"appended": 3, "duplicates": 0, "rejected": [], "faults": []}
    api = Api(later(), ok(appended))
    people = [{"email": f"u{number}@x.test"} for number in range(3)]
    async with served(api) as client:
        assert (await client.append("j1", people)).appended == 3

    first, second = (body for _, _, _, body in api.asked)
    assert [json.loads(line) for line in second.splitlines()] == people
    assert first == second
    assert api.asked[0][2]["Content-Type"] == "application/x-ndjson"


async def test_what_can_be_gone_through_once_is_not_streamed_again() -> None:
    api = Api(later())
    async with served(api) as client:
        with pytest.raises(Busy):
            await client.append("j1", iter([{"email": "u@x.test"}]))

    assert len(api.asked) == 1


async def test_a_start_whose_answer_was_lost_is_a_start() -> None:
    report = {"id": "j1", "state": "queued", "stream": "bulk", "total": 1, "counts": {}}
    api = Api(lambda request: None, lambda request: problem("not_open", 409), ok(report))
    async with served(api) as client:
        assert (await client.start("j1")).state == "queued"


async def test_a_feed_is_read_to_its_end_by_its_cursor() -> None:
    event = {"event_id": "e", "type": "message.delivered", "time": "t", "job": "j1", "message": "j1.0", "email": "x"}
    pages = ({"events": [event], "next": "c1", "more": True}, {"events": [], "next": "c2", "more": False})
    api = Api(*(ok({**page}) for page in pages))
    async with served(api) as client:
        found = [page async for page in client.event_pages("c0", type="message.delivered")]

    assert [page.next for page in found] == ["c1"]
    assert found[0].events[0].type == "message.delivered"
    assert [path.partition("?")[2] for _, path, _, _ in api.asked] == [
        "type=message.delivered&after=c0",
        "type=message.delivered&after=c1",
    ]


async def test_a_set_that_breaks_off_is_not_whole() -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"email":"ana@exemple.fr"}\n')
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return response

    api = Api(ok({}))
    api.handle = broken  # type: ignore[method-assign]
    async with served(api) as client:
        lines = client.messages("j1", "not_opened")
        first = await anext(lines)
        with pytest.raises(NoAnswer, match="broke off"):
            await anext(lines)

    assert first == {"email": "ana@exemple.fr"}


async def test_who_is_not_on_the_list_is_nobody() -> None:
    api = Api(lambda request: problem("unknown_suppression", 404))
    async with served(api) as client:
        assert await client.suppressed("ana+1@exemple.fr") is None
        await client.unsuppress("ana/1@exemple.fr")

    assert [path for _, path, _, _ in api.asked] == [
        "/v1/suppressions/ana%2B1@exemple.fr",
        "/v1/suppressions/ana%2F1@exemple.fr",
    ]
