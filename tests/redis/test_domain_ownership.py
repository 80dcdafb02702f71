"""Whose a domain is: claims before a real DNS server, as its owner, a rival and a stranger would try."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from shared.mail import dkim_keys
from shared.mail.dkim_keys import Vault
from shared.mail.domain_names import InvalidDomain
from shared.net import dns
from shared.redis import redis
from shared.redis.sending_domains import CACHE_SECONDS, DomainHeld, DomainTaken, NotShown, SendingDomains
from shared.redis.tenants import Tenants
from shared.words.sending_domain import INSTALLATION, SendingDomain, proof_record
from tests.fakes.dns_server import DnsServer

HOSTS = ("links.house.example", "bounces.house.example")
NAME = "acme.example"


class House:
    """The store and the world's DNS."""

    def __init__(self, client: redis.Client, server: DnsServer) -> None:
        self.client = client
        self.server = server
        self.seconds = 1_000.0
        self.domains = self.store()

    def store(self) -> SendingDomains:
        return SendingDomains(
            self.client,
            Vault(b"k" * 32),
            ours=HOSTS,
            make_key=lambda _: dkim_keys.make("ed25519-sha256"),
            monotonic=lambda: self.seconds,
        )

    async def look_up(self, names: Sequence[str]) -> Mapping[str, Sequence[str] | None]:
        return await dns.texts(names, self.server.address, 2_000)

    async def claim(self, tenant: str, name: str = NAME) -> SendingDomain:
        return (await self.domains.add(tenant, name))[0]

    async def check(self, tenant: str, name: str = NAME) -> SendingDomain:
        return await self.domains.check(tenant, name, self.look_up)

    async def shown(self, tenant: str, name: str = NAME) -> SendingDomain:
        """The tenant's, by its token in DNS."""
        self.publish(await self.claim(tenant, name))
        return await self.check(tenant, name)

    def publish(self, domain: SendingDomain) -> None:
        self.txt(proof_record(domain).name, proof_record(domain).value)

    def txt(self, name: str, *strings: str) -> None:
        self.zone(f"{name}. 60 IN TXT " + " ".join(f'"{one}"' for one in strings))

    def zone(self, line: str) -> None:
        self.server.records += DnsServer(line).records

    def withdraw(self) -> None:
        """All that was published."""
        self.server.records.clear()

    async def may_send(self, tenant: str, name: str = NAME, *, any_from_domain: bool = False) -> bool:
        self.seconds += CACHE_SECONDS
        try:
            found = await self.domains.for_sending(tenant, name, any_from_domain=any_from_domain)
        except (LookupError, DomainTaken, InvalidDomain):
            return False
        assert found.tenant == tenant
        return True


@pytest.fixture
async def house(client: redis.Client) -> AsyncIterator[House]:
    async with DnsServer() as server:
        yield House(client, server)


# What a tenant may ask for


@pytest.mark.parametrize(
    "name",
    [
        "com", "10.0.0.1", "co.uk", "github.io", "localhost", "x.localhost", "[IPv6:2001:db8::1]", "ｃｏ.ｕｋ",
        *HOSTS, "BOUNCES.house.example.", "x.bounces.house.example", "house.example", "a.links.house.example",
    ],
)  # fmt: skip
async def test_what_is_nobodys_or_the_installations_is_refused(house: House, name: str) -> None:
    with pytest.raises(InvalidDomain):
        await house.domains.add("acme", name)

    assert not await house.may_send("acme", name)
    if name != "x.localhost":  # for trying
        assert not await house.may_send("demo", name, any_from_domain=True)


async def test_an_operator_gives_what_is_above_the_hosts_but_never_what_is_at_or_below_them(house: House) -> None:
    given, _ = await house.domains.give("acme", "house.example")

    assert await house.may_send("acme", "house.example")
    assert given.standing == "verified"
    for name in (*HOSTS, "x.bounces.house.example", "com", "10.0.0.1"):
        with pytest.raises(InvalidDomain):
            await house.domains.give("acme", name)


