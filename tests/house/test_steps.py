"""What counts the work of a call counts nothing else."""

import gc
from collections.abc import Callable

import pytest

from tests.steps import calls, steps


@pytest.mark.parametrize("count", [steps, calls])
def test_the_collector_of_garbage_is_no_work_of_a_call(count: Callable[[Callable[[], object]], int]) -> None:
    def called(_phase: str, _info: dict[str, int]) -> None:
        sum(number for number in range(10))

    def call() -> object:
        return [[number] for number in range(100)]

    alone, threshold = count(call), gc.get_threshold()
    gc.callbacks.append(called)
    gc.set_threshold(1)
    try:
        assert count(call) == alone
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(called)
    assert gc.isenabled()
