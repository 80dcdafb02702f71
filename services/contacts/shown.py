"""How a contact is shown by the API, and what its parts mean."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec

from services.contacts.base import fields as kinds
from services.contacts.base.channels import CHANNELS, Reason, State, Status
from services.contacts.base.contact import Contact
from services.contacts.base.fields import Field
from shared.words.described import says
from shared.words.scopes import Channel
from shared.words.times import rfc3339

Values = dict[str, str | int | float | bool | list[str] | None]
EMAIL = says("The address of e-mail.", "ana@exemple.fr")
MOBILE = says("The mobile telephone, as E.164 writes it.", "+33612345678")
TELEPHONE = says("Another telephone, as E.164 writes it.", "+33145678901")
PROFESSIONAL = says(
    "Whether they are written to as a professional: unless they are opposed. A person is only if they opted in.", False
)
OPTIN = says("Whether they agreed to be written to, or called; null: not known.", True)
OPPOSED = says("Whether they are opposed to prospecting.", False)
COPY = says("Which of those that share the key, where the tenant lets contacts share it; from 0.", 0)


class ContactState(msgspec.Struct, frozen=True, kw_only=True):
    """A contact on a channel."""

    optin: Annotated[bool | None, OPTIN]
    status: Annotated[Status | None, says("What is known of the address; null: nothing yet.", "valid")]
    left: Annotated[bool, says("Whether they unsubscribed.", False)]
    opposed: Annotated[bool, OPPOSED]
    addressable: Annotated[bool, says("Whether they may be written to, or called, now.", True)]
    why_not: Annotated[
        Reason | None, says("Why they may not: the first reason that holds; null if they may.", None, "no_optin")
    ]
    diagnostic: Annotated[str | None, says("What was said of the address last.", None, "550 5.1.1 No such user here")]


class ContactStates(msgspec.Struct, frozen=True, kw_only=True):
    """A contact by channel."""

    email: Annotated[ContactState, says("E-mail.")]
    sms: Annotated[ContactState, says("SMS, to the mobile telephone.")]
    phone: Annotated[ContactState, says("Calls, to either telephone.")]


class ContactRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A contact."""

    id: Annotated[int, says("Its number among the tenant's contacts. It never changes.", 4_217)]
    key: Annotated[str, says("What tells it apart from others, as it is compared.", "ana@exemple.fr")]
    copy: Annotated[int, COPY]
    email: Annotated[str | None, EMAIL]
    mobile: Annotated[str | None, MOBILE]
    telephone: Annotated[str | None, TELEPHONE]
    professional: Annotated[bool, PROFESSIONAL]
    fields: Annotated[
        Values,
        says(
            "The fields that are not empty, by name.",
            {"first_name": "Ana", "children": 2, "birthday": "1980-02-03", "tags": ["vip"]},
        ),
    ]
    channels: Annotated[ContactStates, says("How they stand on each channel.")]
    created_at: Annotated[str, says("When they came.", "2026-01-31T09:05:00.123Z")]
    updated_at: Annotated[str, says("When something of them changed last.", "2026-02-03T10:00:00.000Z")]
    last_action_at: Annotated[
        str | None, says("When they did something that counts last; null: never.", "2026-02-03T10:00:00.000Z")
    ]
    activity: Annotated[
        int, says("Their note in the last run of the activity rank: 0 inactive, 10 among the most active.", 8)
    ]


def record(found: Contact, known: Mapping[str, Field]) -> ContactRecord:
    return ContactRecord(
        id=found.number,
        key=found.key,
        copy=found.copy,
        email=found.email,
        mobile=found.mobile,
        telephone=found.telephone,
        professional=found.professional,
        fields={name: kinds.shown(known[name], value) for name, value in found.values.items() if name in known},
        channels=ContactStates(**{channel: _state(found, channel, found.state(channel)) for channel in CHANNELS}),
        created_at=time(found.created_at) or "",
        updated_at=time(found.updated_at) or "",
        last_action_at=time(found.last_action_at),
        activity=found.activity,
    )


def _state(found: Contact, channel: Channel, state: State) -> ContactState:
    why_not = found.why_not(channel)
    return ContactState(
        optin=state.optin,
        status=state.status,
        left=state.left,
        opposed=state.opposed,
        addressable=why_not is None,
        why_not=why_not,
        diagnostic=state.diagnostic,
    )


def time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(int(at.timestamp() * 1000))
