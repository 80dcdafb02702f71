"""Logs: one line of JSON on stderr per fact, with the fact's word first and its fields after it.

    log = logs.get_logger()                 # at the top of a module
    log.info("deferred", message=message_id, site=site, reply=reply)

A line about a message has its id as `message`, and its job's as `job`. What a request causes while it is under way has
its id as `request`, by itself.
`configure` is called once a process, by `shared.process.lifecycle.run`. What libraries say by the standard library's
logging joins the same stream from WARNING on, without what it says of others' input. To log never fails: where lines
cannot be written, because the disk is full, they are lost and counted. Never log a body, a token or a key; fields
with such a name are blanked in case somebody does, as are what has the shape of one and the userinfo of a URL. Of an
address the domain is left, which is what people who run this look for: hosts repeat recipients in what they reply.
"""

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import structlog
from prometheus_client import Counter

from shared.net.requests import current_id

Logger = structlog.typing.FilteringBoundLogger

LOST = Counter("estafette_log_lines_lost_total", "Log lines that could not be written, or not whole")

#: How often it is asked whether the file was moved away: a look takes 1 µs, a line 5.
LOOK_LINES = 50
STDOUT = 1
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
#: Names of fields, or the last word of one (`client_secret`), whose value is never shown.
_SECRET_FIELDS = frozenset(
    (
        *("authorization", "body", "cookie", "html", "key", "passphrase", "passwd", "password", "pem", "pw"),
        *("secret", "subject", "text", "token", "variables"),
    )
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
#: Up to the last @ of the word: a password may have any of `@`, `/` and `:` in it.
_USERINFO = re.compile(r"(?<=://)\S+(?=@)")
#: What stands before the @ of an address; bounded, so that a long word costs no more than its length.
_LOCAL_PART = re.compile(r"(//)?(?:\"[^\"\n]{0,320}\"|[^\s<>\"'(),:;=\[\]@]{1,320})(?=@[\w\[])")
#: What has the shape of a secret, wherever it stands: a second wall.
_SHAPES = re.compile(
    r"\best_[a-z0-9]{10}_[A-Za-z0-9]{8,}"  # an API key
    r"|(?<=(?i:bearer) )[^\s\"]{8,}|(?<=(?i:basic) )[A-Za-z0-9+/=]{8,}"  # one as it is sent
    r"|(?<=/[ocupavw]/)[A-Za-z0-9_-]{16,}"  # a token in a recipient's link
    r"|\b[bYd](?=[a-z_-]{0,80}[A-Z])(?=[A-Za-z_-]{0,80}[0-9])[A-Za-z0-9_-]{41,}"  # and by itself
    r"|\b[bufBUF]-[0-9a-vA-V]{39}\b"  # the signed name of a message
    r"|\b[0-9a-fA-F]{64}\b"  # a master secret
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*-----)?|\bMI[IG][A-Za-z0-9+/]{60,}={0,2}"  # DKIM, TLS
)
#: Whose exceptions say why in words of ours, and not with what somebody sent.
_OURS = ("services.", "shared.")
#: What loggers are: a class of ours, because each remembers its class for ever, and what is below the level is a method
#: of it that does nothing.
_Bound = type("_Bound", (structlog.make_filtering_bound_logger(LEVELS["info"]),), {})


def get_logger() -> Logger:
    return cast(Logger, structlog.get_logger())


