"""Answers for every host to messages of the sandbox, as the mailbox does: nothing of them leaves the process.

It stands in place of a connection, so all that comes before it and behind it is what real mail meets: the mail is made,
signed and recorded, under the limits of a site of its own (`shared.words.sites.SANDBOX`).
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from services.relay.traffic.egress import Source
from services.relay.words.hop import Hop
from services.relay.words.reply import Reply, make_reply
from services.relay.words.tls import TlsFailure
from shared.words.behaviours import ORDINARY, behaviour

#: What it is called in events and reports.
NAME = "sandbox"
#: Addresses of which is remembered that they were refused the first time; beyond, the first ones are forgotten.
MOST_KNOWN = 10_000
_HOPS = (Hop(NAME, 0),)


class Sink:
    """One of a process. Asks nobody where mail goes."""

    def __init__(self) -> None:
        self._refused_once: OrderedDict[str, None] = OrderedDict()

    async def hops(self, _domain: str) -> Sequence[Hop]:
        return _HOPS

    async def open(self, _hop: Hop, _source: Source) -> "Sunk":
        return Sunk(self)

    def reply(self, rcpt_to: str) -> Reply:
        """To a message for that address."""
        known = behaviour(rcpt_to)
        if known.first_time_only and self._was_refused(rcpt_to.casefold()):
            known = ORDINARY
        if known.reply.startswith("2"):
            return make_reply(250, [b"2.0.0 taken by the sandbox"], "dot", NAME)
        code, _, text = known.reply.partition(" ")
        return make_reply(int(code), [text.encode()], "rcpt", NAME)

    def _was_refused(self, address: str) -> bool:
        if address in self._refused_once:
            del self._refused_once[address]
            return True
        self._refused_once[address] = None
        if len(self._refused_once) > MOST_KNOWN:
            self._refused_once.popitem(last=False)
        return False


class Sunk:
    """See `courier.Connection`."""

    host = NAME
    tls: str | None = None
    tls_cipher = tls_policy = tls_reason = source_ip = ""
    tls_failure: TlsFailure | Literal[""] = ""
    usable = True

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.sent_count = 0

    async def send(
        self,
        mail_from: str,
        rcpt_to: str,
        message: bytes,
        *,
        utf8: bool = False,
        before_body: Callable[[], Awaitable[None]] | None = None,
        wire_ready: bool = False,
    ) -> Reply:
        reply = self._sink.reply(rcpt_to)
        if before_body is not None and reply.code < 300:
            await before_body()
        self.sent_count += 1
        return reply

    async def close(self) -> None:
        self.usable = False