async def test_a_host_that_becomes_the_installations_is_not_sent_from_any_more(client: redis.Client) -> None:
    before = SendingDomains(client, Vault(b"k" * 32), make_key=lambda _: dkim_keys.make("ed25519-sha256"))
    await before.give("acme", "mail.house.example")

    after = SendingDomains(client, Vault(b"k" * 32), ours=["house.example"])

    with pytest.raises(DomainTaken):
        await after.for_sending("acme", "mail.house.example", any_from_domain=False)


# What shows it


async def test_nothing_is_sent_from_a_domain_before_dns_shows_whose_it_is(house: House) -> None:
    claim = await house.claim("acme", "GMAIL.com.")

    with pytest.raises(NotShown) as refused:
        await house.domains.for_sending("acme", "gmail.com", any_from_domain=False)
    checked = await house.check("acme", "gmail.com")

    assert (claim.standing, checked.standing, checked.waits_for) == ("pending", "pending", "dns")
    assert proof_record(claim).name == "_estafette.gmail.com"
    assert proof_record(claim).value in str(refused.value)
    assert await house.domains.find("gmail.com") is None


@pytest.mark.parametrize("way", ["token", "strings", "beside", "cname", "key"])
async def test_dns_shows_it(house: House, way: str) -> None:
    claim = await house.claim("acme")
    record = proof_record(claim)
    match way:
        case "token":
            house.txt(record.name, record.value)
        case "strings":
            house.txt(record.name, record.value[:20], record.value[20:])
        case "beside":
            house.txt(record.name, "v=spf1 -all")
            house.txt(record.name, "estafette-verify=of-somebody-else")
            house.txt(record.name, record.value)
        case "cname":
            house.zone(f"{record.name}. 60 IN CNAME tokens.elsewhere.example.")
            house.txt("tokens.elsewhere.example", record.value)
        case "key":
            key = claim.keys[0]
            house.txt(f"{key.selector}._domainkey.{NAME}", key.record)

    checked = await house.check("acme")

    assert (checked.standing, checked.waits_for, checked.keys[0].record) == ("verified", None, claim.keys[0].record)
    assert await house.may_send("acme")
    assert [one.standing for one in await house.domains.of_tenant("acme")] == ["verified"]


@pytest.mark.parametrize(
    "way", ["nothing", "wildcard", "another name", "another tenant", "case", "part", "servfail", "silent", "revoked"]
)
async def test_dns_does_not_show_it(house: House, way: str) -> None:
    claim, other = await house.claim("acme"), await house.claim("other")
    record = proof_record(claim)
    match way:
        case "wildcard":  # a zone that says the same of every name
            for name in (record.name, *(f"{key.selector}._domainkey.{NAME}" for key in claim.keys)):
                house.txt(name, "v=DKIM1; k=ed25519; p=AAAA estafette-verify=*")
        case "another name":
            house.txt(NAME, record.value)
            house.txt("_estafette.other.example", record.value)
        case "another tenant":
            house.publish(other)
        case "case":
            house.txt(record.name, record.value.upper())
        case "part":
            house.txt(record.name, record.value[:-1])
        case "servfail" | "silent" as trouble:
            house.publish(claim)
            house.server.trouble[f"{record.name}."] = trouble
        case "revoked":
            house.txt(f"{claim.keys[0].selector}._domainkey.{NAME}", "v=DKIM1; k=ed25519; p=")

    checked = await house.check("acme")

    assert (checked.standing, checked.waits_for) == ("pending", "dns")
    assert not await house.may_send("acme")


async def test_a_token_is_of_one_tenant_and_one_domain(house: House) -> None:
    claims = [await house.claim(tenant, name) for tenant in ("acme", "other") for name in (NAME, "b.example")]

    assert len({one.token for one in claims}) == 4


