"""What passes between a relay and a process that signs for it."""

from functools import cache

import msgspec
import pytest

from services.relay.signing.process import (
    ANSWERED_TOGETHER,
    MOST_BYTES,
    Answered,
    Asked,
    Keys,
    packed,
    signed,
)
from shared.mail import dkim_keys
from shared.process.frames import Frames


@cache
def pem(algorithm: dkim_keys.Algorithm = "ed25519-sha256") -> str:
    return dkim_keys.make(algorithm)


DIGEST = bytes(range(32))


def test_a_message_is_read_as_it_was_written() -> None:
    asked = Asked([(1, "pem")], [2], [(3, [(1, b"digest")])])

    (frame,) = Frames(MOST_BYTES).feed(packed(asked))

    assert msgspec.msgpack.decode(frame, type=Asked) == asked


def test_each_mail_gets_the_signatures_that_were_asked_for_in_their_order() -> None:
    keys: Keys = {}
    rsa, ed25519 = pem("rsa-sha256"), pem()

    (answered,) = signed(Asked([(1, rsa), (2, ed25519)], [], [(7, [(1, DIGEST), (2, DIGEST)])]), keys)

    assert answered.mails == [(7, [dkim_keys.signer(rsa)(DIGEST), dkim_keys.signer(ed25519)(DIGEST)])]


def test_a_few_mails_are_answered_together() -> None:
    mails = [(number, [(1, DIGEST)]) for number in range(2 * ANSWERED_TOGETHER + 1)]

    answers: list[Answered] = list(signed(Asked([(1, pem())], [], mails), {}))

    assert [len(answered.mails) for answered in answers] == [ANSWERED_TOGETHER, ANSWERED_TOGETHER, 1]
    assert [number for answered in answers for number, _ in answered.mails] == [number for number, _ in mails]


def test_a_key_signs_what_was_asked_with_it_and_is_then_forgotten() -> None:
    keys: Keys = {}

    (answered,) = signed(Asked([(1, pem())], [1], [(7, [(1, DIGEST)])]), keys)

    assert answered.mails[0][1] == [dkim_keys.signer(pem())(DIGEST)]
    assert keys == {}
    with pytest.raises(KeyError):
        list(signed(Asked([], [], [(8, [(1, DIGEST)])]), keys))
