"""Our signatures before strangers: opendkim, filtering what Postfix receives, and dkimpy, both with the key in DNS."""

from base64 import b64encode
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path

import dkim
import pytest

from services.queueing.amp import EXAMPLE
from tests.flows.stack import Stack
from tests.peers import opendkim
from tests.peers.conftest import Peers

pytestmark = pytest.mark.asyncio(loop_scope="module")
#: What Postfix receives passes opendkim.
FILTERED = True

DOMAIN = "exemple.test"
FROM = {"from": f"Chouette à plumes <news@{DOMAIN}>"}

Tamper = Callable[[bytes], bytes]


async def publish(peers: Peers) -> None:
    """Adds the sending domain and puts into the zone what the API says has to be there, as its owner would."""
    status, domain = await peers.stack.call("POST", "/v1/domains", {"domain": DOMAIN})
    assert status in (200, 201), domain
    for record in domain["records"]:
        if record["type"] == "TXT" and not peers.zone.txt(record["name"]):
            peers.zone.add_txt(record["name"], record["value"])


async def arrived(peers: Peers, user: str, **fields: object) -> bytes:
    """A mail to this user, signed by the domain in the zone, as Postfix stored it."""
    await publish(peers)
    job_id = await peers.stack.send(user, **FROM, **fields)
    report = await peers.stack.done(job_id)
    assert report["counts"]["delivered"] == 1, report
    return peers.postfix.until(
        lambda: next((mail for mail in peers.postfix.mails(user) if f"<{job_id}.0.".encode() in mail), b"")
    )


def dkimpy(peers: Peers, stored: bytes) -> list[bool]:
    """What dkimpy says of each signature, with the keys from the zone."""

    def txt(name: bytes, timeout: int = 5) -> bytes:
        return peers.zone.txt(name.decode()).encode()

    return verified(stored, txt)


def verified(mail: bytes, txt: Callable[..., bytes]) -> list[bool]:
    """What dkimpy says of each signature, from the top."""
    return [_verified(dkim.DKIM(mail), at, txt) for at in range(mail.count(b"DKIM-Signature:"))]


def _verified(mail: dkim.DKIM, at: int, txt: Callable[..., bytes]) -> bool:
    try:
        return bool(mail.verify(at, dnsfunc=txt))
    except dkim.ValidationError:
        return False


def signed_names(stored: bytes) -> list[list[str]]:
    """The h= tag of each signature."""
    tags = (
        dict(tag.strip().split("=", 1) for tag in field.split(";") if tag.strip())
        for field in message_from_bytes(stored).get_all("DKIM-Signature", [])
    )
    return ["".join(one["h"].split()).lower().split(":") for one in tags]


async def test_both_verify_a_mail_and_both_unsubscribe_headers_are_signed(peers: Peers) -> None:
    stored = await arrived(peers, "ana@peer.test")

    rsa, ed25519 = opendkim.verdicts(stored)
    assert rsa.startswith("pass (2048-bit key")
    assert ed25519.startswith("pass")
    for verdict, algorithm in ((rsa, "rsa-sha256"), (ed25519, "ed25519-sha256")):
        assert f"header.d={DOMAIN}" in verdict
        assert f"header.a={algorithm}" in verdict
    assert dkimpy(peers, stored) == [True, True]
    for names in signed_names(stored):
        assert {"list-unsubscribe", "list-unsubscribe-post", "from", "to", "subject", "date", "message-id"} <= set(
            names
        )


