"""A message in the hands of a relay, and the end that an attempt gives it."""

from dataclasses import dataclass, field

from shared import events
from shared.ready import Lease, Recorded


@dataclass(slots=True)
class Mail:
    """A leased message. `checked_at` is when it was last asked whether it is still wanted (monotonic seconds),
    `unwanted` the word if it is not (`admission`); `epoch` as in the relay's rules; `begun` that its body may
    have gone, of a message that is sent at most once."""

    lease: Lease
    ready: events.Ready
    checked_at: float = 0.0
    epoch: int = 0
    unwanted: str | None = None
    begun: bool = False

    @property
    def domain(self) -> str:
        return self.ready.email.rpartition("@")[2]

    @property
    def place(self) -> tuple[int, str]:
        """Its lane and its queue in that lane."""
        return self.lease.lane, self.lease.queue


@dataclass(frozen=True, slots=True)
class End:
    """What became of a message: the fact (None when its end is on record already) and what happens to its lease."""

    mail: Mail
    fact: events.Fact | None
    recorded: Recorded = field(init=False)
    retry_at: int | None = None
    again: bytes = b""

    def __post_init__(self) -> None:
        object.__setattr__(self, "recorded", Recorded(self.mail.lease.number, self.retry_at, self.again))
