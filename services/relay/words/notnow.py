"""What a limit answers instead of letting a message go: when to ask again, and who has to wait with it. Pure."""

from dataclasses import dataclass
from typing import Literal

#: What has to wait with the message: `slot`, only workers that want to open a connection; `site`, all mail of the site;
#: `source`, its mail by this source address; `queue`, mail of the same tenant or job; `host`, mail to the same host.
Scope = Literal["slot", "site", "source", "queue", "host"]

#: Who is refused for the sake of a source waits so long with the connection open. For longer the source counts as held
#: back, and another one is taken: were that less than is waited, a worker would dial the same one again and again.
SWITCH_MS = 2_000


@dataclass(frozen=True, slots=True)
class NotNow:
    """Asking again is worth it after `wait_ms`; `limit` names what refused, `per_s` is how many messages a second it
    lets through (0: that is not known). Of a host, `reply` is what it said to whoever tried last, and `is_busy` that it
    answers: then messages for it stay in line."""

    wait_ms: int
    scope: Scope
    limit: str
    per_s: float = 0.0
    reply: str = ""
    is_busy: bool = False
