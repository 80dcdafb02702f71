"""When a click is found out to be a machine's after it was recorded: too soon after the delivery, or one of a burst.

The opening of a document that a link of the mail leads to is judged as a click is.

A tracker knows one request, and answers it at once. Whoever counts has the whole message: when its host took it, and
what else was clicked. So it is decided there, in the script that counts (`store_apply.lua`), and costs no question.

- `soon`: the click came less than `soon_ms` after the delivery, or before it: gateways follow links while they take a
  mail. A delivery that is told after the click is looked at, too.
- `burst`: `burst_links` different links of one message were clicked within `burst_ms`, or a trap and any other: all of
  these are a machine's, those that were counted already among them, and each further one within the time.

An opening is never judged so: a mail program that is open shows what comes at once.
"""

import msgspec


class Late(msgspec.Struct, frozen=True):
    """0 in `soon_ms` or `burst_links` means that it is not judged by that."""

    soon_ms: int = 0
    burst_links: int = 0
    burst_ms: int = 0


#: Nothing is judged late.
NEVER = Late()
#: How long clicks of a job are kept to be judged, after the last one of them.
KEEP_MS = 600_000
