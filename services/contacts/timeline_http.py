"""The route of a contact's timeline: what happened to them, and what they did."""

from typing import Annotated

import msgspec
from aiohttp import web

from services.contacts.base.fields import NotSo
from services.contacts.behaviour.timeline import LATEST, WORDS, Moment, Place
from services.contacts.contacts import Contacts
from services.contacts.http import IN_PATH, OF_ONE, Copy, here, no_key, unknown
from services.contacts.shown import time
from shared.http import api, paging
from shared.http.query import Read
from shared.words.described import says

_CURSOR = "ks8ABjh6vFDYAM8"
_WORD = says(
    f"What happened: {', '.join(f'`{word}`' for word in WORDS.values())}. Newer programs may say others.", "clicked"
)


class TimelineOperation(msgspec.Struct, frozen=True, kw_only=True):
    """A job, or all jobs that share a word."""

    key: Annotated[str, says("The job's id, or the word: what criteria name it by.", "068vjfm5s9m2rc1jqqrg")]
    name: Annotated[str, says("The subject of the job as it was written, or the word.", "Soldes d'hiver")]
    kind: Annotated[str, says("`email`, `sms`, `survey` or `form`.", "email")]


class TimelineMoment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the contact, or that they did."""

    at: Annotated[str, says("When.", "2026-02-03T10:00:00.000Z")]
    what: Annotated[str, _WORD]
    operation: Annotated[TimelineOperation | None, says("In which operation; null: in none that is known.")]
    url: Annotated[
        str | None, says("What was clicked, or the page that was seen; null otherwise.", "https://exemple.fr/soldes")
    ]
    position: Annotated[int | None, says("The place in the HTML of the link that was clicked, from 0.", 2)]
    event: Annotated[str | None, says("The name of an event on the tenant's site; null otherwise.", "purchase")]
    bounce: Annotated[str | None, says("Of a bounce: `hard`, `soft` or `block`; null otherwise.", "hard")]
    machine: Annotated[bool, says("Whether a machine did it, as far as was found out until now.", False)]


class TimelinePage(msgspec.Struct, frozen=True, kw_only=True):
    """The latest first."""

    moments: Annotated[list[TimelineMoment], says("What happened, of this page.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


def _place(text: str) -> Place:
    place = Place(*paging.unpack(text, tuple[int, int]))
    if not (0 <= place.us <= LATEST.us and -(2**63) <= place.event < 2**63):
        raise paging.InvalidCursor
    return place


class TimelineQuery(msgspec.Struct, frozen=True):
    """Which part of it is shown."""

    after: Annotated[Place, paging.after(_CURSOR), Read(_place)] = LATEST
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    copy: Copy = 0


def routes(contacts: Contacts | None) -> list[api.Route]:
    """None: this installation has no contacts."""
    handlers = _Routes(contacts)
    return [
        api.Route(
            "GET",
            "/v1/contact-timeline/{key}",
            handlers.show,
            "What happened to a contact, and what they did, the latest first",
            scope="read",
            name="list_contact_timeline",
            tag="contacts",
            in_path=IN_PATH,
            slashes=True,
            answers={200: TimelinePage},
            query=TimelineQuery,
            problems=(*OF_ONE, "unknown_contact"),
        ),
    ]


class _Routes:
    def __init__(self, contacts: Contacts | None) -> None:
        self._contacts = contacts

    async def show(self, request: web.Request) -> web.StreamResponse:
        key, asked = api.path_text(request, "key"), api.query_of(request, TimelineQuery)
        tenant = request[api.PRINCIPAL].tenant
        try:
            found = await here(self._contacts).timeline(tenant, key, asked.copy, asked.after, asked.limit + 1)
        except NotSo as fault:
            raise no_key(fault) from None
        if found is None:
            raise unknown()
        page, following = paging.cut(found, asked.limit, lambda one: paging.pack(tuple(one.place)))
        return api.json_answer(TimelinePage(moments=[_shown(one) for one in page], next=following))


def _shown(one: Moment) -> TimelineMoment:
    operation = one.operation
    return TimelineMoment(
        at=time(one.at) or "",
        what=one.word,
        operation=None
        if operation is None
        else TimelineOperation(key=operation.key, name=operation.name, kind=operation.kind),
        url=one.text if one.word in ("clicked", "page_seen") else None,
        position=one.position,
        event=one.text if one.word == "event" else None,
        bounce=one.text if one.word == "bounced" else None,
        machine=one.machine,
    )
