"""The routes of rules: each tenant's own, and those of the operator, which hold for every tenant."""

import asyncio
import codecs
from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

import msgspec
from aiohttp import web

from services.suppression import rule_files
from services.suppression.rules import By, Changed, Rules
from shared.http import api, paging
from shared.http.query import Read
from shared.mail import addresses
from shared.process import logs
from shared.redis.rules import EVERYBODY
from shared.words import quotas, rules
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.rules import Channel, InvalidRule, Named, Scope
from shared.words.times import rfc3339

#: Of a file: 10,000 rules with a note on each.
MAX_FILE_BYTES = 4_000_000
#: In which a file may be written, where Content-Type says so; else it is UTF-8.
CHARSETS = ("utf-8", "utf-16", "windows-1252", "iso-8859-1")
#: And how it may be laid out.
_READ = {"text/plain": rule_files.read_text, "text/csv": rule_files.read_csv}
_MAX_SHOWN_CHARS = 100

_log = logs.get_logger()
_CURSOR = "rSpAZXhlbXBsZS5mcg"
_CSV_EXAMPLE = "pattern,channels,scope,note\ncontact@*,email,marketing,nobody's own\n*@exemple.fr,email sms,all,\n"
_IN_PATH = {"pattern": says("The rule, percent-encoded where a URL needs it.", "*@exemple.fr")}


class RuleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the rule shall stop; everything has a default, so the body may be left out."""

    channels: Annotated[
        list[Channel] | None,
        says(
            "By which channels nothing is sent: `email`, `sms` or both; null: by e-mail, or by SMS if the rule is a "
            "telephone number.",
            ["email", "sms"],
        ),
    ] = None
    scope: Annotated[Scope, says("`all` that is sent, or `marketing` alone (the stream `bulk`).", "all")] = "all"
    note: Annotated[str, says("What is kept with it.", "asked by their lawyer", max_length=rules.MAX_NOTE_CHARS)] = ""


class SuppressionRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of who must not be mailed: `*@exemple.fr` is everybody of that domain, `*@*.exemple.fr` of those below it,
    `contact@*` that name at any domain; an address or a telephone number is itself."""

    pattern: Annotated[str, says("Whom it concerns.", "*@exemple.fr")]
    channels: Annotated[list[Channel], says("By which channels nothing is sent to them.", ["email"])]
    scope: Annotated[Scope, says("What is not sent: `all`, or `marketing` alone.", "all")]
    note: Annotated[str, says("What was written beside it.", "asked by their lawyer")]
    since: Annotated[str, says("When it was made.", "2026-01-31T09:05:00.123Z")]


