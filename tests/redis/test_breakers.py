"""Breakers in a real Redis and a real cluster: exact under repeats, told once, resumed by consent."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import test_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.breakers import http as stops_http
from services.breakers.breakers import Breakers
from services.breakers.figures import Figures, Saw, Seen
from services.breakers.store import FigureStore
from shared.http import api
from shared.redis import (
    bus,
    keys,
    redis,
    stops,
)
from shared.redis.stops import StopList
from shared.redis.tenants import Tenants
from shared.words import events, ids
from tests.jobs import job_hash

P = 3
DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS
JOB, OTHER, MAIL, TRIAL = (ids.new_job_id(NOW_MS, bytes([seed]) * 6, P, 1) for seed in range(1, 5))
ELSEWHERE = ids.new_job_id(NOW_MS, bytes(6), P, 2)


class Crash(Exception):
    """What a kill -9 looks like from inside."""


class Publisher(bus.Publisher):
    """Crashes before or after storing, as often as told."""

    def __init__(self, client: redis.Client) -> None:
        names = itertools.count()
        super().__init__(client, P, lambda: str(next(names)))
        self.crashes: list[str] = []

    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None:
        crash = self.crashes.pop() if self.crashes else ""
        if crash == "before":
            raise Crash
        await super().publish(facts, patience_s, batch)
        if crash == "after":
            raise Crash


class Bench:
    """Breakers at work on facts that are handed to them, and what comes of it. `now_ms` is their clock."""

    def __init__(self, client: redis.Client) -> None:
        self.client: Any = client
        self.now_ms = NOW_MS
        self.publisher = Publisher(client)
        self.figures = FigureStore(client, P)
        self.stops = StopList(client)
        self.breakers = Breakers(self.figures, self.stops, self.publisher, lambda: self.now_ms)
        self._numbers = itertools.count(1)

    async def job(
        self, job: str, stream: str = "bulk", total: int = 100_000, test: int = 0, state: str = "queued"
    ) -> None:
        fields = job_hash(tenant="acme", stream=stream, total=total, test=test, state=state, expires_at=0)
        await self.client.hset(keys.job(ids.job_partition(job, P), job), mapping=fields)

    def facts(self, fact: Any, ordinals: Sequence[int], job: str = JOB, tenant: str = "acme", **more: Any) -> list[Any]:
        return [
            fact(
                event_id=events.event_id(job, ordinal, fact.__name__),
                occurred_at=self.now_ms,
                tenant=tenant,
                job=job,
                ordinal=ordinal,
                **more,
            )
            for ordinal in ordinals
        ]

    async def judge(self, *facts: events.Fact) -> None:
        by_partition: dict[int, list[bus.Entry]] = {}
        for fact in facts:
            entry = bus.Entry(f"{self.now_ms}-{next(self._numbers)}", type(fact).__name__, 1, events.encode(fact))
            by_partition.setdefault(bus.fact_partition(fact, P), []).append(entry)
        for partition, entries in by_partition.items():
            await self.breakers.judge(partition, entries)

    async def delivered(self, ordinals: Sequence[int], job: str = JOB) -> None:
        for start in range(0, len(ordinals), 5_000):
            await self.judge(*self.facts(events.Delivered, ordinals[start : start + 5_000], job))

    async def bounced(self, ordinals: Sequence[int], job: str = JOB) -> None:
        await self.judge(*self.facts(events.Bounced, ordinals, job, kind="hard"))

    async def complained(self, ordinals: Sequence[int], job: str = JOB) -> None:
        await self.judge(*self.facts(events.Complained, ordinals, job))

    async def told(self) -> list[events.Fact]:
        """All that is on the streams."""
        found = []
        for p in range(P):
            for _, fields in await self.client.xrange(keys.events(p)):
                found.append(events.decode(fields[b"t"].decode(), fields[b"b"]))
        return found  # type: ignore[return-value]

    async def stopped(self) -> list[str]:
        return sorted(await self.stops.all())


@pytest.fixture
async def bench(client: redis.Client) -> Bench:
    bench = Bench(client)
    for job in (JOB, OTHER, ELSEWHERE):
        await bench.job(job)
    await bench.job(MAIL, stream="transactional")
    await bench.job(TRIAL, test=1)
    return bench


# Jobs


async def test_a_job_above_five_percent_invalid_is_stopped_and_told_with_its_figures(bench: Bench) -> None:
    await bench.delivered(range(380))
    await bench.bounced(range(380, 399))
    assert await bench.stopped() == []

    await bench.bounced([399])
    assert await bench.stopped() == []  # 20 of 400 are five percent, and not more

    await bench.bounced([400])

    assert await bench.stopped() == [f"job:{JOB}"]
    (fact,) = await bench.told()
    assert isinstance(fact, events.Stopped)
    assert (fact.tenant, fact.job, fact.ordinal) == ("acme", JOB, None)
    assert (fact.reason, fact.by, fact.bad, fact.of) == ("invalid_rate", "engine", 21, 401)
    assert (await bench.stops.all())[f"job:{JOB}"].told_ms == NOW_MS


async def test_one_bad_address_of_three_stops_nothing(bench: Bench) -> None:
    await bench.delivered([0, 1])
    await bench.bounced([2])

    assert await bench.stopped() == []


async def test_a_job_fares_by_its_own_figures(bench: Bench) -> None:
    await bench.bounced(range(15), JOB)
    await bench.bounced(range(15), OTHER)
    await bench.bounced(range(15), ELSEWHERE)

    assert await bench.stopped() == []


async def test_a_late_bounce_counts_its_message_once(bench: Bench) -> None:
    await bench.delivered(range(100))
    await bench.judge(*bench.facts(events.Bounced, range(10), kind="hard", late=True))
    await bench.judge(*bench.facts(events.Bounced, range(10), kind="hard", late=True))

    assert await bench.figures.job(JOB) == Figures(bad=10, of=100)


async def test_transactional_mail_and_tests_are_not_judged(bench: Bench) -> None:
    for job in (MAIL, TRIAL, ids.new_job_id(NOW_MS, b"nobody", P, 1)):
        await bench.bounced(range(50), job)
        await bench.delivered(range(50, 60), job)
        await bench.complained(range(50, 60), job)

        assert await bench.figures.job(job) == Figures(0, 0)
    assert await bench.stopped() == []
    assert (await bench.figures.tenant("acme")).complaints == {}


async def test_an_ordinal_that_the_job_has_not_counts_for_nothing(bench: Bench) -> None:
    await bench.bounced([100_000, 4_000_000_000])

    assert await bench.figures.job(JOB) == Figures(0, 0)


async def test_a_job_that_has_ended_is_not_stopped_any_more(bench: Bench) -> None:
    await bench.job(JOB, total=30)
    facts = bench.facts(events.Bounced, range(30), kind="hard")
    await bench.publisher.publish(facts)

    await bench.judge(*facts)

    assert await bench.stopped() == []


async def test_the_stop_of_a_job_that_has_ended_since_is_forgotten(bench: Bench) -> None:
    await bench.job(JOB, total=30)
    facts = bench.facts(events.Bounced, range(30), kind="hard")
    await bench.judge(*facts)
    await bench.breakers.sweep()
    assert await bench.stopped() == [f"job:{JOB}"]

    await bench.publisher.publish(facts)
    await bench.breakers.sweep()

    assert await bench.stopped() == []


# Exactness


@st.composite
def some_seen(draw: st.DrawFn) -> list[Seen]:
    """Things seen of a few messages of a few jobs, many of them several times."""
    one = st.builds(
        Seen,
        tenant=st.sampled_from(["acme", "other"]),
        job=st.sampled_from([JOB, OTHER, MAIL]),
        ordinal=st.sampled_from([0, 1, 7, 8, 99_999]),
        what=st.sampled_from(Saw),
        day=st.sampled_from([19_999, 20_000]),
    )
    return draw(st.lists(one, max_size=40))


@given(some_seen(), st.integers(1, 7))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_everything_counts_once_however_it_is_repeated(redis_server: Any, seen: list[Seen], size: int) -> None:
    redis_server.flush()
    client = redis.connect(redis_server.url)
    try:
        bench = Bench(client)
        for job in (JOB, OTHER):
            await bench.job(job)
        await bench.job(MAIL, stream="transactional")
        batches = [seen[at : at + size] for at in range(0, len(seen), size)]

        for batch in [*batches, *batches]:
            await bench.figures.count(1, batch)

        judged = [one for one in seen if one.job != MAIL]
        for job in (JOB, OTHER):
            assert await bench.figures.job(job) == Figures(
                bad=len({one.ordinal for one in judged if one.job == job and one.what is Saw.INVALID}),
                of=len({one.ordinal for one in judged if one.job == job and one.what is not Saw.COMPLAINED}),
            )
        for what, found in (
            (Saw.DELIVERED, [(await bench.figures.tenant(t)).delivered for t in ("acme", "other")]),
            (Saw.COMPLAINED, [(await bench.figures.tenant(t)).complaints for t in ("acme", "other")]),
        ):
            first: dict[tuple[str, int], Seen] = {}
            for one in judged:
                if one.what is what:
                    first.setdefault((one.job, one.ordinal), one)
            wanted = Counter((one.tenant, one.day) for one in first.values())
            assert {
                (tenant, day): number
                for tenant, days in zip(("acme", "other"), found, strict=True)
                for day, number in days.items()
            } == wanted
    finally:
        await redis.close(client)


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_a_stop_whose_telling_was_cut_short_is_told_once(bench: Bench, crash: str) -> None:
    bench.publisher.crashes = [crash]
    with pytest.raises(Crash):
        await bench.bounced(range(30))
    await bench.bounced(range(30))
    assert await bench.stopped() == [f"job:{JOB}"]

    await bench.breakers.sweep()
    await bench.breakers.sweep()

    (fact,) = await bench.told()
    assert isinstance(fact, events.Stopped)


# Tenants


async def send_and_complain(bench: Bench, delivered: int, complaints: int) -> None:
    await bench.delivered(range(delivered))
    await bench.complained(range(complaints))


async def test_complaints_above_three_in_ten_thousand_warn_once_a_day(bench: Bench) -> None:
    await bench.delivered(range(20_000))
    await bench.complained(range(6))
    assert await bench.told() == []

    await bench.complained([6])
    await bench.complained([7])

    (fact,) = await bench.told()
    assert isinstance(fact, events.Warned)
    assert (fact.tenant, fact.job, fact.reason, fact.bad, fact.of) == ("acme", "", "complaint_rate", 7, 20_000)
    assert await bench.stopped() == []

    bench.now_ms += DAY_MS
    await bench.complained([8])
    assert [type(fact) for fact in await bench.told()] == [events.Warned, events.Warned]


async def test_complaints_above_five_in_ten_thousand_stop_the_tenants_bulk(bench: Bench) -> None:
    await bench.delivered(range(10_000), JOB)
    await bench.delivered(range(9_000), ELSEWHERE)
    await bench.complained(range(5), JOB)
    await bench.complained(range(4), ELSEWHERE)
    assert await bench.stopped() == []

    await bench.complained([5], JOB)

    assert await bench.stopped() == ["tenant:acme"]
    fact = next(fact for fact in await bench.told() if isinstance(fact, events.Stopped))
    assert (fact.tenant, fact.job, fact.reason, fact.bad, fact.of) == ("acme", "", "complaint_rate", 10, 19_000)


async def test_five_days_with_deliveries_are_judged(bench: Bench) -> None:
    for day in range(6):
        bench.now_ms = NOW_MS + 7 * day * DAY_MS
        await bench.delivered(range(day * 1_000, day * 1_000 + 1_000))
        await bench.complained(range(day * 1_000, day * 1_000 + 1))

    days = await bench.figures.tenant("acme")

    # Six complaints of 6,000; of them five of 5,000 are judged: the tenant is warned, and not stopped.
    assert len(days.delivered) == 6
    assert await bench.stopped() == []
    assert {(fact.bad, fact.of) for fact in await bench.told() if isinstance(fact, events.Warned)} == {(5, 5_000)}


async def test_days_that_are_no_longer_judged_are_forgotten(bench: Bench) -> None:
    for day in range(40):
        bench.now_ms = NOW_MS + day * DAY_MS
        await bench.delivered([day])

    assert 5 <= len((await bench.figures.tenant("acme")).delivered) <= 31


async def test_what_is_counted_does_not_stay_for_ever(bench: Bench) -> None:
    await bench.delivered([0])
    await bench.bounced([1])

    for key in (keys.job_judged(1, JOB), keys.job_figures(1, JOB), keys.tenant_figures(1, "acme")):
        assert await bench.client.pttl(key) > 0


# Resuming, over HTTP

Caller = Any


@pytest.fixture
async def callers(bench: Bench) -> AsyncIterator[dict[str, Caller]]:
    """By name: `acme`, `other` (another tenant), `reader` (acme without send), `operator`."""
    tenants = Tenants(bench.client)
    keys_of = {}
    for name, tenant, scopes in (
        ("acme", "acme", ["send", "admin"]),
        ("other", "other", ["send", "admin"]),
        ("reader", "acme", ["read"]),
        ("operator", "ops", ["operator", "admin"]),
    ):
        if await tenants.get(tenant) is None:
            await tenants.create(tenant)
        keys_of[name] = (await tenants.create_key(tenant, scopes))[1]
    routes = stops_http.routes(bench.stops, bench.figures, bench.publisher, lambda: bench.now_ms)
    app = api.application(routes, tenants, max_body_bytes=10_000)
    async with test_utils.TestClient(test_utils.TestServer(app)) as http:

        def caller(key: str) -> Caller:
            async def call(method: str, path: str) -> tuple[int, Any]:
                async with http.request(method, path, headers={"Authorization": f"Bearer {key}"}) as answer:
                    body = await answer.json(content_type=None)
                    return answer.status, body.get("type", "").removeprefix("urn:estafette:problem:") or body

            return call

        yield {name: caller(key) for name, key in keys_of.items()}


async def test_a_job_goes_on_by_its_tenant_once_an_operator_has_consented(
    bench: Bench, callers: dict[str, Caller]
) -> None:
    await bench.bounced(range(30))
    name = f"job:{JOB}"

    assert await callers["acme"]("POST", f"/v1/jobs/{JOB}/resume") == (409, "consent_missing")
    assert await callers["acme"]("POST", f"/v1/stops/{name}/consent") == (403, "missing_scope")
    assert await bench.stopped() == [name]

    status, shown = await callers["operator"]("POST", f"/v1/stops/{name}/consent")
    assert (status, shown["name"], shown["bad"], shown["of"]) == (200, name, 30, 30)
    assert shown["consented"] is not None
    assert await bench.stopped() == [name]  # consent is not yet a resume

    assert (await callers["acme"]("POST", f"/v1/jobs/{JOB}/resume"))[0] == 200
    assert await bench.stopped() == []
    assert [type(fact) for fact in await bench.told()] == [events.Stopped, events.Resumed]
    assert await callers["acme"]("POST", f"/v1/jobs/{JOB}/resume") == (409, "not_stopped")


async def test_the_same_figures_do_not_stop_it_again_and_new_ones_do(bench: Bench, callers: dict[str, Caller]) -> None:
    await bench.bounced(range(30))
    await callers["operator"]("POST", f"/v1/stops/job:{JOB}/consent")
    await callers["acme"]("POST", f"/v1/jobs/{JOB}/resume")

    await bench.bounced(range(30))
    await bench.bounced(range(30, 49))
    assert await bench.stopped() == []

    await bench.bounced([49])
    assert await bench.stopped() == [f"job:{JOB}"]
    assert await callers["acme"]("POST", f"/v1/jobs/{JOB}/resume") == (409, "consent_missing")


async def test_a_tenants_bulk_goes_on_and_its_complaints_so_far_are_settled(
    bench: Bench, callers: dict[str, Caller]
) -> None:
    await send_and_complain(bench, 15_000, 10)
    assert await bench.stopped() == ["tenant:acme"]
    assert await callers["acme"]("POST", "/v1/stops/tenant:acme/resume") == (409, "consent_missing")
    await callers["operator"]("POST", "/v1/stops/tenant:acme/consent")

    status, ended = await callers["acme"]("POST", "/v1/stops/tenant:acme/resume")

    assert (status, ended["job"], ended["reason"]) == (200, None, "complaint_rate")
    days = await bench.figures.tenant("acme")
    assert (sum(days.delivered.values()), days.complaints) == (15_000, {})
    await bench.complained(range(10, 19))
    assert await bench.stopped() == []
    await bench.complained([19])
    assert await bench.stopped() == ["tenant:acme"]


async def test_a_decision_of_before_the_resume_stops_nothing_after_it(
    bench: Bench, callers: dict[str, Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.bounced(range(30))
    await callers["operator"]("POST", f"/v1/stops/job:{JOB}/consent")
    ask = bench.figures.has_ended

    async def resumed_meanwhile(job: str) -> bool:
        assert (await callers["acme"]("POST", f"/v1/jobs/{JOB}/resume"))[0] == 200
        return await ask(job)

    monkeypatch.setattr(bench.figures, "has_ended", resumed_meanwhile)
    await bench.bounced([30])

    assert await bench.stopped() == []


async def test_promise_7_nobody_sees_or_resumes_what_is_anothers(bench: Bench, callers: dict[str, Caller]) -> None:
    await bench.bounced(range(30))
    await callers["operator"]("POST", f"/v1/stops/job:{JOB}/consent")

    assert await callers["other"]("POST", f"/v1/jobs/{JOB}/resume") == (404, "unknown_job")
    assert await callers["other"]("POST", f"/v1/jobs/{JOB}/pause") == (404, "unknown_job")
    assert await callers["other"]("POST", f"/v1/stops/job:{JOB}/resume") == (404, "unknown_stop")
    assert await callers["other"]("GET", "/v1/stops") == (200, {"stops": [], "next": None})
    assert await callers["reader"]("POST", f"/v1/jobs/{JOB}/resume") == (403, "missing_scope")
    assert await bench.stopped() == [f"job:{JOB}"]


async def test_the_list_is_the_tenants_own_and_an_operator_sees_all(bench: Bench, callers: dict[str, Caller]) -> None:
    for job in (JOB, OTHER):
        await bench.bounced(range(30), job)
    names = sorted(f"job:{job}" for job in (JOB, OTHER))

    for who in ("acme", "operator"):
        _, first = await callers[who]("GET", "/v1/stops?limit=1")
        _, second = await callers[who]("GET", f"/v1/stops?limit=1&after={first['next']}")

        assert [stop["name"] for stop in first["stops"] + second["stops"]] == names
        assert second["next"] is None
    assert await callers["acme"]("GET", "/v1/stops?limit=0") == (422, "invalid_query")


async def test_a_tenant_pauses_and_resumes_a_job_alone(bench: Bench, callers: dict[str, Caller]) -> None:
    status, shown = await callers["acme"]("POST", f"/v1/jobs/{MAIL}/pause")

    assert (status, shown["reason"], shown["by"], shown["needs_consent"]) == (200, "paused", "tenant", False)
    assert await callers["acme"]("POST", f"/v1/jobs/{MAIL}/pause") == (200, {**shown})
    assert await callers["operator"]("POST", f"/v1/stops/job:{MAIL}/consent") == (409, "no_consent_needed")
    assert (await callers["acme"]("POST", f"/v1/jobs/{MAIL}/resume"))[0] == 200
    assert await bench.stopped() == []
    assert [type(fact) for fact in await bench.told()] == [events.Stopped, events.Resumed]


async def test_a_job_that_has_ended_is_not_paused(bench: Bench, callers: dict[str, Caller]) -> None:
    await bench.job(MAIL, stream="transactional", total=0)

    assert await callers["acme"]("POST", f"/v1/jobs/{MAIL}/pause") == (409, "job_ended")


async def test_what_is_not_stopped_cannot_be_resumed(callers: dict[str, Caller]) -> None:
    assert await callers["acme"]("POST", f"/v1/jobs/{JOB}/resume") == (409, "not_stopped")
    assert await callers["acme"]("POST", "/v1/jobs/nonsense/resume") == (404, "unknown_job")
    assert await callers["acme"]("POST", "/v1/stops/tenant:acme/resume") == (404, "unknown_stop")
    assert await callers["operator"]("POST", "/v1/stops/tenant:acme/consent") == (404, "unknown_stop")
    assert stops.of_tenant("acme") == "tenant:acme"
