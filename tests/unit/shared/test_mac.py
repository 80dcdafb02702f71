"""The prepared HMAC is the HMAC."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words.mac import Mac


@given(st.binary(max_size=64), st.lists(st.binary(max_size=300), max_size=3))
def test_digests_are_those_of_the_standard_library(key: bytes, messages: list[bytes]) -> None:
    mac = Mac(key)

    assert [mac.digest(message) for message in messages] == [hmac.digest(key, one, "sha256") for one in messages]


def test_a_key_longer_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        Mac(b"k" * 65)
