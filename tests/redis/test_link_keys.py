"""Keys of links by tenant in a real Redis: rotated and revoked by an operator, known to trackers and relays."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from services.operator.operator import Act, Operator
from shared.redis import bus, keys
from shared.redis.link_keys import KnownLinkKeys, LinkKeys, NoneLeft
from shared.redis.tenants import Tenants
from shared.words import events, ids
from shared.words.errors import Problem
from shared.words.generations import MAX_GENERATION
from shared.words.tokens import InvalidToken, TokenKeys

P = 2
JOB = ids.job_text(bytes(range(12)))
ANA = "ana@example.fr"
ACT = Act("key:k1", "house", "ticket 4711")


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture
async def operator(client: Any) -> Operator:
    for name in ("acme", "demo"):
        await Tenants(client).create(name)
    return Operator(client, P, bus.Publisher(client, P, lambda: f"b{time.time_ns()}"), now_ms)


async def refused(call: Awaitable[object]) -> str:
    with pytest.raises(Problem) as caught:
        await call
    return caught.value.word


async def acts(client: Any) -> list[tuple[str, str, str, str]]:
    found = []
    for p in range(P):
        for _, fields in await client.xrange(keys.events(p), "-", "+"):
            fact = events.decode(fields[b"t"].decode(), fields[b"b"])
            if isinstance(fact, events.Acted):
                found.append((fact.action, fact.target, fact.who, fact.why))
    return found


async def test_a_rotation_is_taken_up_by_who_signs_and_former_links_lead_on(client: Any, operator: Operator) -> None:
    relay, tracker = TokenKeys(b"k" * 32), TokenKeys(b"k" * 32)
    signing, reading = KnownLinkKeys(client, relay.generations), KnownLinkKeys(client, tracker.generations)
    former = relay.open(JOB, 1, "acme", ANA)

    done = await operator.rotate_link_keys("acme", ACT)
    await signing.look()
    new = relay.open(JOB, 1, "acme", ANA)
    unheard = tracker.read(new)
    await reading.look()

    assert (done.action, done.target) == ("rotate", "tenant:acme link-keys:2")
    assert former != new
    assert unheard == tracker.read(new) == tracker.read(former)
    assert relay.open(JOB, 1, "demo", ANA) == TokenKeys(b"k" * 32).open(JOB, 1, "demo", ANA)


async def test_a_revoked_generation_is_refused_by_every_tracker_that_runs_until_it_is_honoured_again(
    client: Any, operator: Operator
) -> None:
    former = TokenKeys(b"k" * 32).click(JOB, 1, "acme", ANA, 0, "https://exemple.fr/")
    trackers, stopping = [TokenKeys(b"k" * 32) for _ in range(2)], asyncio.Event()
    running = [asyncio.create_task(KnownLinkKeys(client, one.generations).run(stopping)) for one in trackers]
    try:
        await operator.rotate_link_keys("acme", ACT)
        assert all(one.read(former).tenant == "acme" for one in trackers)

        await operator.revoke_link_keys("acme", 1, ACT)
        await until(lambda: all(is_refused(one, former) for one in trackers))

        await operator.honour_link_keys("acme", 1, ACT)
        await until(lambda: not any(is_refused(one, former) for one in trackers))
    finally:
        stopping.set()
        await asyncio.gather(*running)


def is_refused(tracker: TokenKeys, text: str) -> bool:
    try:
        tracker.read(text)
    except InvalidToken:
        return True
    return False


async def until(seen: Any) -> None:
    async with asyncio.timeout(30):
        while not seen():  # noqa: ASYNC110 - what changes is in another task, which tells nobody
            await asyncio.sleep(0.05)


async def test_a_tracker_that_never_reached_redis_reads_every_link(client: Any, operator: Operator) -> None:
    former = TokenKeys(b"k" * 32).open(JOB, 1, "acme", ANA)
    await operator.rotate_link_keys("acme", ACT)
    await operator.revoke_link_keys("acme", 1, ACT)

    assert TokenKeys(b"k" * 32).read(former).tenant == "acme"


async def test_each_act_is_told_with_who_and_why(client: Any, operator: Operator) -> None:
    await operator.rotate_link_keys("acme", ACT)
    await operator.revoke_link_keys("acme", 1, ACT)
    await operator.honour_link_keys("acme", 1, ACT)

    assert sorted(await acts(client)) == [
        ("honour", "tenant:acme link-keys:1", "key:k1", "ticket 4711"),
        ("revoke", "tenant:acme link-keys:1", "key:k1", "ticket 4711"),
        ("rotate", "tenant:acme link-keys:2", "key:k1", "ticket 4711"),
    ]


async def test_generations_are_shown_with_what_each_is_for(client: Any, operator: Operator) -> None:
    untouched = await operator.link_keys("acme")
    await operator.rotate_link_keys("acme", ACT)
    await operator.revoke_link_keys("acme", 0, ACT)
    before = (await operator.link_keys("acme"))[0]
    await operator.revoke_link_keys("acme", 0, ACT)

    shown = await operator.link_keys("acme")

    assert [(one.number, one.begun_at, one.revoked_at, one.signs) for one in untouched] == [
        (0, 0, 0, False),
        (1, 0, 0, True),
    ]
    assert [(one.number, one.signs, one.revoked_at > 0, one.begun_at > 0) for one in shown] == [
        (0, False, True, False),
        (1, False, False, False),
        (2, True, False, True),
    ]
    assert shown[0] == before  # told twice, and revoked since the first time
    assert await operator.link_keys("demo") == untouched


async def test_what_signs_is_not_revoked_and_what_has_not_begun_is_unknown(client: Any, operator: Operator) -> None:
    assert await refused(operator.revoke_link_keys("acme", 1, ACT)) == "generation_signs"
    assert await refused(operator.revoke_link_keys("acme", 2, ACT)) == "unknown_generation"
    assert await refused(operator.honour_link_keys("acme", 2, ACT)) == "unknown_generation"
    for call in (operator.rotate_link_keys("nobody", ACT), operator.link_keys("nobody")):
        assert await refused(call) == "unknown_tenant"
    for act in (operator.revoke_link_keys, operator.honour_link_keys):
        assert await refused(act("nobody", 1, ACT)) == "unknown_tenant"
    assert await acts(client) == []


async def test_a_token_has_no_room_for_one_generation_more(client: Any, operator: Operator) -> None:
    await client.hset(keys.link_keys(), "acme/current", MAX_GENERATION - 1)

    last = await LinkKeys(client, now_ms).rotate("acme")

    assert last == MAX_GENERATION
    with pytest.raises(NoneLeft):
        await LinkKeys(client, now_ms).rotate("acme")
    assert await refused(operator.rotate_link_keys("acme", ACT)) == "no_generation_left"


async def test_a_tenant_of_the_name_of_a_field_is_a_tenant(client: Any) -> None:
    await LinkKeys(client, now_ms).rotate("version")
    known = TokenKeys(b"k" * 32)

    await KnownLinkKeys(client, known.generations).look()

    assert (known.generations.current("version"), known.generations.current("acme")) == (2, 1)
