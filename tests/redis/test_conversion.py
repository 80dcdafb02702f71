"""Suppression lists of schema 1 become lists of entries: all of them, once, whatever breaks off in between."""

from typing import Any

import msgspec
import pytest

from shared.redis import keys
from shared.redis.conversion import convert
from shared.redis.suppression import Asked, SuppressionList
from shared.redis.tenants import Tenants
from shared.words import scopes
from shared.words.ids import address_partition

P = 4
NOW_MS = 1_700_000_000_000
JOB = "06dndml801in6t31cpig"


async def _listed_formerly(client: Any, tenant: str, address: str, *record: Any) -> None:
    p = address_partition(tenant, address, P)
    await client.hset(keys.former_suppressed(p, tenant), address, msgspec.msgpack.encode(record))
    await client.zadd(keys.former_suppressed_index(p, tenant), {address: 0})


async def _check(client: Any, address: str, stream: str, tenant: str = "acme") -> str | None:
    (reason,) = await SuppressionList(client, P).check([Asked(tenant, address, "email", stream, "")])
    return reason


@pytest.fixture
async def former(client: Any) -> Any:
    """A Redis with the lists of two tenants as schema 1 has them."""
    for tenant in ("acme", "other"):
        await Tenants(client).create(tenant)
    await _listed_formerly(client, "acme", "gone@x.fr", "hard_bounce", NOW_MS, "e1", JOB, 3, "550 5.1.1 No such user")
    await _listed_formerly(client, "acme", "left@x.fr", "unsubscribed", NOW_MS, "e2", JOB, 4, "page")
    await _listed_formerly(client, "acme", "angry@x.fr", "complaint", NOW_MS, "e3", JOB, 5, "abuse")
    await _listed_formerly(client, "acme", "told@x.fr", "manual", NOW_MS, "9f86d081884c7d65", "", -1, "")
    await _listed_formerly(client, "other", "left@x.fr", "manual", NOW_MS, "", "", -1, "by telephone")
    return client


async def test_what_was_listed_is_listed_and_who_left_gets_what_they_ask_for(former: Any) -> None:
    assert await convert(former, P) == 5

    assert await _check(former, "gone@x.fr", "transactional") == "hard_bounce"
    assert await _check(former, "told@x.fr", "transactional") == "manual"
    for address, reason in (("left@x.fr", "unsubscribed"), ("angry@x.fr", "complaint")):
        assert await _check(former, address, "bulk") == reason
        assert await _check(former, address, "transactional") is None
    assert await _check(former, "left@x.fr", "transactional", "other") == "manual"
    gone, told = await SuppressionList(former, P).listed("acme", ["gone@x.fr", "told@x.fr"])
    said = gone.said_of(gone.entries[0])
    assert (gone.entries[0].first_ms, gone.entries[0].source) == (NOW_MS, "event")
    assert (said.event, said.job, said.ordinal, said.diagnostic) == ("e1", JOB, 3, "550 5.1.1 No such user")
    assert (told.entries[0].source, told.entries[0].scope, dict(told.said)) == ("api", "all", {})


async def test_it_is_done_once_and_who_was_taken_off_since_stays_off(former: Any) -> None:
    await convert(former, P)
    await _listed_formerly(former, "acme", "new@x.fr", "manual", NOW_MS, "", "", -1, "")

    assert await convert(former, P) == 0
    assert await _check(former, "new@x.fr", "bulk") is None


async def test_what_broke_off_goes_on_and_doubles_nothing(former: Any) -> None:
    await convert(former, P)
    await former.hdel(keys.installation(), "converted")  # as if it had died before it said so
    await _listed_formerly(former, "acme", "left@x.fr", "unsubscribed", NOW_MS, "e2", JOB, 4, "page")

    assert await convert(former, P) == 1

    (left,) = await SuppressionList(former, P).listed("acme", ["left@x.fr"])
    assert [(entry.reason, entry.scope) for entry in left.entries] == [("unsubscribed", "marketing")]


async def test_old_lists_stay_for_programs_that_still_look_there(former: Any) -> None:
    await convert(former, P)

    p = address_partition("acme", "gone@x.fr", P)
    assert await former.hexists(keys.former_suppressed(p, "acme"), "gone@x.fr")
    assert 0 < await former.pttl(keys.former_suppressed(p, "acme")) <= 86_400_000
    assert not await former.exists(keys.former_suppressed_index(p, "acme"))


async def test_thousands_are_converted_in_steps(client: Any) -> None:
    await Tenants(client).create("acme")
    for number in range(2_500):
        await _listed_formerly(client, "acme", f"a{number}@x.fr", "hard_bounce", NOW_MS, "", "", -1, "")

    assert await convert(client, P) == 2_500
    assert (
        await SuppressionList(client, P).check(
            [Asked("acme", f"a{number}@x.fr", "email", "bulk", "") for number in range(2_500)]
        )
        == ["hard_bounce"] * 2_500
    )


def test_every_former_reason_has_a_scope() -> None:
    assert [scopes.usual(reason) for reason in ("hard_bounce", "manual", "unsubscribed", "complaint")] == [
        "all", "all", "marketing", "marketing",
    ]  # fmt: skip
