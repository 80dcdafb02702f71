"""A drop: what of a tenant goes where, and when; and how far it is. Pure."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from services.reports.drops import periods
from services.reports.drops.periods import SETTLE_MS, Period, Schedule

Kind = Literal["events", "suppressions"]

NAME_RULE = r"[a-z0-9][a-z0-9-]{0,39}"
_NAME = re.compile(NAME_RULE)
#: Seconds from one attempt to the next; the last one stands for all that follow.
RETRY_S = (60, 120, 300, 600, 1_800, 3_600)
#: Up to so much longer, so that what failed together does not come back together.
JITTER = 0.1

#: Why a file could not be written, in a word, and what it means.
WHY: dict[str, str] = {
    "full": "the disk, or a quota, is full",
    "read_only": "the folder is read-only",
    "refused": "we may not write there",
    "no_folder": "the folder is not there, or is none",
    "unresolved": "the host's name has no address, or is not answered for",
    "inside": "the name leads to an address that is not dialled",
    "unreachable": "nobody answers there",
    "timeout": "the server was silent for too long",
    "host_key": "the server showed another host key than the one that is known",
    "auth": "the server does not take the key for that user",
    "unsupported": "the server cannot do what is needed",
    "broken": "the connection broke, or the server does not speak SFTP",
    "failed": "the server says no more than that it failed: its disk may be full",
    "key": "the private key cannot be opened with the master secret",
    "not_installed": "the process runs without `estafette[drop]`",
    "archive": "the archive cannot be searched",
    "too_old": "events of that time are not kept any more",
    "error": "anything else",
}  # fmt: skip


def is_name(text: str) -> bool:
    """Whether a drop may be called so."""
    return _NAME.fullmatch(text) is not None


class Failed(Exception):
    """The file was not written: `why` is one of `WHY`, the text is for people."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text[:500])
        self.why = why


class Drop(msgspec.Struct, frozen=True, array_like=True):
    """As it is stored. `target` as `target.parse` takes it. `hour`: at which days begin. Empty `columns`: the usual
    ones; empty `types`, `streams`: all; "" in a filter: any. `sealed`: the private key, as `Vault` seals it, b"" where
    none is needed; `public_key` as `authorized_keys` has it."""

    tenant: str
    name: str
    kind: Kind
    target: str
    schedule: Schedule
    hour: int = 0
    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    job: str = ""
    tag: str = ""
    list: str = ""
    streams: tuple[str, ...] = ()
    recipient: str = ""
    host_keys: tuple[str, ...] = ()
    sealed: bytes = b""
    public_key: str = ""
    description: str = ""
    enabled: bool = True
    created_ms: int = 0

    @property
    def id(self) -> str:
        return f"{self.tenant}/{self.name}"

    def file_name(self, period: Period) -> str:
        return periods.file_name(self.tenant, self.name, self.schedule, period)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is. `next` is where the next period begins (ms). `placing`: the file that is whole beside its place,
    where its period ends, its rows and bytes: it was renamed, or is to be. `again`: a moment of a period that is to be
    written anyway, -1 for none. Then what was written last, and what goes wrong since when; `retry_at`: not before."""

    next: int = 0
    placing: str = ""
    placing_end: int = 0
    placing_rows: int = 0
    placing_bytes: int = 0
    again: int = -1
    retry_at: int = 0
    failures: int = 0
    failing_since: int = 0
    why: str = ""
    detail: str = ""
    last_at: int = 0
    last_file: str = ""
    last_rows: int = 0
    last_bytes: int = 0
    written: int = 0
    missed: int = 0


class Work(NamedTuple):
    """A file that is to be written. `is_again`: it was asked for, and does not count as the next. `is_placing`: it is
    whole beside its place."""

    period: Period
    file: str
    is_again: bool = False
    is_placing: bool = False


class Wait(NamedTuple):
    """There is nothing to do before then (ms)."""

    until_ms: int


def due_ms(drop: Drop, state: State) -> int:
    """When the next period is written, if nothing goes wrong."""
    return periods.following(drop.schedule, drop.hour, state.next).end_ms + SETTLE_MS


def work(drop: Drop, state: State, now_ms: int) -> Work | Wait:
    """What is to be done now. What is being placed comes first, what was asked for next."""
    period = periods.following(drop.schedule, drop.hour, state.next)
    file = drop.file_name(period)
    if state.retry_at > now_ms:
        return Wait(state.retry_at)
    if state.placing:
        return Work(Period(state.next, state.placing_end), state.placing, is_placing=True)
    if state.again >= 0:
        asked = periods.containing(drop.schedule, drop.hour, state.again)
        if asked.end_ms + SETTLE_MS <= now_ms:
            return Work(asked, drop.file_name(asked), is_again=True)
    if due_ms(drop, state) <= now_ms:
        return Work(period, file)
    if state.again >= 0:
        return Wait(min(due_ms(drop, state), asked.end_ms + SETTLE_MS))
    return Wait(due_ms(drop, state))


def retry_ms(failures: int, now_ms: int, chance: float) -> int:
    """When it is tried again, after so many failures in a row. `chance` is in [0, 1)."""
    wait_s = RETRY_S[min(failures, len(RETRY_S)) - 1]
    return now_ms + int(wait_s * 1000 * (1 + JITTER * chance))


def late_ms(drops: Sequence[tuple[Drop, State]], now_ms: int) -> int:
    """For how long the oldest file that is not there should be."""
    return max((now_ms - due_ms(drop, state) for drop, state in drops if drop.enabled), default=0)
