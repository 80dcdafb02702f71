"""Which domain the return paths of a mail are at."""

import pytest

from services.relay.making.returning import Returning
from shared.net.dns import DnsUnavailable, MailHosts, NoDomain, NoMail
from shared.redis.return_paths import KNOWN_MS
from shared.words.sending_domain import SendingDomain

OURS, OWN = "bounces.house.example", "bounces.acme.example"
NOW_MS = 1_790_000_000_000
US = MailHosts(((10, "mx.house.example"),))


class World:
    """Where the mail of the tenant's name goes."""

    def __init__(self, found: MailHosts | NoMail | NoDomain | DnsUnavailable) -> None:
        self._found = found
        self.asked = 0

    async def mail_hosts(self, domain: str) -> MailHosts | NoMail | NoDomain | DnsUnavailable:
        self.asked += 1
        return US if domain == OURS else self._found

    async def addresses(self, host: str) -> list[str]:
        return []

    async def texts(self, name: str) -> list[str]:
        return []


def sending(return_path: str = OWN, age_ms: int = KNOWN_MS) -> SendingDomain:
    return SendingDomain("acme.example", "acme", return_path=return_path, return_path_since=NOW_MS - age_ms)


@pytest.mark.parametrize(
    ("found", "domain"),
    [
        (US, OWN),
        (MailHosts(((10, "mx.elsewhere.example"),)), OURS),
        (NoMail(OWN), OURS),
        (NoDomain(OWN, "gone"), OURS),
        (DnsUnavailable(OWN, "silent"), OURS),
    ],
)
async def test_the_tenants_own_is_used_while_mail_to_it_comes_to_us(
    found: MailHosts | NoMail | NoDomain | DnsUnavailable, domain: str
) -> None:
    assert await Returning(OURS, World(found), lambda: NOW_MS).domain_of(sending()) == domain


async def test_it_is_not_used_before_every_process_takes_mail_at_it() -> None:
    returning = Returning(OURS, World(US), lambda: NOW_MS)

    assert await returning.domain_of(sending(age_ms=KNOWN_MS - 1)) == OURS
    assert await returning.domain_of(sending(age_ms=KNOWN_MS)) == OWN


async def test_who_has_none_of_their_own_costs_no_look_up() -> None:
    world = World(US)

    assert await Returning(OURS, world, lambda: NOW_MS).domain_of(sending("")) == OURS
    assert world.asked == 0
