"""Sending domains and the life of their keys in a real Redis, and in a real cluster."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from shared.mail import dkim_keys
from shared.mail.dkim_keys import Algorithm, CannotOpen, Vault
from shared.mail.dkim_rotation import RETIRING_MS, NothingWaiting, NotPublished
from shared.mail.domain_names import InvalidDomain
from shared.redis import keys, redis
from shared.redis.sending_domains import CACHE_SECONDS, DomainTaken, SendingDomains
from shared.words.sending_domain import INSTALLATION, SendingDomain, records

OLD, NEW = b"o" * 32, b"n" * 32
NAME = "news.example.org"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Zone:
    """What DNS shows: texts by name, and names about which it says nothing."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.silent: set[str] = set()

    def publish(self, domain: SendingDomain) -> None:
        for record in records(domain, 0):
            self.texts[record.name] = [record.value]

    async def __call__(self, names: Sequence[str]) -> Mapping[str, Sequence[str] | None]:
        return {name: None if name in self.silent else self.texts.get(name, []) for name in names}


def quickly(_: Algorithm) -> str:
    """Ed25519 for either kind: an RSA key takes its time."""
    return dkim_keys.make("ed25519-sha256")


def store(client: redis.Client, secret: bytes = NEW, previous: Sequence[bytes] = (), **options: Any) -> SendingDomains:
    return SendingDomains(client, Vault(secret, previous), **{"make_key": quickly, **options})


def states(domain: SendingDomain) -> list[str]:
    return [key.state for key in domain.keys]


async def stored(client: Any) -> bytes:
    """Everything that Redis has of domains."""
    return b"".join((await client.hgetall(keys.domains())).values())


# Whose a domain is


async def test_a_domain_is_added_once_and_says_what_to_publish(client: redis.Client) -> None:
    domains = store(client, make_key=dkim_keys.make)

    added, new = await domains.give("acme", "News.Example.ORG.")
    again, new_again = await domains.give("acme", NAME)

    assert (new, new_again, again) == (True, False, added)
    assert await domains.of_tenant("acme") == [added]
    rsa, ed25519, dmarc = records(added, 0)
    assert [record.name for record in (rsa, ed25519)] == [f"{key.selector}._domainkey.{NAME}" for key in added.signing]
    assert rsa.value.startswith("v=DKIM1; k=rsa; p=MIIBIjANBg")
    assert ed25519.value.startswith("v=DKIM1; k=ed25519; p=")
    assert dmarc.name == f"_dmarc.{NAME}"
    assert "PRIVATE" not in repr(added) + repr(records(added, 0))


async def test_a_domain_of_another_tenant_is_refused(client: redis.Client) -> None:
    domains = store(client)
    await domains.give("acme", "example.org")

    with pytest.raises(DomainTaken):
        await domains.give("other", "example.org")
    with pytest.raises(DomainTaken):
        await domains.for_sending("other", "example.org", any_from_domain=False)
    with pytest.raises(DomainTaken):
        await domains.for_sending("demo", "example.org", any_from_domain=True)
    assert await domains.get("other", "example.org") is None
    assert await domains.remove("other", "example.org") is False
    assert await domains.get("acme", "example.org") is not None
    for change in (
        domains.rotate("other", "example.org"),
        domains.activate("other", "example.org", Zone()),
        domains.check("other", "example.org", Zone()),
    ):
        with pytest.raises(LookupError):
            await change


async def test_only_a_tenant_that_may_use_any_domain_gets_one_by_using_it(client: redis.Client) -> None:
    domains = store(client)

    with pytest.raises(LookupError):
        await domains.for_sending("acme", "example.org", any_from_domain=False)
    taken = await domains.for_sending("demo", "example.org", any_from_domain=True)

    assert taken.by_use
    assert await domains.for_sending("demo", "example.org", any_from_domain=True) == taken
    with pytest.raises(LookupError):
        await domains.for_sending("acme", "example.org", any_from_domain=False)


async def test_a_domain_taken_by_use_is_lost_to_whoever_is_given_it(client: redis.Client) -> None:
    clock = Clock()
    domains, elsewhere = store(client), store(client, monotonic=clock)
    await domains.for_sending("demo", "example.org", any_from_domain=True)
    await elsewhere.for_sending("demo", "example.org", any_from_domain=True)

    added, new = await domains.give("acme", "example.org")

    assert (new, added.tenant, added.by_use) == (True, "acme", False)
    clock.seconds += CACHE_SECONDS
    for one in (domains, elsewhere):
        with pytest.raises(DomainTaken):
            await one.for_sending("demo", "example.org", any_from_domain=True)


async def test_adding_what_was_used_keeps_its_keys(client: redis.Client) -> None:
    domains = store(client)
    used = await domains.for_sending("demo", "example.org", any_from_domain=True)

    assert await domains.add("demo", "example.org") == (used, False)
    given, new = await domains.give("demo", "example.org")

    assert (new, given.keys, given.by_use) == (True, used.keys, False)


