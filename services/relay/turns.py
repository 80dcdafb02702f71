"""Bulk mails begin a few in each turn of the loop, so that a turn is short however many sites are busy.

What people wait for takes some twenty turns of the loop from its lease to its host: look-ups, a slot, a greeting, the
mail. Each turn is as long as all that is done in it. Where there is more to do than a processor gives, every worker
would have something to do in every turn, hundreds of them, and a reset of a password would take seconds. So workers
wait here before they begin with a bulk mail, and a few do in each turn. Nothing is lost by that: a relay that is busy
begins as many mails as it can send, and one whose hosts are far away has thousands of turns in which to begin.

Whoever goes on over an open connection comes before who begins with a first, up to a bound: a site that is done with is
quicker than hundreds that all are under way, whose mails have to be asked about again and again as they grow old.
"""

import asyncio
from collections import deque

#: Mails that begin in one turn: at half a millisecond of processor for each, a turn takes some 4 ms.
EACH = 8
#: After so many one after the other a worker waits behind those who have had none.
IN_A_ROW = 10


class Turns:
    """One for a loop."""

    def __init__(self, each: int = EACH) -> None:
        self._each = each
        self._begun = 0
        self._is_counting = False
        # Those who go on, and those who have had no mail, or their share.
        self._waiting: tuple[deque[asyncio.Future[None]], ...] = (deque(), deque())

    def begin(self, had: int = 0) -> "asyncio.Future[None] | None":
        """To be awaited before a mail begins, after so many one after the other; None: it may at once."""
        loop = asyncio.get_running_loop()
        if not self._is_counting:
            self._is_counting = True
            loop.call_soon(self._next)
        if self._begun < self._each:
            self._begun += 1
            return None
        its_turn: asyncio.Future[None] = loop.create_future()
        self._waiting[had % IN_A_ROW == 0].append(its_turn)
        return its_turn

    def _next(self) -> None:
        self._begun = 0
        for waiting in self._waiting:
            while waiting and self._begun < self._each:
                its_turn = waiting.popleft()
                if not its_turn.done():  # who waited may have stopped
                    its_turn.set_result(None)
                    self._begun += 1
        self._is_counting = self._begun > 0
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)