async def test_a_subdomain_of_what_is_shown_is_another_domain(house: House) -> None:
    await house.shown("acme")

    assert not await house.may_send("acme", f"news.{NAME}")
    assert (await house.shown("acme", f"news.{NAME}")).standing == "verified"


# Who has it when several want it


async def test_claims_of_several_tenants_do_not_see_each_other(house: House) -> None:
    await house.claim("squatter")
    acme = await house.shown("acme")

    assert acme.standing == "verified"
    assert (await house.check("squatter")).waits_for == "dns"
    assert not await house.may_send("squatter")
    assert await house.may_send("acme")


async def test_while_dns_shows_the_owner_they_stay(house: House) -> None:
    await house.shown("acme")
    house.publish(await house.claim("other"))

    checked = await house.check("other")

    assert (checked.standing, checked.waits_for) == ("pending", "operator")
    assert (await house.may_send("acme"), await house.may_send("other")) == (True, False)
    await house.domains.take(NAME)
    assert (await house.check("other")).standing == "verified"
    assert (await house.may_send("acme"), await house.may_send("other")) == (False, True)


async def test_a_domain_that_was_sold_is_of_who_is_shown(house: House) -> None:
    await house.shown("acme")
    house.withdraw()
    assert await house.may_send("acme")

    sold = await house.shown("other")

    assert sold.standing == "verified"
    assert (await house.may_send("acme"), await house.may_send("other")) == (False, True)
    former = await house.domains.get("acme", NAME)
    assert former is not None
    assert (former.standing, former.waits_for) == ("pending", "dns")


async def test_an_owner_of_whom_dns_says_nothing_for_now_stays(house: House) -> None:
    acme = await house.shown("acme")
    house.withdraw()
    house.publish(await house.claim("other"))
    house.server.trouble[f"{acme.keys[0].selector}._domainkey.{NAME}."] = "servfail"

    assert (await house.check("other")).waits_for == "operator"

    assert await house.may_send("acme")


async def test_a_check_that_finds_nothing_takes_nothing_away(house: House) -> None:
    await house.shown("acme")
    house.withdraw()

    checked = await house.check("acme")

    assert (checked.standing, checked.shown.dns) == ("verified", "missing")
    assert await house.may_send("acme")


async def test_what_an_operator_gave_stays_whatever_dns_shows(house: House) -> None:
    await house.domains.give("acme", NAME)

    assert (await house.shown("other")).waits_for == "operator"

    assert (await house.may_send("acme"), await house.may_send("other")) == (True, False)


async def test_what_is_below_anothers_is_an_operators_to_give(house: House) -> None:
    await house.shown("acme")
    below = f"news.{NAME}"

    assert (await house.shown("other", below)).waits_for == "operator"
    assert not await house.may_send("other", below)
    assert not await house.may_send("demo", f"x.{NAME}", any_from_domain=True)

    await house.domains.give("other", below)
    assert await house.may_send("other", below)


async def test_who_shows_what_is_above_anothers_gets_it_without_what_is_below(house: House) -> None:
    await house.shown("agency", f"news.{NAME}")
    assert not await house.may_send("demo", NAME, any_from_domain=True)

    assert (await house.claim("acme")).waits_for == "dns"
    assert not await house.may_send("acme")
    assert (await house.shown("acme")).standing == "verified"

    assert await house.may_send("agency", f"news.{NAME}")
    assert not await house.may_send("acme", f"news.{NAME}")
    assert (await house.check("agency", f"news.{NAME}")).standing == "verified"


async def test_kin_of_what_the_installation_owns_is_an_operators_to_give(house: House) -> None:
    await house.domains.give(INSTALLATION, "reports.third.example")

    for name in ("third.example", "x.reports.third.example", "reports.third.example"):
        assert (await house.shown("acme", name)).waits_for == "operator"
        assert not await house.may_send("acme", name)
        assert not await house.may_send("demo", name, any_from_domain=True)


