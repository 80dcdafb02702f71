"""Quotas through the front door of the API, with real keys of two tenants: who goes beyond is told so and changes
nothing, and the other tenant is served as before."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import test_utils

from services.domains import http as domains
from services.queueing import http as queueing
from services.queueing.aside import Aside
from services.queueing.compile import Limits
from services.queueing.jobs import Draft
from services.queueing.quotas import REFUSED_S, Room
from services.queueing.store import DAY_MS, JobStore
from services.queueing.taking import Taking
from services.queueing.template_store import TemplateStore
from shared.http import api
from shared.mail import dkim_keys
from shared.mail.dkim_keys import Vault
from shared.process.settings import Quotas
from shared.redis import keys, redis
from shared.redis.domain_tables import COUNTED_MS
from shared.redis.ready import LANES
from shared.redis.result_sets import ResultSets
from shared.redis.sending_domains import SendingDomains
from shared.redis.targets import Targets
from shared.redis.tenants import CACHE_SECONDS, Rights, TenantError, Tenants
from shared.words import content, ids
from shared.words.errors import Fault
from shared.words.quotas import Admission
from tests.jobs import compile_draft

P = 4
CONTENT = {"from": "news@acme.test", "subject": "s", "text": "t {{ unsubscribe_url }}"}


class Clock:
    """Runs on by itself as slowly as the tests do, and by leaps."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def now(self) -> float:
        return time.time() + self.ahead_s

    def now_ms(self) -> int:
        return int(self.now() * 1000)

    def pass_by(self, seconds: float) -> None:
        self.ahead_s += seconds


class CompilingHere:
    """What `http` has done in a child."""

    async def compile(self, draft: Draft, limits: Limits, tenant: str) -> content.CompiledContent | list[Fault]:
        return compile_draft(draft, limits)


class Front:
    """The API over a real Redis. `restart` is what a kill -9 of the process leaves: Redis."""

    def __init__(self, client: redis.Client, clock: Clock, defaults: Quotas, max_intake_chunks: int = 1000) -> None:
        self.client: Any = client
        self.clock = clock
        self.defaults = defaults
        self.max_intake_chunks = max_intake_chunks
        self.keys: dict[str, str] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "Front":
        self.tenants = Tenants(self.client, now=self.clock.now, monotonic=self.clock.monotonic)
        for name in ("acme", "other"):
            await self.tenants.create(name)
            self.keys[name] = await self.another_key(name)
        await self.restart()
        await self.domains.give("acme", "acme.test")
        await self.domains.give("other", "other.test")
        return self

    async def another_key(self, tenant: str) -> str:
        return (await self.tenants.create_key(tenant, ["send", "admin", "read"]))[1]

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def restart(self) -> None:
        await self._open.aclose()
        self.tenants = Tenants(self.client, now=self.clock.now, monotonic=self.clock.monotonic)
        self.store = JobStore(self.client, P, self.max_intake_chunks, 7 * DAY_MS)
        self.domains = SendingDomains(
            self.client,
            Vault(b"k" * 32),
            make_key=lambda _: dkim_keys.make("ed25519-sha256"),
            now=self.clock.now,
            monotonic=self.clock.monotonic,
        )
        defaults = self.defaults.by_name()
        room = Room(self.store, defaults, self.clock.now_ms, self.clock.monotonic, self.tenants)

        async def no_dns(names: Any) -> dict[str, list[str]]:
            return {name: [] for name in names}

        aside = Aside()
        routes = [
            *queueing.routes(
                self.store,
                room,
                Taking(
                    self.store,
                    self.tenants,
                    self.domains,
                    CompilingHere(),
                    room,
                    partitions=P,
                    max_recipients=10_000,
                    now_ms=self.clock.now_ms,
                    chance=os.urandom,
                    aside=aside,
                    sets=ResultSets(self.client, P),
                    contacts=Targets(self.client, P),
                    templates=TemplateStore(self.client, P, self.clock.monotonic),
                ),
                aside,
                self.clock.now_ms,
            ),
            *domains.routes(self.domains, self.tenants, no_dns, self.clock.now_ms, defaults),
        ]
        admission = Admission(defaults, self.clock.monotonic)
        app = api.application(routes, self.tenants, max_body_bytes=2**24, admission=admission)
        self.http = await self._open.enter_async_context(test_utils.TestClient(test_utils.TestServer(app)))

    async def call(
        self, path: str, body: Any = None, *, tenant: str = "acme", key: str = "", method: str = "POST", **headers: str
    ) -> tuple[int, Any, Any]:
        """Status, body and headers of the answer."""
        wire = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {key or self.keys[tenant]}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, path, data=wire, headers=sent) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None, answer.headers

    async def job(self, tenant: str = "acme", recipients: int = 1, **fields: Any) -> tuple[int, Any, Any]:
        headers = {"Idempotency_Key": fields.pop("key")} if "key" in fields else {}
        people = [{"email": f"a{number}@x.test"} for number in range(recipients)]
        content = {**CONTENT, "from": f"news@{tenant}.test", "recipients": people, **fields}
        return await self.call("/v1/jobs", content, tenant=tenant, **headers)

    async def open(self, tenant: str = "acme", **fields: Any) -> tuple[int, Any, Any]:
        content = {**CONTENT, "from": f"news@{tenant}.test", **fields}
        return await self.call("/v1/jobs?state=open", content, tenant=tenant)

    async def append(self, job: str, lines: bytes, tenant: str = "acme") -> tuple[int, Any, Any]:
        return await self.call(f"/v1/jobs/{job}/recipients", lines, tenant=tenant, Content_Type="application/x-ndjson")

    async def use(self, tenant: str = "acme") -> dict[str, int]:
        return await self.store.use(tenant, self.clock.now_ms())

    async def everything(self) -> dict[bytes, int]:
        """Every key and its size: what a refused request must leave as it is."""
        found = {}
        for p in range(P):
            async for name in self.client.scan_iter(match=f"est:{{p{p}}}:*"):
                found[name] = await self.client.memory_usage(name, samples=0)
        return found


