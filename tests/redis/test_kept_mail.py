"""Kept mail in a real Redis and in a real cluster, and how its routes show it."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.bounces import http
from services.bounces.bounces import Received
from services.bounces.kept import MAX_MAIL_BYTES, KeptMails
from shared.http import api
from shared.redis import keys, redis

Client = TestClient[Any, Any]


class Clock:
    def __init__(self) -> None:
        self.ms = 1_760_000_000_000

    def __call__(self) -> int:
        self.ms += 1
        return self.ms


class TwoKeys:
    """A ring with a key per word: `acme`, `demo`, and `root`, which may operate."""

    async def verify(self, text: str) -> api.Principal | None:
        scopes = {"acme": {"admin"}, "demo": {"admin"}, "root": {"admin", "operator"}, "reader": {"read"}}
        return api.Principal(text, frozenset(scopes[text])) if text in scopes else None


@pytest.fixture
async def browser(client: redis.Client) -> AsyncIterator[Client]:
    app = api.application(http.routes(KeptMails(client, Clock())), TwoKeys(), max_body_bytes=1000)
    async with TestClient(TestServer(app)) as browser:
        yield browser


def mail(subject: str, size: int = 0) -> Received:
    raw = f"Subject: {subject}\r\n\r\n".encode() + b"x" * size
    return Received("ana@example.fr", ("postmaster@bounces.example",), raw, "192.0.2.9")


async def stored_bytes(client: redis.Client) -> int:
    return int(await cast(Awaitable[Any], client.get(keys.kept_mail_bytes())) or 0)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_mail_is_kept_as_it_came_and_read_newest_first(client: redis.Client) -> None:
    kept = KeptMails(client, Clock())

    for subject in ("one", "two", "three"):
        await kept.keep("not_a_report", mail(subject), "demo")
    first = await kept.newest(None, 2)
    rest = await kept.newest(first[-1][0], 2)

    assert [one.raw.split()[1] for _, one in first + rest] == [b"three", b"two", b"one"]
    assert await kept.one(rest[0][0]) == rest[0][1]
    assert await kept.one("1-1") is None
    newest = first[0][1]
    assert (newest.reason, newest.tenant, newest.peer, newest.sender, newest.recipients) == (
        "not_a_report", "demo", "192.0.2.9", "ana@example.fr", ("postmaster@bounces.example",)
    )  # fmt: skip


async def test_a_large_mail_is_cut_and_says_how_large_it_was(client: redis.Client) -> None:
    kept = KeptMails(client, Clock())

    await kept.keep("not_a_report", mail("large", 2 * MAX_MAIL_BYTES), "")

    [(_, one)] = await kept.newest(None, 10)
    assert len(one.raw) == MAX_MAIL_BYTES
    assert one.size_bytes > 2 * MAX_MAIL_BYTES


async def test_promise_8_kept_mail_is_bounded_in_number(client: redis.Client) -> None:
    kept = KeptMails(client, Clock(), max_mails=5)

    for number in range(12):
        await kept.keep("not_a_report", mail(str(number)), "")

    assert [one.raw.split()[1] for _, one in await kept.newest(None, 100)] == [b"11", b"10", b"9", b"8", b"7"]


async def test_promise_8_kept_mail_is_bounded_in_bytes(client: redis.Client) -> None:
    kept = KeptMails(client, Clock(), max_bytes=10_000)

    for number in range(20):
        await kept.keep("not_a_report", mail(str(number), 900), "")
    before = await stored_bytes(client)
    await kept.keep("not_a_report", mail("huge", 200_000), "")

    assert 9_000 < before <= 10_000
    assert [one.raw.split()[1] for _, one in await kept.newest(None, 100)] == [b"huge"]
    assert await stored_bytes(client) > 200_000
    await kept.keep("not_a_report", mail("small"), "")
    assert await stored_bytes(client) < 1_000


async def test_the_list_is_paged_by_cursor(client: redis.Client, browser: Client) -> None:
    kept = KeptMails(client, Clock())
    for number in range(5):
        await kept.keep("not_a_report", mail(f"=?utf-8?Q?n=C2=B0?= {number}"), "demo")

    subjects, after, pages = [], None, 0
    while pages == 0 or after:
        query = {"limit": "2"} | ({"after": after} if after else {})
        async with browser.get("/v1/kept-mail", params=query, headers=bearer("demo")) as answer:
            page = await answer.json()
        subjects += [one["subject"] for one in page["mails"]]
        after = page["next"]
        pages += 1

    assert subjects == ["n° 4", "n° 3", "n° 2", "n° 1", "n° 0"]
    assert pages == 3
    assert page["mails"][0] == {
        "id": page["mails"][0]["id"],
        "kept_at": "2025-10-09T08:53:20.001Z",
        "reason": "not_a_report",
        "from": "ana@example.fr",
        "to": ["postmaster@bounces.example"],
        "peer": "192.0.2.9",
        "subject": "n° 0",
        "size_bytes": 34,
        "excerpt": "Subject: =?utf-8?Q?n=C2=B0?= 0\r\n\r\n",
    }


async def test_what_others_alone_may_see_makes_no_empty_page(client: redis.Client, browser: Client) -> None:
    kept = KeptMails(client, Clock())
    for number in range(70):
        await kept.keep("not_a_report", mail(str(number)), "demo" if number in (0, 3, 50) else "acme")

    subjects: list[str] = []
    sizes: list[int] = []
    after = None
    while not sizes or after:
        query = {"limit": "2"} | ({"after": after} if after else {})
        async with browser.get("/v1/kept-mail", params=query, headers=bearer("demo")) as answer:
            page = await answer.json()
        subjects += [one["subject"] for one in page["mails"]]
        after = page["next"]
        sizes.append(len(page["mails"]))

    assert (subjects, sizes) == (["50", "3", "0"], [2, 1])


async def test_one_mail_is_served_as_it_came(client: redis.Client, browser: Client) -> None:
    kept = KeptMails(client, Clock())
    await kept.keep("not_a_report", mail("<script>"), "demo")
    [(mail_id, one)] = await kept.newest(None, 1)

    async with browser.get(f"/v1/kept-mail/{mail_id}", headers=bearer("demo")) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "message/rfc822", one.raw)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_promise_7_one_tenant_does_not_see_what_concerns_another(client: redis.Client, browser: Client) -> None:
    kept = KeptMails(client, Clock())
    for tenant in ("acme", "demo", ""):
        await kept.keep("not_a_report", mail(tenant or "nobody"), tenant)
    of_acme = (await kept.newest(None, 3))[2][0]

    seen = {}
    for key in ("acme", "demo", "root"):
        async with browser.get("/v1/kept-mail", headers=bearer(key)) as answer:
            seen[key] = {one["subject"] for one in (await answer.json())["mails"]}
    async with browser.get(f"/v1/kept-mail/{of_acme}", headers=bearer("demo")) as answer:
        status = answer.status

    assert seen == {"acme": {"acme"}, "demo": {"demo"}, "root": {"acme", "demo", "nobody"}}
    assert status == 404


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/v1/kept-mail", "", 401),
        ("/v1/kept-mail", "reader", 403),
        ("/v1/kept-mail?limit=0", "demo", 422),
        ("/v1/kept-mail?limit=101", "demo", 422),
        ("/v1/kept-mail?limit=x", "demo", 422),
        ("/v1/kept-mail?after=%28", "demo", 422),
        ("/v1/kept-mail/nothing", "demo", 404),
        ("/v1/kept-mail/1-1", "demo", 404),
    ],
)
async def test_bad_requests_get_their_problem(browser: Client, path: str, key: str, status: int) -> None:
    async with browser.get(path, headers=bearer(key)) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
