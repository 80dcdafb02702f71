"""What all routes have in common, through a real server and a real client."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Annotated

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict
from prometheus_client import REGISTRY

from shared.http import api, paging
from shared.http.turns import LIGHT_S
from shared.words.described import says

Client = TestClient[web.Request, web.Application]
PRINCIPAL = api.Principal("acme", frozenset({"read"}))
KEY = {"Authorization": "Bearer key"}


class Things(msgspec.Struct, frozen=True):
    after: str = ""
    limit: Annotated[int, paging.limit(10)] = 10


class Sought(msgspec.Struct, frozen=True):
    q: str = ""


class Keys:
    async def verify(self, text: str) -> api.Principal | None:
        return PRINCIPAL if text == "key" else None


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async def echo(request: web.Request) -> web.StreamResponse:
        return api.json_answer({"query": dict(request.query), "body": (await request.read()).decode()})

    routes = [
        api.Route("GET", "/v1/things", echo, "Things", scope="read", query=Things),
        api.Route("GET", "/v1/things/{thing}", echo, "A thing", scope="read"),
        api.Route("POST", "/v1/things", echo, "Make one", scope="read", headers={"Idempotency-Key": says("")}),
        api.Route("GET", "/open", echo, "For everybody", query=Sought),
        api.Route("GET", "/l/{token}", echo, "A link", any_query=True, trailing_slash=True),
    ]
    server = TestServer(api.application(routes, Keys(), max_body_bytes=65536))
    await server.start_server()
    async with TestClient(server) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "faults"),
    [
        ("/v1/things?dryrun=1", [("?dryrun", "there is no such parameter; there are ?after, ?limit")]),
        ("/v1/things?Limit=5", [("?Limit", "there is no such parameter; there are ?after, ?limit")]),
        ("/v1/things?limit=5&limit=6", [("?limit", "given more than once")]),
        ("/v1/things?limit=5&limt=6&x=", [("?limt", None), ("?x", None)]),
        ("/v1/things/a?verbose", [("?verbose", "there is no such parameter; this route has none")]),
        ("/v1/things?limit=11&limt=6", [("?limt", None), ("?limit", "expected 1 to 10")]),
        ("/v1/things?limit=", [("?limit", "expected 1 to 10")]),
        ("/open?after=1", [("?after", "there is no such parameter; there are ?q")]),
        ("/v1/openapi.json?format=yaml", [("?format", "there is no such parameter; this route has none")]),
    ],
)
async def test_a_parameter_that_is_none_is_refused_by_its_name(
    client: Client, path: str, faults: list[tuple[str, str | None]]
) -> None:
    async with client.get(path, headers=KEY) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert (answer.status, problem["type"]) == (422, "urn:estafette:problem:invalid_query")
    assert [fault["at"] for fault in problem["faults"]] == [at for at, _ in faults]
    assert all(what in (None, fault["what"]) for fault, (_, what) in zip(problem["faults"], faults, strict=True))


async def test_a_body_does_not_excuse_a_parameter(client: Client) -> None:
    async with client.post("/v1/things?dryrun=1", headers=KEY, data=b"{}") as answer:
        assert answer.status == 422


async def test_who_has_no_key_is_not_told_which_parameters_there_are(client: Client) -> None:
    async with client.get("/v1/things?dryrun=1") as answer:
        assert answer.status == 401


@pytest.mark.parametrize("path", ["/v1/things?after=&limit=1", "/v1/things?", "/open?q=%26", "/l/t?a=1&a=2", "/l/t/?b"])
async def test_parameters_that_are_known_or_do_not_matter_pass(client: Client, path: str) -> None:
    async with client.get(path, headers=KEY) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key"])
@pytest.mark.parametrize("values", [("Bearer key", "Bearer other"), ("Bearer key", "Bearer key"), ("", "Bearer key")])
async def test_a_header_of_one_value_that_comes_twice_is_refused_by_its_name(
    client: Client, name: str, values: tuple[str, str]
) -> None:
    headers = CIMultiDict([] if name == "Authorization" else KEY.items())
    headers.extend((name, value) for value in values)

    async with client.post("/v1/things", headers=headers) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert (answer.status, problem["type"]) == (400, "urn:estafette:problem:repeated_header")
    assert [fault["at"] for fault in problem["faults"]] == [name]


@pytest.mark.parametrize("line", [b"Content-Type: text/csv", b"Host: other", b"Content-Length: 5"])
async def test_what_http_itself_has_once_is_refused_if_it_comes_twice(client: Client, line: bytes) -> None:
    head = b"POST /v1/things HTTP/1.1\r\nAuthorization: Bearer key\r\nHost: x\r\nContent-Type: text/plain\r\n"
    once = head + b"Content-Length: 5\r\nConnection: close\r\n"

    assert await said(client, once + b"\r\nhello") == b"200"
    assert await said(client, once + line + b"\r\n\r\nhello") == b"400"


async def said(client: Client, request: bytes) -> bytes:
    """The status with which these bytes are answered."""
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(request)
    status = (await reader.readline()).split()[1]
    writer.close()
    await writer.wait_closed()
    return status


@pytest.mark.parametrize("path", ["/v1/things", "/v1/things/a", "/open", "/v1/openapi.json", "/l/t", "/l/t/"])
async def test_what_can_be_asked_with_get_can_be_asked_with_head(client: Client, path: str) -> None:
    async with client.get(path, headers=KEY) as got, client.head(path, headers=KEY) as headed:
        assert got.status == headed.status == 200
        assert got.headers["Content-Length"] == headed.headers["Content-Length"]
        assert await headed.read() == b""


async def test_head_asks_for_a_key_as_get_does(client: Client) -> None:
    async with client.head("/v1/things") as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/things", {"GET", "HEAD", "POST", "OPTIONS"}), ("/v1/things/a", {"GET", "HEAD", "OPTIONS"})],
)
async def test_options_tell_what_is_allowed(client: Client, path: str, allowed: set[str]) -> None:
    async with client.options(path) as answer:
        assert (answer.status, set(answer.headers["Allow"].split(","))) == (204, allowed)


async def test_options_of_nothing_find_nothing(client: Client) -> None:
    async with client.options("/v1/nothing") as answer:
        assert answer.status == 404


async def test_who_keeps_the_loop_busy_by_one_route_waits_by_every_other() -> None:
    async def busy(_request: web.Request) -> web.StreamResponse:
        time.sleep(5 * LIGHT_S)  # noqa: ASYNC251 - that is the fault of it
        return api.json_answer({})

    async def quick(_request: web.Request) -> web.StreamResponse:
        return api.json_answer({})

    routes = [
        api.Route("GET", "/v1/busy", busy, "It keeps the loop", scope="read"),
        api.Route("GET", "/v1/quick", quick, "It takes nothing", scope="read"),
        api.Route("GET", "/v1/open", quick, "Anybody may ask"),
    ]
    async with TestClient(TestServer(api.application(routes, Keys(), max_body_bytes=65536))) as client:
        before = held()
        (await client.get("/v1/quick", headers=KEY)).release()
        light = held()
        (await client.get("/v1/busy", headers=KEY)).release()
        (await client.get("/v1/quick", headers=KEY)).release()  # nobody else is there
        alone = held()
        (await client.get("/v1/open")).release()
        (await client.get("/v1/quick", headers=KEY)).release()

        assert (light, alone, held()) == (before, before, before + 1)


def held() -> float:
    return REGISTRY.get_sample_value("estafette_http_steps_held_total") or 0.0


async def test_a_key_that_is_bound_to_networks_is_refused_elsewhere_by_the_word_of_our_proxy_alone() -> None:
    class OfANetwork:
        async def verify(self, text: str) -> api.Principal | None:
            return dataclasses.replace(PRINCIPAL, networks=(ip_network("192.0.2.0/24"),))

    async def answer(_request: web.Request) -> web.StreamResponse:
        return api.json_answer({})

    routes = [api.Route("GET", "/v1/things", answer, "Things", scope="read")]
    statuses = {}
    for hops in (0, 1):
        app = api.application(routes, OfANetwork(), max_body_bytes=100, forwarded_hops=hops)
        async with TestClient(TestServer(app)) as at:
            for seen in ("192.0.2.9", "192.0.2.9, 203.0.113.5"):
                async with at.get("/v1/things", headers={**KEY, "X-Forwarded-For": seen}) as said:
                    problem = await said.json() if said.status != 200 else {"type": ""}
                    statuses[hops, seen] = said.status, problem["type"].rpartition(":")[2]

    refused = (403, "network_not_allowed")
    assert statuses == {
        (0, "192.0.2.9"): refused,
        (0, "192.0.2.9, 203.0.113.5"): refused,
        (1, "192.0.2.9"): (200, ""),
        (1, "192.0.2.9, 203.0.113.5"): refused,
    }


async def test_a_key_of_the_sandbox_changes_only_what_says_that_it_keeps_the_sandbox_apart() -> None:
    class OfTheSandbox:
        async def verify(self, text: str) -> api.Principal | None:
            return dataclasses.replace(PRINCIPAL, is_sandbox=True)

    async def answer(_request: web.Request) -> web.StreamResponse:
        return api.json_answer({})

    routes = [
        api.Route("GET", "/v1/things", answer, "Things", scope="read"),
        api.Route("POST", "/v1/things", answer, "Make one", scope="read"),
        api.Route("POST", "/v1/jobs", answer, "Send", scope="read", sandbox=True),
    ]
    app = api.application(routes, OfTheSandbox(), max_body_bytes=100)
    async with TestClient(TestServer(app)) as at:
        answers = [
            await at.get("/v1/things", headers=KEY),
            await at.post("/v1/things", headers=KEY),
            await at.post("/v1/jobs", headers=KEY),
        ]

        assert [said.status for said in answers] == [200, 403, 200]
        assert (await answers[1].json())["type"] == "urn:estafette:problem:sandbox_key"
