"""The last line of an address wins, whatever is in memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.suppression.moving.spool import Spool
from services.suppression.moving.wishes import RESUBSCRIBE, SOFT, VALID, Act, Wish

ACTS = (RESUBSCRIBE, SOFT, VALID, Act("list", "manual", "all", said="é\n", since_ms=5, source="api"))
WISHES = st.builds(
    Wish,
    st.sampled_from([f"{letter}@x.fr" for letter in "abcdefgh"]),
    st.sampled_from([(act,) for act in ACTS]),
    st.sampled_from(["", "email all"]),
)


@pytest.mark.parametrize("in_memory_bytes", [1, 1_000_000])
@given(wishes=st.lists(WISHES, max_size=200))
def test_the_last_line_of_each_address_comes_back_and_the_others_are_told(
    in_memory_bytes: int, wishes: list[Wish]
) -> None:
    spool = Spool(lambda address: ord(address[0]) % 3, 3, 6, in_memory_bytes)
    replaced: list[tuple[int, int]] = []
    for line, wish in enumerate(wishes):
        spool.add(line, wish)

    found = [one for part in spool.last_of_each(lambda line, _, by: replaced.append((line, by))) for one in part]
    spool.close()

    last = {(wish.address, wish.slot): (line, wish) for line, wish in enumerate(wishes)}
    assert dict(found) == dict(last.values())
    assert sorted([line for line, _ in replaced] + [line for line, _ in found]) == list(range(len(wishes)))
    assert all(line < by and wishes[line].address == wishes[by].address for line, by in replaced)