def refused(answer: tuple[int, Any, Any], quota: str) -> bool:
    """Whether the answer is the 429 of that quota, whole."""
    status, body, headers = answer
    if status != 429:
        return False
    assert body["type"] == "urn:estafette:problem:quota_exceeded"
    assert headers["RateLimit"].startswith(f'"{quota}";r=0;t=')
    assert headers["RateLimit-Policy"].startswith(f'"{quota}";q=')
    assert body["quota"]["name"] == quota, body
    assert body["faults"][0]["at"] == quota
    assert int(headers["Retry-After"]) >= 1
    return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def front(client: redis.Client, clock: Clock) -> AsyncIterator[Front]:
    small = Quotas(
        requests_per_second=1000,
        requests_under_way=20,
        open_jobs=5,
        stored_bytes=200_000,
        domains=4,
        idempotency_keys=6,
        intake_chunks=8,
    )
    async with Front(client, clock, small) as front:
        yield front


async def test_a_normal_customer_never_meets_a_quota(client: redis.Client, clock: Clock) -> None:
    async with Front(client, clock, Quotas()) as front:
        _, opened, _ = await front.open()
        lines = b"".join(b'{"email": "a%d@x.test", "variables": {"n": "%d"}}\n' % (n, n) for n in range(5_000))

        answers = [await front.append(opened["id"], lines), await front.call(f"/v1/jobs/{opened['id']}/start", {})]
        answers += await asyncio.gather(
            *(front.job(recipients=10, key=f"k{n}", stream="transactional") for n in range(50))
        )

        assert [status for status, *_ in answers] == [200] + [202] * 51


async def test_many_small_open_jobs_end_at_the_quota_and_the_others_go_on(front: Front) -> None:
    answers = await asyncio.gather(*(front.open() for _ in range(18)))

    assert sum(status == 202 for status, *_ in answers) == 5
    assert sum(refused(answer, "open_jobs") for answer in answers) == 13
    assert (await front.use())["open_jobs"] == 5
    assert (await front.open("other"))[0] == 202
    assert (await front.job())[0] == 202  # what is not open is not counted there


async def test_a_refused_request_changes_nothing(front: Front) -> None:
    for _ in range(5):
        await front.open()
    before = await front.everything()

    for _ in range(20):
        assert refused(await front.open(), "open_jobs")

    assert await front.everything() == before


