"""Tenants, API keys and sending domains in a real Redis, and in a real cluster."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from shared import dkim_keys, keys, redis
from shared.sending_domains import CACHE_SECONDS as DOMAIN_SECONDS
from shared.sending_domains import DomainTaken, InvalidDomain, SendingDomains, records
from shared.tenants import CACHE_SECONDS, TenantError, Tenants


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def pem() -> str:
    return dkim_keys.make()


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


async def test_a_domain_is_added_once_and_says_what_to_publish(client: redis.Client, pem: str) -> None:
    domains = SendingDomains(client, make_key=lambda: pem)

    added, new = await domains.add("acme", "News.Example.ORG.")
    again, new_again = await domains.add("acme", "news.example.org")

    assert (new, new_again, again) == (True, False, added)
    assert await domains.of_tenant("acme") == [added]
    dkim = records(added)[0]
    assert dkim.name == f"{added.selector}._domainkey.news.example.org"
    assert dkim.value.startswith("v=DKIM1; k=rsa; p=MIIBIjANBg")
    assert "PRIVATE" not in repr(added) + repr(records(added))


async def test_a_domain_of_another_tenant_is_refused(client: redis.Client, pem: str) -> None:
    domains = SendingDomains(client, make_key=lambda: pem)
    await domains.add("acme", "example.org")

    with pytest.raises(DomainTaken):
        await domains.add("other", "example.org")
    with pytest.raises(DomainTaken):
        await domains.for_sending("other", "example.org", any_from_domain=False)
    with pytest.raises(DomainTaken):
        await domains.for_sending("demo", "example.org", any_from_domain=True)
    assert await domains.get("other", "example.org") is None
    assert await domains.remove("other", "example.org") is False
    assert await domains.get("acme", "example.org") is not None


async def test_only_a_tenant_that_may_use_any_domain_gets_one_by_using_it(client: redis.Client, pem: str) -> None:
    domains = SendingDomains(client, make_key=lambda: pem)

    with pytest.raises(LookupError):
        await domains.for_sending("acme", "example.org", any_from_domain=False)
    taken = await domains.for_sending("demo", "example.org", any_from_domain=True)

    assert taken.by_use
    assert await domains.for_sending("demo", "example.org", any_from_domain=True) == taken
    with pytest.raises(LookupError):
        await domains.for_sending("acme", "example.org", any_from_domain=False)


async def test_a_domain_taken_by_use_is_lost_to_whoever_adds_it(client: redis.Client, pem: str) -> None:
    clock = Clock()
    domains, elsewhere = SendingDomains(client, make_key=lambda: pem), SendingDomains(client, monotonic=clock)
    await domains.for_sending("demo", "example.org", any_from_domain=True)
    await elsewhere.for_sending("demo", "example.org", any_from_domain=True)

    added, new = await domains.add("acme", "example.org")

    assert (new, added.tenant, added.by_use) == (True, "acme", False)
    clock.seconds += DOMAIN_SECONDS
    for store in (domains, elsewhere):
        with pytest.raises(DomainTaken):
            await store.for_sending("demo", "example.org", any_from_domain=True)


async def test_adding_what_was_used_keeps_its_key(client: redis.Client, pem: str) -> None:
    domains = SendingDomains(client)
    used = await domains.for_sending("demo", "example.org", any_from_domain=True)

    added, new = await domains.add("demo", "example.org")

    assert (new, added.pem, added.by_use) == (True, used.pem, False)


async def test_processes_that_use_a_domain_at_once_agree_on_its_key(client: redis.Client) -> None:
    stores = [SendingDomains(client) for _ in range(3)]

    taken = await asyncio.gather(*(store.for_sending("demo", "example.org", any_from_domain=True) for store in stores))

    assert len({one.pem for one in taken}) == 1


async def test_a_removed_domain_is_free_again(client: redis.Client, pem: str) -> None:
    domains = SendingDomains(client, make_key=lambda: pem)
    await domains.add("acme", "example.org")

    assert await domains.remove("acme", "example.org") is True

    assert await domains.remove("acme", "example.org") is False
    with pytest.raises(LookupError):
        await domains.for_sending("acme", "example.org", any_from_domain=False)
    assert (await domains.add("other", "example.org"))[1]


@pytest.mark.parametrize(
    "domain", ["", ".", "a b", "a_b.org", "-a.org", "é.org", "a" * 64 + ".org", "a..org", "a\r\n.org"]
)
async def test_what_is_no_domain_name_is_refused(redis_url: str, domain: str) -> None:
    client = redis.connect(redis_url)
    try:
        with pytest.raises(InvalidDomain):
            await SendingDomains(client).add("acme", domain)
    finally:
        await redis.close(client)


def test_a_key_signs_what_its_record_verifies(pem: str) -> None:
    sign = dkim_keys.signer(pem)

    assert len(sign(bytes(32))) == 256
    assert sign(bytes(32)) == sign(bytes(32)) != sign(b"x" * 32)
    assert dkim_keys.selector(pem).startswith("est")
    with pytest.raises(dkim_keys.InvalidKey):
        dkim_keys.signer("nonsense")
