"""A job is changed before it starts, over a real Redis and through the front door: whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import test_utils

from services.queueing import changing_http
from services.queueing.aside import Aside
from services.queueing.changing import Changing
from services.queueing.compile import Limits
from services.queueing.jobs import Draft
from services.queueing.quotas import Room
from services.queueing.store import JOB_BYTES
from services.queueing.taking import Taking
from services.queueing.template_store import TemplateStore
from services.reports.store import ReportReader
from shared.http import api
from shared.process.settings import Quotas
from shared.redis import jobs, keys, redis
from shared.redis.result_sets import ResultSets
from shared.redis.targets import Targets
from shared.words import content, ids
from shared.words.errors import Fault
from tests.redis.test_quotas import Clock, CompilingHere, Front, P

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class CompilingWith(CompilingHere):
    """Something happens while it compiles."""

    def __init__(self) -> None:
        self.meanwhile: list[Any] = []
        self.tried: list[str] = []

    async def compile(self, draft: Draft, limits: Limits, tenant: str) -> content.CompiledContent | list[Fault]:
        self.tried = [one.email for one in draft.tried]
        if self.meanwhile:
            await self.meanwhile.pop()()
        return await super().compile(draft, limits, tenant)


class House(Front):
    """With the route that changes jobs."""

    compiling: CompilingWith

    async def restart(self) -> None:
        await super().restart()
        self.compiling = CompilingWith()
        room = Room(self.store, self.defaults.by_name(), self.clock.now_ms, self.clock.monotonic)
        aside = Aside()
        taking = Taking(
            self.store,
            self.tenants,
            self.domains,
            self.compiling,
            room,
            partitions=P,
            max_recipients=10,
            now_ms=self.clock.now_ms,
            chance=lambda count: b"c" * count,
            aside=aside,
            sets=ResultSets(self.client, P),
            contacts=Targets(self.client, P),
            templates=TemplateStore(self.client, P, self.clock.monotonic),
        )
        changing = Changing(self.store, taking, self.compiling, room, aside, self.clock.now_ms)
        app = api.application(changing_http.routes(changing), self.tenants, max_body_bytes=2**24)
        self.changing = await self._open.enter_async_context(test_utils.TestClient(test_utils.TestServer(app)))

    async def change(self, job: str, body: Any, tenant: str = "acme") -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {self.keys[tenant]}"}
        async with self.changing.patch(f"/v1/jobs/{job}", json=body, headers=sent) as answer:
            return answer.status, await answer.json()

    async def scheduled(self, **fields: Any) -> str:
        """A job that starts in an hour."""
        send_at = at(self.clock.now_ms() + HOUR_MS)
        status, answer, _ = await self.job(**{"html": "<p>one</p>", "recipients": 2, "send_at": send_at, **fields})
        assert (status, answer["state"]) == (202, "scheduled"), answer
        return str(answer["id"])

    async def has(self, job: str) -> dict[bytes, bytes]:
        """The hash of a job."""
        found: dict[bytes, bytes] = await self.client.hgetall(keys.job(ids.job_partition(job, P), job))
        return found

    async def sends(self, job: str) -> str:
        """What its mails have, as it is stored."""
        return str(content.decode((await self.has(job))[b"content"]))

    async def due(self, job: str) -> int:
        return int(await self.client.zscore(keys.schedule(ids.job_partition(job, P)), job) or 0)


def at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@pytest.fixture
async def house(client: redis.Client) -> AsyncIterator[House]:
    house = House(client, Clock(), Quotas(stored_bytes=200_000))
    async with house:
        yield house


async def test_what_is_asked_is_another_and_the_rest_stays(house: House) -> None:
    job = await house.scheduled(tags=["a"], rate="10/s")

    status, answer = await house.change(job, {"subject": "neu", "list": "offers", "rate": None})

    assert (status, answer["state"]) == (200, "scheduled"), answer
    stored = await house.has(job)
    assert (stored[b"subject"], stored[b"list"], stored[b"rate"], stored[b"tags"]) == (b"neu", b"offers", b"", b"a")
    assert "one" in await house.sends(job)
    assert "neu" in await house.sends(job)
    assert house.compiling.tried == ["a0@x.test", "a1@x.test"]
    report = await ReportReader(house.client, P).job(job)
    assert report is not None
    assert report.changed_at > 0
    assert report.total == 2


async def test_a_change_that_names_a_variable_of_nobody_is_refused_where_the_job_says_so(house: House) -> None:
    job = await house.scheduled(undefined="refuse")
    before = await house.has(job)

    status, answer = await house.change(job, {"html": "<p>Bonjour {{ prenon }}</p>"})

    assert (status, answer["faults"][0]["at"]) == (422, "$.html"), answer
    assert "prenon" in answer["faults"][0]["what"]
    assert await house.has(job) == before
    assert (await house.change(job, {"html": "<p>Bonjour {{ email }}</p>"}))[0] == 200


async def test_an_open_job_forgets_what_it_refused_when_it_is_changed(house: House) -> None:
    status, answer, _ = await house.open(html="<p>{{ prenon }}</p>", undefined="refuse")
    assert status == 202, answer

    assert (await house.change(answer["id"], {"html": "<p>{{ email }}</p>"}))[0] == 200

    assert b"undefined" not in await house.has(answer["id"])


async def test_it_starts_with_what_it_was_last_changed_to_and_is_changed_no_more(house: House) -> None:
    job = await house.scheduled()
    for word in ("two", "three"):
        assert (await house.change(job, {"html": f"<p>{word}</p>"}))[0] == 200

    assert (await house.call(f"/v1/jobs/{job}/start"))[0] == 202
    before = await house.has(job)
    status, answer = await house.change(job, {"html": "<p>four</p>"})

    assert (status, answer["type"]) == (409, "urn:estafette:problem:not_changeable")
    assert "queueing" in answer["detail"]
    assert await house.has(job) == before
    assert "three" in await house.sends(job)
    assert jobs.SOURCE.name.encode() not in before


async def test_a_job_that_comes_due_while_it_is_changed_is_sent_as_it_was(house: House) -> None:
    job = await house.scheduled()

    async def start() -> None:
        assert (await house.store.start("", job, house.clock.now_ms()))[0] == "queueing"

    house.compiling.meanwhile = [start]
    status, answer = await house.change(job, {"html": "<p>two</p>", "subject": "neu"})

    assert (status, answer["type"]) == (409, "urn:estafette:problem:not_changeable")
    assert "one" in await house.sends(job)
    assert (await house.has(job))[b"subject"] == b"s"


async def test_two_changes_at_a_time_are_both_in_force(house: House) -> None:
    job = await house.scheduled()

    async def other() -> None:
        assert (await house.change(job, {"category": "b"}))[0] == 200

    house.compiling.meanwhile = [other]
    assert (await house.change(job, {"subject": "neu"}))[0] == 200

    stored = await house.has(job)
    assert (stored[b"subject"], stored[b"category"], stored[b"changes"]) == (b"neu", b"b", b"2")


async def test_the_same_change_again_changes_nothing_else(house: House) -> None:
    job = await house.scheduled()
    await house.change(job, {"subject": "neu"})
    once = await house.has(job)
    await house.change(job, {"subject": "neu"})
    twice = await house.has(job)

    assert {name for name in once if once[name] != twice[name]} <= {b"changes", b"changed_at", b"content"}


async def test_its_time_is_another(house: House) -> None:
    job = await house.scheduled()
    was, now_ms = await house.due(job), house.clock.now_ms()

    assert (await house.change(job, {"subject": "neu"}))[0] == 200
    assert await house.due(job) == was
    status, answer = await house.change(job, {"send_at": at(now_ms + 2 * HOUR_MS)})

    assert (status, answer["send_at"][:16]) == (200, at(now_ms + 2 * HOUR_MS)[:16])
    assert await house.due(job) == now_ms + 2 * HOUR_MS
    assert int((await house.has(job))[b"expires_at"]) == now_ms + 2 * HOUR_MS + 3 * DAY_MS
    assert (await house.change(job, {"send_at": None}))[0] == 200
    assert await house.due(job) <= house.clock.now_ms()


async def test_an_open_job_started_for_later_keeps_that_time(house: House) -> None:
    _, opened, _ = await house.open()
    job = opened["id"]
    await house.append(job, b'{"email": "a@x.test"}\n')
    later = house.clock.now_ms() + HOUR_MS
    assert (await house.call(f"/v1/jobs/{job}/start", {"send_at": at(later)}))[0] == 202

    status, answer = await house.change(job, {"subject": "neu"})

    assert (status, answer["send_at"][:19]) == (200, at(later)[:19])
    assert await house.due(job) == later


async def test_one_that_becomes_a_test_starts_at_once(house: House) -> None:
    job = await house.scheduled()

    status, answer = await house.change(job, {"test": True})

    assert (status, answer["send_at"], await house.due(job) <= house.clock.now_ms()) == (200, None, True)


async def test_bad_input_lists_all_that_is_wrong_and_changes_nothing(house: House) -> None:
    job = await house.scheduled()
    before = await house.has(job), await house.due(job), await house.use()
    wrong = {"recipients": [], "stream": "bulk", "subjet": "x", "rate": 5, "html": None, "text": None}

    status, answer = await house.change(job, wrong)
    _, broken = await house.change(job, {"html": "{{ if }", "send_at": "2001-01-01T00:00:00Z", "rate": "x"})
    _, late = await house.change(job, {"expires_at": at(house.clock.now_ms() + 1000), "recipients": []})

    assert (status, answer["type"]) == (422, "urn:estafette:problem:invalid_job")
    assert {fault["at"] for fault in answer["faults"]} == {"$.recipients", "$.stream", "$.subjet", "$.rate"}
    assert {fault["at"] for fault in broken["faults"]} == {"$.html", "$.rate"}
    assert {fault["at"] for fault in late["faults"]} == {"$.expires_at", "$.recipients"}
    assert (await house.has(job), await house.due(job), await house.use()) == before


async def test_nobody_changes_anothers_job_nor_one_that_is_not_there(house: House) -> None:
    job = await house.scheduled()

    assert (await house.change(job, {"subject": "x"}, "other"))[0] == 404
    assert (await house.change("068vjfm5s9m2rc1jqqrg", {"subject": "x"}))[0] == 404
    assert (await house.has(job))[b"subject"] == b"s"


async def test_what_it_takes_counts_for_the_quota_and_comes_back(house: House) -> None:
    _, opened, _ = await house.open()
    job = opened["id"]
    await house.append(job, b'{"email": "a@x.test"}\n')
    before = (await house.use())["stored_bytes"]
    text = "".join(chr(33 + (n * 7919) % 90) for n in range(20_000)).replace("{", "(")

    assert (await house.change(job, {"text": text}))[0] == 200
    more = (await house.use())["stored_bytes"] - before
    await asyncio.sleep(0)
    status, answer = await house.change(job, {"html": "x" * 190_000})
    assert (await house.change(job, {"text": "short"}))[0] == 200
    less = (await house.use())["stored_bytes"]
    assert (await house.call(f"/v1/jobs/{job}/start"))[0] == 202
    stored = await house.has(job)

    assert more > 20_000
    assert (status, answer["type"]) == (429, "urn:estafette:problem:quota_exceeded")
    assert abs(less - before) < 200
    held = int(stored[b"held"]) + len(stored[b"content"]) + JOB_BYTES
    assert held <= (await house.use())["stored_bytes"] <= held + 1_000
