"""Tenants and API keys in a real Redis, and in a real cluster."""

from collections.abc import Awaitable
from typing import Any, cast

import pytest

from shared.redis import keys, redis
from shared.redis.tenants import CACHE_SECONDS, TenantError, Tenants


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_tenant_is_made_once_and_listed_by_name(client: redis.Client) -> None:
    tenants = Tenants(client, now=lambda: 5.0)

    demo = await tenants.create("demo", any_from_domain=True)
    acme = await tenants.create("acme")

    assert await tenants.get("demo") == demo
    assert await tenants.all() == [acme, demo]
    assert (demo.any_from_domain, acme.any_from_domain, acme.created_at) == (True, False, 5000)
    with pytest.raises(TenantError, match="already"):
        await tenants.create("acme")


@pytest.mark.parametrize("name", ["", "-a", "A", "a" * 33, "a b", "a/b", "é", "a\n"])
async def test_a_name_that_breaks_the_rule_is_refused(redis_url: str, name: str) -> None:
    client = redis.connect(redis_url)
    try:
        with pytest.raises(TenantError):
            await Tenants(client).create(name)
        assert await Tenants(client).all() == []
    finally:
        await redis.close(client)


async def test_a_key_names_its_tenant_and_scopes_and_only_its_digest_is_stored(client: redis.Client) -> None:
    tenants = Tenants(client)
    await tenants.create("acme")

    key, text = await tenants.create_key("acme", ["send", "read", "send"])

    principal = await tenants.verify(text)
    assert principal is not None
    assert (principal.tenant, principal.scopes) == ("acme", frozenset({"send", "read"}))
    assert [one.id for one in await tenants.keys_of("acme")] == [key.id]
    assert await tenants.keys_of("other") == []
    stored = await cast(Awaitable[Any], client.hgetall(keys.api_keys()))
    assert text.rpartition("_")[2].encode() not in b"".join(stored.values())
    assert text.rpartition("_")[2] not in repr(key)


async def test_nobody_gets_in_with_what_is_nearly_a_key(client: redis.Client) -> None:
    tenants = Tenants(client)
    await tenants.create("acme")
    _, text = await tenants.create_key("acme", ["send"])

    for wrong in (
        "",
        text[:-1],
        text + "a",
        text[:-1] + ("a" if text[-1] != "a" else "b"),
        "est_aaaaaaaaaa_" + "a" * 32,
    ):
        assert await tenants.verify(wrong) is None
    assert await tenants.verify(text.upper()) is None


async def test_a_key_needs_a_known_tenant_and_known_scopes(client: redis.Client) -> None:
    tenants = Tenants(client)
    await tenants.create("acme")

    for tenant, scopes in (("nobody", ["send"]), ("acme", ["fly"]), ("acme", [])):
        with pytest.raises(TenantError):
            await tenants.create_key(tenant, scopes)
    assert await tenants.keys_of() == []


async def test_a_revoked_key_dies_at_once_here_and_within_the_cache_time_elsewhere(client: redis.Client) -> None:
    clock = Clock()
    here, elsewhere = Tenants(client), Tenants(client, monotonic=clock)
    await here.create("acme")
    key, text = await here.create_key("acme", ["send"])
    assert await here.verify(text)
    assert await elsewhere.verify(text)

    assert await here.revoke_key(key.id) is True

    assert await here.verify(text) is None
    assert await elsewhere.verify(text) is not None
    clock.seconds += CACHE_SECONDS
    assert await elsewhere.verify(text) is None
    assert await here.revoke_key(key.id) is False
