"""What a process takes over from settings that are read again, and what waits until it is started anew. Pure.

A few settings, and the files that they name, may change while a process runs: `logs.level`, and what its parts say
(`Part.settings`). All that is read again is looked at whole before any of it is taken: one fault, and what was in force
stays in force, together. What else differs is named: it holds from the next start on.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from shared.process.settings import Settings, masked

LEVEL = "logs.level"
#: Changes that one line of the log names; beyond, only how many more there are.
MOST_TOLD = 50


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a part has read and found right. `changes` says in words what it changes; `apply` puts it in force."""

    changes: Sequence[str]
    apply: Callable[[], Awaitable[None]]


class Part(Protocol):
    """What of a process can change while it runs."""

    @property
    def settings(self) -> Collection[str]:
        """The names of those that it takes, as `relay.shaping_file`."""

    def prepare(self, settings: Settings) -> Prepared:
        """Reads what they name, and changes nothing. In a thread of its own. SettingsError with every fault."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`settings` are those in force afterwards, `changes` what of them is new, in words; `needs_restart` names the
    settings that are another now and are not taken."""

    settings: Settings
    changes: Sequence[str] = ()
    needs_restart: Sequence[str] = ()


def plan(before: Settings, after: Settings, taken: Collection[str]) -> Plan:
    """What comes of reading `after` where `before` is in force, and settings with these names are taken."""
    changes, needs_restart = [], []
    new: dict[str, dict[str, Any]] = {}
    for name, old, value in differences(before, after):
        if name not in taken:
            needs_restart.append(name)
            continue
        section, _, setting = name.partition(".")
        new.setdefault(section, {})[setting] = value
        changes.append(f"{name}: {masked(old)!r} is now {masked(value)!r}")
    return Plan(_with(before, new), changes, needs_restart)


def differences(before: Settings, after: Settings) -> Iterator[tuple[str, Any, Any]]:
    """Each setting that is another, by its name, with what it was and is."""
    for section in before.__struct_fields__:
        old, new = getattr(before, section), getattr(after, section)
        for setting in old.__struct_fields__:
            if (was := getattr(old, setting)) != (now := getattr(new, setting)):
                yield f"{section}.{setting}", was, now


def told(changes: Sequence[str]) -> list[str]:
    """As one line names them."""
    more = len(changes) - MOST_TOLD
    return [*changes] if more <= 0 else [*changes[:MOST_TOLD], f"and {more} more"]


def _with(settings: Settings, new: Mapping[str, Mapping[str, Any]]) -> Settings:
    sections = {name: msgspec.structs.replace(getattr(settings, name), **values) for name, values in new.items()}
    return msgspec.structs.replace(settings, **sections)
