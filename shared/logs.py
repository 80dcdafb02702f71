"""Logs: one line of JSON on stderr per fact, with the fact's word first and its fields after it.

    log = logs.get_logger()                 # at the top of a module
    log.info("deferred", site=site, reply=reply)

`configure` is called once a process, by `shared.lifecycle.run`. What libraries say by the standard library's logging
joins the same stream from WARNING on. Never log a body, a token or a key; fields with such a name are blanked in case
somebody does, and so is the userinfo of a URL.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import orjson
import structlog

Logger = structlog.typing.FilteringBoundLogger

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SECRET_FIELDS = frozenset(("authorization", "body", "html", "key", "password", "pem", "secret", "text", "token"))
_USERINFO = re.compile(r"(?<=://)[^@/\s]+(?=@)")


def get_logger() -> Logger:
    return cast(Logger, structlog.get_logger())


def configure(process: str, level: str = "info") -> None:
    """All lines of this process carry `process`; below `level` nothing is written."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
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
    """What libraries log, as a line of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        get_logger().log(
            record.levelno, "library_said", library=record.name, said=record.getMessage(), exc_info=record.exc_info
        )


def _safe(name: str, value: object) -> object:
    if name in _SECRET_FIELDS:
        return "***"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return _USERINFO.sub("***", value) if isinstance(value, str) and "://" in value else value
