"""What passes between a relay and a process that signs for it."""

from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.signing.process import (
    ANSWERED_TOGETHER,
    Answered,
    Asked,
    Frames,
    Keys,
    framed,
    signed,
)
from shared.mail import dkim_keys


@cache
def pem(algorithm: dkim_keys.Algorithm = "ed25519-sha256") -> str:
    return dkim_keys.make(algorithm)


DIGEST = bytes(range(32))


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_frames_come_out_as_they_went_in_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    frames = Frames()
    found: list[bytes] = []

    at = turn = 0
    while at < len(stream):
        end = at + cuts[turn % len(cuts)]
        found += frames.feed(stream[at:end])
        at, turn = end, turn + 1

    assert found == bodies


def test_a_message_is_read_as_it_was_written() -> None:
    asked = Asked([(1, "pem")], [2], [(3, [(1, b"digest")])])

    (frame,) = Frames().feed(framed(asked))

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
