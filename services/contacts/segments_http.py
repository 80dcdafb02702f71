"""The routes of segments: saved, changed, counted, sampled. Criteria are read in `services/contacts/segments`."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from prometheus_client import Histogram

from services.contacts.base.database import Database
from services.contacts.base.fields import Kind
from services.contacts.base.store import fields as fields_of
from services.contacts.base.store import tenant as tenant_of
from services.contacts.http import here
from services.contacts.segments import language, store
from services.contacts.segments.checking import COLUMNS, TESTS
from services.contacts.segments.language import Criterion
from services.contacts.segments.store import NotThere, Saved, Version
from shared.http import api
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

COUNT_SECONDS = Histogram(
    "estafette_contacts_segment_count_seconds",
    "How long the count of a segment took",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
MAX_SAMPLE = 1_000
_NUMBER = says("The number of the segment.", 3)
_NAME = says("What people call it.", "Paris, did not open the sales", max_length=store.MAX_NAME_CHARS)
_CRITERIA = says("Who belongs: one criterion, or several in a node.", store.EXAMPLE)
_IN_PATH = {"segment": says("The number of the segment.", "3")}


class SegmentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a segment shall be."""

    name: Annotated[str, _NAME]
    criteria: Annotated[Criterion, _CRITERIA]


class CriteriaRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is counted. A saved segment is a criterion of kind `segment`."""

    criteria: Annotated[Criterion, _CRITERIA]


class SampleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of whom some are shown."""

    criteria: Annotated[Criterion, _CRITERIA]
    limit: Annotated[int, says("How many at most.", 10), msgspec.Meta(ge=1, le=MAX_SAMPLE)] = 10
    seed: Annotated[
        int, says("Another number shows others; the same one the same.", 1), msgspec.Meta(ge=0, le=2**31 - 1)
    ] = 0


class SegmentShown(msgspec.Struct, frozen=True, kw_only=True):
    """A segment as it is in force."""

    segment: Annotated[int, _NUMBER]
    name: Annotated[str, _NAME]
    version: Annotated[int, says("Which version is in force: each change of the criteria makes another.", 2)]
    criteria: Annotated[Criterion, _CRITERIA]
    uses: Annotated[list[int], says("The segments that its criteria name.", [])]
    changed: Annotated[str, says("Since when this version is in force.", "2026-01-31T09:05:00.123Z")]
    built_in: Annotated[bool, says("Whether every tenant has it; it stays as it is.", False)]


class SegmentList(msgspec.Struct, frozen=True):
    """Every segment of the tenant."""

    segments: Annotated[list[SegmentShown], says("By name.")]


class SegmentCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many contacts belong, and how many of them a marketing message may reach, by channel."""

    contacts: Annotated[int, says("Contacts.", 12_480)]
    email: Annotated[int, says("Of them, addressable by e-mail.", 11_902)]
    sms: Annotated[int, says("Of them, addressable by SMS.", 5_200)]
    phone: Annotated[int, says("Of them, addressable by telephone.", 3_114)]


class SampledContact(msgspec.Struct, frozen=True, kw_only=True):
    """One who belongs."""

    key: Annotated[str, says("Their key of uniqueness.", "ana@exemple.fr")]
    copy: Annotated[int, says("Which of the contacts that share the key, from 0.", 0)]
    email: Annotated[str | None, says("Their address.", "ana@exemple.fr")]


class SegmentSample(msgspec.Struct, frozen=True):
    """Some who belong, in no order that means anything."""

    contacts: Annotated[list[SampledContact], says("The contacts.")]


class SegmentVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Criteria as they were, or are."""

    version: Annotated[int, says("Its number, from 1.", 2)]
    criteria: Annotated[Criterion, _CRITERIA]
    made_at: Annotated[str, says("Since when it was in force.", "2026-01-31T09:05:00.123Z")]


class SegmentVersions(msgspec.Struct, frozen=True):
    """Every version that a segment had."""

    versions: Annotated[list[SegmentVersion], says("The latest first.")]


class SegmentField(msgspec.Struct, frozen=True, kw_only=True):
    """A field that a criterion may be about."""

    name: Annotated[str, says("Its name, as a criterion says it.", "postcode")]
    kind: Annotated[Kind, says("What its values are.", "text")]
    label: Annotated[str, says("What people see of it; empty: its name.", "Postcode")]
    choices: Annotated[list[str], says("Its words, if it has some.", [])]


