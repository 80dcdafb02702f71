"""Mail by swaks to the address where bounces come in: what people and strange programs send there."""

import asyncio
import re
from email import message_from_bytes, policy
from pathlib import Path
from random import Random

import pytest

from tests.peers.conftest import BOUNCES_DOMAIN, Peers
from tests.servers import need

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: What swaks exits with when no recipient was taken.
NO_RECIPIENT = 24


async def swaks(peers: Peers, to: str, *options: str, sender: str = "person@elsewhere.test") -> tuple[int, str]:
    """Exit code and transcript of one mail to where bounces come in."""
    command = [need("swaks"), "--server", "127.0.0.1", "--port", str(peers.stack.bounces_port), "--helo", "host.test"]
    command += ["--from", sender, "--to", to, *options]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode(errors="replace")


async def return_path(peers: Peers, user: str) -> str:
    """The envelope sender of a mail that this user got."""
    await peers.stack.send(user)
    stored = message_from_bytes(peers.postfix.mail(user), policy=policy.default)
    return str(stored["Return-Path"]).strip("<>")


async def kept(peers: Peers, to: str) -> list[dict[str, str]]:
    status, page = await peers.stack.call("GET", "/v1/kept-mail", params={"limit": "100"})
    assert status == 200, page
    return [mail for mail in page["mails"] if mail["to"] == [to]]


async def test_promise_4_a_mail_to_the_unsubscribe_address_unsubscribes(peers: Peers) -> None:
    job_id = await peers.stack.send("ana@peer.test")
    stored = message_from_bytes(peers.postfix.mail("ana@peer.test"), policy=policy.default)
    address = re.search(r"mailto:([^?>]+)", stored["List-Unsubscribe"])
    assert address

    code, transcript = await swaks(peers, address[1], "--header", "Subject: unsubscribe", sender="ana@peer.test")
    listed = await peers.stack.until(lambda: peers.suppression("ana@peer.test"))
    again = await peers.stack.done(await peers.stack.send("ana@peer.test"))

    assert code == 0, transcript
    assert (listed["reason"], listed["message"]) == ("unsubscribed", f"{job_id}.0")
    assert again["counts"]["suppressed"]["total"] == 1
    assert len(peers.postfix.mails("ana@peer.test")) == 1


async def test_a_local_part_that_is_not_ours_is_refused_and_so_is_a_foreign_domain(peers: Peers) -> None:
    for to in (f"nobody@{BOUNCES_DOMAIN}", f"b-@{BOUNCES_DOMAIN}", "person@elsewhere.test"):
        code, transcript = await swaks(peers, to)

        assert code == NO_RECIPIENT, transcript
        assert "<** 550 5.1.1 No such address here" in transcript


async def test_promise_7_a_return_path_that_somebody_made_up_is_refused(peers: Peers) -> None:
    true = await return_path(peers, "ben@peer.test")
    # 13 characters of signature, and before them, in the fifteenth from the end, the ordinal: that of another mail.
    at = true.index("@") - 15
    forged = f"{true[:at]}1{true[at + 1 :]}"

    code, transcript = await swaks(peers, forged)
    as_unsubscription, _ = await swaks(peers, f"u-{true[2:]}", "--header", "Subject: unsubscribe")

    assert code == NO_RECIPIENT, transcript
    assert as_unsubscription == NO_RECIPIENT
    assert await peers.suppression("ben@peer.test") is None


async def test_garbage_is_kept_for_inspection_and_changes_nothing(peers: Peers, tmp_path: Path) -> None:
    to = await return_path(peers, "cleo@peer.test")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(Random(7).randbytes(20_000))

    code, transcript = await swaks(peers, to, "--data", f"@{garbage}", sender="<>")
    found = await peers.stack.until(lambda: kept(peers, to))
    status, raw = await peers.stack.call("GET", f"/v1/kept-mail/{found[0]['id']}")

    assert code == 0, transcript
    assert (len(found), found[0]["reason"]) == (1, "not_a_report")
    assert (status, len(raw) >= 20_000) == (200, True)
    assert await peers.suppression("cleo@peer.test") is None


async def test_an_answer_written_to_the_return_path_is_kept_and_suppresses_nobody(peers: Peers) -> None:
    to = await return_path(peers, "dora@peer.test")

    code, transcript = await swaks(
        peers, to, "--header", "Subject: Re: Bonjour", "--body", "Is it still 10 euros?", sender="dora@peer.test"
    )
    found = await peers.stack.until(lambda: kept(peers, to))

    assert code == 0, transcript
    assert found[0]["subject"] == "Re: Bonjour"
    assert await peers.suppression("dora@peer.test") is None


async def test_an_automatic_answer_is_known_as_one(peers: Peers) -> None:
    to = await return_path(peers, "emil@peer.test")

    code, transcript = await swaks(
        peers, to, "--header", "Subject: Out of office", "--add-header", "Auto-Submitted: auto-replied", sender="<>"
    )

    async def answered() -> list[str]:
        _, page = await peers.stack.call("GET", "/v1/events", params={"type": "message.auto_replied"})
        return [event["email"] for event in page["events"]]

    assert code == 0, transcript
    assert await peers.stack.until(answered) == ["emil@peer.test"]
    assert await peers.suppression("emil@peer.test") is None
