"""Tasks that a test ends before they would."""

import asyncio


async def gone(task: "asyncio.Task[None]") -> None:
    """Cancels a task and waits until it is gone. Raises what it failed with, if it did."""
    while not task.done():  # before Python 3.12 a cancellation is lost if it meets the end of an `asyncio.wait_for`
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
    if not task.cancelled():
        task.result()
