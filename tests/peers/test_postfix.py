"""Mail to a real Postfix, found by MX look-up in a real zone: what it says is what is known afterwards."""

import re
from email import message_from_bytes, policy
from typing import Any

import pytest

from tests.peers.conftest import Peers

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def facts(peers: Peers, message_id: str, wanted: str) -> list[dict[str, Any]]:
    """The facts of this type about a message, in order."""
    return [fact for fact in await peers.timeline(message_id) if fact["type"] == wanted]


async def test_mail_finds_the_mx_host_and_arrives_encrypted_and_unchanged(peers: Peers) -> None:
    job_id = await peers.stack.send(
        "ana@peer.test",
        subject="Bonjour {{ prenom }}, à bientôt à Besançon",
        headers={"X-Campaign": "42"},
        reply_to="contact@exemple.fr",
    )

    report = await peers.stack.done(job_id)
    accepted, delivered = await peers.timeline(f"{job_id}.0")
    stored = message_from_bytes(peers.postfix.mail("ana@peer.test"), policy=policy.default)

    assert report["counts"]["delivered"] == 1
    assert (accepted["type"], delivered["type"]) == ("message.accepted", "message.delivered")
    details = delivered["details"]
    assert (details["site"], details["host"], details["attempt"]) == ("mx1.peer.test", "mx1.peer.test", 1)
    assert details["tls"] == "TLSv1.3"
    queued_as = re.fullmatch(r"250 2\.0\.0 Ok: queued as ([0-9A-F]+)", details["reply"])
    assert queued_as
    assert queued_as[1] in stored["Received"]
    assert re.fullmatch(r"<b-[0-9a-v]{39}@bounces\.test>", stored["Return-Path"])
    assert re.fullmatch(rf"<{job_id}\.0\.[0-9a-v]{{13}}@exemple\.fr>", stored["Message-ID"])
    assert stored["From"] == "Chouette <news@exemple.fr>"
    assert stored["To"] == "ana@peer.test"
    assert stored["Reply-To"] == "contact@exemple.fr"
    assert stored["Subject"] == "Bonjour ana, à bientôt à Besançon"
    assert stored["X-Campaign"] == "42"
    assert re.search(
        r"<http://127\.0\.0\.1:\d+/u/[^>]+>,\s*<mailto:u-[0-9a-v]{39}@bounces\.test", stored["List-Unsubscribe"]
    )
    assert stored["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    # Postfix adds what is missing to nobody's mail but its own: one of each is ours.
    assert [len(stored.get_all(name, [])) for name in ("From", "To", "Date", "Message-ID", "MIME-Version")] == [1] * 5
    body = stored.get_body(("html",))
    assert body is not None
    html = body.get_content()
    assert "Bonjour ana" in html
    assert "/c/" in html


async def test_promise_4_a_real_dsn_suppresses_whom_the_host_found_out_later_that_it_does_not_know(
    peers: Peers,
) -> None:
    job_id = await peers.stack.send("nobody-1@peer.test")

    listed = await peers.stack.until(lambda: peers.suppression("nobody-1@peer.test"))
    bounced, *more = await peers.stack.until(lambda: facts(peers, f"{job_id}.0", "message.bounced"))
    await peers.stack.until(lambda: facts(peers, f"{job_id}.0", "message.delivered"))
    report = await peers.stack.done(job_id)
    again = await peers.stack.done(await peers.stack.send("nobody-1@peer.test"))

    # On a machine that is slow enough, the report is known before the reply to the final dot.
    assert sorted(await peers.stack.facts(f"{job_id}.0")) == ["accepted", "bounced", "delivered"]
    assert more == []
    assert (bounced["details"]["late"], bounced["details"]["kind"]) == (True, "hard")
    assert 'unknown user: "nobody-1@peer.test"' in bounced["details"]["reply"]
    assert report["counts"]["bounced"]["late"] == report["counts"]["bounced"]["hard"] == 1
    assert (listed["reason"], listed["message"]) == ("hard_bounce", f"{job_id}.0")
    assert (again["counts"]["delivered"], again["counts"]["suppressed"]["total"]) == (0, 1)


async def test_an_address_refused_at_once_bounces_hard_and_is_suppressed(peers: Peers) -> None:
    job_id = await peers.stack.send("nobody-2@strict.test")

    listed = await peers.stack.until(lambda: peers.suppression("nobody-2@strict.test"))
    report = await peers.stack.done(job_id)
    _, bounced = await peers.timeline(f"{job_id}.0")

    assert bounced["details"]["reply"] == (
        "550 5.1.1 <nobody-2@strict.test>: Recipient address rejected: User unknown in virtual mailbox table"
    )
    assert (bounced["details"]["kind"], bounced["details"]["late"]) == ("hard", False)
    assert bounced["details"]["host"] == "mx1.peer.test"
    assert report["counts"]["bounced"]["hard"] == 1
    assert listed["reason"] == "hard_bounce"


async def test_a_refusal_that_is_about_us_costs_no_recipient_the_mail(peers: Peers) -> None:
    job_id = await peers.stack.send("ana@refused.test")

    deferred, *more = await peers.stack.until(lambda: facts(peers, f"{job_id}.0", "message.deferred"))
    counts = (await peers.stack.report(job_id))["counts"]

    assert deferred["details"]["reply"] == ("550 5.7.25 Client host rejected: cannot find your hostname, [127.0.0.1]")
    assert (deferred["details"]["reason"], deferred["details"]["attempt"], more) == ("reverse_dns", 1, [])
    assert counts["bounced"]["total"] == 0
    assert await peers.suppression("ana@refused.test") is None


async def test_who_is_told_to_come_later_comes_again(peers: Peers) -> None:
    job_id = await peers.stack.send("ana@greylisted.test")

    async def deferred_twice() -> list[dict[str, Any]]:
        return deferred if len(deferred := await facts(peers, f"{job_id}.0", "message.deferred")) >= 2 else []

    first, second, *_ = await peers.stack.until(deferred_twice)

    assert (first["details"]["attempt"], second["details"]["attempt"]) == (1, 2)
    for fact in (first, second):
        assert fact["details"]["reply"] == (
            "450 4.2.0 <ana@greylisted.test>: Recipient address rejected: Greylisted, come back in a while"
        )
        assert fact["details"]["reason"] == "greylisted"


async def test_a_domain_that_takes_no_mail_and_one_that_does_not_exist_are_told_at_once(peers: Peers) -> None:
    job_id = await peers.stack.send("ana@nomail.test", "ana@does-not-exist.test")

    report = await peers.stack.done(job_id)
    timelines = [await peers.timeline(f"{job_id}.{ordinal}") for ordinal in (0, 1)]

    assert report["counts"]["rejected"] == 2
    assert [[fact["type"] for fact in timeline] for timeline in timelines] == [["message.rejected"]] * 2
    assert [timeline[0]["details"]["reason"] for timeline in timelines] == ["no_mail_host"] * 2


async def test_mail_for_a_domain_about_which_dns_says_nothing_waits(peers: Peers) -> None:
    # The server is not asked about zones that it does not serve: REFUSED.
    job_id = await peers.stack.send("ana@elsewhere.example")

    found = await peers.stack.until(lambda: facts(peers, f"{job_id}.0", "message.deferred"))

    assert found[0]["details"]["reason"] == "dns_unavailable"
    assert (await peers.stack.report(job_id))["counts"]["rejected"] == 0


async def test_the_next_mx_host_is_taken_when_the_first_is_dead(peers: Peers) -> None:
    job_id = await peers.stack.send("ben@failover.test")

    await peers.stack.done(job_id)
    *_, delivered = await peers.timeline(f"{job_id}.0")

    assert (delivered["type"], delivered["details"]["attempt"]) == ("message.delivered", 1)
    assert delivered["details"]["host"] == "mx1.peer.test"
    assert peers.postfix.mail("ben@failover.test")


async def test_a_domain_without_mx_record_is_its_own_host(peers: Peers) -> None:
    job_id = await peers.stack.send("ben@bare.test")

    await peers.stack.done(job_id)
    *_, delivered = await peers.timeline(f"{job_id}.0")

    assert (delivered["type"], delivered["details"]["host"]) == ("message.delivered", "bare.test")
    assert peers.postfix.mail("ben@bare.test")


async def test_letters_beyond_ascii_are_no_obstacle_on_either_side_of_the_at_sign(peers: Peers) -> None:
    job_id = await peers.stack.send("zoë@peer.test", "ben@bücher.test", "nöbody@peer.test")

    listed = await peers.stack.until(lambda: peers.suppression("nöbody@peer.test"))
    report = await peers.stack.done(job_id)

    assert (report["counts"]["accepted"], report["counts"]["rejected"]) == (3, 0)
    assert all([await facts(peers, f"{job_id}.{ordinal}", "message.delivered") for ordinal in range(3)])
    assert peers.postfix.mail("zoë@peer.test")
    assert peers.postfix.mail("ben@xn--bcher-kva.test")
    # Its report is one of RFC 6533.
    assert (listed["reason"], listed["message"]) == ("hard_bounce", f"{job_id}.2")


async def test_many_mails_of_one_job_arrive_once_each(peers: Peers) -> None:
    users = [f"{user}@peer.test" for user in ("cleo", "dora", "emil", "fay", "gus", "hana")]
    unknown = [f"crowd-{number}@peer.test" for number in range(40)]
    # Bulk would be stopped once so many had bounced, if there was a mail left to send.
    job_id = await peers.stack.send(*users, *unknown, stream="transactional")

    async def all_bounced() -> bool:
        return bool((await peers.stack.report(job_id))["counts"]["bounced"]["late"] == len(unknown))

    def arrived() -> list[int]:
        mails = [peers.postfix.mails(user) for user in users]
        counts = [sum(f"<{job_id}.".encode() in mail for mail in of_one) for of_one in mails]
        return counts if all(counts) else []

    await peers.stack.until(all_bounced)
    report = await peers.stack.done(job_id)

    assert report["counts"]["bounced"]["hard"] == len(unknown)
    assert peers.postfix.until(arrived) == [1] * len(users)


async def deferred_of_either(peers: Peers, job_id: str) -> list[dict[str, Any]]:
    return [
        {**fact, "message": f"{job_id}.{ordinal}"}
        for ordinal in (0, 1)
        for fact in await facts(peers, f"{job_id}.{ordinal}", "message.deferred")
    ]


async def test_mail_waits_while_the_host_is_down_and_arrives_when_it_is_back(peers: Peers) -> None:
    peers.postfix.stop()
    try:
        job_id = await peers.stack.send("gus@peer.test", "hana@peer.test")
        # One of them finds out; the other comes back untried, and may do so each time.
        first, *_ = await peers.stack.until(lambda: deferred_of_either(peers, job_id))
    finally:
        peers.postfix.start()
    report = await peers.stack.done(job_id)
    *_, delivered = await peers.timeline(first["message"])

    assert first["details"]["reason"] == "connection_failed"
    assert "refused" in first["details"]["reply"].lower()
    assert first["details"]["host"] == "mx1.peer.test"
    assert delivered["type"] == "message.delivered"
    assert delivered["details"]["attempt"] > 1
    assert report["counts"]["delivered"] == 2
    assert report["counts"]["deferred"]["current"] == 0
