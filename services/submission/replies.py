"""What is said to a mail, by what the API has answered for it. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

#: Faults that are named in one reply, and characters of a line (RFC 5321 section 4.5.3.1.5 has 512 for all of it).
MAX_FAULTS = 20
MAX_LINE_CHARS = 400

#: By the word of a problem; else by its status, else as a fault of ours.
_BY_WORD = {
    "unknown_sending_domain": "550 5.7.1",
    "sending_domain_not_shown": "550 5.7.1",
    "idempotency_key_reused": "554 5.6.0",
    "body_too_large": "552 5.3.4",
}
_BY_STATUS = {
    400: "550 5.6.0",
    401: "550 5.7.8",
    403: "550 5.7.1",
    413: "552 5.3.4",
    422: "550 5.6.0",
    429: "452 4.3.1",
}
AWAY = "451 4.3.0 Cannot store this now, please try again later"


class Taken(msgspec.Struct):
    """Of `JobAccepted`."""

    id: str


class Fault(msgspec.Struct):
    at: str = ""
    what: str = ""


class Refused(msgspec.Struct):
    """Of a problem document (RFC 9457)."""

    type: str = ""
    detail: str = ""
    faults: list[Fault] = []


def reply(status: int, body: bytes) -> str:
    """The reply to the final dot: 2xx only where the job is stored."""
    if status == 202:
        taken = _decoded(body, Taken)
        return AWAY if taken is None else f"250 2.0.0 OK, job {taken.id}"
    problem = _decoded(body, Refused)
    if problem is None:
        return AWAY
    code = _BY_WORD.get(problem.type.rpartition(":")[2]) or _BY_STATUS.get(status)
    if code is None:
        return AWAY
    said = [f"{fault.at}: {fault.what}" for fault in problem.faults[:MAX_FAULTS]]
    return _lines(code, [problem.detail, *(one for one in said if one.partition(": ")[2] != problem.detail)])


def _decoded(body: bytes, shape: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _lines(code: str, said: Sequence[str]) -> str:
    """A reply of several lines: each has the codes."""
    number, _, enhanced = code.partition(" ")
    texts = ["".join(one if " " <= one <= "~" else "?" for one in text)[:MAX_LINE_CHARS] for text in said]
    last = len(texts) - 1
    return "\r\n".join(f"{number}{'-' if at < last else ' '}{enhanced} {text}" for at, text in enumerate(texts))
