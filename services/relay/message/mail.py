"""A message in the hands of a relay, what is sent for it, and the end that an attempt gives it."""

from collections.abc import Awaitable
from dataclasses import dataclass

import msgspec

from shared.mail.addresses import domain_of
from shared.redis.ready import Lease, Recorded
from shared.words import events, ids


class Made(msgspec.Struct, frozen=True):
    """A mail that can be sent: envelope sender, bytes with CRLF, the stream of its job; whether its header has
    addresses beyond ASCII; the pace that its job may have, or ""; whether its lines are known to be as SMTP has them
    (`wire.is_wire_ready`); whether its recipient was tracked when it was made."""

    mail_from: str
    message: bytes
    stream: str
    utf8: bool = False
    rate: str = ""
    wire_ready: bool = False
    tracked: bool = False


class Unmade(msgspec.Struct, frozen=True):
    """Why there is no mail to send. `final`: there never will be."""

    reason: str
    detail: str
    final: bool


@dataclass(slots=True)
class Mail:
    """A leased message. `checked_at` is when it was last asked whether it is still wanted (monotonic seconds),
    `unwanted` the word if it is not (`admission`); `epoch` as in the relay's rules; `begun` that its body may
    have gone, of a message that is sent at most once. `making` is the task that makes the mail ahead of its turn;
    `made` the mail once it is made, with when that began, kept until the attempt is over (`making`).
    `began_ms` is when its attempt was begun, of one that is traced."""

    lease: Lease
    ready: events.Ready
    checked_at: float = 0.0
    epoch: int = 0
    unwanted: str | None = None
    begun: bool = False
    making: Awaitable[tuple[Made | Unmade, float]] | None = None
    made: tuple[Made | Unmade, float] | None = None
    began_ms: int = 0

    @property
    def domain(self) -> str:
        return domain_of(self.ready.email)

    @property
    def message_id(self) -> str:
        return ids.message_id(self.ready.job, self.ready.ordinal)

    @property
    def place(self) -> tuple[int, str]:
        """Its lane and its queue in that lane."""
        return self.lease.lane, self.lease.queue


class End(msgspec.Struct, frozen=True):
    """What became of a message: the fact (None when its end is on record already) and what happens to its lease."""

    mail: Mail
    fact: events.Fact | None
    retry_at: int | None = None
    again: bytes = b""

    @property
    def recorded(self) -> Recorded:
        return Recorded(self.mail.lease.number, self.retry_at, self.again)
