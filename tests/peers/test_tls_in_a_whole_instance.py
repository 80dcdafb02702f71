"""DANE and MTA-STS from the API's door to the receiving host: what left under which policy is known, what may not leave
waits, and leaves when the domain has put right what it publishes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.flows.stack import Stack
from tests.peers import secured
from tests.peers.secured import CASES, Case, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Peers:
    """One job went to ben of each case's domain."""

    stack: Stack
    world: World
    job_id: str

    async def first_fact(self, case: Case) -> dict[str, Any]:
        """What became of the first attempt."""

        async def tried() -> dict[str, Any] | None:
            timeline = (await self.stack.message(f"{self.job_id}.{CASES.index(case)}"))["timeline"]
            return timeline[1] if len(timeline) > 1 else None

        fact = await self.stack.until(tried)
        assert fact is not None
        return fact


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peers]:
    async with secured.running(tmp_path_factory.mktemp("secured")) as world:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_MX_PORT": str(world.postfix.port),
            "ESTAFETTE_DNS_SERVERS": world.served.resolver,
            "ESTAFETTE_TLS_DANE_RESOLVER": world.served.resolver,
            "ESTAFETTE_TLS_CA_FILE": world.ca_file,
            "ESTAFETTE_TLS_MTA_STS_PORT": str(world.web.port),
            "ESTAFETTE_TLS_PRIVATE_NETWORKS": "true",
        }
        async with Stack.running(tmp_path_factory.mktemp("stack"), environ) as stack:
            yield Peers(stack, world, await stack.send(*(f"ben@{case.domain}" for case in CASES)))


@pytest.mark.parametrize("case", [case for case in CASES if not case.waits], ids=lambda case: case.domain)
async def test_a_mail_that_leaves_says_what_asked_for_its_encryption(peers: Peers, case: Case) -> None:
    fact = await peers.first_fact(case)

    details = fact["details"]
    assert fact["type"] == "message.delivered", details
    assert details["tls_policy"] == case.ends
    assert details["tls"] == (None if case.shows == "clear" else "TLSv1.3")
    assert (details["tls_cipher"] == "") == (case.shows == "clear")
    assert details["host"] == case.host
    assert b"Subject: Bonjour ben" in peers.world.mail("ben", case)


@pytest.mark.parametrize("case", [case for case in CASES if case.waits], ids=lambda case: case.domain)
async def test_a_mail_that_may_not_leave_waits_and_says_why(peers: Peers, case: Case) -> None:
    fact = await peers.first_fact(case)

    assert fact["type"] == "message.deferred", fact
    assert fact["details"]["reason"] == case.ends
    assert fact["details"]["reply"]
    assert peers.world.mails("ben", case) == []


async def test_a_mail_leaves_when_its_domain_has_put_its_records_right(peers: Peers) -> None:
    case = next(case for case in CASES if case.name == "wrong")
    message_id = f"{peers.job_id}.{CASES.index(case)}"

    async def delivered() -> dict[str, Any] | None:
        last = (await peers.stack.message(message_id))["timeline"][-1]
        return last if last["type"] == "message.delivered" else None

    await peers.first_fact(case)
    peers.world.served.publish_tlsa(case.host, peers.world.postfix.port, peers.world.shown[case])
    fact = await peers.stack.until(delivered)

    assert fact is not None
    assert fact["details"]["tls_policy"] == "dane"
    assert peers.world.mail("ben", case)
    assert len(peers.world.mails("ben", case)) == 1
