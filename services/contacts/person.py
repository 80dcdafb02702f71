"""Everything that the base of a tenant has of one address, for the one answer about a person."""

from collections.abc import Mapping
from typing import Literal

from services.contacts.base import fields as kinds
from services.contacts.base import store
from services.contacts.base.channels import CHANNELS
from services.contacts.base.contact import Contact
from services.contacts.base.database import Database, Sql
from services.contacts.base.store import Change, Search
from services.contacts.behaviour import timeline
from services.contacts.behaviour.timeline import LATEST, Moment
from services.contacts.shown import time
from shared.http import paging
from shared.http.people import PersonChange, PersonChannel, PersonContact, PersonImport, PersonMoment
from shared.words.scopes import Channel

#: Contacts with one address; and of each changes and moments. Others are asked for by their own routes.
MAX_CONTACTS = 100
MAX_LINES = 1_000
#: Before which every change is.
_LAST_CHANGE = 2**63 - 1

#: Whom an import included, added and updated, as `sets.fact`.
_DID: dict[int, Literal["included", "added", "updated"]] = {31: "included", 32: "added", 33: "updated"}
_SETS = """
SELECT s.fact, s.subject, i.name, i.created_at FROM sets AS s
LEFT JOIN imports AS i ON i.tenant = $1 AND i.import = s.subject
WHERE s.tenant = $1 AND s.fact IN (31, 32, 33) AND s.chunk = $2::int >> 13
    AND get_bit(s.members, $2::int & 8191) = 1 ORDER BY s.subject, s.fact"""


class Person:
    """Of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def kept(self, name: str, address: str) -> list[PersonContact]:
        """Of a tenant and a normalised address: every contact that has it. DatabaseAway."""
        async with self._database.transaction(repeatable=True) as sql:
            tenant = await store.known_tenant(sql, name)
            if tenant is None:
                return []
            known = await store.fields(sql, tenant.number)
            found = await store.find(sql, tenant.number, Search(email_key=address), MAX_CONTACTS, known)
            return [await _kept(sql, tenant.number, one, known) for one in found]


async def _kept(sql: Sql, tenant: int, one: Contact, known: Mapping[str, kinds.Field]) -> PersonContact:
    changes = await store.changes(sql, tenant, one.number, _LAST_CHANGE, MAX_LINES + 1)
    some, changes_next = paging.cut(changes, MAX_LINES, lambda last: paging.pack(last.change))
    moments = await timeline.page(sql, tenant, one.number, LATEST, MAX_LINES + 1)
    happened, moments_next = paging.cut(moments, MAX_LINES, lambda last: paging.pack(tuple(last.place)))
    sets = await sql.fetch(_SETS, tenant, one.number)
    return PersonContact(
        id=one.number,
        key=one.key,
        copy=one.copy,
        email=one.email,
        mobile=one.mobile,
        telephone=one.telephone,
        professional=one.professional,
        fields={name: kinds.shown(known[name], value) for name, value in one.values.items() if name in known},
        channels={channel: _channel(one, channel) for channel in CHANNELS},
        activity=one.activity,
        created_at=time(one.created_at) or "",
        updated_at=time(one.updated_at) or "",
        last_action_at=time(one.last_action_at),
        imports=[
            PersonImport(
                id=row["subject"], name=row["name"] or "", at=time(row["created_at"]) or "", did=_DID[row["fact"]]
            )
            for row in sets
        ],
        changes=[_change(change) for change in some],
        changes_next=changes_next,
        moments=[_moment(moment) for moment in happened],
        moments_next=moments_next,
    )


def _channel(one: Contact, channel: Channel) -> PersonChannel:
    state = one.state(channel)
    return PersonChannel(
        optin=state.optin, status=state.status, left=state.left, opposed=state.opposed, diagnostic=state.diagnostic
    )


def _change(one: Change) -> PersonChange:
    return PersonChange(at=time(one.at) or "", source=one.source, changes=dict(one.what))


def _moment(one: Moment) -> PersonMoment:
    operation = None if one.operation is None else one.operation.key
    return PersonMoment(at=time(one.at) or "", what=one.word, operation=operation, text=one.text, machine=one.machine)