class SuppressionRulePage(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of their patterns."""

    rules: Annotated[list[SuppressionRule], says("The rules of this page.")]
    total: Annotated[int, says("How many rules there are in all.", 1)]
    limit: Annotated[int, says("How many there may be: the quota `rules`.", 10_000)]
    next: Annotated[str | None, paging.following(_CURSOR)]


class ImportedRules(msgspec.Struct, frozen=True, kw_only=True):
    """All rules of the file are in force."""

    added: Annotated[int, says("How many are new.", 2)]
    changed: Annotated[int, says("How many were there, and are for something else now.", 0)]
    unchanged: Annotated[int, says("How many were there just so.", 0)]
    removed: Annotated[int, says("How many are gone, with `replace` alone.", 0)]


def _address(text: str) -> str:
    try:
        return addresses.parse(text).key
    except addresses.InvalidAddress as fault:
        raise ValueError(f"not an address: {fault}") from fault


class RuleQuery(msgspec.Struct, frozen=True):
    """Which rules are shown."""

    after: Annotated[str, paging.after(_CURSOR), Read(lambda text: paging.unpack(text, str))] = ""
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    matching: Annotated[
        str, says("Those that concern this address alone, the narrowest first.", "ana@exemple.fr"), Read(_address)
    ] = ""


class ImportQuery(msgspec.Struct, frozen=True):
    """What becomes of the rules that are there."""

    replace: Annotated[bool, says("Whether rules that are not in the file are taken away.", True)] = False


def routes(store: Rules, defaults: Mapping[str, int], now_ms: Callable[[], int]) -> list[api.Route]:
    """`defaults`: the quotas of a tenant that has none of its own."""
    own = _Routes(store, defaults, now_ms, of_everybody=False)
    of_everybody = _Routes(store, defaults, now_ms, of_everybody=True)
    return [
        *_of_all(own, _OWN),
        *_of_one(own, _OWN),
        *_of_all(of_everybody, _OF_EVERYBODY),
        *_of_one(of_everybody, _OF_EVERYBODY),
    ]


class _Whose(NamedTuple):
    """What tells the routes of a tenant's rules from those of the operator's."""

    path: str
    prefix: str
    read: str
    write: str
    tag: str
    whose: str


_OWN = _Whose("/v1/suppression-rules", "", "read", "suppress", "suppressions", "of the tenant")
_OF_EVERYBODY = _Whose(
    "/v1/installation/suppression-rules", "installation_", "operator", "operator", "operator", "for all"
)


def _of_all(handlers: "_Routes", of: _Whose) -> list[api.Route]:
    path, prefix, read, write, tag, whose = of
    return [
        api.Route(
            "GET",
            path,
            handlers.list_all,
            f"The rules of who must not be mailed, {whose}, page by page",
            scope=read,
            name=f"list_{prefix}suppression_rules",
            tag=tag,
            answers={200: SuppressionRulePage},
            query=RuleQuery,
        ),
        api.Route(
            "GET",
            f"{path}/export",
            handlers.export,
            f"All rules {whose} as CSV, which an import reads back unchanged",
            scope=read,
            name=f"export_{prefix}suppression_rules",
            tag=tag,
            answers={200: "text/csv"},
        ),
        api.Route(
            "POST",
            f"{path}/import",
            handlers.take_in,
            f"Put rules {whose} from a file, all or none: text with one on each line, or CSV with the columns pattern, "
            "channels, scope and note",
            scope=write,
            body_media=("text/csv", "text/plain"),
            examples={"text/csv": _CSV_EXAMPLE, "text/plain": "contact@*\n*@exemple.fr\n"},
            name=f"import_{prefix}suppression_rules",
            tag=tag,
            answers={200: ImportedRules},
            problems=("invalid_rule",),
            query=ImportQuery,
        ),
    ]


def _of_one(handlers: "_Routes", of: _Whose) -> list[api.Route]:
    path, prefix, read, write, tag, whose = of
    path = f"{path}/{{pattern}}"
    return [
        api.Route(
            "GET",
            path,
            handlers.show,
            f"A rule {whose}",
            slashes=True,
            scope=read,
            name=f"get_{prefix}suppression_rule",
            tag=tag,
            in_path=_IN_PATH,
            answers={200: SuppressionRule},
            problems=("invalid_path", "invalid_rule", "unknown_rule"),
        ),
        api.Route(
            "PUT",
            path,
            handlers.put,
            f"Put a rule {whose}; it is in force at the next check, also for what is queued",
            slashes=True,
            scope=write,
            body=RuleRequest,
            body_optional=True,
            examples={"application/json": {"channels": ["email"], "scope": "all", "note": "asked by their lawyer"}},
            name=f"put_{prefix}suppression_rule",
            tag=tag,
            in_path=_IN_PATH,
            answers={200: SuppressionRule, 201: SuppressionRule},
            problems=("invalid_path", "invalid_rule"),
        ),
        api.Route(
            "DELETE",
            path,
            handlers.delete,
            f"Take a rule {whose} away",
            slashes=True,
            scope=write,
            name=f"delete_{prefix}suppression_rule",
            tag=tag,
            in_path=_IN_PATH,
            answers={204: None},
            problems=("invalid_path", "invalid_rule", "unknown_rule"),
        ),
    ]


class _Routes:
    """Those of each tenant, or those `of_everybody`."""

    def __init__(
        self, store: Rules, defaults: Mapping[str, int], now_ms: Callable[[], int], *, of_everybody: bool
    ) -> None:
        self._store = store
        self._defaults = defaults
        self._now_ms = now_ms
        self._of_everybody = of_everybody

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        query, tenant = api.query_of(request, RuleQuery), self._tenant(request)
        every = await self._store.all(tenant)
        if query.matching:
            every_matching = await self._store.matching(tenant, query.matching)
            return self._page(request, every_matching, len(every), None)
        ahead = [one for one in every if one.pattern > query.after]
        page, following = paging.cut(ahead, query.limit, lambda one: paging.pack(one.pattern))
        return self._page(request, page, len(every), following)

    def _page(self, request: web.Request, page: list[Named], total: int, following: str | None) -> web.StreamResponse:
        return api.json_answer(
            SuppressionRulePage(
                rules=[shown(one) for one in page], total=total, limit=self._most(request), next=following
            )
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        pattern = _pattern(request)
        return api.json_answer(await self._stored(request, pattern))

    async def put(self, request: web.Request) -> web.StreamResponse:
        text = api.path_text(request, "pattern")
        wanted = await api.read_json_or(request, RuleRequest())
        try:
            written = rule_files.Written(text, wanted.channels, wanted.scope, wanted.note)
            named = rule_files.fit(written, self._now_ms())
        except InvalidRule as fault:
            raise _refused(text, fault) from fault
        tenant = self._tenant(request)
        changed = await self._store.put(tenant, [named], self._most(request), _by(request))
        self._logged(request, changed)
        return api.json_answer(await self._stored(request, named.pattern), 201 if changed.added else 200)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        pattern = _pattern(request)
        if not await self._store.delete(self._tenant(request), pattern, _by(request)):
            raise _unknown(pattern)
        self._logged(request, Changed(0, 0, 0, 1))
        return web.Response(status=204)

    async def export(self, request: web.Request) -> web.StreamResponse:
        every = await self._store.all(self._tenant(request))
        body = await asyncio.to_thread(rule_files.write_csv, every)
        disposition = {"Content-Disposition": 'attachment; filename="suppression-rules.csv"'}
        return web.Response(text=body, content_type="text/csv", charset="utf-8", headers=disposition)

    async def take_in(self, request: web.Request) -> web.StreamResponse:
        replace = api.query_of(request, ImportQuery).replace
        text = await _text(request)
        # Thousands of patterns take a tenth of a second: others have their turn meanwhile.
        named, faults = await asyncio.to_thread(_READ[request.content_type], text, self._now_ms())
        if not named and not faults and not replace:
            faults = [Fault("line 1", "the file has no rule")]
        if faults:
            raise Problem("invalid_rule", "the file is not taken in: nothing is changed", faults)
        tenant = self._tenant(request)
        changed = await self._store.put(tenant, named, self._most(request), _by(request), replace=replace)
        self._logged(request, changed)
        return api.json_answer(ImportedRules(**changed._asdict()))

    def _logged(self, request: web.Request, changed: Changed) -> None:
        """How many, and no pattern: that may be the address of a person."""
        _log.info("rules_changed", tenant=self._tenant(request), by=_by(request).who, **changed._asdict())

    def _tenant(self, request: web.Request) -> str:
        return EVERYBODY if self._of_everybody else request[api.PRINCIPAL].tenant

    def _most(self, request: web.Request) -> int:
        """The operator has the quota that every tenant has by itself."""
        own = {} if self._of_everybody else request[api.PRINCIPAL].quotas
        return quotas.limits(self._defaults, own)["rules"]

    async def _stored(self, request: web.Request, pattern: str) -> SuppressionRule:
        rule = await self._store.get(self._tenant(request), pattern)
        if rule is None:
            raise _unknown(pattern)
        return shown(Named(pattern, rule))


def _by(request: web.Request) -> By:
    principal = request[api.PRINCIPAL]
    return By(principal.tenant, f"key:{principal.key}")


def _pattern(request: web.Request) -> str:
    text = api.path_text(request, "pattern")
    try:
        return rules.pattern_of(text)
    except InvalidRule as fault:
        raise _refused(text, fault) from fault


async def _text(request: web.Request) -> str:
    """The body in the charset that Content-Type names."""
    if request.content_type not in _READ:
        raise Problem("unsupported_media_type", f"expected text/csv or text/plain, got {request.content_type[:100]}")
    charset = (request.charset or "utf-8").lower()
    if charset not in CHARSETS:
        raise Problem("unsupported_media_type", f"no charset {charset[:40]!r} here; there are {', '.join(CHARSETS)}")
    body = await api.read_body(request)
    if len(body) > MAX_FILE_BYTES:
        raise Problem("body_too_large", f"a file of rules has at most {MAX_FILE_BYTES:,} bytes")
    try:
        return codecs.decode(body, charset)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        what = f"not {charset}: byte 0x{body[error.start]:02X}; Content-Type names another one, as charset=windows-1252"
        raise Problem("invalid_rule", "the file cannot be read", [Fault(f"line {line}", what)]) from error


def shown(named: Named) -> SuppressionRule:
    """A rule as it is answered."""
    pattern, rule = named
    return SuppressionRule(
        pattern=pattern,
        channels=list(rule.channels),
        scope=rule.scope,
        note=rule.note,
        since=rfc3339(rule.since_ms),
    )


def _refused(text: str, fault: InvalidRule) -> Problem:
    shown = text[:_MAX_SHOWN_CHARS]
    return Problem("invalid_rule", f"{shown!r} is no rule: {fault}", [Fault("pattern", str(fault))])


def _unknown(pattern: str) -> Problem:
    return Problem("unknown_rule", f"there is no rule {pattern[:_MAX_SHOWN_CHARS]!r}")