async def test_an_open_job_that_is_started_makes_room(front: Front, clock: Clock) -> None:
    jobs = [(await front.open())[1]["id"] for _ in range(5)]
    await front.append(jobs[0], b'{"email": "a@x.test"}\n')

    assert (await front.call(f"/v1/jobs/{jobs[0]}/start", {}))[0] == 202
    clock.pass_by(REFUSED_S)

    assert (await front.open())[0] == 202
    assert refused(await front.open(), "open_jobs")


async def test_few_giant_jobs_end_at_the_bytes(front: Front) -> None:
    giant: dict[str, Any] = {"text": os.urandom(26_000).hex() + " {{ unsubscribe_url }}"}

    answers = [await front.open(**giant) for _ in range(4)] + [await front.job(**giant) for _ in range(2)]

    assert [status for status, *_ in answers[:2]] == [202, 202]
    assert all(refused(answer, "stored_bytes") for answer in answers[2:])
    assert (await front.job("other", text=giant["text"]))[0] == 202


async def test_recipients_of_open_jobs_end_at_the_bytes_and_are_freed_with_the_job(front: Front, clock: Clock) -> None:
    _, opened, _ = await front.open()
    line = b'{"email": "%d@x.test", "variables": {"v": "%s"}}\n'
    lines = b"".join(line % (n, b"v" * 300) for n in range(2_000))

    assert refused(await front.append(opened["id"], lines), "stored_bytes")

    held = (await front.use())["stored_bytes"]
    assert 0 < held <= 200_000
    clock.pass_by(8 * 24 * 3600)
    removed = [job for p in range(P) for job, _ in await front.store.remove_open(p, clock.now_ms())]
    assert removed == [opened["id"]]
    assert (await front.use())["stored_bytes"] == 0
    assert (await front.append(opened["id"], lines))[0] == 404


async def test_many_idempotency_keys_end_at_the_quota_and_a_repeat_is_answered(front: Front, clock: Clock) -> None:
    answers = [await front.job(key=f"k{n}") for n in range(6)]
    assert all(status == 202 for status, *_ in answers)

    assert refused(await front.job(key="one more"), "idempotency_keys")
    assert (await front.job(key="k3"))[1] == answers[3][1]
    assert (await front.job(key="k1", tenant="other"))[0] == 202
    assert await front.client.exists(keys.schedule(0)) == 0
    clock.pass_by(26 * 3600)
    assert (await front.job(key="next day"))[0] == 202


async def test_many_domains_end_at_the_quota_those_removed_and_new_keys_too(front: Front, clock: Clock) -> None:
    for name in ("b.test", "c.test"):
        assert (await front.call("/v1/domains", {"domain": name}))[0] == 201
    assert (await front.call("/v1/domains/c.test", method="DELETE"))[0] == 204
    assert (await front.call("/v1/domains", {"domain": "d.test"}))[0] == 201

    assert refused(await front.call("/v1/domains", {"domain": "e.test"}), "domains")
    assert refused(await front.call("/v1/domains", {"domain": "c.test"}), "domains")
    assert refused(await front.call("/v1/domains/b.test/rotate"), "domains")
    assert (await front.call("/v1/domains", {"domain": "b.test"}))[0] == 200  # it is there
    assert (await front.call("/v1/domains", {"domain": "e.test"}, tenant="other"))[0] == 201
    clock.pass_by(COUNTED_MS / 1000 + 1)
    assert (await front.call("/v1/domains", {"domain": "f.test"}))[0] == 201
    assert refused(await front.call("/v1/domains", {"domain": "g.test"}), "domains")


async def test_domains_added_at_once_never_pass_the_quota(front: Front) -> None:
    answers = await asyncio.gather(*(front.call("/v1/domains", {"domain": f"d{n}.test"}) for n in range(15)))

    assert sum(status == 201 for status, *_ in answers) == 3  # one was there
    assert len(await front.domains.of_tenant("acme")) == 4


async def test_domains_of_before_they_were_counted_are(front: Front) -> None:
    await front.client.delete(keys.tenant_domains("acme"))

    await front.domains.count()

    assert await front.client.zcard(keys.tenant_domains("acme")) == 1


