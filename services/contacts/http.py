"""The routes of contacts: one by its key, many at once, looking for some, and what changed. Each tenant has its own."""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from services.contacts.base import fields as kinds
from services.contacts.base.channels import CHANNELS, Status
from services.contacts.base.contact import Misfit, WantedState
from services.contacts.base.fields import NotSo
from services.contacts.base.folding import folded
from services.contacts.base.store import Change, Search
from services.contacts.contacts import Contacts, Given, KeyTaken, Mode, NoDuplicates, Outcome, Result
from services.contacts.shown import (
    COPY,
    EMAIL,
    MOBILE,
    OPPOSED,
    PROFESSIONAL,
    TELEPHONE,
    ContactRecord,
    Values,
    record,
    time,
)
from shared.http import api, paging
from shared.http.query import Read
from shared.mail import addresses
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.scopes import Channel

#: Contacts of one request.
MAX_CONTACTS = 1_000
#: Of the body: every contact with all its fields is some 10 kB.
MAX_BODY_BYTES = 16 << 20
#: Where the history begins: no change has that number.
_LATEST = 2**63 - 1
_CURSOR = "zQHq"
IN_PATH = {
    "key": says(
        "What tells the contact apart from others of the tenant: its address, or the field that the tenant names.",
        "ana@exemple.fr",
    )
}
OF_ONE = ("invalid_path", "contacts_disabled")
_SOURCE = "api"

_EXAMPLE = {
    "mobile": "+33612345678",
    "fields": {"first_name": "Ana", "last_name": "Durand", "tags": ["vip"]},
    "channels": {"email": {"optin": True}},
}
_FIELDS = says(
    "Fields of the tenant by name: text, a number, a date (`2026-01-31`), a word, a list of words, true or false. One "
    "that is null, or an empty text or list, is emptied; one that is not there stays.",
    {"first_name": "Ana", "children": 2, "birthday": "1980-02-03", "tags": ["vip"]},
)
_STATUS = says("What is known of the address: `valid`; `soft`, a bounce for now; `hard`, it is gone.", "valid")


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
    opposed: Annotated[bool | UnsetType, OPPOSED] = UNSET
    status: Annotated[Status | UnsetType, _STATUS] = UNSET


class ChannelRequests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By channel."""

    email: Annotated[ChannelRequest | UnsetType, says("E-mail.")] = UNSET
    sms: Annotated[ChannelRequest | UnsetType, says("SMS, to the mobile telephone.")] = UNSET
    phone: Annotated[ChannelRequest | UnsetType, says("Calls, to either telephone.")] = UNSET


class ContactRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted of a contact. What is left out stays as it is; what is null is emptied."""

    email: Annotated[str | UnsetType | None, EMAIL] = UNSET
    mobile: Annotated[str | UnsetType | None, MOBILE] = UNSET
    telephone: Annotated[str | UnsetType | None, TELEPHONE] = UNSET
    professional: Annotated[bool | UnsetType, PROFESSIONAL] = UNSET
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


Copy = Annotated[int, msgspec.Meta(ge=0, le=1_000_000), COPY]


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
            in_path=IN_PATH,
            slashes=True,
            answers={200: ContactRecord},
            query=ContactQuery,
            problems=(*OF_ONE, "unknown_contact"),
        ),
        api.Route(
            "PUT",
            "/v1/contacts/{key}",
            handlers.put,
            "Add a contact (201), or change it; another key in the body becomes its key",
            scope="send",
            name="put_contact",
            tag="contacts",
            in_path=IN_PATH,
            slashes=True,
            body=ContactRequest,
            examples={"application/json": _EXAMPLE},
            answers={200: ContactRecord, 201: ContactRecord},
            query=ContactQuery,
            problems=(*OF_ONE, "invalid_contact", "contact_exists"),
        ),
        api.Route(
            "DELETE",
            "/v1/contacts/{key}",
            handlers.erase,
            "Remove a contact, its history and what it did",
            scope="admin",
            name="delete_contact",
            tag="contacts",
            in_path=IN_PATH,
            slashes=True,
            answers={204: None},
            query=ContactQuery,
            problems=(*OF_ONE, "unknown_contact"),
        ),
        api.Route(
            "GET",
            "/v1/contact-changes/{key}",
            handlers.changes,
            "What changed of a contact, when, and by what",
            scope="read",
            name="list_contact_changes",
            tag="contacts",
            in_path=IN_PATH,
            slashes=True,
            answers={200: ContactChangePage},
            query=ChangesQuery,
            problems=(*OF_ONE, "unknown_contact"),
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
            text=folded(asked.q) or None,
            addressable=asked.addressable,
        )
        tenant = request[api.PRINCIPAL].tenant
        found, known = await here(self._contacts).find(tenant, search, asked.tag, asked.limit + 1)
        page, following = paging.cut(found, asked.limit, lambda one: paging.pack(one.number))
        return api.json_answer(ContactPage(contacts=[record(one, known) for one in page], next=following))

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
            raise no_key(fault) from None
        if found is None:
            raise unknown()
        return api.json_answer(record(*found))

    async def put(self, request: web.Request) -> web.StreamResponse:
        contacts = here(self._contacts)
        key, copy = api.path_text(request, "key"), api.query_of(request, ContactQuery).copy
        asked = await api.read_json(request, ContactRequest)
        tenant = request[api.PRINCIPAL].tenant
        try:
            outcome = await contacts.put(tenant, _given(asked, key, "$"), _SOURCE, copy)
        except NotSo as fault:
            raise no_key(fault) from None
        except Misfit as misfit:
            raise Problem("invalid_contact", "the contact does not fit", misfit.faults) from None
        except KeyTaken:
            raise _taken() from None
        if outcome.contact is None:
            raise Problem("invalid_contact", "the contact does not fit", list(outcome.faults))
        known = await contacts.fields(tenant)
        return api.json_answer(record(outcome.contact, known), 201 if outcome.result == "added" else 200)

    async def erase(self, request: web.Request) -> web.StreamResponse:
        key, copy = api.path_text(request, "key"), api.query_of(request, ContactQuery).copy
        try:
            there = await here(self._contacts).erase(request[api.PRINCIPAL].tenant, key, copy)
        except NotSo as fault:
            raise no_key(fault) from None
        if not there:
            raise unknown()
        return web.Response(status=204)

    async def changes(self, request: web.Request) -> web.StreamResponse:
        key, asked = api.path_text(request, "key"), api.query_of(request, ChangesQuery)
        tenant = request[api.PRINCIPAL].tenant
        try:
            found = await here(self._contacts).changes(tenant, key, asked.copy, asked.after, asked.limit + 1)
        except NotSo as fault:
            raise no_key(fault) from None
        if found is None:
            raise unknown()
        page, following = paging.cut(found, asked.limit, lambda one: paging.pack(one.change))
        return api.json_answer(ContactChangePage(changes=[_change(one) for one in page], next=following))


def unknown() -> Problem:
    return Problem("unknown_contact", "there is no such contact")


def no_key(fault: NotSo) -> Problem:
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


def _change(found: Change) -> ContactChange:
    return ContactChange(at=time(found.at) or "", source=found.source, changes=dict(found.what))
