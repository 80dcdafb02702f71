"""The console through HTTP: who signs in, what their session holds, and what ends it."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import CookieJar, test_utils, web

from services.pages import http, sessions
from services.pages.api import Loopback
from services.pages.documents import Documents
from services.pages.drawing import Drawing
from services.pages.pages import Pages
from services.pages.session_keys import SessionKeys
from services.pages.sessions import Sessions
from shared.http import api
from shared.net.pacing import Pacing
from shared.redis import keys, redis
from shared.redis.tenants import Tenants

KEYS = SessionKeys([b"m" * 32])
ATTEMPTS = 5


class House:
    """The pages and the API that they ask, on one server, as in an instance."""

    def __init__(self, client: redis.Client) -> None:
        self.client = client
        self.now_s = 0.0
        self.tenants = Tenants(client, monotonic=lambda: self.now_s)
        self.http: test_utils.TestClient[Any, Any]
        self.key = ""

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(path, allow_redirects=False, headers=headers) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> tuple[int, str]:
        async with self.http.post(path, data=fields, allow_redirects=False, headers=headers) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def token(self, path: str = "/console") -> str:
        """That of the form on this page."""
        _, page = await self.get(path)
        return str(re.findall(r'name="form" value="(\w+)"', page)[0])

    async def sign_in(self, key: str | None = None) -> tuple[int, str]:
        return await self.post("/console", {"form": await self.token(), "key": self.key if key is None else key})

    def cookie(self) -> str:
        jar = self.http.session.cookie_jar
        return next((one.value for one in jar if one.key == http.COOKIE), "")

    async def record(self) -> bytes | None:
        return await self.client.get(keys.page_session(KEYS.names(self.cookie())[0]))


async def no_jobs(_request: web.Request) -> web.StreamResponse:
    return api.json_answer({"jobs": [], "next": None})


@pytest.fixture
async def house(client: redis.Client) -> AsyncIterator[House]:
    house = House(client)
    await house.tenants.create("acme")
    _, house.key = await house.tenants.create_key("acme", ["read", "send"])
    port = test_utils.unused_port()
    loopback = Loopback(f"http://127.0.0.1:{port}")
    await loopback.start()
    chance = iter(bytes([one]) * 32 for one in range(1, 200))
    pages = Pages(
        Sessions(client, KEYS, 12, lambda size: next(chance)[:size]),
        KEYS,
        loopback.of,
        Drawing("http://t.test"),
        Documents({"README": "# Documents\n", "guide": "# Guide\n"}),
        Pacing(lambda: house.now_s, ATTEMPTS, 60 / ATTEMPTS, 100),
        12,
    )
    routes = http.routes(pages, hours=12, forwarded_hops=0, is_https=False)
    routes.append(api.Route("GET", "/v1/jobs", no_jobs, "Jobs", scope="read", answers={200: None}, any_query=True))
    app = api.application(routes, house.tenants, max_body_bytes=100_000)
    async with test_utils.TestClient(
        test_utils.TestServer(app, port=port), cookie_jar=CookieJar(unsafe=True)
    ) as house.http:
        yield house
    await loopback.close()


async def test_whoever_has_a_key_signs_in_and_out(house: House) -> None:
    assert await house.get("/console/jobs") == (303, "/console")
    assert await house.sign_in() == (303, "/console/jobs")
    assert await house.get("/console") == (303, "/console/jobs")
    status, page = await house.get("/console/jobs")
    assert (status, "No job yet" in page, "acme" in page) == (200, True, True)

    cookie = house.cookie()
    assert await house.post("/console/sign-out", {"form": await house.token("/console/jobs")}) == (303, "/console")

    assert house.cookie() == ""
    assert await house.get("/console/jobs", Cookie=f"{http.COOKIE}={cookie}") == (303, "/console")


async def test_the_key_is_in_no_cookie_no_page_and_readable_nowhere_in_redis(house: House) -> None:
    await house.sign_in()

    _, page = await house.get("/console/jobs")
    record = await house.record()

    assert record is not None
    assert house.key.encode() not in record
    assert house.key[-32:] not in page + house.cookie()
    assert house.cookie() not in page


async def test_a_cookie_is_for_our_pages_alone_and_of_this_host_behind_https(house: House) -> None:
    async with house.http.get("/console") as answer:
        plain = answer.headers["Set-Cookie"]
    async with house.http.get("/console", headers={"X-Forwarded-Proto": "https"}) as answer:
        secure = answer.headers["Set-Cookie"]

    assert plain.startswith(f"{http.COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(plain.split("; "))
    assert secure.startswith(f"{http.HOST_COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Secure"} <= set(secure.split("; "))
    assert "Domain" not in plain + secure


async def test_who_signs_in_gets_a_session_that_nobody_gave_them(house: House) -> None:
    await house.get("/console")
    before = house.cookie()

    await house.sign_in()

    assert before
    assert house.cookie() != before
    assert await house.client.get(keys.page_session(KEYS.names(before)[0])) is None


async def test_a_session_ends_by_itself(house: House) -> None:
    await house.sign_in()
    ttl = await house.client.eval(
        "return redis.call('PTTL', KEYS[1])", 1, keys.page_session(KEYS.names(house.cookie())[0])
    )

    assert 0 < ttl <= 12 * sessions.HOUR_MS


async def test_a_revoked_key_ends_its_sessions(house: House) -> None:
    await house.sign_in()
    await house.tenants.revoke_key(house.key.split("_")[1])

    status, page = await house.get("/console/jobs")

    assert (status, "your key was revoked" in page) == (401, True)
    assert await house.record() is None
    assert await house.get("/console/jobs") == (303, "/console")


@pytest.mark.parametrize(
    ("key", "status", "fault"),
    [
        ("", 422, "That is no key."),
        ("est_ä", 422, "That is no key."),
        ("x" * 201, 422, "That is no key."),
        ("est_k3v9x2m1qa_" + "x" * 32, 401, "That key is not known, or was revoked."),
    ],
)
async def test_what_is_no_key_signs_nobody_in(house: House, key: str, status: int, fault: str) -> None:
    answered, page = await house.sign_in(key)

    assert (answered, fault in page) == (status, True)
    assert key == "" or key not in page
    assert await house.get("/console/jobs") == (303, "/console")


async def test_a_key_that_reads_nothing_signs_nobody_in(house: House) -> None:
    _, key = await house.tenants.create_key("acme", ["send"])

    status, page = await house.sign_in(key)

    assert (status, "lacks the scope read" in page) == (403, True)


async def test_who_tries_too_often_waits(house: House) -> None:
    answers = [(await house.sign_in("est_k3v9x2m1qa_" + "x" * 32))[0] for _ in range(ATTEMPTS + 1)]

    assert answers == [401] * ATTEMPTS + [429]
    assert (await house.sign_in())[0] == 429
    house.now_s += 60 / ATTEMPTS
    assert (await house.sign_in())[0] == 303


async def test_a_form_of_another_session_or_another_site_does_nothing(house: House) -> None:
    foreign = KEYS.form_token("ff" * 32)
    assert (await house.post("/console", {"form": foreign, "key": house.key}))[0] == 403
    assert (await house.post("/console", {"key": house.key}))[0] == 403
    await house.sign_in()
    own = await house.token("/console/jobs")

    assert (await house.post("/console/sign-out", {"form": foreign}))[0] == 403
    assert (await house.post("/console/sign-out", {"form": own}, **{"Sec-Fetch-Site": "cross-site"}))[0] == 403
    assert (await house.post("/console/sign-out", {}))[0] == 403

    assert (await house.get("/console/jobs"))[0] == 200


@pytest.mark.parametrize("cookie", ["", "x", "0" * 64, "../" * 20, "<b>"])
async def test_a_cookie_that_is_none_of_ours_is_nobody_s(house: House, cookie: str) -> None:
    assert await house.get("/console/jobs", Cookie=f"{http.COOKIE}={cookie}") == (303, "/console")


async def test_what_is_no_form_is_told_so(house: House) -> None:
    async with house.http.post("/console", json={}) as answer:
        assert answer.status == 415
    async with house.http.post("/console", data={"key": "x" * http.MAX_FORM_BYTES}) as answer:
        assert answer.status == 413
    async with house.http.post("/console", data={f"f{at}": "" for at in range(http.MAX_FIELDS + 1)}) as answer:
        assert answer.status == 400


async def test_what_the_api_does_not_know_is_a_page_too(house: House) -> None:
    await house.sign_in()

    status, page = await house.get("/console/jobs/068vjfm5s9m2rc1jqqrg")

    assert (status, "There is no such page" in page) == (404, True)
    assert (await house.get("/docs/nothing"))[0] == 404
    assert (await house.get("/docs/guide"))[0] == 200
    assert (await house.get("/assets/style-0.css"))[0] == 404


async def test_every_page_lets_nothing_run_and_nothing_in(house: House) -> None:
    await house.sign_in()

    for path in ("/", "/docs", "/docs/guide", "/console/jobs", "/console/jobs/x", "/docs/nothing"):
        async with house.http.get(path) as answer:
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self';")
            assert answer.headers["Cache-Control"] == "no-store"
            text = await answer.text()
            style = re.findall(r'rel="stylesheet" href="([^"]+)"', text.replace("&#x2f;", "/"))
            assert not re.search(r"<script|<style|style=|\son\w+=", text)
        async with house.http.get(style[0]) as answer:
            assert (answer.status, "immutable" in answer.headers["Cache-Control"]) == (200, True)


async def test_a_session_survives_a_new_master_secret(client: redis.Client) -> None:
    old = Sessions(client, KEYS, 1, lambda size: b"c" * size)
    secret = await old.begin("est_a_b", "acme", "a", ("read",))

    changed = Sessions(client, SessionKeys([b"n" * 32, b"m" * 32]), 1, lambda size: b"c" * size)
    other = Sessions(client, SessionKeys([b"n" * 32]), 1, lambda size: b"c" * size)
    signed_in = await changed.find(secret)

    assert signed_in is not None
    assert (signed_in.key, signed_in.tenant, signed_in.scopes) == ("est_a_b", "acme", ("read",))
    assert "est_a_b" not in repr(signed_in)
    assert await other.find(secret) is None
    await changed.end(secret)
    assert await old.find(secret) is None
