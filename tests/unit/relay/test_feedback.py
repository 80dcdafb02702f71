"""The fields by which complaints find their way back: what they say, who covers them, and that they come back."""

import re

import dkim
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.signing.dkim import Signer, sign
from shared.mail import dkim_keys
from shared.making.feedback import STREAMS, covering_domain, feedback_id
from shared.making.render import RenderedMail, Renderer
from shared.words import content, events
from shared.words.content import CompiledContent, Stream, Subject
from shared.words.tokens import TokenKeys
from tests.unit.bounces.parts import DOMAIN, JOB, KEYS, ORDINAL, Desk

PEMS = [dkim_keys.make("ed25519-sha256") for _ in range(2)]
FROM_DOMAIN = "exemple.fr"


def compiled(stream: Stream = "bulk", category: str = "", headers: dict[str, str] | None = None) -> CompiledContent:
    return CompiledContent(
        stream=stream,
        from_value=f"news@{FROM_DOMAIN}",
        from_domain=FROM_DOMAIN,
        subject=Subject(("Bonjour",)),
        body_fields=[("Content-Type", "text/plain")],
        body=[content.Part("text", [b"x\r\n"])],
        headers=list((headers or {}).items()),
        category=category,
    )


def rendered(given: CompiledContent, *, complaints: bool = True, sender_id: str = "estafette") -> RenderedMail:
    renderer = Renderer(
        given,
        job=JOB,
        tenant="demo",
        tokens=TokenKeys(b"m" * 32),
        verp=KEYS,
        base_url="https://t.exemple.fr",
        marks_key=b"chance",
        bounce_domain=DOMAIN,
        sender_id=sender_id,
    )
    ready = events.Ready(tenant="demo", job=JOB, ordinal=ORDINAL, email="ana@example.fr")
    return renderer.render(ready, 1_760_000_000_000, complaints=complaints)


def values(mail: RenderedMail, name: bytes) -> list[bytes]:
    return [value for given, value in mail.headers if given.lower() == name]


# Feedback-ID


@pytest.mark.parametrize(
    ("stream", "category", "expected"),
    [
        ("bulk", "promotion", f"{JOB}:promotion.acme:acme:estafette"),
        ("bulk", "", f"{JOB}:bulk.acme:acme:estafette"),
        ("bulk", "Soldes d'été: -50 %", f"{JOB}:soldes-d-t--50.acme:acme:estafette"),
        ("bulk", "é", f"{JOB}:bulk.acme:acme:estafette"),
        ("transactional", "invoice", ":invoice.acme:acme:estafette"),
        ("transactional", "", ":transactional.acme:acme:estafette"),
        ("one_to_one", "invoice", ""),
    ],
)
def test_complaints_are_counted_by_campaign_kind_tenant_and_installation(
    stream: Stream, category: str, expected: str
) -> None:
    assert feedback_id(compiled(stream, category), JOB, "acme", "estafette") == expected


@given(st.text(max_size=300))
def test_whatever_the_category_is_there_are_four_plain_identifiers(category: str) -> None:
    value = feedback_id(compiled(category=category), JOB, "a" * 32, "estafette")

    assert re.fullmatch(r"[a-z0-9]{20}:[a-z0-9_.-]{1,65}:a{32}:estafette", value)
    assert len(set(value.split(":"))) == 4
    assert len(f"Feedback-ID: {value}") < 200


def test_a_mail_has_one_feedback_id_and_it_is_ours() -> None:
    """A job that was stored before may hold one of its own."""
    mail = rendered(compiled(headers={"feedback-id": "x:y:z:somebody", "CFBL-Address": "eve@evil.example", "X-A": "b"}))

    assert values(mail, b"feedback-id") == [f"{JOB}:bulk.demo:demo:estafette".encode()]
    assert values(mail, b"x-a") == [b"b"]
    assert len(values(mail, b"cfbl-address")) == 1
    assert values(rendered(compiled(), sender_id=""), b"feedback-id") == []


# CFBL-Address