ATTACHMENT = {
    "filename": "plié.bin",
    "content_type": "application/octet-stream",
    "content": b64encode(bytes(range(256)) * 40).decode(),
}
CONTENTS: dict[str, dict[str, object]] = {
    "one line": {"html": "<p>x</p>"},
    "text alone": {"html": None, "text": "Bonjour {{ prenom }}\n"},
    "empty lines at the end": {"html": "<p>x</p>\n\n\n\n", "text": "x\n\n\n"},
    "blanks at line ends": {"html": "<p>x  \n\t y \t\n</p>", "text": " x \n \t\n y\t\n"},
    "dots at line starts": {"html": "<p>\n.\n..\n.x\n</p>", "text": ".\n..\n.x\n"},
    "From at line starts": {"html": "<p>\nFrom here\n>From there\n</p>", "text": "From here\n"},
    "letters beyond ASCII": {
        "subject": "Ça vole 🦉 — " + "œ" * 200,
        "html": "<p>été 🦉 ﷽ {{ prenom }}</p>",
        "text": "été\u2028\u0085\n",
    },
    "long lines": {"html": "<p>" + "mot " * 5_000 + "</p>", "text": "x" * 10_000},
    "much of it": {"html": "<p>\n" + "<b>grand</b> = 100 %\n" * 20_000 + "</p>"},
    "logic": {"html": "<ul>{% for n in [1, 2, 3] %}<li>{{ n }}  \n.{{ prenom }}</li>{% endfor %}</ul>"},
    "an attachment": {"attachments": [ATTACHMENT]},
    "a picture, an AMP part, and a text that is made": {
        "html": '<p>x</p><img src="cid:plie">',
        "amp": EXAMPLE,
        "attachments": [ATTACHMENT | {"content_type": "image/png", "content_id": "plie"}],
    },
    "headers of the sender's own": {"headers": {"X-Long": "mot " * 60 + "fin", "X-Tab": "a\tb  c"}},
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
async def test_both_verify_whatever_is_in_the_mail(peers: Peers, content: dict[str, object]) -> None:
    stored = await arrived(peers, "ben@peer.test", **content)

    assert [verdict.startswith("pass") for verdict in opendkim.verdicts(stored)] == [True, True]
    assert dkimpy(peers, stored) == [True, True]


def without_field(name: str) -> Tamper:
    def tamper(raw: bytes) -> bytes:
        message = message_from_bytes(raw, policy=policy.compat32)
        field = f"{name}: {message[name]}\n".encode()
        assert raw.count(field) == 1
        return raw.replace(field, b"")

    return tamper


def replaced(old: bytes, new: bytes) -> Tamper:
    def tamper(raw: bytes) -> bytes:
        assert old in raw
        return raw.replace(old, new, 1)

    return tamper


TAMPERS: dict[str, Tamper] = {
    "a byte of the body": replaced(b"</body></html>", b"</body></htm1>"),
    "List-Unsubscribe-Post removed": without_field("List-Unsubscribe-Post"),
    "List-Unsubscribe removed": without_field("List-Unsubscribe"),
    "another List-Unsubscribe": replaced(b"List-Unsubscribe: <http", b"List-Unsubscribe: <https"),
    "another subject": replaced(b"Subject: ", b"Subject: Re: "),
    "a second From": replaced(b"Subject: ", b"From: boss@exemple.test\nSubject: "),
    "a Reply-To where there was none": replaced(b"Subject: ", b"Reply-To: boss@exemple.test\nSubject: "),
    "a second List-Unsubscribe": replaced(b"Subject: ", b"List-Unsubscribe: <https://eve.test/>\nSubject: "),
}


@pytest.mark.parametrize("tamper", TAMPERS.values(), ids=TAMPERS.keys())
async def test_promise_7_both_see_what_was_changed_on_the_way(peers: Peers, tamper: Tamper) -> None:
    stored = await arrived(peers, "cleo@peer.test")
    # As it was when it came: what Postfix and opendkim put on top is taken off.
    original = stored[stored.index(b"DKIM-Signature:") :]

    untouched, changed = (
        passed_on(peers, original, "dora@peer.test"),
        passed_on(peers, tamper(original), "emil@peer.test"),
    )

    assert [verdict.startswith("pass") for verdict in opendkim.verdicts(untouched)] == [True, True]
    assert dkimpy(peers, untouched) == [True, True]
    assert [verdict.startswith("fail") for verdict in opendkim.verdicts(changed)] == [True, True]
    assert dkimpy(peers, changed) == [False, False]


def passed_on(peers: Peers, raw: bytes, to: str) -> bytes:
    """The mail as Postfix stored it when somebody else brought it once more."""
    before = len(peers.postfix.mails(to))
    peers.postfix.inject(raw, to)
    peers.postfix.until(lambda: len(peers.postfix.mails(to)) > before)
    return peers.postfix.mails(to)[-1]


async def test_keys_are_replaced_without_a_mail_that_does_not_verify(peers: Peers) -> None:
    before = selectors(await arrived(peers, "fay@peer.test"))
    path = f"/v1/domains/{DOMAIN}"

    _, rotated = await peers.stack.call("POST", f"{path}/rotate")
    waiting = [record["name"] for record in rotated["records"] if record["key"] == "waiting"]
    status, refused = await peers.stack.call("POST", f"{path}/activate")
    assert (status, [fault["at"] for fault in refused["faults"]]) == (409, waiting)
    await publish(peers)
    status, activated = await peers.stack.call("POST", f"{path}/activate")
    assert (status, [record["key"] for record in activated["records"]][:2]) == (200, ["retiring", "retiring"])

    seen: list[list[str]] = []
    while not seen or seen[-1] == before:
        stored = await arrived(peers, "fay@peer.test")
        seen.append(selectors(stored))
        assert [verdict.startswith("pass") for verdict in opendkim.verdicts(stored)] == [True, True]
        assert dkimpy(peers, stored) == [True, True]
        assert len(seen) < 200
    assert [f"{selector}._domainkey.{DOMAIN}" for selector in seen[-1]] == waiting


def selectors(stored: bytes) -> list[str]:
    fields = message_from_bytes(stored).get_all("DKIM-Signature", [])
    return [tag.strip()[2:] for field in fields for tag in field.split(";") if tag.strip().startswith("s=")]


async def test_the_mail_on_the_mailbox_page_verifies_with_the_record_that_the_api_shows(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        await stack.send("ana@mailbox.test", **FROM)
        source = await stack.source(await stack.mail("ana@mailbox.test"))
        _, domain = await stack.call("GET", f"/v1/domains/{DOMAIN}")
        published: dict[str, str] = {record["name"]: record["value"] for record in domain["records"]}

        def txt(name: bytes, timeout: int = 5) -> bytes:
            return published.get(name.decode().rstrip("."), "").encode()

        assert verified(source, txt) == [True, True]
        assert verified(source.replace(b"Bonjour ana", b"Bonjour eva"), txt) == [False, False]
