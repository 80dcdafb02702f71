"""An open job that refuses variables which nobody has is not started without them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.process.settings import Quotas
from shared.redis.tenants import Rights
from tests.redis.test_quotas import CONTENT, Clock, Front

BODY = {"html": "<p>{{ prenom }}{{ prenon }}{{ ville }}</p>", "variables": {"ville": "Lille"}, "undefined": "refuse"}


@pytest.fixture
async def front(client: Any) -> AsyncIterator[Front]:
    async with Front(client, Clock(), Quotas()) as front:
        yield front


async def opened(front: Front, *lines: bytes, **fields: Any) -> str:
    status, answer, _ = await front.open(**(BODY | fields))
    assert status == 202
    for line in lines:
        assert (await front.append(answer["id"], line))[0] == 200
    return str(answer["id"])


async def start(front: Front, job: str) -> tuple[int, Any]:
    return (await front.call(f"/v1/jobs/{job}/start", {}))[:2]


def word(problem: Any) -> str:
    return str(problem["type"]).rpartition(":")[2]


async def test_it_is_not_started_and_stays_as_it_was_until_somebody_has_them(front: Front) -> None:
    job = await opened(
        front,
        b'{"email": "a@x.test", "variables": {"prenom": "Ana"}}',
        b'{"email": "nonsense", "variables": {"prenon": "?"}}',
    )
    before = await front.everything()

    status, problem = await start(front, job)

    assert (status, word(problem), await front.everything() == before) == (
        422,
        "invalid_job",
        True,
    )
    assert [fault["at"] for fault in problem["faults"]] == ["$.html"]
    assert "line 1, column 19: no recipient has the variable `prenon`" in problem["faults"][0]["what"]

    await front.append(job, b'{"email": "b@x.test", "variables": {"prenon": "Bo"}}')
    assert (await start(front, job))[0] == 202


async def test_one_that_is_only_warned_is_started(front: Front) -> None:
    job = await opened(front, b'{"email": "a@x.test"}', undefined="warn")

    assert (await start(front, job))[0] == 202


async def test_one_without_recipients_is_told_that(front: Front) -> None:
    status, problem = await start(front, await opened(front))

    assert (status, word(problem)) == (409, "no_recipients")


@pytest.mark.parametrize("is_sandbox", [False, True])
async def test_a_test_goes_at_once_whatever_time_it_is_started_for(front: Front, is_sandbox: bool) -> None:
    key = (
        (await front.tenants.create_key("acme", ["send"], Rights(is_sandbox=True)))[1]
        if is_sandbox
        else front.keys["acme"]
    )
    states = []
    for is_test in (True, False):
        made = {**CONTENT, "from": "news@acme.test", "test": is_test}
        job = (await front.call("/v1/jobs?state=open", made, key=key))[1]["id"]
        await front.append(job, b'{"email": "a@x.test"}')
        later = {"send_at": datetime.fromtimestamp(front.clock.now_ms() / 1000 + 3600, UTC).isoformat()}
        states.append((await front.call(f"/v1/jobs/{job}/start", later, key=key))[1]["state"])

    assert states == ["queueing", "scheduled"]