async def test_names_that_only_look_related_are_strangers(house: House) -> None:
    await house.shown("acme")

    assert (await house.shown("other", f"not{NAME}")).standing == "verified"
    assert (await house.shown("other", "acme.example.org")).standing == "verified"


async def test_two_who_show_it_at_once_do_not_both_get_it(house: House) -> None:
    stores = [house.store() for _ in range(4)]
    for at, one in enumerate(stores):
        claim, _ = await one.add(f"t{at}", NAME)
        house.publish(claim)

    await asyncio.gather(*(one.check(f"t{at}", NAME, house.look_up) for at, one in enumerate(stores)))

    assert [await house.may_send(f"t{at}") for at in range(4)].count(True) == 1


async def test_a_domain_and_what_is_below_it_shown_at_once_by_two_end_as_one_after_the_other(house: House) -> None:
    one, two = house.store(), house.store()
    for store, name in ((one, NAME), (two, f"a.{NAME}")):
        house.publish((await store.add(f"of-{name}", name))[0])

    await asyncio.gather(
        *(store.check(f"of-{name}", name, house.look_up) for store, name in ((one, NAME), (two, f"a.{NAME}")))
    )

    assert await house.may_send(f"of-{NAME}")
    stood = await house.domains.get(f"of-a.{NAME}", f"a.{NAME}")
    assert stood is not None
    assert stood.waits_for in (None, "operator")


# An operator's word, and the demo


async def test_what_was_taken_back_comes_back_by_an_operator_alone(house: House) -> None:
    await house.shown("acme")
    taken = await house.domains.take(NAME)
    assert taken is not None
    keys_before = taken.keys

    assert not await house.may_send("acme")
    assert not await house.may_send("acme", any_from_domain=True)
    assert (await house.check("acme")).standing == "taken_back"
    with pytest.raises(DomainHeld):
        await house.domains.remove("acme", NAME)
    assert (await house.claim("acme")).standing == "taken_back"
    assert (await house.shown("acme", f"below.{NAME}")).waits_for == "operator"

    given, _ = await house.domains.give("acme", NAME)
    assert await house.may_send("acme")
    assert [key.selector for key in given.keys] == [key.selector for key in keys_before]


async def test_what_is_nobodys_cannot_be_taken(house: House) -> None:
    await house.claim("acme")

    assert await house.domains.take(NAME) is None


async def test_the_demo_uses_what_is_free_until_somebody_shows_it(house: House) -> None:
    claim = await house.claim("demo")
    assert await house.may_send("demo", any_from_domain=True)
    used = await house.domains.get("demo", NAME)
    assert used is not None
    assert (used.standing, used.keys) == ("by_use", claim.keys)
    await house.claim("acme")
    assert await house.may_send("demo", any_from_domain=True)

    assert (await house.shown("acme")).standing == "verified"

    assert not await house.may_send("demo", any_from_domain=True)


async def test_the_demo_that_shows_what_it_uses_keeps_it(house: House) -> None:
    assert await house.may_send("demo", any_from_domain=True)

    assert (await house.shown("demo")).standing == "verified"

    house.publish(await house.claim("acme"))
    assert (await house.check("acme")).waits_for == "operator"


async def test_a_removed_domain_leaves_no_kin_behind(house: House) -> None:
    await house.shown("acme")

    assert await house.domains.remove("acme", NAME)

    assert (await house.shown("other", f"news.{NAME}")).standing == "verified"


async def test_everybodys_domains_are_listed_with_their_claims(house: House, client: Any) -> None:
    await Tenants(client).create("acme")
    await Tenants(client).create("other")
    await house.shown("acme")
    await house.claim("other")

    assert [(one.tenant, one.standing) for one in await house.domains.all()] == [
        ("acme", "verified"),
        ("other", "pending"),
    ]
