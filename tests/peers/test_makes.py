"""A whole instance and hosts of three makes, found by MX look-up: what they say is known, what they take arrives."""

import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes, policy
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from tests.flows.stack import Stack
from tests.peers import makes, receivers, zone
from tests.peers.receivers import CROWD, MAKES, VARIANTS, Receiver

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYWHERE = [(make, variant) for make in MAKES for variant in VARIANTS]
#: Who offers SMTPUTF8.
WORLDLY = [("postfix", "whole"), ("postfix", "clear"), ("exim", "whole"), ("exim", "clear")]
#: What they note when they have enough of a connection.
ENOUGH = {
    "postfix": "421 4.7.0 .*Too many mails over this connection",
    "exim": "too many messages in one connection",
    "opensmtpd": "Too many messages sent",
}


@dataclass(frozen=True)
class Peers:
    stack: Stack
    hosts: dict[str, Receiver]

    async def sent(self, user: str, places: list[tuple[str, str]]) -> str:
        """The job that goes to this user of each place."""
        return await self.stack.send(*(f"{user}@{receivers.domain(*place)}" for place in places))

    async def timelines(self, job_id: str, count: int) -> list[list[dict[str, Any]]]:
        """Of each message, once all have their end: its facts after `accepted`."""
        await self.stack.done(job_id)
        return [(await self.stack.message(f"{job_id}.{ordinal}"))["timeline"][1:] for ordinal in range(count)]

    async def stored(self, user: str, make: str, variant: str) -> list[bytes]:
        """What lies in the maildir, once something does."""

        async def there() -> list[bytes]:
            return self.hosts[make].mails(f"{user}@{receivers.domain(make, variant)}")

        return await self.stack.until(there)

    async def has_had_enough(self, make: str) -> bool:
        """Whether the host has noted so of a connection."""
        return re.search(ENOUGH[make], self.hosts[make].log()) is not None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peers]:
    with ExitStack() as started:
        hosts = started.enter_context(makes.running())
        served = started.enter_context(
            zone.serving("test", [record for make in MAKES for record in receivers.records(make)])
        )
        environ = {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_MX_PORT": str(hosts["exim"].port),
            "ESTAFETTE_DNS_SERVERS": served.address,
        }
        async with Stack.running(tmp_path_factory.mktemp("stack"), environ) as stack:
            yield Peers(stack, hosts)


async def test_each_make_takes_the_mail_encrypted_where_it_can(peers: Peers) -> None:
    job_id = await peers.sent("ana", EVERYWHERE)

    timelines = await peers.timelines(job_id, len(EVERYWHERE))

    for (make, variant), timeline in zip(EVERYWHERE, timelines, strict=True):
        assert [fact["type"] for fact in timeline] == ["message.delivered"], (make, variant, timeline)
        details = timeline[0]["details"]
        encrypted = variant != "clear" and peers.hosts[make].encrypts()
        assert details["host"] == receivers.host(make, variant)
        assert (details["tls"], details["attempt"]) == ("TLSv1.3" if encrypted else None, 1)
        (mail,) = await peers.stored("ana", make, variant)
        parsed = message_from_bytes(mail, policy=policy.default)
        assert (parsed["From"], parsed["Subject"]) == ("Chouette <news@exemple.fr>", "Bonjour ana")
        assert parsed["DKIM-Signature"]
        assert parsed["Message-ID"].startswith(f"<{job_id}.")
        html = parsed.get_body(("html",))
        assert html is not None
        assert "Bonjour ana" in html.get_content()


async def test_who_is_unknown_to_any_make_bounces_hard_and_is_suppressed(peers: Peers) -> None:
    job_id = await peers.sent("unknown", EVERYWHERE)

    timelines = await peers.timelines(job_id, len(EVERYWHERE))

    for (make, variant), timeline in zip(EVERYWHERE, timelines, strict=True):
        assert [fact["type"] for fact in timeline] == ["message.bounced"], (make, variant, timeline)
        details = timeline[0]["details"]
        assert (details["kind"], details["reason"]) == ("hard", "unknown_user"), details
        assert details["reply"].startswith("550 ")

    async def all_suppressed() -> bool:
        addresses = [f"unknown@{receivers.domain(*place)}" for place in EVERYWHERE]
        return all([(await peers.stack.call("GET", f"/v1/suppressions/{one}"))[0] == 200 for one in addresses])

    await peers.stack.until(all_suppressed)


async def test_who_is_greylisted_gets_it_at_the_second_attempt(peers: Peers) -> None:
    places = [(make, variant) for make in ("postfix", "exim") for variant in VARIANTS]
    job_id = await peers.sent("grey-2", places)

    timelines = await peers.timelines(job_id, len(places))

    for place, (deferred, *more) in zip(places, timelines, strict=True):
        assert (deferred["type"], deferred["details"]["reason"]) == ("message.deferred", "greylisted")
        assert re.match(r"45[01] .*Greylisted", deferred["details"]["reply"])
        assert [(fact["type"], fact["details"]["attempt"]) for fact in more] == [("message.delivered", 2)]
        assert len(await peers.stored("grey-2", *place)) == 1


async def test_letters_beyond_ascii_arrive_where_they_can_be_said_and_else_it_is_told_why(peers: Peers) -> None:
    job_id = await peers.sent("zoë", EVERYWHERE)

    timelines = await peers.timelines(job_id, len(EVERYWHERE))

    for place, timeline in zip(EVERYWHERE, timelines, strict=True):
        if place in WORLDLY:
            assert [fact["type"] for fact in timeline] == ["message.delivered"], (place, timeline)
            assert len(await peers.stored("zoë", *place)) == 1
        else:
            assert [fact["type"] for fact in timeline] == ["message.bounced"], (place, timeline)
            assert timeline[0]["details"]["reply"].startswith("553 5.6.7 ")


async def test_a_crowd_arrives_once_each_although_hosts_have_enough_of_a_connection(peers: Peers) -> None:
    users = [f"m-{number}" for number in range(CROWD)]
    job_id = await peers.stack.send(*(f"{user}@{receivers.domain(make, 'whole')}" for user in users for make in MAKES))

    report = await peers.stack.done(job_id)

    assert report["counts"]["delivered"] == CROWD * len(MAKES)
    stored = {(user, make): await peers.stored(user, make, "whole") for user in users for make in MAKES}
    assert {len(mails) for mails in stored.values()} == {1}
    for make in MAKES:
        await peers.stack.until(partial(peers.has_had_enough, make))
    # That is no reason to send more slowly.
    assert '"event":"shaped"' not in (peers.stack.directory / "logs" / "relay.log").read_text()
