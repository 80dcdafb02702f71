"""Signatures are those of Standard Webhooks: its published library verifies them."""

import time
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from services.webhooks import signing

BODY = b'{"type":"message.delivered","data":{"email":"ana@exemple.fr"}}'


def headers_of(secrets: list[str], body: bytes = BODY, ago_s: int = 0) -> dict[str, str]:
    lines = signing.headers([signing.signer(one) for one in secrets], "msg_1", int(time.time()) - ago_s, body)
    return dict(line.split(": ", 1) for line in lines.decode().strip().split("\r\n"))


def test_the_published_library_verifies_what_is_signed() -> None:
    secret = signing.make("hmac-sha256", bytes(range(32)))

    Webhook(secret).verify(BODY, headers_of([secret]))
    for changed in (BODY + b" ", BODY.replace(b"ana", b"bob")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, headers_of([secret]))
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers_of([secret], ago_s=3_600))


def test_who_knows_the_old_or_the_new_secret_verifies_while_both_sign() -> None:
    old, new = (signing.make("hmac-sha256", bytes([one]) * 32) for one in (1, 2))

    for known in (old, new):
        Webhook(known).verify(BODY, headers_of([new, old]))
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(BODY, headers_of([new]))


def test_the_public_half_of_a_pair_verifies() -> None:
    secret = signing.make("ed25519", bytes(range(32)))
    public = signing.public_key(secret)

    assert public is not None
    sent = headers_of([secret])
    said = sent["webhook-signature"]
    assert said.startswith("v1a,")
    key = Ed25519PublicKey.from_public_bytes(b64decode(public.removeprefix("whpk_")))
    key.verify(b64decode(said[4:]), f"msg_1.{sent['webhook-timestamp']}.".encode() + BODY)


@pytest.mark.parametrize(
    "wrong", ["", "whsec_", "whsec_AAAA", "secret", "whsec_é", "whsk_" + "A" * 44, "whsec_" + "A" * 200]
)
def test_a_secret_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(signing.InvalidSecret):
        signing.check(wrong)
