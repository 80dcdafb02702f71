"""Whether a tenant's host of links leads to our trackers, by its addresses."""

from collections.abc import Mapping

import pytest

from shared.mail.dkim_rotation import Check
from shared.net.dns import DnsUnavailable, MailHosts, NoDomain, NoMail
from shared.net.tracking_hosts import leads_to
from shared.words.sending_domain import SendingDomain, records

OURS, THEIRS = "links.house.example", "links.acme.example"


class Zone:
    """A resolver that knows these addresses; None: DNS does not answer."""

    def __init__(self, addresses: Mapping[str, list[str] | None]) -> None:
        self._addresses = addresses

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        found = self._addresses.get(host, [])
        return DnsUnavailable(host, "timed out") if found is None else found

    async def mail_hosts(self, domain: str) -> MailHosts | NoMail | NoDomain | DnsUnavailable:
        raise AssertionError(f"nobody asks for the mail hosts of {domain}")

    async def texts(self, name: str) -> list[str] | DnsUnavailable:
        raise AssertionError(f"nobody asks for the texts of {name}")


@pytest.mark.parametrize(
    ("ours", "theirs", "dns", "words"),
    [
        (["192.0.2.1", "2001:db8::1"], ["192.0.2.1", "2001:db8::1"], "published", ""),
        (["192.0.2.1", "192.0.2.2"], ["192.0.2.2"], "published", ""),
        (["192.0.2.1"], ["192.0.2.1", "203.0.113.9"], "differs", "leads to 203.0.113.9"),
        (["192.0.2.1"], [], "missing", "publish the alias to links.house.example."),
        ([], ["192.0.2.1"], "missing", "tell its operator"),
        (["192.0.2.1"], None, "unavailable", THEIRS),
        (None, ["192.0.2.1"], "unavailable", OURS),
    ],
)
async def test_a_host_leads_to_us_if_it_has_no_addresses_but_ours(
    ours: list[str] | None, theirs: list[str] | None, dns: str, words: str
) -> None:
    judged = await leads_to(THEIRS, OURS, Zone({OURS: ours, THEIRS: theirs}))

    assert judged.dns == dns
    assert words in judged.detail


def test_the_alias_is_among_the_records_where_links_are_at_a_host_of_the_tenant() -> None:
    leads = Check("differs", "it leads elsewhere", 1)
    own = SendingDomain("acme.example", "acme", links="https://Links.acme.example:8443/go", leads=leads)

    (alias,) = [one for one in records(own, 0, tracker=OURS) if one.type == "CNAME"]

    assert (alias.name, alias.value, alias.dns) == ("links.acme.example", "links.house.example.", "differs")
    assert [one for one in records(own, 0) if one.type == "CNAME"] == []
    installations = SendingDomain("acme.example", "acme")
    assert [one for one in records(installations, 0, tracker=OURS) if one.type == "CNAME"] == []
