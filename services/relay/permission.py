"""Whether a message in hand may go: now, and still.

Rules:

- Nothing is attempted that was not found wanted within the last `FRESH_S`, or `FRESH_ENOUGH_S` where it waited for a
  permit: who leaves while a mail to them is in line here, or while a host takes its time to greet, gets none.
- What is sent and not recorded would be sent twice if this process died: while ends wait to be recorded (`recorder`),
  no MAIL FROM is said.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from services.relay.checks import admission
from services.relay.checks.admission import Admission
from services.relay.held import Clock, Held
from services.relay.lines import Lines, SiteLine
from services.relay.message import ends
from services.relay.message.line import FRESH_S
from services.relay.message.mail import End, Mail
from services.relay.message.retry import Retries
from services.relay.words.notnow import SWITCH_MS, NotNow, Scope
from shared.redis.cancels import Cancel
from shared.words import events

#: With a permit in hand, so long ago: a permit is waited for, and the promise is that who leaves gets nothing a second
#: later.
FRESH_ENOUGH_S = 0.75
#: A limit that lets go so soon is waited for by the worker itself, its connection open, where the alternative is one by
#: another address. (`gate` has waited before, as long as that makes sense with the place kept.)
PATIENCE_MS: Mapping[Scope, int] = {"slot": 0, "site": 0, "source": SWITCH_MS, "queue": 0, "host": 0}
#: While ends cannot be recorded nothing new is sent; so often it is looked whether they can.
BEHIND_PAUSE_S = 0.05


class Gate(Protocol):
    async def permit(self, site: str, source: str, ready: events.Ready, rate: str) -> NotNow | None:
        """Whether the message may go right now; None: it may, and it counts. RedisAway."""


class Stops(Protocol):
    def reason(self, job: str, tenant: str, stream: str) -> str | None:
        """Why messages of this job must not leave; None if they may."""

    def cancelled(self, ready: events.Ready, site: str) -> Cancel | None:
        """By what the message is cancelled; None if it is not."""


class Recorder(Protocol):
    def is_behind(self) -> bool:
        """Ends have waited too long to be recorded."""


class Stopped(Exception):
    """The message's job or tenant was stopped."""


class LeaseOver(Exception):
    """Another relay may have the message by now."""


class Permission:
    """One for a relay process."""

    def __init__(
        self,
        held: Held,
        lines: Lines,
        admission: Admission,
        stops: Stops,
        gate: Gate,
        retries: Retries,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._held = held
        self._lines = lines
        self._admission = admission
        self._stops = stops
        self._gate = gate
        self._retries = retries
        self._recorder = recorder
        self._now_ms = clock.now_ms
        self._monotonic = clock.monotonic

    async def refused(self, mail: Mail, line: SiteLine, source: str, rate: str) -> End | NotNow | None:
        """Why the message may not go right now; None: it may, and counts in every limit. LeaseOver, Stopped,
        RedisAway."""
        while self._recorder.is_behind() and self._held.holds(mail):
            if self._held.draining.is_set():
                raise LeaseOver
            await asyncio.sleep(BEHIND_PAUSE_S)
        while (end := await self.withheld(mail, line)) is None:
            refused = await self._gate.permit(mail.lease.site, source, mail.ready, rate)
            if refused is None:
                # Mostly without asking again: a permit is for now.
                is_fresh = self._monotonic() - mail.checked_at <= FRESH_ENOUGH_S
                return self._barred(mail) if is_fresh else await self.withheld(mail, line)
            if refused.wait_ms > PATIENCE_MS[refused.scope]:
                return refused
            place = mail.place if refused.scope == "queue" else None
            self._lines.mark_slow(line, place, refused, self._monotonic())
            await asyncio.sleep(refused.wait_ms / 1000)
        return end

    async def withheld(self, mail: Mail, line: SiteLine) -> End | None:
        """The end of a message that must not be sent any more; None if it may be. LeaseOver, Stopped, RedisAway."""
        if (end := self.expired(mail, self._now_ms())) is not None:
            return end
        await self._freshen(mail, line)
        return self._barred(mail)

    def _barred(self, mail: Mail) -> End | None:
        """The same as far as it is known here."""
        if (end := self.expired(mail, self._now_ms())) is not None:
            return end
        if mail.unwanted is not None:
            return self.unwanted(mail, mail.unwanted)
        if (end := self.cancelled(mail)) is not None:
            return end
        if self.is_stopped(mail):
            raise Stopped
        if (end := ends.early(mail, self._now_ms())) is not None:
            return end
        if not self._held.holds(mail):
            raise LeaseOver
        return None

    def expired(self, mail: Mail, now_ms: int) -> End | None:
        """Its end if its time is over."""
        return ends.expired(mail, now_ms) if self._retries.is_over(mail.ready.expires_at, now_ms) else None

    def early(self, mail: Mail, now_ms: int) -> End | None:
        """Its way back if it may not go yet."""
        return ends.early(mail, now_ms)

    def cancelled(self, mail: Mail) -> End | None:
        """Its end if it is cancelled."""
        found = self._stops.cancelled(mail.ready, mail.lease.site)
        return None if found is None else ends.cancelled(mail, found, self._now_ms())

    def unwanted(self, mail: Mail, verdict: str) -> End:
        """Its end after this word of `admission`."""
        match verdict:
            case admission.ENDED:
                return End(mail, None)
            case admission.UNKNOWN:
                return ends.unknown(mail, self._now_ms())
            case _:
                return ends.suppressed(mail, verdict, self._now_ms())

    def is_stopped(self, mail: Mail) -> bool:
        ready = mail.ready
        return self._stops.reason(ready.job, ready.tenant, ready.stream) is not None

    async def _freshen(self, mail: Mail, line: SiteLine) -> None:
        """Asks again whether the message is wanted if it was last asked too long ago, and with it those that the other
        workers have and those next in line: where one has waited the others have, and each question is two round
        trips."""
        if self._monotonic() - mail.checked_at <= FRESH_S:
            return
        line.stale.append(mail)
        async with line.freshening:
            asked_at = self._monotonic()
            if asked_at - mail.checked_at <= FRESH_S:
                return
            together = [mail, *(one for one in line.stale if one is not mail), *line.soon(asked_at)]
            line.stale.clear()
            verdicts = await self._admission.check([one.ready for one in together], in_hand=True)
            for one, verdict in zip(together, verdicts, strict=True):
                one.checked_at, one.unwanted = asked_at, verdict
