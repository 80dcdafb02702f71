"""A session as an operator may see it: what we say and what the host says, line by line, without anybody's secrets.

Of a mail nothing is shown but how long it is. What stands before the @ of an address, tokens and keys are masked as
logs mask them, and of AUTH everything but its mechanism.

Theory of operation. A connection that is overheard has its transport and its reader of replies wrapped: what is written
and read passes by here. One that is not has neither, and costs nothing.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Literal, Protocol, cast

from services.relay.words.reply import ReplyReader
from shared.process.logs import as_logged

#: What is shown of a line.
MAX_CHARS = 500
_HIDDEN = "***"
#: The host asks for more of a password.
_MORE = 334

Kind = Literal["sent", "received", "note", "end"]


class Told(Protocol):
    def note(self, kind: Kind, text: str) -> None:
        """One line; `end` is the last."""


class Dialogue:
    """What is said, masked, and handed on to `told`."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._is_password = False
        self._body_bytes = 0

    def sent(self, commands: bytes | bytearray | memoryview) -> None:
        """Whole commands. A piece of a mail comes as a memoryview, and is counted."""
        if isinstance(commands, memoryview):
            self._body_bytes += len(commands)
            return
        self._tell_body()
        for line in bytes(commands).decode("utf-8", "replace").removesuffix("\r\n").split("\r\n"):
            self._told.note("sent", self._command(line))

    def _command(self, line: str) -> str:
        if self._is_password:
            return _HIDDEN
        word, _, rest = line.partition(" ")
        if word.upper() == "AUTH":
            self._is_password = True
            mechanism, _, initial = rest.partition(" ")
            return f"{word} {mechanism}{' ' + _HIDDEN if initial else ''}"
        return _shown(line)

    def received(self, code: int, lines: list[bytes]) -> None:
        """A whole reply."""
        self._tell_body()
        if code != _MORE:
            self._is_password = False
        for at, text in enumerate(lines or [b""]):
            shown = _HIDDEN if code == _MORE else text.decode("utf-8", "replace").strip()
            self._told.note("received", _shown(f"{code}{'-' if at < len(lines) - 1 else ' '}{shown}"))

    def note(self, text: str) -> None:
        """Something that happened."""
        self._tell_body()
        self._told.note("note", _shown(text))

    def ended(self, why: str) -> None:
        self._tell_body()
        self._told.note("end", _shown(why))

    def _tell_body(self) -> None:
        if self._body_bytes:
            self._told.note("sent", f"(the mail: {self._body_bytes} bytes)")
            self._body_bytes = 0


def _shown(text: str) -> str:
    text = as_logged(text)[:MAX_CHARS]
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


class _Transport:
    """A transport whose writes are overheard."""

    def __init__(self, transport: asyncio.Transport, dialogue: Dialogue) -> None:
        self._transport = transport
        self._dialogue = dialogue

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._dialogue.sent(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Reader(ReplyReader):
    """A reader whose replies are overheard."""

    __slots__ = ("_dialogue",)

    def __init__(self, dialogue: Dialogue) -> None:
        super().__init__()
        self._dialogue = dialogue

    def feed(self, received: bytes) -> Iterator[tuple[int, list[bytes]]]:
        for code, lines in super().feed(received):
            self._dialogue.received(code, lines)
            yield code, lines


def overheard(transport: asyncio.Transport, dialogue: Dialogue) -> tuple[asyncio.Transport, ReplyReader]:
    """The same transport and a new reader, overheard."""
    return cast(asyncio.Transport, _Transport(transport, dialogue)), _Reader(dialogue)