async def test_one_tenant_s_waiting_chunks_refuse_it_alone_and_that_lane_alone(front: Front) -> None:
    answers = [await front.job() for _ in range(10)]

    assert [status for status, *_ in answers[:8]] == [202] * 8
    assert all(refused(answer, "intake_chunks") for answer in answers[8:])
    assert (await front.job(stream="transactional"))[0] == 202
    assert (await front.job("other"))[0] == 202
    _, opened, _ = await front.open()
    await front.append(opened["id"], b'{"email": "a@x.test"}\n')
    assert refused(await front.call(f"/v1/jobs/{opened['id']}/start", {}), "intake_chunks")
    later = {"send_at": "2030-01-01T00:00:00Z"}
    assert (await front.call(f"/v1/jobs/{opened['id']}/start", later))[0] in (202, 422)


async def test_a_lane_that_one_tenant_has_filled_lets_the_others_in(client: redis.Client, clock: Clock) -> None:
    async with Front(client, clock, Quotas(), max_intake_chunks=10) as front:
        words = [(await front.job())[0] for _ in range(60)]
        assert 429 in words  # `engine_full`: the tenant's own chunks have filled a partition's lane

        others = [(await front.job("other"))[0] for _ in range(P)]

        assert others[0] == 202


async def test_many_keys_of_a_tenant_count_as_one(front: Front) -> None:
    several = [await front.another_key("acme") for _ in range(6)]

    answers = [await front.call("/v1/jobs?state=open", CONTENT, key=several[number % 6]) for number in range(12)]

    assert sum(status == 202 for status, *_ in answers) == 5
    assert all(refused(answer, "open_jobs") for answer in answers[5:])


async def test_parallel_slow_uploads_end_at_the_requests_under_way(front: Front) -> None:
    _, opened, _ = await front.open()
    go_on = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"email": "a@x.test"}\n'
        await go_on.wait()

    async def upload() -> tuple[int, Any, Any]:
        headers = {"Authorization": f"Bearer {front.keys['acme']}", "Content-Type": "application/x-ndjson"}
        path = f"/v1/jobs/{opened['id']}/recipients"
        async with front.http.post(path, data=slowly(), headers=headers) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    uploads = [asyncio.create_task(upload()) for _ in range(30)]
    first = asyncio.as_completed(uploads)
    for _ in range(10):  # those beyond are told at once, without their bodies
        await next(first)
    meanwhile = await front.job("other")
    over = [task.result() for task in uploads if task.done()]
    go_on.set()
    done = await asyncio.gather(*uploads)

    assert meanwhile[0] == 202
    assert all(refused(answer, "requests_under_way") for answer in over)
    assert sum(status == 200 for status, *_ in done) == 20
    assert (await front.job())[0] == 202  # none is under way any more


async def test_a_flood_of_requests_ends_at_the_rate_and_the_others_go_on(client: redis.Client, clock: Clock) -> None:
    async with Front(client, clock, Quotas(requests_per_second=10)) as front:
        clock.monotonic = lambda: 5.0  # type: ignore[method-assign]
        await front.restart()
        answers = [await front.call("/v1/domains", method="GET") for _ in range(40)]

        assert [status for status, *_ in answers[:10]] == [200] * 10
        assert all(refused(answer, "requests_per_second") for answer in answers[10:])
        assert (await front.call("/v1/domains", method="GET", tenant="other"))[0] == 200


async def test_a_tenant_s_own_quota_holds_within_ten_seconds(front: Front, clock: Clock) -> None:
    for _ in range(5):
        await front.open()
    assert refused(await front.open(), "open_jobs")

    await Tenants(front.client).set_quota("acme", "open_jobs", 7)
    clock.pass_by(CACHE_SECONDS + 1)

    assert [(await front.open())[0] for _ in range(3)] == [202, 202, 429]
    await Tenants(front.client).set_quota("acme", "open_jobs", None)
    clock.pass_by(CACHE_SECONDS + 1)
    _, body, _ = await front.open()
    assert body["quota"] == {"name": "open_jobs", "limit": 5, "used": 7}