async def test_processes_that_use_a_domain_at_once_agree_on_its_keys(client: redis.Client) -> None:
    stores = [store(client) for _ in range(3)]

    taken = await asyncio.gather(*(one.for_sending("demo", "example.org", any_from_domain=True) for one in stores))

    assert len({one.selector for one in taken}) == 1


async def test_a_removed_domain_is_free_again(client: redis.Client) -> None:
    domains = store(client)
    await domains.give("acme", "example.org")

    assert await domains.remove("acme", "example.org") is True

    assert await domains.remove("acme", "example.org") is False
    with pytest.raises(LookupError):
        await domains.for_sending("acme", "example.org", any_from_domain=False)
    assert (await domains.give("other", "example.org"))[1]


@pytest.mark.parametrize(
    "domain", ["", ".", "a b", "a_b.org", "-a.org", "xn--a.org", "a" * 64 + ".org", "a..org", "a\r\n.org"]
)
async def test_what_is_no_domain_name_is_refused(redis_url: str, domain: str) -> None:
    client = redis.connect(redis_url)
    try:
        with pytest.raises(InvalidDomain):
            await store(client).give("acme", domain)
    finally:
        await redis.close(client)


async def test_a_domain_of_the_installation_is_nobodys_to_write_from(client: redis.Client) -> None:
    clock = Clock()
    domains = store(client, monotonic=clock)
    assert await domains.of_installation("bounces.example") is None
    added, _ = await domains.give(INSTALLATION, "bounces.example")
    await domains.give("acme", "example.org")

    assert await domains.of_installation("Bounces.Example") == added
    assert await domains.of_installation("example.org") is None
    assert await domains.of_tenant("acme") != [added]
    for tenant, any_domain in (("acme", False), ("demo", True)):
        with pytest.raises(DomainTaken):
            await domains.for_sending(tenant, "bounces.example", any_from_domain=any_domain)


# Rotation


async def test_new_keys_wait_until_dns_shows_them(client: redis.Client) -> None:
    zone, domains = Zone(), store(client)
    added, _ = await domains.give("acme", NAME)
    zone.publish(added)

    rotated = await domains.rotate("acme", NAME)
    with pytest.raises(NotPublished) as refused:
        await domains.activate("acme", NAME, zone)

    assert states(rotated) == ["signing", "signing", "waiting", "waiting"]
    sending = await domains.for_sending("acme", NAME, any_from_domain=False)
    assert [key.selector for key in sending.signing] == [key.selector for key in added.signing]
    assert [name for name, _ in refused.value.faults] == [
        f"{key.selector}._domainkey.{NAME}" for key in rotated.keys[2:]
    ]
    assert all("missing" in what for _, what in refused.value.faults)
    found = await domains.get("acme", NAME)
    assert found is not None
    assert [key.check.dns for key in found.keys] == ["published", "published", "missing", "missing"]


async def test_what_dns_shows_is_activated_and_the_former_keys_retire(client: redis.Client) -> None:
    clock, zone = Clock(), Zone()
    domains = store(client, now=clock)
    added, _ = await domains.give("acme", NAME)
    rotated = await domains.rotate("acme", NAME)
    zone.publish(rotated)

    activated = await domains.activate("acme", NAME, zone)

    assert states(activated) == ["retiring", "retiring", "signing", "signing"]
    assert [key.selector for key in activated.signing] == [key.selector for key in rotated.keys[2:]]
    until_ms = int(clock.seconds * 1000) + RETIRING_MS
    assert [record.key for record in records(activated, until_ms - 1)][:2] == ["retiring", "retiring"]
    assert {record.keep_until for record in records(activated, until_ms - 1)[:2]} == {"1970-01-08T00:16:40.000Z"}
    assert [record.key for record in records(activated, until_ms)] == ["signing", "signing", None]
    clock.seconds += RETIRING_MS / 1000
    assert states(await domains.rotate("acme", NAME)) == ["signing", "signing", "waiting", "waiting"]
    assert added.keys[0].selector not in (await stored(client)).decode("latin-1")


async def test_rotating_twice_makes_one_pair_of_keys(client: redis.Client) -> None:
    domains = store(client)
    await domains.give("acme", NAME)

    first = await domains.rotate("acme", NAME)

    assert await domains.rotate("acme", NAME) == first
    assert len({key.selector for key in first.keys}) == 4


async def test_without_new_keys_there_is_nothing_to_activate(client: redis.Client) -> None:
    domains = store(client)
    await domains.give("acme", NAME)

    for look_up in (Zone(), None):
        with pytest.raises(NothingWaiting):
            await domains.activate("acme", NAME, look_up)


async def test_who_answers_for_dns_activates_without_asking_it(client: redis.Client) -> None:
    domains = store(client)
    await domains.give("acme", NAME)
    await domains.rotate("acme", NAME)

    assert states(await domains.activate("acme", NAME, None)) == ["retiring", "retiring", "signing", "signing"]


