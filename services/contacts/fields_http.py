"""The routes of fields: what contacts of a tenant have, and which field tells them apart."""

from typing import Annotated

import msgspec
from aiohttp import web

from services.contacts.base import fields as kinds
from services.contacts.base.contact import Misfit
from services.contacts.base.fields import Field, Kind
from services.contacts.base.store import Tenant
from services.contacts.field_book import FieldBook, InUse
from services.contacts.http import here
from shared.http import api
from shared.words.described import says
from shared.words.errors import Problem

_IN_PATH = {"field": says("The name of the field, as segments and templates say it.", "sector")}
_KIND = says(
    "What its values are: `text`, `number`, `date`; `choice`, one of its words; `choices`, several of them; `yes_no`.",
    "choice",
)
_LABEL = says("What people see of it; empty: its name.", "Sector", max_length=kinds.MAX_LABEL_CHARS)
_KEY_FIELD = says("Which field it is: `email`, `mobile`, or the name of a text field.", "email")
_DUPLICATES = says("Whether contacts may share their key.", False)


class ChoiceOfField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word that can be chosen."""

    value: Annotated[str, says("The word, as contacts have it.", "retail", max_length=kinds.MAX_CHOICE_CHARS)]
    label: Annotated[
        str, says("What people see of it; empty: the word.", "Retail trade", max_length=kinds.MAX_LABEL_CHARS)
    ] = ""


class FieldRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a field shall be. Its kind never changes."""

    kind: Annotated[Kind, _KIND]
    label: Annotated[str, _LABEL] = ""
    choices: Annotated[
        list[ChoiceOfField] | None,
        says(
            "Every word that can be chosen, of the kinds `choice` and `choices`. Words can be added, and none can be "
            "left out that is there. Null: they stay as they are."
        ),
    ] = None


class ContactField(msgspec.Struct, frozen=True, kw_only=True):
    """A field."""

    name: Annotated[str, says("Its name.", "sector")]
    kind: Annotated[Kind, _KIND]
    label: Annotated[str, _LABEL]
    choices: Annotated[list[ChoiceOfField], says("Its words; none of kinds that have none of their own.")]
    built_in: Annotated[bool, says("Whether every tenant has it.", False)]


class ContactFields(msgspec.Struct, frozen=True, kw_only=True):
    """All fields, in the order in which they were made. `email`, `mobile` and `telephone` are none of them: every
    contact has these."""

    fields: Annotated[list[ContactField], says("The fields.")]
    key_field: Annotated[str, _KEY_FIELD]
    duplicates: Annotated[bool, _DUPLICATES]


class ContactKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How contacts are told apart: the key of uniqueness."""

    key_field: Annotated[str, _KEY_FIELD] = "email"
    duplicates: Annotated[bool, _DUPLICATES] = False


def routes(book: FieldBook | None) -> list[api.Route]:
    """None: this installation has no contacts."""
    handlers = _Routes(book)
    return [
        api.Route(
            "GET",
            "/v1/fields",
            handlers.list_all,
            "The fields that contacts have",
            scope="read",
            name="list_fields",
            tag="contacts",
            answers={200: ContactFields},
            problems=("contacts_disabled",),
        ),
        api.Route(
            "GET",
            "/v1/fields/{field}",
            handlers.get,
            "A field",
            scope="read",
            name="get_field",
            tag="contacts",
            in_path=_IN_PATH,
            answers={200: ContactField},
            problems=("invalid_path", "unknown_field", "contacts_disabled"),
        ),
        api.Route(
            "PUT",
            "/v1/fields/{field}",
            handlers.put,
            "Make a field (201), or change its label and words",
            scope="admin",
            name="put_field",
            tag="contacts",
            in_path=_IN_PATH,
            body=FieldRequest,
            examples={
                "application/json": {
                    "kind": "choice",
                    "label": "Sector",
                    "choices": [{"value": "retail", "label": "Retail trade"}, {"value": "industry"}],
                }
            },
            answers={200: ContactField, 201: ContactField},
            problems=("invalid_path", "invalid_field", "in_use", "contacts_disabled"),
        ),
        api.Route(
            "DELETE",
            "/v1/fields/{field}",
            handlers.remove,
            "Remove a field: what contacts have in it is not shown any more",
            scope="admin",
            name="delete_field",
            tag="contacts",
            in_path=_IN_PATH,
            answers={204: None},
            problems=("invalid_path", "unknown_field", "in_use", "contacts_disabled"),
        ),
        api.Route(
            "PUT",
            "/v1/contact-key",
            handlers.set_key,
            "Say by which field contacts are told apart: before the first one",
            scope="admin",
            name="set_contact_key",
            tag="contacts",
            body=ContactKey,
            examples={"application/json": {"key_field": "email", "duplicates": False}},
            answers={200: ContactKey},
            problems=("invalid_field", "in_use", "contacts_disabled"),
        ),
    ]


class _Routes:
    def __init__(self, book: FieldBook | None) -> None:
        self._book = book

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        fields, tenant = await here(self._book).all(request[api.PRINCIPAL].tenant)
        shown = [_shown(one) for one in fields.values()]
        return api.json_answer(ContactFields(fields=shown, key_field=tenant.key_field, duplicates=tenant.duplicates))

    async def get(self, request: web.Request) -> web.StreamResponse:
        name = api.path_text(request, "field")
        fields, _ = await here(self._book).all(request[api.PRINCIPAL].tenant)
        if name not in fields:
            raise _unknown()
        return api.json_answer(_shown(fields[name]))

    async def put(self, request: web.Request) -> web.StreamResponse:
        book, name = here(self._book), api.path_text(request, "field")
        asked = await api.read_json(request, FieldRequest)
        try:
            is_new, field = await book.put(
                request[api.PRINCIPAL].tenant,
                name,
                asked.kind,
                asked.label,
                None if asked.choices is None else [(one.value, one.label) for one in asked.choices],
            )
        except Misfit as misfit:
            raise _misfit(misfit) from None
        except InUse as why:
            raise Problem("in_use", str(why)) from None
        return api.json_answer(_shown(field), 201 if is_new else 200)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        book, name = here(self._book), api.path_text(request, "field")
        try:
            if not await book.remove(request[api.PRINCIPAL].tenant, name):
                raise _unknown()
        except InUse as why:
            raise Problem("in_use", str(why)) from None
        return web.Response(status=204)

    async def set_key(self, request: web.Request) -> web.StreamResponse:
        book = here(self._book)
        asked = await api.read_json(request, ContactKey)
        try:
            tenant = await book.set_key(request[api.PRINCIPAL].tenant, asked.key_field, duplicates=asked.duplicates)
        except Misfit as misfit:
            raise _misfit(misfit) from None
        except InUse as why:
            raise Problem("in_use", str(why)) from None
        return api.json_answer(_key(tenant))


def _unknown() -> Problem:
    return Problem("unknown_field", "there is no such field")


def _misfit(misfit: Misfit) -> Problem:
    if misfit.faults[0].at == "field":
        return Problem("invalid_path", "the path does not fit", misfit.faults)
    return Problem("invalid_field", "the field does not fit", misfit.faults)


def _key(tenant: Tenant) -> ContactKey:
    return ContactKey(key_field=tenant.key_field, duplicates=tenant.duplicates)


def _shown(field: Field) -> ContactField:
    words = () if field.kind == "yes_no" else field.choices
    return ContactField(
        name=field.name,
        kind=field.kind,
        label=field.label,
        choices=[ChoiceOfField(word, field.labels.get(word, "")) for word in words],
        built_in=field.built_in,
    )
