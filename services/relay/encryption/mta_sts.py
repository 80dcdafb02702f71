"""MTA-STS (RFC 8461): what a domain's record and policy say, and which hosts a policy names. No I/O.

The record `_mta-sts.<domain>` says that there is a policy, and by its id when there is another one. The policy says
under which names its mail hosts are, and whether mail may go to any other, or in clear, for `max_age` seconds.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

Mode = Literal["enforce", "testing", "none"]

#: RFC 8461 section 3.2: a year and a bit, whatever the policy says.
MAX_AGE_S = 31_557_600
#: Section 3.3 suggests a bound; real policies have a few hundred bytes.
MAX_POLICY_BYTES = 65_536
#: A policy is looked at for every mail of its domain.
MAX_PATTERNS = 200

_RECORD = re.compile(
    r"v=STSv1(?:[ \t]*;[ \t]*[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\x21-\x3a\x3c\x3e-\x7e]+)+[ \t]*;?[ \t]*"
)
_ID = re.compile(r";[ \t]*id=([A-Za-z0-9]{1,32})[ \t]*(?:;|\Z)")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*(.*?)[ \t]*")
_PATTERN = re.compile(
    r"(?=.{1,253}\Z)(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_MODES: dict[str, Mode] = {"enforce": "enforce", "testing": "testing", "none": "none"}


class StsPolicy(msgspec.Struct, frozen=True, array_like=True):
    """`mx` are names of hosts, in lower case; one that begins with `*.` is for the names one label below."""

    mode: Mode
    mx: tuple[str, ...]
    max_age_s: int

    @property
    def published(self) -> tuple[str, ...]:
        """As a report quotes it (RFC 8460 section 4.4)."""
        return (
            "version: STSv1", f"mode: {self.mode}", *(f"mx: {one}" for one in self.mx), f"max_age: {self.max_age_s}"
        )  # fmt: skip

    def names(self, host: str) -> bool:
        """Section 4.1: a wildcard stands for exactly one label, the leftmost."""
        _, _, above = host.partition(".")
        return host in self.mx or f"*.{above}" in self.mx


def policy_id(texts: Sequence[str]) -> str | None:
    """The id that the TXT records of `_mta-sts.<domain>` tell. None: the domain has no policy. So it is, too, if there
    are several such records, or one that is not well-formed (section 3.1)."""
    records = [text for text in texts if text.startswith("v=STSv1;") or re.match(r"v=STSv1[ \t]+;", text)]
    if len(records) != 1 or not _RECORD.fullmatch(records[0]):
        return None
    found = _ID.search(records[0])
    return found[1] if found else None


def parse_policy(body: bytes) -> StsPolicy:
    """The policy that a file holds (section 3.2). ValueError in words if it holds none."""
    if len(body) > MAX_POLICY_BYTES:
        raise ValueError(f"more than {MAX_POLICY_BYTES} bytes")
    try:
        lines = body.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for number, line in enumerate(lines, 1):
        text = line.removesuffix("\r")
        if not text.strip(" \t"):
            continue  # not in the grammar, common all the same, and to have no policy would protect nobody
        field = _FIELD.fullmatch(text)
        if field is None:
            raise ValueError(f"line {number} is no field")  # what is not a policy is often a page: not into logs
        name, value = field[1], field[2]
        if name == "mx":
            patterns.append(_pattern(value))
        else:
            fields.setdefault(name, value)  # all but the first are ignored
    return _policy(fields, patterns)


def _policy(fields: dict[str, str], patterns: list[str]) -> StsPolicy:
    if (version := fields.get("version")) != "STSv1":
        raise ValueError(f"version is {version!r:.100}, not STSv1")
    if (mode := _MODES.get(fields.get("mode", ""))) is None:
        raise ValueError(f"mode is {fields.get('mode')!r:.100}, not enforce, testing or none")
    max_age = fields.get("max_age", "")
    if not re.fullmatch("[0-9]{1,10}", max_age):
        raise ValueError(f"max_age is {max_age!r:.100}, not a number of seconds")
    if not patterns and mode != "none":
        raise ValueError("no mx")
    if len(patterns) > MAX_PATTERNS:
        raise ValueError(f"more than {MAX_PATTERNS} mx")
    return StsPolicy(mode, tuple(patterns), min(int(max_age), MAX_AGE_S))


def _pattern(value: str) -> str:
    pattern = value.lower().removesuffix(".")
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(f"mx is {value!r:.100}, not a name or *.name")
    return pattern
