"""The look-up from a message's ordinal to its recipient, in a real Redis and a real cluster."""

from typing import Any

import pytest

from shared.redis import keys, recipients
from shared.redis.recipients import (
    CHUNKS_KEPT,
    Recipient,
    Recipients,
    Waiting,
    pack_slim,
    pack_waiting,
)
from shared.words import ids
from tests.jobs import job_hash

PARTITIONS = 3
JOB, NONE = (ids.new_job_id(1_700_000_000_000, bytes([seed]) * 6, PARTITIONS) for seed in (1, 2))
P = ids.job_partition(JOB, PARTITIONS)


def people(first: int, number: int) -> list[Waiting]:
    return [Waiting(email=f"r{first + index}@example.org", metadata={"n": str(index)}) for index in range(number)]


async def test_recipients_are_found_in_chunks_of_either_form(client: Any) -> None:
    key = keys.job_recipients(P, JOB)
    await client.zadd(key, {pack_slim(0, people(0, 3)): 0, pack_waiting(3, people(3, 1)): 3})
    await client.zadd(key, {pack_waiting(10, people(10, 1000)): 10})
    look_up = Recipients(client, PARTITIONS)

    for _ in range(2):
        found = await look_up.find(JOB, [1009, 0, 3, 2, 4, 9, 1010, 10, 2])
        assert {ordinal: recipient.email for ordinal, recipient in found.items()} == {
            ordinal: f"r{ordinal}@example.org" for ordinal in (0, 2, 3, 10, 1009)
        }
    assert found[2] == Recipient("r2@example.org", {"n": "2"})


async def test_what_comes_later_is_found_too(client: Any) -> None:
    key, look_up = keys.job_recipients(P, JOB), Recipients(client, PARTITIONS)
    await client.zadd(key, {pack_waiting(0, people(0, 2)): 0})
    assert set(await look_up.find(JOB, [0, 2])) == {0}

    await client.zadd(key, {pack_waiting(2, people(2, 2)): 2})
    await client.zremrangebyscore(key, 0, 0)
    await client.zadd(key, {pack_slim(0, people(0, 2)): 0})

    assert set(await look_up.find(JOB, [0, 1, 2, 3])) == {0, 1, 2, 3}


async def test_nobody_is_found_in_what_is_no_job(client: Any) -> None:
    look_up = Recipients(client, PARTITIONS)

    for job in (NONE, "nonsense", ""):
        assert await look_up.find(job, [0]) == {}
        assert await look_up.tenant_of(job) is None
    assert await look_up.find(JOB, []) == {}


async def test_a_large_job_is_found_whole_with_few_chunks_in_memory(client: Any) -> None:
    chunks = CHUNKS_KEPT * 2
    for number in range(chunks):
        await client.zadd(keys.job_recipients(P, JOB), {pack_slim(number * 5, people(number * 5, 5)): number * 5})
    look_up = Recipients(client, PARTITIONS)

    found = await look_up.find(JOB, range(chunks * 5))

    assert [found[ordinal].email for ordinal in range(chunks * 5)] == [
        f"r{ordinal}@example.org" for ordinal in range(chunks * 5)
    ]
    assert len(look_up._chunks) == CHUNKS_KEPT


async def test_the_tenant_of_a_job_is_read_once(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipients, "TENANTS_KEPT", 1)
    look_up = Recipients(client, PARTITIONS)
    await client.hset(keys.job(P, JOB), mapping=job_hash(tenant="acme"))
    await client.hset(keys.job(ids.job_partition(NONE, PARTITIONS), NONE), mapping=job_hash(tenant="other"))

    assert await look_up.tenant_of(JOB) == "acme"
    await client.delete(keys.job(P, JOB))
    assert await look_up.tenant_of(JOB) == "acme"
    assert await look_up.tenant_of(NONE) == "other"
    assert await look_up.tenant_of(JOB) is None