@pytest.mark.parametrize(
    ("from_domain", "address_domain", "covering"),
    [
        ("exemple.fr", "exemple.fr", "exemple.fr"),
        ("exemple.fr", "bounces.exemple.fr", "exemple.fr"),
        ("exemple.fr", "a.b.exemple.fr", "exemple.fr"),
        ("news.exemple.fr", "bounces.exemple.fr", "bounces.exemple.fr"),
        ("news.exemple.fr", "exemple.fr", "exemple.fr"),
        ("exemple.fr", "bounces.example", "bounces.example"),
        ("exemple.fr", "autreexemple.fr", "autreexemple.fr"),
    ],
)
def test_who_has_to_sign_for_an_address(from_domain: str, address_domain: str, covering: str) -> None:
    assert covering_domain(from_domain, address_domain) == covering


@pytest.mark.parametrize("stream", ["bulk", "transactional", "one_to_one"])
def test_an_address_is_given_where_a_signature_will_cover_it(stream: Stream) -> None:
    address = KEYS.feedback_address(JOB, ORDINAL, DOMAIN)
    is_there = stream in STREAMS

    mail = rendered(compiled(stream))

    assert values(mail, b"cfbl-address") == [f"{address}; report=arf".encode()] * is_there
    assert values(mail, b"cfbl-feedback-id") == [address.partition("@")[0].encode()] * is_there
    assert values(rendered(compiled(stream), complaints=False), b"cfbl-address") == []
    assert values(rendered(compiled(stream), complaints=False), b"cfbl-feedback-id") == []


def test_the_signature_of_the_addresss_domain_covers_it() -> None:
    mail = rendered(compiled())
    signers = [Signer(domain, "est1", pem) for domain, pem in zip((FROM_DOMAIN, DOMAIN), PEMS, strict=True)]
    records = {
        f"est1._domainkey.{domain}.".encode(): dkim_keys.record(pem).encode()
        for domain, pem in zip((FROM_DOMAIN, DOMAIN), PEMS, strict=True)
    }

    whole = mail.assemble(sign(signers, mail.headers, mail.body, 1_760_000_000))

    found = dkim.DKIM(whole)
    for at, domain in enumerate((FROM_DOMAIN, DOMAIN)):
        assert found.verify(at, dnsfunc=lambda name, timeout=5: records[name])
        assert found.domain == domain.encode()
        covered = [name.lower() for name in found.signature_fields[b"h"].replace(b"\r\n ", b"").split(b":")]
        assert {b"cfbl-address", b"cfbl-feedback-id", b"feedback-id"} <= set(covered)
        assert covered.count(b"cfbl-address") == 2


# And back


def complaint(*returned: tuple[bytes, bytes]) -> bytes:
    """A report as RFC 9477 allows: of the message it returns what it likes."""
    fields = b"".join(b"%b: %b\r\n" % field for field in returned)
    return (
        b"From: fbl@provider.example\r\nTo: whoever asked\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=feedback-report; boundary="=_b"\r\n\r\n'
        b"--=_b\r\nContent-Type: message/feedback-report\r\n\r\n"
        b"Feedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r\n"
        b"--=_b\r\nContent-Type: text/rfc822-headers\r\n\r\n" + fields + b"\r\n--=_b--\r\n"
    )


@pytest.mark.parametrize("names", [[b"cfbl-feedback-id"], [b"cfbl-address"], [b"message-id"], []])
async def test_a_complaint_to_the_address_of_a_mail_is_about_that_mail(names: list[bytes]) -> None:
    desk = Desk()
    mail = rendered(compiled())
    address = values(mail, b"cfbl-address")[0].partition(b";")[0].decode()
    assert desk.bounces.accepts(address)

    await desk.receive(complaint(*((name, values(mail, name)[0]) for name in names)), to=address)

    [fact] = desk.bus.facts
    assert isinstance(fact, events.Complained)
    assert (fact.tenant, fact.job, fact.ordinal) == ("demo", JOB, ORDINAL)
    assert (fact.feedback_type, fact.reporter) == ("abuse", "provider.example")


@pytest.mark.parametrize("name", [b"cfbl-feedback-id", b"cfbl-address"])
async def test_a_complaint_to_a_fixed_address_is_about_the_mail_that_it_names(name: bytes) -> None:
    desk = Desk()
    mail = rendered(compiled())

    await desk.receive(complaint((name, values(mail, name)[0])), to=f"fbl@{DOMAIN}")

    [fact] = desk.bus.facts
    assert (type(fact), fact.ordinal) == (events.Complained, ORDINAL)