def configure(process: str, level: str = "info", file: Path | None = None) -> None:
    """All lines of this process carry `process`; below `level` nothing is written. With `file`, which is where standard
    error leads: when that was moved away, lines go on in a new one of its name."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.StackInfoRenderer(),
            exception,
            Line(process),
        ],
        wrapper_class=_Bound,
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, _Lines(sys.stderr.buffer, file))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[Bridge()], force=True)
    set_level(level)


def set_level(level: str) -> None:
    """From now on: below it nothing is written, by loggers that are in use too."""
    filtering = structlog.make_filtering_bound_logger(LEVELS[level])
    for name, method in vars(filtering).items():
        if not name.startswith("_"):
            setattr(_Bound, name, method)
    logging.getLogger().setLevel(max(logging.WARNING, LEVELS[level]))


class _Lines:
    """Where lines go. What cannot be written (a disk that is full, a reader that is gone) is lost and counted: a log
    is no reason to fail, least of all between a mail and its record. A line that was cut is ended before the next.

    A file that was moved away is followed within `LOOK_LINES`; what comes until then stands in the one that was moved,
    so that no line is lost, and whoever moves it signals nobody."""

    def __init__(self, out: BinaryIO, file: Path | None = None) -> None:
        self._out = getattr(out, "raw", out)  # without a buffer, in which what was refused would wait
        self._is_cut = False
        self._file = file
        self._lines = 0

    def write(self, line: bytes) -> int:
        self._lines += 1
        if self._file is not None and self._lines % LOOK_LINES == 0:
            _follow(self._file, self._out.fileno())
        whole = b"\n" + line if self._is_cut else line
        try:
            written = self._out.write(whole) or 0
        except (OSError, ValueError):
            written = 0
        if written:
            self._is_cut = written < len(whole)
        if written < len(whole):
            LOST.inc()
        return len(line)

    def flush(self) -> None:
        pass


def _follow(file: Path, out: int) -> None:
    """What is written to `out`, and to standard output beside it, goes to the file of that name."""
    with contextlib.suppress(OSError):  # no room, no rights: it goes where it went
        there = os.fstat(out)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(file.stat(), there):
                return
        new = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if os.path.samestat(os.fstat(STDOUT), there):
            os.dup2(new, STDOUT)
        os.dup2(new, out)
        os.close(new)


class Line:
    """The last processor: secrets blanked, fields in a fixed order, bytes out."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: object, _method: str, fields: MutableMapping[str, Any]) -> bytes:
        line = {
            "at": fields.pop("at"),
            "level": fields.pop("level"),
            "process": self._process,
            "event": _safe_text(str(fields.pop("event"))),
            **_asked(fields),
            **{name: _safe(name, value) for name, value in fields.items()},
        }
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)


def _asked(fields: MutableMapping[str, Any]) -> dict[str, object]:
    request = fields.pop("request", "") or current_id()
    return {"request": _safe("request", request)} if request else {}


class Bridge(logging.Handler):
    """That a library logged something, as a line of ours: where it did, and what kind of exception it met. Not its
    words: in them stands what somebody sent, whole requests with keys too."""

    def emit(self, record: logging.LogRecord) -> None:
        get_logger().log(record.levelno, "library_said", **said_by(record))


def said_by(record: logging.LogRecord) -> dict[str, Any]:
    """What is told of it."""
    # With arguments the message is a form that the library wrote, and they are what fills it.
    said = record.msg if isinstance(record.msg, str) and record.args else ""
    return {
        "library": record.name,
        "said": said.partition("\n")[0][:200],
        "where": f"{record.module}:{record.lineno}",
        "exc_info": record.exc_info,
    }


def exception(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """`exc_info` as places and kinds. What a foreign exception says may be what somebody sent; ours say it in words."""
    given = fields.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        fields["exception"] = "\n".join(_told(error))
    return fields


def _told(error: BaseException) -> Iterator[str]:
    if (before := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        yield from _told(before)
        yield "then:"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
    kind = type(error)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _told(one)
    yield f"{kind.__qualname__}: {error}" if kind.__module__.startswith(_OURS) else kind.__qualname__


def as_logged(text: str) -> str:
    """The text as a line would show it: without what stands before the @ of an address, and without secrets."""
    return _safe_text(text)


def _safe(name: str, value: object) -> object:
    if _is_secret(name):
        return "***"
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_safe_text(str(inner)): _safe(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(name, one) for one in value]
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    # Whatever else there is would be written as this, too.
    return _safe_text(value if isinstance(value, str) else str(value))


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    words = _WORDS.findall(name)
    return bool(words) and words[-1].lower() in _SECRET_FIELDS


def _safe_text(value: str) -> str:
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode("utf-8")  # surrogates are no text
    value = _SHAPES.sub("***", value)
    if "@" in value:
        value = _USERINFO.sub("***", value) if "://" in value else value
        value = _LOCAL_PART.sub(r"\1***", value)
    return value
