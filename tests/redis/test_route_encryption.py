"""`estafette route` tells how a mail would be encrypted: as the relay would decide with what relays have fetched."""

import time
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from services.console.route import _found
from services.relay.encryption.mta_sts import StsPolicy
from services.relay.encryption.sts_policies import Kept
from services.settings import load
from shared.process.routing import Asked
from shared.process.settings import Settings
from shared.redis import keys
from shared.words import ids
from tests.fakes.dns_server import DnsServer

DIGEST = sha256(b"the key of the host").hexdigest()
ZONE = f"""
plain.test. 300 IN MX 10 mx.plain.test.
mx.plain.test. 300 IN A 192.0.2.1
sts.test. 300 IN MX 10 mx1.sts.test.
sts.test. 300 IN MX 20 stranger.test.
_mta-sts.sts.test. 300 IN TXT "v=STSv1; id=20260131;"
mx1.sts.test. 300 IN A 192.0.2.2
stranger.test. 300 IN A 192.0.2.3
dane.test. 300 IN MX 10 mx.dane.test.
mx.dane.test. 300 IN A 192.0.2.4
_25._tcp.mx.dane.test. 300 IN TLSA 3 1 1 {DIGEST}
bogus.test. 300 IN MX 10 mx.bogus.test.
mx.bogus.test. 300 IN A 192.0.2.5
"""


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with DnsServer(ZONE) as server:
        server.secure = {"dane.test.", "bogus.test."}
        server.trouble["_25._tcp.mx.bogus.test.", "TLSA"] = "servfail"
        yield server


@pytest.fixture
def settings(dns: DnsServer) -> Settings:
    return load(
        {
            "ESTAFETTE_DNS_SERVERS": dns.address,
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_TLS_DANE_RESOLVER": dns.address,
            "ESTAFETTE_REDIS_PARTITIONS": "4",
        },
        None,
    )


async def keep(
    client: Any, mode: str, *mx: str, name: str = "20260131", ago_s: int = 60, max_age_s: int = 86_400
) -> None:
    """As a relay does that has fetched it."""
    fetched_ms = int(time.time() * 1000) - ago_s * 1000
    kept = Kept(name, StsPolicy(mode, mx, max_age_s), fetched_ms)  # type: ignore[arg-type]
    await client.set(keys.mta_sts(ids.name_partition("sts.test", 4), "sts.test"), msgspec.msgpack.encode(kept))


async def told(client: Any, settings: Settings, domain: str) -> tuple[list[str], list[str]]:
    """How it would be encrypted, and what would happen."""
    found = await _found(client, settings, f"ana@{domain}", Asked(domain, "", "bulk"))
    return found["encryption"], found["would"]


async def test_without_a_policy_it_is_as_shaping_says(client: Any, settings: Settings) -> None:
    words, would = await told(client, settings, "plain.test")

    assert words == ["shaping: opportunistic", "mx.plain.test: opportunistic: encrypted where that works"]
    assert would == ["be sent"]


async def test_a_policy_that_no_relay_has_fetched_is_announced(client: Any, settings: Settings) -> None:
    words, would = await told(client, settings, "sts.test")

    assert "MTA-STS record: v=STSv1; id=20260131;" in words
    assert "MTA-STS policy: a relay fetches it with the next mail" in words
    assert would == ["be sent"]


async def test_a_policy_that_relays_keep_leaves_out_the_hosts_that_it_does_not_name(
    client: Any, settings: Settings
) -> None:
    await keep(client, "enforce", "mx1.sts.test")

    words, would = await told(client, settings, "sts.test")

    assert any(one.startswith("MTA-STS policy: enforce, for mx1.sts.test; fetched 20") for one in words)
    assert "mx1.sts.test: mta-sts: encrypted, to a host whose certificate is good for its name" in words
    assert "stranger.test: not used: its MTA-STS policy does not name its mail host stranger.test" in words
    assert would == ["be sent"]


async def test_a_policy_that_names_none_of_the_hosts_makes_mail_wait(client: Any, settings: Settings) -> None:
    await keep(client, "enforce", "elsewhere.test", name="older")

    words, would = await told(client, settings, "sts.test")

    assert "MTA-STS policy: there is another one, 20260131, which a relay fetches with the next mail" in words
    assert would == ["wait: tls_policy: its MTA-STS policy does not name its mail host mx1.sts.test"]


async def test_a_policy_in_mode_testing_is_said_to_be_tried(client: Any, settings: Settings) -> None:
    await keep(client, "testing", "*.sts.test")

    words, _ = await told(client, settings, "sts.test")

    tried = "opportunistic: encrypted where that works; the policy is tried, and only reported on"
    assert f"mx1.sts.test: {tried}" in words


async def test_a_policy_that_is_over_counts_no_more(client: Any, settings: Settings) -> None:
    await keep(client, "enforce", "elsewhere.test", ago_s=90_000)

    _, would = await told(client, settings, "sts.test")

    assert would == ["be sent"]


async def test_tlsa_records_that_are_proven_bind(client: Any, settings: Settings) -> None:
    words, would = await told(client, settings, "dane.test")

    assert f"TLSA of mx.dane.test: 3 1 1 {DIGEST}" in words
    assert "mx.dane.test: dane: encrypted, to a host whose certificate its TLSA records name" in words
    assert would == ["be sent"]


async def test_tlsa_records_that_cannot_be_had_make_mail_wait(client: Any, settings: Settings) -> None:
    words, would = await told(client, settings, "bogus.test")

    (why,) = would
    assert why.startswith("wait: tls_policy: TLSA of _25._tcp.mx.bogus.test")
    assert any(one.startswith("mx.bogus.test: not used: TLSA of") for one in words)
