"""What a limit answers instead of letting a message go: when to ask again, and who has to wait with it. Pure."""

from dataclasses import dataclass
from typing import Literal

#: Who waits: `slot`, only who wants to open a connection; the whole `site`; what leaves by this `source` to it; or the
#: message's own `queue` (its tenant or job).
Scope = Literal["slot", "site", "source", "queue"]


@dataclass(frozen=True, slots=True)
class NotNow:
    """Asking again is worth it after `wait_ms`; `limit` names what refused, `per_s` is how many messages a second it
    lets through (0: that is not known)."""

    wait_ms: int
    scope: Scope
    limit: str
    per_s: float = 0.0
