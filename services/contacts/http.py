"""The routes of contacts: one by its key, many at once, looking for some, and what changed. Each tenant has its own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from services.contacts.base import fields as kinds
from services.contacts.base.channels import CHANNELS, Reason, State, Status
from services.contacts.base.contact import Contact, Misfit, WantedState
from services.contacts.base.fields import Field, NotSo
from services.contacts.base.store import Change, Search
from services.contacts.contacts import Contacts, Given, KeyTaken, Mode, NoDuplicates, Outcome, Result
from shared.http import api, paging
from shared.http.query import Read
from shared.mail import addresses
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.scopes import Channel
from shared.words.times import rfc3339

#: Contacts of one request.
MAX_CONTACTS = 1_000
#: Of the body: every contact with all its fields is some 10 kB.
MAX_BODY_BYTES = 16 << 20
#: Where the history begins: no change has that number.
_LATEST = 2**63 - 1
_CURSOR = "zQHq"
_IN_PATH = {
    "key": says(
        "What tells the contact apart from others of the tenant: its address, or the field that the tenant names.",
        "ana@exemple.fr",
    )
}
_OF_ONE = ("invalid_path", "contacts_disabled")
_SOURCE = "api"

_EXAMPLE = {
    "mobile": "+33612345678",
    "fields": {"first_name": "Ana", "last_name": "Durand", "tags": ["vip"]},
    "channels": {"email": {"optin": True}},
}
Values = dict[str, str | int | float | bool | list[str] | None]
_EMAIL = says("The address of e-mail.", "ana@exemple.fr")
_MOBILE = says("The mobile telephone, as E.164 writes it.", "+33612345678")
_TELEPHONE = says("Another telephone, as E.164 writes it.", "+33145678901")
_PROFESSIONAL = says(
    "Whether they are written to as a professional: unless they are opposed. A person is only if they opted in.", False
)
_FIELDS = says(
    "Fields of the tenant by name: text, a number, a date (`2026-01-31`), a word, a list of words, true or false. One "
    "that is null, or an empty text or list, is emptied; one that is not there stays.",
    {"first_name": "Ana", "children": 2, "birthday": "1980-02-03", "tags": ["vip"]},
)
_OPTIN = says("Whether they agreed to be written to, or called; null: not known.", True)
_OPPOSED = says("Whether they are opposed to prospecting.", False)
_STATUS = says("What is known of the address: `valid`; `soft`, a bounce for now; `hard`, it is gone.", "valid")
_COPY = says("Which of those that share the key, where the tenant lets contacts share it; from 0.", 0)


class ChannelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of a contact on a channel; what is left out stays."""

    optin: Annotated[
        bool | UnsetType | None,
        says(
            "Whether they agreed to be written to, or called. True brings back who had left, false is leaving; null: "
            "it is not known.",
            True,
        ),
    ] = UNSET
    opposed: Annotated[bool | UnsetType, _OPPOSED] = UNSET
    status: Annotated[Status | UnsetType, _STATUS] = UNSET


class ChannelRequests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By channel."""

    email: Annotated[ChannelRequest | UnsetType, says("E-mail.")] = UNSET
    sms: Annotated[ChannelRequest | UnsetType, says("SMS, to the mobile telephone.")] = UNSET
    phone: Annotated[ChannelRequest | UnsetType, says("Calls, to either telephone.")] = UNSET


class ContactRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted of a contact. What is left out stays as it is; what is null is emptied."""

    email: Annotated[str | UnsetType | None, _EMAIL] = UNSET
    mobile: Annotated[str | UnsetType | None, _MOBILE] = UNSET
    telephone: Annotated[str | UnsetType | None, _TELEPHONE] = UNSET
    professional: Annotated[bool | UnsetType, _PROFESSIONAL] = UNSET
    fields: Annotated[Values, _FIELDS] = {}
    channels: Annotated[ChannelRequests, says("What is said of them on each channel.")] = ChannelRequests()


class ContactsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many contacts, each with its key in its body."""

    contacts: Annotated[list[ContactRequest], msgspec.Meta(min_length=1, max_length=MAX_CONTACTS), says("Up to 1,000.")]
    mode: Annotated[
        Mode,
        says(
            "What is done with who exists: `update`; `new_only` leaves them as they are; `add` adds another one with "
            "the same key, where the tenant allows that.",
            "update",
        ),
    ] = "update"


class ContactState(msgspec.Struct, frozen=True, kw_only=True):
    """A contact on a channel."""

    optin: Annotated[bool | None, _OPTIN]
    status: Annotated[Status | None, says("What is known of the address; null: nothing yet.", "valid")]
    left: Annotated[bool, says("Whether they unsubscribed.", False)]
    opposed: Annotated[bool, _OPPOSED]
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
    copy: Annotated[int, _COPY]
    email: Annotated[str | None, _EMAIL]
    mobile: Annotated[str | None, _MOBILE]
    telephone: Annotated[str | None, _TELEPHONE]
    professional: Annotated[bool, _PROFESSIONAL]
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


class ContactPage(msgspec.Struct, frozen=True, kw_only=True):
    """In the order in which they came."""

    contacts: Annotated[list[ContactRecord], says("The contacts of this page.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


class WrittenContact(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a contact of the request."""

    index: Annotated[int, says("Its place in `contacts`, from 0.", 3)]
    result: Annotated[Result, says("What became of it.", "added")]
    key: Annotated[str | None, says("Its key; null if it was refused.", "ana@exemple.fr")]
    id: Annotated[int | None, says("Its number; null if it was refused.", 4_217)]
    faults: Annotated[list[Fault], says("Why it was refused.")]


class WrittenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of them: those that were not refused are written."""

    added: Annotated[int, says("How many are new.", 120)]
    updated: Annotated[int, says("How many were there, and something of them changed.", 871)]
    unchanged: Annotated[int, says("How many were there as they are wanted, or were left as they are.", 8)]
    refused: Annotated[int, says("How many cannot be as they are wanted.", 1)]
    contacts: Annotated[list[WrittenContact], says("Each, in the order of the request.")]


class ContactChange(msgspec.Struct, frozen=True, kw_only=True):
    """What changed at once."""

    at: Annotated[str, says("When.", "2026-02-03T10:00:00.000Z")]
    source: Annotated[str, says("By what: `api`, an import, something that happened.", "api")]
    changes: Annotated[
        dict[str, Any],
        says("By the name of the field: what was there, and what is now.", {"town": ["Lyon", "Paris"]}),
    ]


class ContactChangePage(msgspec.Struct, frozen=True, kw_only=True):
    """The latest first."""

    changes: Annotated[list[ContactChange], says("The changes of this page.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


def _number(text: str) -> int:
    found = paging.unpack(text, int)
    if not 0 <= found <= _LATEST:
        raise paging.InvalidCursor
    return found


def _email_key(text: str) -> str:
    return addresses.parse(text).key


def _mobile(text: str) -> str:
    return kinds.phone(text) or ""


Copy = Annotated[int, msgspec.Meta(ge=0, le=1_000_000), _COPY]


class ContactQuery(msgspec.Struct, frozen=True):
    """Which of those that share the key."""

    copy: Copy = 0


class ContactsQuery(msgspec.Struct, frozen=True):
    """Who is looked for: whoever all of this holds for."""

    after: Annotated[int, paging.after(_CURSOR), Read(_number)] = 0
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    email: Annotated[str | None, says("Whoever has this address.", "ana@exemple.fr"), Read(_email_key)] = None
    mobile: Annotated[str | None, says("Whoever has this mobile telephone.", "+33612345678"), Read(_mobile)] = None
    q: Annotated[
        str,
        says("Whoever has these letters in the address, the key or any text, in any case.", "durand", max_length=100),
    ] = ""
    tag: Annotated[str, says("Whoever has this tag.", "vip", max_length=200)] = ""
    addressable: Annotated[
        Literal["email", "sms", "phone"] | None, says("Whoever may be written to, or called, there.", "email")
    ] = None


class ChangesQuery(msgspec.Struct, frozen=True):
    """Which part of the history is shown."""

    after: Annotated[int, paging.after(_CURSOR), Read(_number)] = _LATEST
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    copy: Copy = 0


def routes(contacts: Contacts | None) -> list[api.Route]:
    """None: this installation has no contacts."""
    handlers = _Routes(contacts)
    return [
        api.Route(
            "GET",
            "/v1/contacts",
            handlers.find,
            "Contacts, page by page",
            scope="read",
            name="list_contacts",
            tag="contacts",
            answers={200: ContactPage},
            query=ContactsQuery,
            problems=("contacts_disabled",),
        ),
        api.Route(
            "POST",
            "/v1/contacts",
            handlers.write,
            "Add or change many contacts; what does not fit is told, and the others are written",
            scope="send",
            name="write_contacts",
            tag="contacts",
            body=ContactsRequest,
            examples={"application/json": {"contacts": [{"email": "ana@exemple.fr", **_EXAMPLE}], "mode": "update"}},
            answers={200: WrittenAnswer},
            problems=("contacts_disabled", "no_duplicates", "invalid_contact", "contact_exists"),
        ),
        api.Route(
            "GET",
            "/v1/contacts/{key}",
            handlers.get,
            "A contact",
            scope="read",
            name="get_contact",
            tag="contacts",
            in_path=_IN_PATH,
            slashes=True,
            answers={200: ContactRecord},
            query=ContactQuery,
            problems=(*_OF_ONE, "unknown_contact"),
        ),
        api.Route(
            "PUT",
            "/v1/contacts/{key}",
            handlers.put,
            "Add a contact (201), or change it; another key in the body becomes its key",
            scope="send",
            name="put_contact",
            tag="contacts",
            in_path=_IN_PATH,
            slashes=True,
            body=ContactRequest,
            examples={"application/json": _EXAMPLE},
            answers={200: ContactRecord, 201: ContactRecord},
            query=ContactQuery,
            problems=(*_OF_ONE, "invalid_contact", "contact_exists"),
        ),
        api.Route(
            "DELETE",
            "/v1/contacts/{key}",
            handlers.erase,
            "Remove a contact, its history and what it did",
            scope="admin",
            name="delete_contact",
            tag="contacts",
            in_path=_IN_PATH,
            slashes=True,
            answers={204: None},
            query=ContactQuery,
            problems=(*_OF_ONE, "unknown_contact"),
        ),
        api.Route(
            "GET",
            "/v1/contact-changes/{key}",
            handlers.changes,
            "What changed of a contact, when, and by what",
            scope="read",
            name="list_contact_changes",
            tag="contacts",
            in_path=_IN_PATH,
            slashes=True,
            answers={200: ContactChangePage},
            query=ChangesQuery,
            problems=(*_OF_ONE, "unknown_contact"),
        ),
    ]


T = TypeVar("T")


def here(service: T | None) -> T:
    """What answers where there are contacts. Problem `contacts_disabled`."""
    if service is None:
        raise Problem("contacts_disabled", "this installation has no contacts (contacts.url)")
    return service


class _Routes:
    def __init__(self, contacts: Contacts | None) -> None:
        self._contacts = contacts

    async def find(self, request: web.Request) -> web.StreamResponse:
        asked = api.query_of(request, ContactsQuery)
        search = Search(
            after=asked.after,
            email_key=asked.email,
            mobile=asked.mobile,
            text=kinds.folded(asked.q) or None,
            addressable=asked.addressable,
        )
        tenant = request[api.PRINCIPAL].tenant
        found, known = await here(self._contacts).find(tenant, search, asked.tag, asked.limit + 1)
        page, following = paging.cut(found, asked.limit, lambda one: paging.pack(one.number))
        return api.json_answer(ContactPage(contacts=[_record(one, known) for one in page], next=following))

    async def write(self, request: web.Request) -> web.StreamResponse:
        contacts = here(self._contacts)
        asked = await api.read_json(request, ContactsRequest)
        given = [_given(one, None, f"$.contacts[{place}]") for place, one in enumerate(asked.contacts)]
        try:
            outcomes = await contacts.write(request[api.PRINCIPAL].tenant, given, asked.mode, _SOURCE)
        except NoDuplicates:
            raise Problem("no_duplicates", "the tenant does not let contacts share their key") from None
        except Misfit as misfit:
            raise Problem("invalid_contact", "the contacts do not fit", misfit.faults) from None
        except KeyTaken:
            raise _taken() from None
        return api.json_answer(_answer(outcomes))

    async def get(self, request: web.Request) -> web.StreamResponse:
        key, copy = api.path_text(request, "key"), api.query_of(request, ContactQuery).copy
        try:
            found = await here(self._contacts).get(request[api.PRINCIPAL].tenant, key, copy)
        except NotSo as fault:
            raise _no_key(fault) from None
        if found is None:
            raise _unknown()
        return api.json_answer(_record(*found))

    async def put(self, request: web.Request) -> web.StreamResponse:
        contacts = here(self._contacts)
        key, copy = api.path_text(request, "key"), api.query_of(request, ContactQuery).copy
        asked = await api.read_json(request, ContactRequest)
        tenant = request[api.PRINCIPAL].tenant
        try:
            outcome = await contacts.put(tenant, _given(asked, key, "$"), _SOURCE, copy)
        except NotSo as fault:
            raise _no_key(fault) from None
        except Misfit as misfit:
            raise Problem("invalid_contact", "the contact does not fit", misfit.faults) from None
        except KeyTaken:
            raise _taken() from None
        if outcome.contact is None:
            raise Problem("invalid_contact", "the contact does not fit", list(outcome.faults))
        known = await contacts.fields(tenant)
        return api.json_answer(_record(outcome.contact, known), 201 if outcome.result == "added" else 200)

    async def erase(self, request: web.Request) -> web.StreamResponse:
        key, copy = api.path_text(request, "key"), api.query_of(request, ContactQuery).copy
        try:
            there = await here(self._contacts).erase(request[api.PRINCIPAL].tenant, key, copy)
        except NotSo as fault:
            raise _no_key(fault) from None
        if not there:
            raise _unknown()
        return web.Response(status=204)

    async def changes(self, request: web.Request) -> web.StreamResponse:
        key, asked = api.path_text(request, "key"), api.query_of(request, ChangesQuery)
        tenant = request[api.PRINCIPAL].tenant
        try:
            found = await here(self._contacts).changes(tenant, key, asked.copy, asked.after, asked.limit + 1)
        except NotSo as fault:
            raise _no_key(fault) from None
        if found is None:
            raise _unknown()
        page, following = paging.cut(found, asked.limit, lambda one: paging.pack(one.change))
        return api.json_answer(ContactChangePage(changes=[_change(one) for one in page], next=following))


def _unknown() -> Problem:
    return Problem("unknown_contact", "there is no such contact")


def _no_key(fault: NotSo) -> Problem:
    return Problem("invalid_path", "the path does not fit", [Fault("key", str(fault))])


def _taken() -> Problem:
    return Problem("contact_exists", "another contact has that key")


def _given(asked: ContactRequest, key: str | None, at: str) -> Given:
    columns = {name: getattr(asked, name) for name in ("email", "mobile", "telephone")}
    said: dict[Channel, WantedState] = {}
    for channel in CHANNELS:
        one = getattr(asked.channels, channel)
        if one is not UNSET:
            said[channel] = WantedState(one.optin, one.status, one.opposed)
    there = {name: value for name, value in columns.items() if value is not UNSET}
    return Given(key, there, asked.professional, asked.fields, said, at)


def _answer(outcomes: list[Outcome]) -> WrittenAnswer:
    counts = dict.fromkeys(("added", "updated", "unchanged", "refused"), 0)
    for outcome in outcomes:
        counts[outcome.result] += 1
    return WrittenAnswer(
        **counts,
        contacts=[
            WrittenContact(
                index=place,
                result=outcome.result,
                key=outcome.contact.key if outcome.contact else None,
                id=outcome.contact.number if outcome.contact else None,
                faults=list(outcome.faults),
            )
            for place, outcome in enumerate(outcomes)
        ],
    )


def _record(found: Contact, known: Mapping[str, Field]) -> ContactRecord:
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
        created_at=_time(found.created_at) or "",
        updated_at=_time(found.updated_at) or "",
        last_action_at=_time(found.last_action_at),
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


def _change(found: Change) -> ContactChange:
    return ContactChange(at=_time(found.at) or "", source=found.source, changes=dict(found.what))


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(int(at.timestamp() * 1000))
