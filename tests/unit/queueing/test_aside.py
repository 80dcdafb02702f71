"""What is small is done at once, what may be large in a thread, and of one tenant one at a time."""

import asyncio
import threading

import pytest

from services.queueing.aside import SMALL_BYTES, Aside


async def test_what_is_small_is_done_where_it_is_asked() -> None:
    assert await Aside().do("acme", SMALL_BYTES, threading.get_ident) == threading.get_ident()


async def test_what_is_large_is_done_in_a_thread() -> None:
    assert await Aside().do("acme", SMALL_BYTES + 1, threading.get_ident) != threading.get_ident()


async def test_one_tenant_has_one_thread_and_another_has_another() -> None:
    aside = Aside()
    under_way: dict[str, int] = {"acme": 0, "other": 0}
    most = dict(under_way)
    met = threading.Barrier(2)

    def work(tenant: str) -> None:
        under_way[tenant] += 1
        most[tenant] = max(most[tenant], under_way[tenant])
        met.wait(10)  # both tenants are at work at the same time
        under_way[tenant] -= 1

    await asyncio.gather(
        *(aside.do("acme", SMALL_BYTES + 1, work, "acme") for _ in range(3)),
        *(aside.do("other", SMALL_BYTES + 1, work, "other") for _ in range(3)),
    )

    assert most == {"acme": 1, "other": 1}


@pytest.mark.parametrize("size", [0, SMALL_BYTES + 1])
async def test_what_goes_wrong_is_told_and_the_next_has_its_turn(size: int) -> None:
    aside = Aside()

    with pytest.raises(ZeroDivisionError):
        await aside.do("acme", size, lambda: 1 / 0)

    assert await aside.do("acme", size, lambda: 1) == 1
