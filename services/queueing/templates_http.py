"""The routes of stored templates: put as versions, listed, read, removed."""

import re
from typing import Annotated

import msgspec
from aiohttp import web

from services.queueing import templates
from services.queueing.template_putting import CHANGES, Putting, TemplatePut
from services.queueing.template_store import Head, InUse, TemplateStore, Version
from services.queueing.templates import TemplateBody
from shared.http import api
from shared.process import logs
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

_IN_PATH = {
    "template": says("The name of the template: letters, digits, `.`, `_` and `-`, 64 at most.", "welcome"),
    "version": says("The number of one of its versions.", "3"),
}
_Name = Annotated[str, says("The name of the template.", "welcome")]
_Number = Annotated[int, says("The number of the version: each change has the next one.", 3)]
_At = Annotated[str, says("When that version was put.", "2026-01-31T09:05:00.123Z")]
_EXAMPLE = {
    "subject": "Bienvenue {{ prenom }}",
    "preheader": "Ravis de vous compter parmi nous",
    "html": "<p>Bonjour {{ prenom }}</p>",
    "language": "fr",
    "translations": {"de": {"subject": "Willkommen {{ prenom }}", "html": "<p>Guten Tag {{ prenom }}</p>"}},
}

_log = logs.get_logger()


class TemplateListed(msgspec.Struct, frozen=True, kw_only=True):
    """A template in the list, by its newest version."""

    name: _Name
    version: _Number
    created_at: _At
    subject: Annotated[str | None, says("Its subject.", "Bienvenue {{ prenom }}")]
    layout: Annotated[str | None, says("The template that it stands in.", "frame")]
    is_layout: Annotated[bool, says("Whether others may stand in it: it has a place for them.", False)]
    languages: Annotated[list[str], says("The languages that it says it has, its own among them.", ["de", "fr"])]
    size_bytes: Annotated[int, says("What its versions take of the quota `stored_bytes`.", 4_711)]


class TemplateList(msgspec.Struct, frozen=True, kw_only=True):
    """All templates of the tenant, by name."""

    templates: Annotated[list[TemplateListed], says("Each with what its newest version says.")]


class TemplateShown(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a template."""

    name: _Name
    version: _Number
    created_at: _At
    content: Annotated[TemplateBody, says("As it was put, and may be put again.")]


class VersionListed(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a template in the list of them."""

    version: _Number
    created_at: _At
    size_bytes: Annotated[int, says("What it takes of the quota `stored_bytes`.", 1_234)]


class VersionList(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of a template that are kept."""

    name: _Name
    versions: Annotated[
        list[VersionListed], says("The newest first, at most 100: the oldest goes when one more comes.")
    ]


def routes(handlers: "TemplateRoutes") -> list[api.Route]:
    return [
        api.Route(
            "GET",
            "/v1/templates",
            handlers.list_all,
            "The stored templates",
            scope="read",
            name="list_templates",
            tag="templates",
            answers={200: TemplateList},
        ),
        api.Route(
            "GET",
            "/v1/templates/{template}",
            handlers.show,
            "A template, in its newest version",
            scope="read",
            name="get_template",
            tag="templates",
            answers={200: TemplateShown},
            problems=["unknown_template"],
            in_path=_IN_PATH,
        ),
        api.Route(
            "PUT",
            "/v1/templates/{template}",
            handlers.put,
            "Stores a template, or a new version of it; it is compiled and tried before, and refused with its faults",
            scope="admin",
            body=TemplateBody,
            examples={"application/json": _EXAMPLE},
            name="put_template",
            tag="templates",
            answers={200: TemplatePut, 201: TemplatePut},
            problems=["invalid_path", "invalid_template", "too_many_templates", "templates_penalised"],
            in_path=_IN_PATH,
        ),
        api.Route(
            "DELETE",
            "/v1/templates/{template}",
            handlers.remove,
            "Removes a template with all its versions; jobs that were made of it keep what they have",
            scope="admin",
            name="delete_template",
            tag="templates",
            answers={204: None},
            problems=["unknown_template", "template_used"],
            in_path=_IN_PATH,
        ),
        api.Route(
            "GET",
            "/v1/templates/{template}/versions",
            handlers.list_versions,
            "The versions of a template",
            scope="read",
            name="list_template_versions",
            tag="templates",
            answers={200: VersionList},
            problems=["unknown_template"],
            in_path=_IN_PATH,
        ),
        api.Route(
            "GET",
            "/v1/templates/{template}/versions/{version}",
            handlers.show_version,
            "A version of a template, which never changes",
            scope="read",
            name="get_template_version",
            tag="templates",
            answers={200: TemplateShown},
            problems=["unknown_template"],
            in_path=_IN_PATH,
        ),
    ]


class TemplateRoutes:
    """Over the store."""

    def __init__(self, store: TemplateStore, putting: Putting) -> None:
        self._store = store
        self._putting = putting

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        heads = await self._store.heads(request[api.PRINCIPAL].tenant)
        return api.json_answer(TemplateList(templates=[listed(name, head) for name, head in heads.items()]))

    async def show(self, request: web.Request) -> web.StreamResponse:
        return await self._shown(request, None)

    async def show_version(self, request: web.Request) -> web.StreamResponse:
        number = request.match_info["version"]
        if not re.fullmatch("[0-9]{1,9}", number):
            raise _unknown()
        return await self._shown(request, int(number))

    async def _shown(self, request: web.Request, number: int | None) -> web.StreamResponse:
        name = request.match_info["template"]
        found = await self._store.find(request[api.PRINCIPAL].tenant, name, number)
        if found is None:
            raise _unknown()
        version, kept = found
        return api.json_answer(
            TemplateShown(
                name=name, version=version.number, created_at=rfc3339(version.at_ms), content=templates.shown(kept)
            )
        )

    async def list_versions(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["template"]
        head = await self._store.head(request[api.PRINCIPAL].tenant, name)
        if head is None:
            raise _unknown()
        return api.json_answer(VersionList(name=name, versions=[_version(one) for one in reversed(head.versions)]))

    async def put(self, request: web.Request) -> web.StreamResponse:
        principal, name = request[api.PRINCIPAL], request.match_info["template"]
        await self._putting.check(principal.tenant, principal.quotas, name)  # before the body is read
        raw = await api.read_json_bytes(request)
        answer, is_new = await self._putting.put(principal.tenant, principal.quotas, name, raw)
        _log.info(
            "template_put", tenant=principal.tenant, template=name, version=answer.version, changed=answer.changed
        )
        return api.json_answer(answer, 201 if is_new else 200)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        tenant, name = request[api.PRINCIPAL].tenant, request.match_info["template"]
        try:
            if not await self._store.remove(tenant, name):
                raise _unknown()
        except InUse as used:
            raise Problem("template_used", f"it is the layout of {', '.join(used.names[:20])}") from None
        CHANGES.labels("removed").inc()
        _log.info("template_removed", tenant=tenant, template=name)
        return web.Response(status=204)


def listed(name: str, head: Head) -> TemplateListed:
    return TemplateListed(
        name=name,
        version=head.newest.number,
        created_at=rfc3339(head.newest.at_ms),
        subject=head.subject or None,
        layout=head.layout or None,
        is_layout=head.is_layout,
        languages=head.languages,
        size_bytes=sum(one.size_bytes for one in head.versions),
    )


def _version(one: Version) -> VersionListed:
    return VersionListed(version=one.number, created_at=rfc3339(one.at_ms), size_bytes=one.size_bytes)


def _unknown() -> Problem:
    return Problem("unknown_template", "there is no such template, or not in that version")
