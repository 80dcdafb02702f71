"""The routes of a tenant's look: what its pages show to recipients."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from shared.http import api
from shared.redis.looks import Looks
from shared.words import consent, look
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.look import Look

_EXAMPLE = {
    "name": "Chouette",
    "logo": "https://exemple.fr/logo.png",
    "accent": "#7a1f3d",
    "accent_dark": "#f2a7bf",
    "contact": "Chouette SA, 1 rue du Bac, Paris · contact@exemple.fr",
    "language": "fr",
    "lists": [{"name": "newsletter", "title": "La lettre du mois"}],
    "channels": ["sms"],
}


class OfferedList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list that everybody may join on the page of preferences."""

    name: Annotated[str, says("The name of the list, as jobs have it in `list`.", "newsletter")]
    title: Annotated[str, says("What recipients call it.", "La lettre du mois")]


class LookBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the pages of recipients look. What is empty is ours. A page loads nothing but the logo, and runs nothing."""

    name: Annotated[str, says("Who writes, as recipients know them. Up to 100 characters.", "Chouette")] = ""
    logo: Annotated[
        str,
        says(
            "An address that begins with `https://`, which browsers of recipients then ask; or a picture of up to "
            "64 kB as `data:image/png;base64,…` (png, jpeg, gif, webp).",
            "https://exemple.fr/logo.png",
        ),
    ] = ""
    accent: Annotated[
        str, says("The colour of buttons, `#rrggbb`: its contrast with white is at least 3:1.", "#7a1f3d")
    ] = ""
    accent_dark: Annotated[
        str,
        says("The same where the reader prefers dark: with #1b2024. Empty: `accent`, if it fits.", "#f2a7bf"),
    ] = ""
    contact: Annotated[
        str, says("Below each page. Up to 300 characters.", "1 rue du Bac, Paris · contact@exemple.fr")
    ] = ""
    language: Annotated[
        str,
        says(
            "In which the pages are where neither the recipient's metadata (`language`) nor the mail (`lang` of its "
            "HTML) says so: `fr`, `en`, `de`, `es`, `it`, `nl` or `pt`. Empty: as the browser asks.",
            "fr",
        ),
    ] = ""
    lists: Annotated[list[OfferedList], says("Lists that everybody may join on the page, up to 16.")] = []
    channels: Annotated[
        list[Literal["sms", "phone"]],
        says("By what the tenant reaches people beside e-mail: the page asks of these channels, too.", ["sms"]),
    ] = []


def routes(looks: Looks) -> list[api.Route]:
    handlers = _Routes(looks)
    return [
        api.Route(
            "GET",
            "/v1/look",
            handlers.show,
            "How the pages of recipients look",
            scope="read",
            name="get_look",
            tag="consents",
            answers={200: LookBody},
        ),
        api.Route(
            "PUT",
            "/v1/look",
            handlers.put,
            "Changes how the pages of recipients look, within a second; all of it at once",
            scope="admin",
            body=LookBody,
            name="put_look",
            tag="consents",
            answers={200: LookBody},
            examples={"application/json": _EXAMPLE},
        ),
        api.Route(
            "DELETE",
            "/v1/look",
            handlers.delete,
            "Takes back whatever was chosen: the pages look like ours",
            scope="admin",
            name="delete_look",
            tag="consents",
            answers={204: None},
        ),
    ]


class _Routes:
    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(_shown(await self._looks.of(request[api.PRINCIPAL].tenant)))

    async def put(self, request: web.Request) -> web.StreamResponse:
        wanted = await api.read_json(request, LookBody)
        chosen = Look(
            name=wanted.name,
            logo=wanted.logo,
            accent=wanted.accent.lower(),
            accent_dark=wanted.accent_dark.lower(),
            contact=wanted.contact,
            language=wanted.language,
            lists=tuple((one.name, one.title) for one in wanted.lists),
            channels=tuple(one for one in consent.CHANNELS if one in wanted.channels),
        )
        if faults := look.faults(chosen):
            raise Problem("invalid_body", "the body does not fit", [Fault(f"$.{at}", what) for at, what in faults])
        await self._looks.put(request[api.PRINCIPAL].tenant, chosen)
        return api.json_answer(_shown(chosen))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        await self._looks.delete(request[api.PRINCIPAL].tenant)
        return web.Response(status=204)


def _shown(chosen: Look) -> LookBody:
    return LookBody(
        name=chosen.name,
        logo=chosen.logo,
        accent=chosen.accent,
        accent_dark=chosen.accent_dark,
        contact=chosen.contact,
        language=chosen.language,
        lists=[OfferedList(name, title) for name, title in chosen.lists],
        channels=[one for one in chosen.channels if one != "email"],
    )
