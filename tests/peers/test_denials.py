"""What a real name server denies is believed for as long as its zone says, wherever the answer is of use."""

from collections.abc import Iterator

import pytest

from services.queueing.sites import DnsSites
from services.relay.encryption.dnssec import ValidatingResolver
from shared.net.dns import (
    DnsClient,
    MailHosts,
    NoDomain,
    Resolver,
)
from tests.peers import zone

#: As `tests.peers.zone` writes it: TTL and minimum of its SOA.
DENIED_S = 5.0


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def served() -> Iterator[zone.Zone]:
    with zone.serving("test", ["bare.test. TXT here", "mx1.test. A 127.0.0.25"]) as served:
        yield served


async def test_a_denial_comes_with_the_time_of_its_zone(served: zone.Zone) -> None:
    client = DnsClient(served.address, 5_000)

    for name, status in (("none.test", "no_name"), ("bare.test", "no_record")):
        answer = await client.ask(name, "MX")
        assert (answer.status, answer.ttl_s) == (status, DENIED_S)
    await client.close()


@pytest.mark.parametrize("domain", ["none.test", "bare.test"])
async def test_a_domain_that_publishes_its_mail_host_gets_its_mail(served: zone.Zone, domain: str) -> None:
    clock = Clock()
    resolver = Resolver(DnsClient(served.address, 5_000), clock)
    sites = DnsSites(resolver)
    assert isinstance(await resolver.mail_hosts(domain), NoDomain)
    assert await sites.site_of(domain) is None

    served.add(f"{domain}. MX 10 mx1.test.")
    assert await sites.site_of(domain) is None
    clock.now += DENIED_S

    assert await resolver.mail_hosts(domain) == MailHosts(((10, "mx1.test"),))
    assert await sites.site_of(domain) == "mx1.test"
    await resolver.close()


async def test_tlsa_records_that_appear_are_found(served: zone.Zone) -> None:
    clock = Clock()
    resolver = ValidatingResolver(served.address, 5_000, clock)
    assert (await resolver.ask("_25._tcp.mx1.test", "TLSA")).status == "none"

    served.add(f"_25._tcp.mx1.test. TLSA 3 1 1 {'ab' * 32}")
    clock.now += DENIED_S

    assert (await resolver.ask("_25._tcp.mx1.test", "TLSA")).status == "found"
    await resolver.close()
