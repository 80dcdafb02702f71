"""What is written after which reply, and which reply counts. The same over a socket is in tests/edges."""

import pytest

from services.relay.delivery.transaction import Transaction
from services.relay.words.reply import Garbled

MAIL, RCPT, DATA, RSET, BODY = b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n", b"RSET\r\n", b"hi\r\n.\r\n"


def transaction(*, pipelining: bool = True, reset: bool = False) -> Transaction:
    return Transaction("mx", MAIL, RCPT, BODY, pipelining=pipelining, reset=reset)


def play(it: Transaction, *codes: int) -> list[bytes]:
    """What is written in answer to these replies."""
    writes = [it.begin()]
    for code in codes:
        assert it.result is None
        writes.append(it.receive(code, [b"text"]) or b"")
    return writes


def result(it: Transaction) -> tuple[int, str]:
    assert it.result is not None
    return it.result.code, it.result.stage


@pytest.mark.parametrize("reset", [False, True])
def test_pipelined_the_envelope_is_one_write_and_the_body_another(reset: bool) -> None:
    it = transaction(reset=reset)

    writes = play(it, *([250] if reset else []), 250, 250, 354, 250)

    assert [write for write in writes if write] == [(RSET if reset else b"") + MAIL + RCPT + DATA, BODY]
    assert result(it) == (250, "dot")
    assert it.accepted


def test_step_by_step_each_command_follows_a_reply() -> None:
    it = transaction(pipelining=False, reset=True)

    assert play(it, 250, 250, 250, 354, 250) == [RSET, MAIL, RCPT, DATA, BODY, b""]
    assert it.accepted


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((550,), (550, "mail")),
        ((250, 450), (450, "rcpt")),
        ((250, 250, 554), (554, "data")),
        ((250, 251, 354, 552), (552, "dot")),
    ],
)
def test_step_by_step_a_refusal_is_the_end(codes: tuple[int, ...], expected: tuple[int, str]) -> None:
    it = transaction(pipelining=False)

    writes = play(it, *codes)

    assert result(it) == expected
    assert not it.accepted
    assert (BODY in writes) == (expected[1] == "dot")


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((550, 503, 503), (550, "mail")),
        ((450, 550, 503), (450, "mail")),
        ((250, 550, 554), (550, "rcpt")),
        ((250, 250, 451), (451, "data")),
        ((250, 250, 354, 550), (550, "dot")),
    ],
)
def test_pipelined_the_first_refusal_counts_when_all_replies_are_in(
    codes: tuple[int, ...], expected: tuple[int, str]
) -> None:
    it = transaction()

    play(it, *codes)

    assert result(it) == expected


@pytest.mark.parametrize("last", [250, 354, 550])
@pytest.mark.parametrize(("codes", "expected"), [((250, 550, 354), (550, "rcpt")), ((550, 250, 354), (550, "mail"))])
def test_a_body_that_nobody_wants_is_a_lone_dot(codes: tuple[int, ...], last: int, expected: tuple[int, str]) -> None:
    it = transaction()

    writes = play(it, *codes, last)

    assert writes[-2] == b".\r\n"
    assert BODY not in writes
    assert result(it) == expected
    assert not it.body_is_out
    assert not it.accepted


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("before", [(), (250,), (250, 250), (250, 250, 354)])
def test_421_is_the_end_at_any_moment(pipelining: bool, before: tuple[int, ...]) -> None:
    it = transaction(pipelining=pipelining)

    play(it, *before, 421)

    assert result(it) == (421, ("mail", "rcpt", "data", "dot")[len(before)])


def test_421_after_a_refusal_leaves_the_refusal() -> None:
    it = transaction()

    play(it, 250, 550, 421)

    assert result(it) == (550, "rcpt")


@pytest.mark.parametrize("codes", [(354,), (250, 354), (250, 250, 250), (250, 250, 354, 354)])
def test_a_reply_that_cannot_be_here_is_garbled(codes: tuple[int, ...]) -> None:
    it = transaction()

    with pytest.raises(Garbled):
        play(it, *codes)


def test_a_refusal_is_known_before_the_other_replies_are_in() -> None:
    it = transaction()

    play(it, 250, 550)

    assert it.result is None
    assert it.refused is not None
    assert it.refused.code == 550