async def test_what_could_not_be_stored_is_not_counted_and_a_new_process_counts_what_is_there(
    front: Front, clock: Clock
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise redis.RedisAway("as if it had died")

    whole = front.store.store
    front.store.store = away  # type: ignore[method-assign]
    assert 503 in [(await front.open())[0] for _ in range(20)]
    front.store.store = whole  # type: ignore[method-assign]

    assert set((await front.use()).values()) == {0}
    clock.pass_by(REFUSED_S)
    assert (await front.open())[0] == 202
    await front.restart()
    assert [(await front.open())[0] for _ in range(5)] == [202] * 4 + [429]


async def test_an_open_job_that_is_appended_to_stays_and_a_started_one_is_not_removed(
    front: Front, clock: Clock
) -> None:
    kept, started, left = [(await front.open())[1]["id"] for _ in range(3)]
    clock.pass_by(6 * 24 * 3600)
    await front.append(kept, b'{"email": "a@x.test"}\n')
    await front.append(started, b'{"email": "a@x.test"}\n')
    await front.call(f"/v1/jobs/{started}/start", {})
    clock.pass_by(2 * 24 * 3600)

    removed = [job for p in range(P) for job, _ in await front.store.remove_open(p, clock.now_ms())]

    assert removed == [left]
    assert await front.store.head(started) is not None
    assert (await front.call(f"/v1/jobs/{kept}/start", {}))[0] == 202
    assert (await front.call(f"/v1/jobs/{left}/start", {}))[0] == 404
    assert (await front.use())["open_jobs"] == 0


async def test_whose_chunks_wait_is_counted_anew_after_one_was_buried(front: Front) -> None:
    _, posted, _ = await front.job()
    partition, lane = ids.job_partition(posted["id"], P), LANES["bulk"]
    assert (await front.use())["intake_chunks:1"] == 1
    await front.client.delete(keys.intake(partition, lane))  # dead-lettered: it left, and was not counted

    await front.store.count_intake(partition)

    assert (await front.use())["intake_chunks:1"] == 0


async def test_counting_anew_changes_no_true_count(front: Front) -> None:
    for number in range(7):
        await front.job("acme" if number % 3 else "other")
    before = await front.use(), await front.use("other")

    for p in range(P):
        await front.store.count_intake(p)

    assert (await front.use(), await front.use("other")) == before


async def test_a_key_of_the_sandbox_makes_jobs_of_the_sandbox_and_touches_no_other(front: Front) -> None:
    _, trying = await front.tenants.create_key("acme", ["send", "read"], Rights(is_sandbox=True))
    content = {**CONTENT, "recipients": [{"email": "a@x.test"}]}
    _, real, _ = await front.open()
    lines = b'{"email": "b@x.test"}\n'

    tried = await front.call("/v1/jobs", content, key=trying, Idempotency_Key="order 7")
    meant = await front.call("/v1/jobs", content, Idempotency_Key="order 7")
    opened = await front.call("/v1/jobs?state=open", CONTENT, key=trying)
    refused = [
        await front.call(f"/v1/jobs/{real['id']}/recipients", lines, key=trying, Content_Type="application/x-ndjson"),
        await front.call(f"/v1/jobs/{real['id']}/start", {}, key=trying),
    ]
    appended = await front.call(
        f"/v1/jobs/{opened[1]['id']}/recipients", lines, key=trying, Content_Type="application/x-ndjson"
    )

    assert (tried[0], meant[0], opened[0], appended[0]) == (202, 202, 202, 200)
    assert tried[1]["id"] != meant[1]["id"]
    heads = [await front.store.head(answer[1]["id"]) for answer in (tried, meant, opened)]
    assert [head is not None and (head.sandbox, head.test) for head in heads] == [
        (True, True),
        (False, False),
        (True, True),
    ]
    assert [(answer[0], answer[1]["type"].rpartition(":")[2]) for answer in refused] == [(403, "sandbox_key")] * 2
    with pytest.raises(TenantError, match="admin"):
        await front.tenants.create_key("acme", ["send", "admin"], Rights(is_sandbox=True))


async def test_a_key_that_is_bound_to_domains_sends_from_no_other(front: Front) -> None:
    _, key = await front.tenants.create_key("acme", ["send"], Rights(domains=("shop.acme.test",)))
    content = {**CONTENT, "recipients": [{"email": "a@x.test"}]}

    before = await front.everything()
    status, body, _ = await front.call("/v1/jobs", content, key=key)

    assert (status, body["type"]) == (403, "urn:estafette:problem:domain_not_allowed")
    assert body["faults"][0]["at"] == "$.from"
    assert "shop.acme.test" in body["detail"]
    assert await front.everything() == before
