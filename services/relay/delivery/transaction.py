"""One mail to one recipient, as SMTP wants it said: which bytes to write after which reply. No I/O.

Theory of operation. Where the host offers PIPELINING (RFC 2920), MAIL, RCPT and DATA leave in one write and their
replies come in that order; the body follows DATA's 354: two round trips a message. Elsewhere each command waits for its
reply.

    begin() → bytes;  receive(reply) → bytes to write, or None;  …;  result is the reply that counts

Rules:
1. The reply that counts is the first refusal, else the one to the final dot.
2. A host may answer 354 although it refused MAIL or RCPT: then there is a body to end, with a lone dot (RFC 2920
   section 3.1), and what it says to that is nobody's.
3. After 421 nothing comes any more, at any moment.
4. After a message that was not taken, the host may still hold the sender: RSET goes before the next one, in its write.
   A host that refuses RSET holds it still, would take MAIL for nested, and an empty mail for the next: Garbled.
5. A reply that cannot be here (2xx to DATA, 354 to RCPT) means that we and the host are no longer at the same place:
   Garbled, and the connection is of no more use.
"""

from services.relay.words.reply import (
    Garbled,
    Reply,
    Stage,
    make_reply,
)
from shared.mail.wire import END

_RSET, _MAIL, _RCPT, _DATA, _DOT, _LONE_DOT = range(6)
_STAGES: tuple[Stage, ...] = ("mail", "mail", "rcpt", "data", "dot", "data")
_COMMANDS = {_RSET: b"RSET\r\n", _DATA: b"DATA\r\n"}


class Transaction:
    """`result` is None until it is over. `refused` is a refusal that counts although more replies are due."""

    __slots__ = ("_body", "_commands", "_host", "_pipelining", "_step", "refused", "result")

    def __init__(self, host: str, mail: bytes, rcpt: bytes, body: bytes, *, pipelining: bool, reset: bool) -> None:
        """`mail` and `rcpt` are whole commands; `body` is as `wire_body` makes it; `reset` begins with RSET."""
        self._host = host
        self._commands = _COMMANDS | {_MAIL: mail, _RCPT: rcpt}
        self._body = body
        self._pipelining = pipelining
        self._step = _RSET if reset else _MAIL
        self.refused: Reply | None = None
        self.result: Reply | None = None

    @property
    def stage(self) -> Stage:
        """The command whose reply is due."""
        return _STAGES[self._step]

    @property
    def body_is_out(self) -> bool:
        """The body has been given to be written."""
        return self._step == _DOT

    @property
    def accepted(self) -> bool:
        return self._step == _DOT and self.result is not None and self.result.code < 300

    def begin(self) -> bytes:
        if self._pipelining:
            return b"".join(self._commands[step] for step in range(self._step, _DOT))
        return self._commands[self._step]

    def receive(self, code: int, lines: list[bytes]) -> bytes | None:
        """What to write now. Garbled if this reply cannot be here."""
        if code == 421:
            self.result = self.refused or make_reply(code, lines, self.stage, self._host)
            return None
        match self._step:
            case 0:  # _RSET
                if not 200 <= code < 300:
                    raise Garbled(f"{code} in answer to RSET")
                return self._next()
            case 1 | 2:  # _MAIL, _RCPT
                return self._envelope(code, lines)
            case 3:  # _DATA
                return self._data(code, lines)
            case 4:  # _DOT
                self.result = self._answer(code, lines)
            case _:  # _LONE_DOT
                self.result = self.refused
        return None

    def _envelope(self, code: int, lines: list[bytes]) -> bytes | None:
        if not 200 <= code < 300:
            self.refused = self.refused or self._answer(code, lines)
            if not self._pipelining:
                self.result = self.refused
                return None
        return self._next()

    def _data(self, code: int, lines: list[bytes]) -> bytes | None:
        if code != 354:
            if code < 400:
                raise Garbled(f"{code} in answer to DATA")
            self.result = self.refused or self._answer(code, lines)
            return None
        self._step = _LONE_DOT if self.refused else _DOT
        return END if self.refused else self._body

    def _next(self) -> bytes | None:
        self._step += 1
        return None if self._pipelining else self._commands[self._step]

    def _answer(self, code: int, lines: list[bytes]) -> Reply:
        if 300 <= code < 400:
            raise Garbled(f"{code} in answer to {self.stage.upper()}")
        return make_reply(code, lines, self.stage, self._host)
