"""Logs: one line of JSON on stderr per fact, with the fact's word first and its fields after it.

    log = logs.get_logger()                 # at the top of a module
    log.info("deferred", site=site, reply=reply)

`configure` is called once a process, by `shared.lifecycle.run`. What libraries say by the standard library's logging
joins the same stream from WARNING on, without what it says of others' input. Never log a body, a token or a key; fields
with such a name are blanked in case somebody does, as are what has the shape of one and the userinfo of a URL.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any, cast

import orjson
import structlog

Logger = structlog.typing.FilteringBoundLogger

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SECRET_FIELDS = frozenset(("authorization", "body", "html", "key", "password", "pem", "secret", "text", "token"))
#: Up to the last @ of the word: a password may have any of `@`, `/` and `:` in it.
_USERINFO = re.compile(r"(?<=://)\S+(?=@)")
#: What has the shape of an API key, of what follows `Bearer`, or of a token in a recipient's link: a second wall.
_SHAPES = re.compile(
    r"\best_[a-z0-9]{10}_[A-Za-z0-9]{8,}|(?<=(?i:bearer) )[^\s\"]{8,}|(?<=/[ocupa]/)[A-Za-z0-9_-]{16,}"
)
#: Whose exceptions say why in words of ours, and not with what somebody sent.
_OURS = ("services.", "shared.")


def get_logger() -> Logger:
    return cast(Logger, structlog.get_logger())


def configure(process: str, level: str = "info") -> None:
    """All lines of this process carry `process`; below `level` nothing is written."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.StackInfoRenderer(),
            _exception,
            _Line(process),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Bridge()], level=max(logging.WARNING, LEVELS[level]), force=True)


class _Line:
    """The last processor: secrets blanked, fields in a fixed order, bytes out."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: object, _method: str, fields: MutableMapping[str, Any]) -> bytes:
        line = {
            "at": fields.pop("at"),
            "level": fields.pop("level"),
            "process": self._process,
            "event": fields.pop("event"),
            **{name: _safe(name, value) for name, value in fields.items()},
        }
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)


class _Bridge(logging.Handler):
    """That a library logged something, as a line of ours: where it did, and what kind of exception it met. Not its
    words: in them stands what somebody sent, whole requests with keys too."""

    def emit(self, record: logging.LogRecord) -> None:
        # With arguments the message is a form that the library wrote, and they are what fills it.
        said = record.msg if isinstance(record.msg, str) and record.args else ""
        get_logger().log(
            record.levelno,
            "library_said",
            library=record.name,
            said=said.partition("\n")[0][:200],
            where=f"{record.module}:{record.lineno}",
            exc_info=record.exc_info,
        )


def _exception(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
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


def _safe(name: str, value: object) -> object:
    if name in _SECRET_FIELDS:
        return "***"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {inner: _safe(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(name, one) for one in value]
    if not isinstance(value, str):
        return value
    value = _SHAPES.sub("***", value)
    return _USERINFO.sub("***", value) if "://" in value else value
