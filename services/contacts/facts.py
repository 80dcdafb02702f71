"""What a fact changes of a contact on a channel: a table (E5, E12, K14). Pure.

A list is no opt-in: who leaves one keeps theirs. A bounce that is about us says nothing of the address.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from services.contacts.base import channels
from services.contacts.base.channels import CHANNELS, State
from shared.words import events, scopes
from shared.words.scopes import Channel

#: Facts that can change something: all others are not even read.
NAMES = frozenset(
    ("Bounced", "Complained", "Delivered", "Erased", "OptedIn", "PreferencesChanged", "Reactivated", "Unsubscribed")
)
#: More of a reply is of no use to anybody.
MAX_DIAGNOSTIC_CHARS = 1000
_OBJECTED = {"yes": True, "no": False}


class Effect(NamedTuple):
    """On one channel the state becomes `change(state)`. `counts`: twice is not once. `unless_listed`: only of a job
    that has no list."""

    channel: Channel
    change: Callable[[State], State]
    counts: bool = False
    unless_listed: bool = False


def effects(fact: events.Message) -> list[Effect]:
    """In their order. None of them where nothing of a contact changes."""
    match fact:
        case events.Delivered():
            return [Effect("email", delivered)]
        case events.Bounced(kind="hard" | "soft" as kind):
            said = (fact.reply or fact.reason)[:MAX_DIAGNOSTIC_CHARS]
            change = partial(channels.diagnosed, status="hard" if kind == "hard" else "soft", diagnostic=said)
            return [Effect("email", change, counts=kind == "soft")]
        case events.Complained():
            return [Effect("email", _left)]
        case events.Unsubscribed():
            return _unsubscribed(fact)
        case events.OptedIn():
            return [Effect(one, partial(channels.said, optin=True)) for one in _channels([fact.channel])]
        case events.PreferencesChanged():
            return _preferred(fact)
        case events.Reactivated(reason="contacts"):
            return []  # the base has said it itself, and may have said something else since
        case events.Reactivated(channel=channel, scope="" | scopes.ALL | scopes.MARKETING):
            return [Effect(one, _reactivated) for one in _channels([channel])]
    return []


def _unsubscribed(fact: events.Unsubscribed) -> list[Effect]:
    """A word that a newer writer has is none that we know: they have left then."""
    if fact.scope == "list":
        return []
    if fact.scope == scopes.ALL:
        return [Effect(one, _left) for one in CHANNELS]
    return [Effect("email", _left, unless_listed=fact.scope == "")]


def _preferred(fact: events.PreferencesChanged) -> list[Effect]:
    found = [Effect("email", _back)] if fact.undone else []
    found += [Effect(one, partial(channels.said, optin=False)) for one in _channels(fact.opted_out.splitlines())]
    if (objected := _OBJECTED.get(fact.objected)) is not None:
        found += [Effect(one, partial(channels.opposed, is_opposed=objected)) for one in CHANNELS]
    return found


def _channels(named: Iterable[str]) -> list[Channel]:
    """Those that we know."""
    there = set(named)
    return [one for one in CHANNELS if one in there]


def delivered(state: State) -> State:
    """An address works that took a mail."""
    return channels.diagnosed(state, "valid") if state.status != "valid" or state.softs else state


def _left(state: State) -> State:
    return channels.left(state, has_left=True)


def _back(state: State) -> State:
    return channels.left(state, has_left=False)


def _reactivated(state: State) -> State:
    """They may be written to again, as far as lists go: nobody opted in by that."""
    back = _back(state)
    return channels.diagnosed(back, "valid") if back.status == "hard" else back
