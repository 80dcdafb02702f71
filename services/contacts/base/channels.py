"""What a contact's state on a channel is, what changes it, and whether they may be written to (E5, E6). Pure.

Three channels: e-mail, SMS, telephone. On each a contact has said yes, no, or nothing to being written to (`optin`),
has left or not (`left`: *désinscrit*), is opposed to prospecting or not, and their address works as far as anybody
knows (`status`: *Statut Email*). Who is opted out of all channels has left each of them.
"""

from typing import Literal

import msgspec

from shared.words.scopes import Channel

Status = Literal["valid", "soft", "hard"]
#: Why somebody is not written to, the first that holds.
Reason = Literal["no_address", "hard", "left", "opposed", "no_optin"]

CHANNELS: tuple[Channel, ...] = ("email", "sms", "phone")


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """On one channel. `softs`: soft bounces since the address was known to work last. `diagnostic`: what was said of
    it last; it stays when the address works again (E12)."""

    optin: bool | None = None
    status: Status | None = None
    left: bool = False
    opposed: bool = False
    softs: int = 0
    diagnostic: str | None = None


def said(state: State, optin: bool | None) -> State:
    """They said yes or no, or it is not known any more. Yes brings back who had left, and takes back an objection; no
    is leaving (E11)."""
    if optin is None:
        return msgspec.structs.replace(state, optin=None)
    if optin:
        return msgspec.structs.replace(state, optin=True, left=False, opposed=False)
    return msgspec.structs.replace(state, optin=False, left=True)


def left(state: State, *, has_left: bool) -> State:
    """By themselves, and not by saying no: what they said of being written to stays."""
    return msgspec.structs.replace(state, left=has_left)


def opposed(state: State, *, is_opposed: bool) -> State:
    """To prospecting: a professional is not written to then."""
    return msgspec.structs.replace(state, opposed=is_opposed)


def diagnosed(state: State, status: Status, diagnostic: str | None = None) -> State:
    """What is known of the address now. A soft bounce counts, and makes nothing better that is hard; valid clears both
    (E12)."""
    last = diagnostic or state.diagnostic
    if status == "soft":
        worse: Status = "hard" if state.status == "hard" else "soft"
        return msgspec.structs.replace(state, status=worse, softs=state.softs + 1, diagnostic=last)
    softs = 0 if status == "valid" else state.softs
    return msgspec.structs.replace(state, status=status, softs=softs, diagnostic=last)


def why_not(state: State, *, has_address: bool, professional: bool) -> Reason | None:
    """Why they are not written to on this channel; None if they may be: a person who agreed, a professional who is not
    opposed (E6, K11). As the columns `*_addressable` of the tables."""
    if not has_address:
        return "no_address"
    if state.status == "hard":
        return "hard"
    if state.left:
        return "left"
    if professional:
        return "opposed" if state.opposed else None
    return None if state.optin is True else "no_optin"