class SegmentSchema(msgspec.Struct, frozen=True, kw_only=True):
    """What a screen needs to build segments on."""

    language: Annotated[
        dict[str, Any],
        says("JSON Schema (2020-12) of criteria, with a sentence for everything.", {"$ref": "#/$defs/Criterion"}),
    ]
    tests: Annotated[
        dict[str, list[str]],
        says("By kind of field how a criterion may compare it.", {"yes_no": ["equals", "differs", "empty"]}),
    ]
    fields: Annotated[list[SegmentField], says("What every contact has, then the fields of the tenant.")]


# The criteria are read by their language, which tells of every fault at once.


class _SegmentGiven(SegmentRequest, frozen=True, forbid_unknown_fields=True):
    criteria: Any


class _CriteriaGiven(CriteriaRequest, frozen=True, forbid_unknown_fields=True):
    criteria: Any


class _SampleGiven(SampleRequest, frozen=True, forbid_unknown_fields=True):
    criteria: Any


def routes(database: Database | None, now_ms: Callable[[], int]) -> list[api.Route]:
    """None: this installation has no contacts."""
    handlers = _Routes(database, now_ms)
    return [*_of_saved(handlers), *_that_change(handlers), *_of_criteria(handlers)]


def _of_saved(handlers: "_Routes") -> list[api.Route]:
    return [
        api.Route(
            "GET",
            "/v1/segments",
            handlers.list_all,
            "The segments of the tenant",
            scope="read",
            name="list_segments",
            tag="segments",
            answers={200: SegmentList},
            problems=("contacts_disabled",),
        ),
        api.Route(
            "GET",
            "/v1/segments/schema",
            handlers.schema,
            "What segments may be made of: the language of criteria, and the fields with how each may be compared",
            scope="read",
            name="get_segment_schema",
            tag="segments",
            answers={200: SegmentSchema},
            problems=("contacts_disabled",),
        ),
        api.Route(
            "GET",
            "/v1/segments/{segment}/versions",
            handlers.versions,
            "Every version of a segment",
            scope="read",
            name="list_segment_versions",
            tag="segments",
            in_path=_IN_PATH,
            answers={200: SegmentVersions},
            problems=("unknown_segment", "contacts_disabled"),
        ),
        api.Route(
            "GET",
            "/v1/segments/{segment}",
            handlers.get,
            "A segment as it is in force",
            scope="read",
            name="get_segment",
            tag="segments",
            in_path=_IN_PATH,
            answers={200: SegmentShown},
            problems=("unknown_segment", "contacts_disabled"),
        ),
    ]


def _that_change(handlers: "_Routes") -> list[api.Route]:
    return [
        api.Route(
            "POST",
            "/v1/segments",
            handlers.create,
            "Save a segment",
            scope="admin",
            name="create_segment",
            tag="segments",
            body=SegmentRequest,
            answers={201: SegmentShown},
            problems=("invalid_segment", "contacts_disabled"),
        ),
        api.Route(
            "PUT",
            "/v1/segments/{segment}",
            handlers.change,
            "Change a segment: other criteria are another version",
            scope="admin",
            name="change_segment",
            tag="segments",
            in_path=_IN_PATH,
            body=SegmentRequest,
            answers={200: SegmentShown},
            problems=("unknown_segment", "invalid_segment", "segment_kept", "contacts_disabled"),
        ),
        api.Route(
            "DELETE",
            "/v1/segments/{segment}",
            handlers.archive,
            "Archive a segment: it is used no more, its versions stay",
            scope="admin",
            name="archive_segment",
            tag="segments",
            in_path=_IN_PATH,
            answers={204: None},
            problems=("unknown_segment", "segment_kept", "contacts_disabled"),
        ),
    ]


def _of_criteria(handlers: "_Routes") -> list[api.Route]:
    return [
        api.Route(
            "POST",
            "/v1/segments/count",
            handlers.count,
            "How many contacts belong, and how many of them are addressable by each channel",
            scope="read",
            name="count_segment",
            tag="segments",
            body=CriteriaRequest,
            answers={200: SegmentCount},
            problems=("invalid_segment", "contacts_disabled"),
        ),
        api.Route(
            "POST",
            "/v1/segments/sample",
            handlers.sample,
            "Some of the contacts who belong",
            scope="read",
            name="sample_segment",
            tag="segments",
            body=SampleRequest,
            answers={200: SegmentSample},
            problems=("invalid_segment", "contacts_disabled"),
        ),
    ]


