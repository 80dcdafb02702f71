"""Whose data a Redis holds: made once, remembered, and never taken for new because it is empty."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from shared.redis import keys, redis
from shared.redis.installation import SCHEMA, Installation, NewerData, NotOurs
from tests.servers import RedisServer

PARTITIONS = 4


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[redis.Client]:
    client = redis.connect(any_redis_url)
    yield client
    await redis.close(client)


def one(client: Any, directory: Path | None = None, given: str = "", new: str = "made-0") -> Installation:
    memory = (directory or Path("/nowhere")) / "installation"
    return Installation(client, PARTITIONS, lambda: new, given=given, memory=memory)


async def emptied(client: Any) -> None:
    await client.flushall()


async def test_the_first_start_makes_an_id_and_every_later_one_finds_it(client: Any, tmp_path: Path) -> None:
    first = one(client, tmp_path)
    await first.find()

    later = one(client, tmp_path, new="made-1")
    await later.find()
    await later.still()

    assert first.id == later.id == "made-0" == (tmp_path / "installation").read_text().strip()
    assert first.is_kept


async def test_several_that_start_together_agree(client: Any, tmp_path: Path) -> None:
    await client.get("x")  # a client of a cluster finds it out once, and not for eight at the same time
    numbers = count()
    all_of_them = [one(client, tmp_path if at % 2 else None, new=f"made-{next(numbers)}") for at in range(8)]

    await asyncio.gather(*(each.find() for each in all_of_them))
    await asyncio.gather(*(each.still() for each in all_of_them))

    assert len({each.id for each in all_of_them}) == 1


class Killed(BaseException):
    pass


class Dying:
    """A client whose process is killed before one of its commands; scripts are not counted."""

    def __init__(self, client: Any, after: int) -> None:
        self._client = client
        self._left = iter(range(after))

    def __getattr__(self, command: str) -> Any:
        async def ask(*args: Any, **options: Any) -> Any:
            if command not in ("evalsha", "eval") and next(self._left, None) is None:
                raise Killed
            return await getattr(self._client, command)(*args, **options)

        return ask


@pytest.mark.parametrize("step", range(1, PARTITIONS + 3))
async def test_a_first_start_that_is_killed_anywhere_is_gone_on_with(client: Any, tmp_path: Path, step: int) -> None:
    dying: Any = Dying(client, step)
    with pytest.raises(Killed):  # noqa: PT012 - a step too many kills nobody
        await one(dying, tmp_path).find()
        raise Killed

    later = one(client, tmp_path, new="made-1")
    await later.find()

    assert later.id == "made-0"


@pytest.mark.parametrize("memory", ["process", "directory", "setting"])
async def test_gone_data_is_told_and_not_taken_for_a_first_start(client: Any, tmp_path: Path, memory: str) -> None:
    running = one(client, tmp_path)
    await running.find()
    await emptied(client)
    restarted = {
        "process": running,
        "directory": one(client, tmp_path),
        "setting": one(client, given="made-0"),
    }[memory]

    for call in (running.still, restarted.find, restarted.find):
        with pytest.raises(NotOurs, match=r"\(made-0\) is gone from redis.*estafette installation accept"):
            await call()
    assert await restarted.stored() == ""
    assert await client.dbsize() == 0


async def test_another_service_that_starts_without_a_memory_does_not_heal_the_others(
    client: Any, tmp_path: Path
) -> None:
    running = one(client, tmp_path)
    await running.find()
    await emptied(client)
    await one(client, new="made-1").find()

    for call in (running.still, one(client, tmp_path).find):
        with pytest.raises(NotOurs, match=r"another installation \(made-1, not made-0\)"):
            await call()


async def test_a_partition_that_lost_its_data_is_noticed(client: Any, tmp_path: Path) -> None:
    running = one(client, tmp_path)
    await running.find()
    await client.delete(keys.installation_mark(2))

    for call in (running.still, one(client, tmp_path).find, one(client).find):
        with pytest.raises(NotOurs, match="partition 2 is gone"):
            await call()


async def test_what_an_operator_accepts_is_gone_on_with(client: Any, tmp_path: Path) -> None:
    running = one(client, tmp_path)
    await running.find()
    await emptied(client)

    assert await one(client, tmp_path).accept() == "made-0"

    await running.still()
    await one(client, given="made-0").find()


async def test_another_installation_is_accepted_for_those_who_remember_this_one(client: Any, tmp_path: Path) -> None:
    await one(client, new="other").find()
    running = one(client, given="mine-1")
    with pytest.raises(NotOurs):
        await running.find()

    assert await one(client).accept(["mine-1"]) == "other"

    await running.find()
    await running.still()
    with pytest.raises(NotOurs):
        await one(client, given="mine-2").find()


async def test_data_of_before_ids_gets_one(client: Any, tmp_path: Path) -> None:
    await client.set(keys.partitions(), PARTITIONS)

    found = one(client, tmp_path)
    await found.find()

    assert found.id == "made-0"


async def test_another_number_of_partitions_is_refused(client: Any) -> None:
    await client.set(keys.partitions(), PARTITIONS + 1)

    with pytest.raises(redis.WrongPartitions, match="made with 5"):
        await one(client).find()


@pytest.mark.parametrize("left", [b"", b"\x00\xff", b"../../etc", b"half"])
async def test_a_memory_that_was_torn_is_none(client: Any, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "installation").write_bytes(left)
    found = one(client, tmp_path)

    if left == b"half":  # an id as good as any
        with pytest.raises(NotOurs):
            await found.find()
    else:
        await found.find()
        assert found.id == "made-0"


async def test_a_flushed_database_is_gone_data_too(redis_server: RedisServer, redis_url: str, tmp_path: Path) -> None:
    client = redis.connect(redis_url)
    running = one(client, tmp_path)
    await running.find()
    with redis_server.client() as admin:
        admin.flushdb()

    with pytest.raises(NotOurs, match="is gone"):
        await running.still()
    await redis.close(client)


async def test_the_schema_of_the_data_is_noted_at_the_first_start(client: Any, tmp_path: Path) -> None:
    first = one(client, tmp_path)
    await first.find()

    assert await client.hget(keys.installation(), "schema") == str(SCHEMA).encode()
    assert first.former_schema == SCHEMA


async def test_an_older_program_is_refused_by_newer_data_and_changes_nothing(client: Any, tmp_path: Path) -> None:
    running = one(client, tmp_path)
    await running.find()
    await client.hset(keys.installation(), "schema", SCHEMA + 1)

    with pytest.raises(NewerData, match=f"data of schema {SCHEMA + 1}, and this program knows {SCHEMA}"):
        await one(client, tmp_path).find()
    with pytest.raises(NotOurs, match=f"data of schema {SCHEMA + 1}"):
        await running.still()

    assert await client.hget(keys.installation(), "schema") == str(SCHEMA + 1).encode()


async def test_a_newer_program_on_older_data_notes_its_schema_and_knows_what_it_found(
    client: Any, tmp_path: Path
) -> None:
    await one(client, tmp_path).find()
    await client.hdel(keys.installation(), "schema")

    newer = one(client, tmp_path)
    await newer.find()

    assert newer.former_schema == 0
    assert await client.hget(keys.installation(), "schema") == str(SCHEMA).encode()


async def test_the_schema_of_another_installations_data_is_left_alone(client: Any) -> None:
    await one(client).find()
    await client.hdel(keys.installation(), "schema")

    with pytest.raises(NotOurs):
        await one(client, given="another").find()

    assert await client.hget(keys.installation(), "schema") is None
