"""A contact, what somebody wants of it, and what changes by that. Pure.

Who writes says only what they want to change: what is not named stays, what is named and empty is emptied. So the same
words for a contact that is new and for one that exists, whatever way they come (E2, E8, E9).
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from services.contacts.base import channels as rules
from services.contacts.base import fields as kinds
from services.contacts.base.channels import CHANNELS, State, Status
from services.contacts.base.fields import Field, NotSo, Value
from services.contacts.base.folding import folded
from shared.words.errors import Fault
from shared.words.scopes import Channel

#: Columns that are no fields of the tenant's, and how each is read.
_COLUMNS = {"email": kinds.email, "mobile": kinds.phone, "telephone": kinds.phone}


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """One record (E1). `number` is 0 before it is stored; `copy` tells those apart that share a key (E3). `values` has
    fields that are not empty, by name. `activity` is the note of the last run of the activity rank (E37)."""

    number: int = 0
    key: str
    copy: int = 0
    email: str | None = None
    mobile: str | None = None
    telephone: str | None = None
    professional: bool = False
    values: Mapping[str, Value] = {}
    states: Mapping[Channel, State] = {}
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_action_at: datetime | None = None
    activity: int = 0

    def state(self, channel: Channel) -> State:
        return self.states.get(channel, State())

    def has_address(self, channel: Channel) -> bool:
        """By which it is reached there; a mobile can be called as well."""
        return {
            "email": self.email,
            "sms": self.mobile,
            "phone": self.telephone or self.mobile,
        }[channel] is not None

    def why_not(self, channel: Channel) -> rules.Reason | None:
        """Why they are not written to on that channel; None if they may be (E6)."""
        return rules.why_not(self.state(channel), has_address=self.has_address(channel), professional=self.professional)


class WantedState(msgspec.Struct, frozen=True):
    """What somebody says of a contact on a channel."""

    optin: bool | UnsetType | None = UNSET
    status: Status | UnsetType = UNSET
    opposed: bool | UnsetType = UNSET


class Wanted(msgspec.Struct, frozen=True):
    """What somebody wants of a contact: what is not there stays."""

    columns: Mapping[str, str | None] = {}
    professional: bool | UnsetType = UNSET
    values: Mapping[str, Value] = {}
    states: Mapping[Channel, WantedState] = {}


class Misfit(Exception):
    """What was said of a contact does not fit; every fault of it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.at}: {fault.what}" for fault in faults))
        self.faults = faults


def wanted(
    fields: Mapping[str, Field],
    columns: Mapping[str, str | None],
    professional: bool | UnsetType,
    given: Mapping[str, Any],
    states: Mapping[Channel, WantedState],
    at: str = "$",
) -> Wanted:
    """What was given, read. Misfit, with places below `at`."""
    faults: list[Fault] = []
    read: dict[str, str | None] = {}
    for name, text in columns.items():
        try:
            read[name] = None if text is None else _COLUMNS[name](text)
        except NotSo as fault:
            faults.append(Fault(f"{at}.{name}", str(fault)))
    values: dict[str, Value] = {}
    for name, one in given.items():
        field = fields.get(name)
        if field is None:
            faults.append(Fault(f"{at}.fields.{name[:60]}", "there is no such field"))
            continue
        try:
            values[name] = kinds.value(field, one)
        except NotSo as fault:
            faults.append(Fault(f"{at}.fields.{name}", str(fault)))
    if faults:
        raise Misfit(faults)
    return Wanted(read, professional, values, states)


def key_of(key_field: str, asked: Wanted, at: str = "$") -> str | None:
    """The key that is said, None if none is. Misfit: it is emptied."""
    source: Mapping[str, Value] = asked.columns if key_field in kinds.KEY_COLUMNS else asked.values
    if key_field not in source:
        return None
    found = source[key_field]
    if found is None:
        where = f"{at}.{key_field}" if key_field in kinds.KEY_COLUMNS else f"{at}.fields.{key_field}"
        raise Misfit([Fault(where, "it is the key of uniqueness, and cannot be empty")])
    return folded(str(found))


def with_key(key_field: str, asked: Wanted, written: str) -> Wanted:
    """The same, with the key as it was written where it was said beside. NotSo."""
    if key_field in kinds.KEY_COLUMNS:
        return msgspec.structs.replace(asked, columns={key_field: _COLUMNS[key_field](written), **asked.columns})
    return msgspec.structs.replace(asked, values={key_field: kinds.text(written), **asked.values})


def changed(contact: Contact, asked: Wanted, key_field: str) -> Contact:
    """The contact as it is wanted."""
    values = {name: one for name, one in {**contact.values, **asked.values}.items() if one is not None}
    states = {channel: state for channel in CHANNELS if (state := _state(contact, asked, channel)) != State()}
    key = key_of(key_field, asked)
    return msgspec.structs.replace(
        contact,
        key=contact.key if key is None else key,
        professional=contact.professional if asked.professional is UNSET else asked.professional,
        values=values,
        states=states,
        **dict(asked.columns),
    )


def _state(contact: Contact, asked: Wanted, channel: Channel) -> State:
    state, said = contact.state(channel), asked.states.get(channel)
    if said is None:
        return state
    if said.optin is not UNSET:
        state = rules.said(state, said.optin)
    if said.opposed is not UNSET:
        state = rules.opposed(state, is_opposed=said.opposed)
    if said.status is not UNSET and said.status != state.status:
        state = rules.diagnosed(state, said.status)
    return state


def difference(before: Contact, after: Contact) -> dict[str, list[Any]]:
    """By name what was there and what is now, as the history of a contact keeps it. Empty if nothing changed."""
    told = {name: [getattr(before, name), getattr(after, name)] for name in (*_COLUMNS, "professional")}
    for name in {**before.values, **after.values}:
        told[name] = [before.values.get(name), after.values.get(name)]
    for channel in CHANNELS:
        old, new = before.state(channel), after.state(channel)
        told |= {
            f"{channel}_{part}": [getattr(old, part), getattr(new, part)]
            for part in ("optin", "status", "left", "opposed")
        }
    return {name: [_plain(one) for one in pair] for name, pair in told.items() if pair[0] != pair[1]}


def _plain(found: Any) -> Any:
    return found.isoformat() if isinstance(found, date) else found
