"""Tenants and API keys in a real Redis, and in a real cluster."""

from collections.abc import Awaitable
from typing import Any, cast

import msgspec
import pytest

from shared.redis import keys, redis
from shared.redis.tenants import CACHE_SECONDS, Rights, TenantError, Tenants
from shared.words.principal import refusal, refused_domain


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


async def test_a_key_is_bound_to_networks_domains_and_a_time(client: redis.Client) -> None:
    now = Clock()
    tenants = Tenants(client, now=now)
    await tenants.create("acme")
    rights = Rights("shop", ("192.0.2.7/24", "2001:db8::/32"), ("News.Exemple.FR", "bücher.example"), 2_000_000)

    key, text = await tenants.create_key("acme", ["send"], rights)
    principal = await tenants.verify(text)

    assert principal is not None
    assert key.rights.networks == ("192.0.2.0/24", "2001:db8::/32")
    assert [refusal(principal, one) for one in ("192.0.2.200", "2001:db8::1")] == [None, None]
    for elsewhere in ("192.0.3.1", "2001:db9::1", "", "unix"):
        refused = refusal(principal, elsewhere)
        assert refused is not None
        assert (refused.status, refused.word) == (403, "network_not_allowed")
    assert refused_domain(principal, "news.exemple.fr") is None
    assert refused_domain(principal, "xn--bcher-kva.example") is None
    other = refused_domain(principal, "exemple.fr")
    assert other is not None
    assert (other.word, other.faults[0].at) == ("domain_not_allowed", "$.from")
    now.seconds = 2_000.0
    over = await tenants.verify(text)
    assert over is not None
    assert over.scopes == frozenset()
    late = refusal(over, "192.0.2.1")
    assert late is not None
    assert (late.status, late.word) == (403, "key_expired")


async def test_all_that_is_wrong_with_the_rights_of_a_key_is_said_and_none_is_made(client: redis.Client) -> None:
    tenants = Tenants(client, now=lambda: 1_000.0)
    await tenants.create("acme")

    with pytest.raises(TenantError) as refused:
        await tenants.create_key("acme", ["send"], Rights("a\nb", ("192.0.2.0/33", "x"), ("-",), 999_000))

    for what in ("192.0.2.0/33", "'x'", "'-'", "printable", "over before"):
        assert what in str(refused.value)
    assert await tenants.keys_of() == []


async def test_a_key_of_before_there_were_rights_has_none(client: redis.Client) -> None:
    tenants = Tenants(client)
    await tenants.create("acme")
    key, text = await tenants.create_key("acme", ["send"])
    older = msgspec.msgpack.encode(msgspec.to_builtins(key, builtin_types=(bytes,))[:5])
    await cast(Awaitable[Any], client.hset(keys.api_keys(), key.id, older))

    principal = await tenants.verify(text)

    assert principal is not None
    assert refusal(principal, "203.0.113.9") is None
    assert refused_domain(principal, "exemple.fr") is None
