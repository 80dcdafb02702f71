"""How a message is written after DATA, whatever its line ends and dots are."""

from hypothesis import given
from hypothesis import strategies as st

from shared.mail.wire import END, is_wire_ready, wire_body
from shared.making import layout


@given(st.lists(st.sampled_from([b"a", b".", b"..", b"\r", b"\n", b"\r\n", b"x y"]), max_size=12).map(b"".join))
def test_a_body_has_one_end_and_says_what_the_message_says(message: bytes) -> None:
    wire = wire_body(message)

    assert wire.endswith(b".\r\n")
    assert (b"\r\n" + wire).count(b"\r\n.\r\n") == 1
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")
    unstuffed = [line.removeprefix(b".") for line in wire.removesuffix(b".\r\n").split(b"\r\n")[:-1]]
    assert unstuffed == message.splitlines()


pieces_of_text = st.lists(st.sampled_from([b"a", b".", b"\r", b"\n", b"\r\n", b"x. y"]), max_size=8).map(b"".join)


@given(pieces_of_text)
def test_a_message_is_ready_for_the_wire_if_nothing_of_it_has_to_be_changed(message: bytes) -> None:
    is_ended = message[-2:] in (b"\r\n", b"")

    assert (is_ended and is_wire_ready(message)) == (wire_body(message) == message + END)


@given(pieces_of_text, pieces_of_text)
def test_parts_that_are_ready_for_the_wire_are_so_together(first: bytes, second: bytes) -> None:
    if is_wire_ready(first) and is_wire_ready(second):
        assert is_wire_ready(first + second)


def test_a_message_with_nothing_to_change_is_not_changed() -> None:
    message = b"Subject: x\r\n\r\nhello. you.\r\n"

    assert wire_body(message) == message + b".\r\n"


@given(st.lists(st.text(alphabet="a.\r\n=", max_size=5).map(str.encode), max_size=5))
def test_the_pieces_of_a_body_are_looked_at_in_one_go_as_each_by_itself(pieces: list[bytes]) -> None:
    assert layout._are_wire_ready(pieces) == all(map(is_wire_ready, pieces))