class _Routes:
    def __init__(self, database: Database | None, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        database = here(self._database)
        tenant = await self._tenant(database, request)
        async with database.transaction() as sql:
            return api.json_answer(SegmentList([_shown(one) for one in await store.saved(sql, tenant)]))

    async def create(self, request: web.Request) -> web.StreamResponse:
        database, given = here(self._database), await api.read_json(request, _SegmentGiven)
        tenant = await self._tenant(database, request)
        async with database.transaction() as sql:
            saved = await store.create(sql, tenant, given.name, given.criteria, request[api.PRINCIPAL].tenant)
        return api.json_answer(_shown(saved), 201)

    async def get(self, request: web.Request) -> web.StreamResponse:
        database = here(self._database)
        tenant = await self._tenant(database, request)
        async with database.transaction() as sql:
            try:
                return api.json_answer(_shown(await store.get(sql, tenant, _number(request))))
            except NotThere:
                raise _unknown() from None

    async def schema(self, request: web.Request) -> web.StreamResponse:
        database = here(self._database)
        tenant = await self._tenant(database, request)
        async with database.transaction() as sql:
            own = await fields_of(sql, tenant)
        every = [SegmentField(name=name, kind=kind, label="", choices=[]) for name, (kind, _) in COLUMNS.items()]
        theirs = [
            SegmentField(name=one.name, kind=one.kind, label=one.label, choices=list(one.choices))
            for one in own.values()
        ]
        tests: dict[str, list[str]] = {kind: list(known) for kind, known in TESTS.items()}
        return api.json_answer(SegmentSchema(language=language.schema(), tests=tests, fields=[*every, *theirs]))

    async def versions(self, request: web.Request) -> web.StreamResponse:
        database = here(self._database)
        tenant = await self._tenant(database, request)
        async with database.transaction() as sql:
            try:
                found = await store.versions(sql, tenant, _number(request))
            except NotThere:
                raise _unknown() from None
        return api.json_answer(SegmentVersions([_version(one) for one in found]))

    async def change(self, request: web.Request) -> web.StreamResponse:
        database, number = here(self._database), _number(request)
        given = await api.read_json(request, _SegmentGiven)
        tenant = await self._tenant(database, request)
        async with database.transaction() as sql:
            try:
                saved = await store.change(
                    sql, tenant, number, given.name, given.criteria, request[api.PRINCIPAL].tenant
                )
            except NotThere:
                raise _unknown() from None
        return api.json_answer(_shown(saved))

    async def archive(self, request: web.Request) -> web.StreamResponse:
        database = here(self._database)
        tenant = await self._tenant(database, request)
        async with database.transaction() as sql:
            try:
                await store.archive(sql, tenant, _number(request))
            except NotThere:
                raise _unknown() from None
        return web.Response(status=204)

    async def count(self, request: web.Request) -> web.StreamResponse:
        database, given = here(self._database), await api.read_json(request, _CriteriaGiven)
        with COUNT_SECONDS.time():
            tenant = await self._tenant(database, request)
            async with database.transaction(repeatable=True) as sql:
                criterion = store.read(given.criteria, await store.known(sql, tenant))
                found = await store.count(sql, tenant, criterion, self._now())
        return api.json_answer(
            SegmentCount(contacts=found.contacts, email=found.email, sms=found.sms, phone=found.phone)
        )

    async def sample(self, request: web.Request) -> web.StreamResponse:
        database, given = here(self._database), await api.read_json(request, _SampleGiven)
        tenant = await self._tenant(database, request)
        async with database.transaction(repeatable=True) as sql:
            criterion = store.read(given.criteria, await store.known(sql, tenant))
            numbers = await store.sample(sql, tenant, criterion, self._now(), given.limit, given.seed)
            found = await store.called(sql, tenant, numbers)
        return api.json_answer(
            SegmentSample([SampledContact(key=row["key"], copy=row["copy"], email=row["email"]) for row in found])
        )

    async def _tenant(self, database: Database, request: web.Request) -> int:
        """The number of who asks; their built-in segments are there from now on."""
        async with database.transaction() as sql:
            number = (await tenant_of(sql, request[api.PRINCIPAL].tenant)).number
            await store.make_built_in(sql, number)
        return number

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ms() / 1000, UTC)


def _number(request: web.Request) -> int:
    text = request.match_info["segment"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _unknown()
    return int(text)


def _unknown() -> Problem:
    return Problem("unknown_segment", "there is no such segment")


def _version(found: Version) -> SegmentVersion:
    return SegmentVersion(
        version=found.version, criteria=found.criterion, made_at=rfc3339(int(found.made_at.timestamp() * 1000))
    )


def _shown(saved: Saved) -> SegmentShown:
    return SegmentShown(
        segment=saved.segment,
        name=saved.name,
        version=saved.version,
        criteria=saved.criterion,
        uses=saved.uses,
        changed=rfc3339(int(saved.made_at.timestamp() * 1000)),
        built_in=saved.made_by == store.BUILT_IN_BY,
    )
