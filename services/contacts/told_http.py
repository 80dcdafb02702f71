"""The routes of what is told of contacts, one by one."""

from aiohttp import web

from services.contacts.base import store
from services.contacts.base.database import Database
from services.contacts.http import here
from services.contacts.outbox.noting import Wishes
from services.contacts.outbox.wanted import ContactEvents
from shared.http import api


def routes(database: Database | None) -> list[api.Route]:
    """None: this installation has no contacts."""
    handlers = _Routes(database)
    return [
        api.Route(
            "GET",
            "/v1/contact-events",
            handlers.show,
            "Of which contacts events tell",
            scope="read",
            name="get_contact_events",
            tag="contacts",
            answers={200: ContactEvents},
            problems=("contacts_disabled",),
        ),
        api.Route(
            "PUT",
            "/v1/contact-events",
            handlers.set,
            "Say of which contacts events tell; what is left out is as it is at first",
            scope="admin",
            body=ContactEvents,
            name="set_contact_events",
            tag="contacts",
            answers={200: ContactEvents},
            problems=("contacts_disabled",),
        ),
    ]


class _Routes:
    def __init__(self, database: Database | None) -> None:
        self._database = database
        self._wishes = None if database is None else Wishes(database)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(await here(self._wishes).of(await self._tenant(request)))

    async def set(self, request: web.Request) -> web.StreamResponse:
        wishes = here(self._wishes)
        wanted = await api.read_json(request, ContactEvents)
        await wishes.set(await self._tenant(request), wanted)
        return api.json_answer(wanted)

    async def _tenant(self, request: web.Request) -> int:
        async with here(self._database).transaction() as sql:
            return (await store.tenant(sql, request[api.PRINCIPAL].tenant)).number