async def test_a_dns_that_does_not_answer_activates_nothing(client: redis.Client) -> None:
    zone, domains = Zone(), store(client)
    await domains.give("acme", NAME)
    rotated = await domains.rotate("acme", NAME)
    zone.publish(rotated)
    zone.silent = {f"{rotated.keys[2].selector}._domainkey.{NAME}"}

    with pytest.raises(NotPublished) as refused:
        await domains.activate("acme", NAME, zone)

    assert [name for name, _ in refused.value.faults] == sorted(zone.silent)
    assert "unavailable" in str(refused.value)


async def test_a_relay_signs_with_the_new_keys_within_the_cache_time(client: redis.Client) -> None:
    clock = Clock()
    here, relay = store(client), store(client, monotonic=clock)
    await here.give("acme", NAME)
    before = await relay.for_sending("acme", NAME, any_from_domain=False)
    await here.rotate("acme", NAME)

    activated = await here.activate("acme", NAME, None)

    assert await relay.for_sending("acme", NAME, any_from_domain=False) == before
    clock.seconds += CACHE_SECONDS
    after = await relay.for_sending("acme", NAME, any_from_domain=False)
    assert after.signing == activated.signing
    assert {key.selector for key in after.signing}.isdisjoint({key.selector for key in before.signing})


async def test_changes_at_the_same_time_are_made_one_after_the_other(client: redis.Client) -> None:
    zone, stores = Zone(), [store(client) for _ in range(4)]
    await stores[0].give("acme", NAME)

    rotated = await asyncio.gather(*(one.rotate("acme", NAME) for one in stores))
    zone.publish(rotated[0])
    await asyncio.gather(*(one.check("acme", NAME, zone) for one in stores))

    found = await stores[0].get("acme", NAME)
    assert found is not None
    assert states(found) == ["signing", "signing", "waiting", "waiting"]
    assert {key.check.dns for key in found.keys} == {"published"}
    assert found.dmarc.dns == "published"


# Keys at rest


async def test_promise_7_redis_holds_no_private_key_that_can_be_read(client: redis.Client) -> None:
    domains = store(client)
    added, _ = await domains.give("acme", NAME)

    pem = domains.private_key(NAME, added.keys[0])

    raw = await stored(client)
    assert b"PRIVATE" not in raw
    assert pem.splitlines()[1].encode() not in raw
    with pytest.raises(CannotOpen):
        store(client, OLD).private_key(NAME, added.keys[0])
    with pytest.raises(CannotOpen):
        domains.private_key("other.example.org", added.keys[0])


async def test_a_key_of_a_former_secret_opens_and_is_encrypted_anew_at_the_next_change(client: redis.Client) -> None:
    before, after = store(client, OLD), store(client, NEW, [OLD])
    added, _ = await before.give("acme", NAME)
    pems = [before.private_key(NAME, key) for key in added.keys]

    assert [after.private_key(NAME, key) for key in added.keys] == pems
    checked = await after.check("acme", NAME, Zone())

    alone = store(client, NEW)
    assert [alone.private_key(NAME, key) for key in checked.keys] == pems


async def test_all_keys_are_encrypted_anew_on_demand(client: redis.Client) -> None:
    before, after = store(client, OLD), store(client, NEW, [OLD])
    for name in ("a.example", "b.example"):
        await before.give("acme", name)
    await after.give("acme", "c.example")

    assert await after.reencrypt() == (2, [])
    assert await after.reencrypt() == (0, [])

    alone = store(client, NEW)
    for domain in await alone.all():
        assert [alone.private_key(domain.domain, key) for key in domain.keys]


async def test_what_no_secret_opens_is_named_and_kept(client: redis.Client) -> None:
    stranger, here = store(client, b"s" * 32), store(client)
    lost, _ = await stranger.give("acme", NAME)

    changed, failed = await here.reencrypt()

    assert (changed, failed) == (1, [f"{key.selector} of {NAME}" for key in lost.keys])
    assert await stranger.get("acme", NAME) == lost


# Where its links lead


async def test_links_of_a_domain_begin_with_a_host_of_its_own_until_it_is_given_up(client: redis.Client) -> None:
    domains = store(client)
    await domains.give("acme", NAME)

    led = await domains.links.set("acme", NAME, "https://links.example.org/")
    found = await domains.get("acme", NAME)
    left = await domains.links.set("acme", NAME, "")

    assert led == found
    assert (led.links, left.links) == ("https://links.example.org", "")
    with pytest.raises(LookupError):
        await domains.links.set("other", NAME, "https://links.example.org")


@pytest.mark.parametrize(
    "links", ["http://a.fr", "links.a.fr", "https://", "https://a.fr/?x", "https://a b", "https://a.fr/c/%"]
)
async def test_links_begin_with_https_and_a_host_and_nothing_else(client: redis.Client, links: str) -> None:
    domains = store(client)
    await domains.give("acme", NAME)

    with pytest.raises(ValueError, match="expected https"):
        await domains.links.set("acme", NAME, links)
