"""No log has a key, a token, a password or a body in it: whatever the tests' processes log is read, in whatever way.

Three ways lead here. `Stack.stop` reads the logs of its instance, for what the test has sent, too. `InProcess` reads
what modules and libraries log inside of the tests, as a process of ours would write it. `tests/conftest.py` reads, when
a worker of pytest is done, all logs under its directories, and after each test what went to stdout and stderr.
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import structlog

from shared.process import logs

#: What a secret looks like, by what it is.
SHAPES = {
    "an API key": re.compile(rb"est_[a-z0-9]{10}_[A-Za-z0-9]{32}"),
    "an API key as it was sent": re.compile(rb"(?i:bearer|basic) [A-Za-z0-9_+/=-]{16,}"),
    "a token of a link": re.compile(rb"/[ocupavw]/[A-Za-z0-9_-]{30,}"),
    "a token by itself": re.compile(rb"\b[bYd](?=[a-z_-]{0,80}[A-Z])(?=[A-Za-z_-]{0,80}[0-9])[A-Za-z0-9_-]{41,}"),
    "the signed name of a message": re.compile(rb"\b[buf]-[0-9a-v]{39}\b"),
    "a private key": re.compile(rb"PRIVATE KEY|\bMI[IG][A-Za-z0-9+/]{60,}"),
    "a password in a URL": re.compile(rb"[a-z+]{2,}://[^/\s:@*]*:[^@\s*/]+@"),
    "a password by its name": re.compile(
        rb"(?i)\b(?:requirepass|password|passwd|secret)[\"']?\s*[:=]\s*[\"']?[^\s\"'*,}]"
    ),
    "a body": re.compile(rb"(?i)<(?:html|body|p|a href)\b[^>]{0,200}>|\bBonjour\b|\{\{ ?\w+ ?\}\}"),
    "a mail": re.compile(rb"(?i)(?:^|\\n|\\r)(?:subject|dkim-signature|received|content-type): "),
    "a recipient's address": re.compile(rb"\b(?:ana|bo|zoe|user\d+|ana\d+)@[a-z]"),
}
#: The mail that `estafette run` proposes to send, which is its own and in `run.log`.
_FIRST_MAIL = re.compile(rb"--data-binary '\{\"from\":\"Chouette[^']*Hello \{\{ name \}\}[^']*'$")
#: Of words shorter than these too many stand in any log.
_MIN_CANARY_CHARS = 8
#: What is no log beside what is: data of Redis and of the spool, keys, sources of tests.
_LOG_NAME = re.compile(r"(^|[.-])(log|stderr|stdout)(\.\d+)?$|\.log\b")
#: Fields of requests whose values nobody may find in a log again.
_PRIVATE = frozenset(("html", "text", "subject", "variables", "headers", "metadata", "content", "secret", "password"))


def kinds(line: bytes, known: Iterable[bytes] = ()) -> list[str]:
    """What stands in the line that must not, in words, never the secret itself."""
    line = _FIRST_MAIL.sub(b"", line)
    found = [kind for kind, shape in SHAPES.items() if shape.search(line)]
    return found + [f"known secret {at}" for at, one in enumerate(known) if one and one in line]


def found(directory: Path, known: Iterable[bytes] = ()) -> list[str]:
    """Where secrets stand in the logs at and below the directory: file, line and kind."""
    secrets = tuple(known)
    places = []
    for file in log_files(directory):
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            places += [f"{file.relative_to(directory)}:{number}: {kind}" for kind in kinds(line, secrets)]
    return places


def log_files(directory: Path) -> Iterator[Path]:
    """`run.log`, `logs/<process>.log`, what they were turned into, `log` of a server: in the order of their names."""
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(one for one in folders if one not in ("appendonlydir", "spool", "__pycache__"))
        for name in sorted(names):
            file = Path(folder) / name
            if _LOG_NAME.search(name) and file.is_file():
                yield file


def canaries(sent: Any, private: bool = False) -> Iterator[bytes]:
    """The texts of a request that no log may have, as they would stand in one."""
    if isinstance(sent, Mapping):
        for name, value in sent.items():
            yield from canaries(value, private or name in _PRIVATE)
    elif isinstance(sent, list | tuple):
        for value in sent:
            yield from canaries(value, private)
    elif private and isinstance(sent, str) and len(sent) >= _MIN_CANARY_CHARS:
        yield sent[:200].encode("utf-8", "replace")


def rendered(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
    """A line of ours, for people who read why a test failed."""
    return logs.Line("tests")(None, "", logs.exception(None, "", fields)).decode()


class InProcess:
    """Reads what is logged in this process. `places`: where secrets stood, with the test that was running."""

    def __init__(self) -> None:
        self.lines = 0
        self.places: list[str] = []
        self._line = logs.Line("tests")

    def structlog_wrapper(self) -> type:
        """The class of loggers that hand on what they are told, and have it read before: also by a test which captures
        lines itself."""
        reader = self

        class Reading(structlog.make_filtering_bound_logger(0)):  # type: ignore[misc]
            def _proxy_to_logger(self, method_name: str, event: str | None = None, *words: Any, **fields: Any) -> Any:
                reader.fields({**structlog.get_context(self), **fields, "event": event or "", "level": method_name})
                return super()._proxy_to_logger(method_name, event, *words, **fields)

        return Reading

    def fields(self, fields: dict[str, Any]) -> None:
        if fields.get("exc_info") is None and fields["level"] == "exception":
            fields["exc_info"] = True
        told = logs.exception(None, "", {"at": "", **fields})
        self.line(self._line(None, "", told), f"the fact {str(fields['event'])[:40]}")

    def line(self, line: bytes, what: str) -> None:
        self.lines += 1
        test = os.environ.get("PYTEST_CURRENT_TEST", "between tests")
        self.places += [f"{test}: {kind} in {what}" for kind in kinds(line)]


class OfLibraries(logging.Handler):
    """What libraries log in this process, as it is told in a line of ours."""

    def __init__(self, reader: InProcess) -> None:
        super().__init__(logging.WARNING)
        self._reader = reader

    def emit(self, record: logging.LogRecord) -> None:
        self._reader.fields({"level": record.levelname, "event": "library_said", **logs.said_by(record)})
