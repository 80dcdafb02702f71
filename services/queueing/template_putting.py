"""Puts stored templates: each is compiled and tried, in its layout too, before it is a version."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from prometheus_client import Counter

from services.queueing import templates
from services.queueing.aside import Aside
from services.queueing.compile import Limits
from services.queueing.quotas import Room
from services.queueing.taking import Compiler
from services.queueing.template_store import MOST_TEMPLATES, NoLayout, TemplateStore, TooMany, packed
from services.queueing.templates import Kept, TemplateBody
from shared.http import api
from shared.words.content import CompiledContent
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

#: Of the body that puts one: what its texts may have, written as JSON.
MAX_BODY_BYTES = 10_000_000
CHANGES = Counter("estafette_queueing_template_changes_total", "Stored templates that were put or removed", ["result"])


class TemplatePut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a template that was put."""

    name: Annotated[str, says("The name of the template.", "welcome")]
    version: Annotated[int, says("The number of the version: each change has the next one.", 3)]
    changed: Annotated[bool, says("Whether it is another than the newest version was; if not, that stays.", True)]
    created_at: Annotated[str, says("When that version was put.", "2026-01-31T09:05:00.123Z")]
    uses: Annotated[list[str], says("The variables that it names.", ["prenom"])]


class Putting:
    """Every call raises Problem for what does not fit, and RedisAway."""

    def __init__(
        self, store: TemplateStore, compiler: Compiler, room: Room, aside: Aside, now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._compiler = compiler
        self._room = room
        self._aside = aside
        self._now_ms = now_ms

    async def check(self, tenant: str, own: Mapping[str, int], name: str) -> None:
        """Whether there can be one of that name."""
        if not re.fullmatch(templates.NAME, name):
            what = "1 to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or a digit"
            raise Problem(
                "invalid_path", "the path does not fit: not the name of a template", [Fault("template", what)]
            )
        await self._room.check(tenant, own, {"stored_bytes": 1})

    async def put(self, tenant: str, own: Mapping[str, int], name: str, raw: bytes) -> tuple[TemplatePut, bool]:
        """What is in the body, as JSON; and whether there was none of that name. `own` are the tenant's quotas."""
        if len(raw) > MAX_BODY_BYTES:
            raise Problem("body_too_large", f"the body has {len(raw)} bytes; a template at most {MAX_BODY_BYTES}")
        body = await self._aside.do(tenant, len(raw), api.fit, raw, TemplateBody)
        if faults := await self._aside.do(tenant, len(raw), templates.faults, body):
            raise _invalid(faults)
        kept = templates.kept(body)
        uses = [one for one in await self._tried(tenant, name, kept) if one != templates.SLOT[0]]
        version = await self._aside.do(tenant, len(raw), packed, kept)
        try:
            async with self._room.taken(tenant, own, {"stored_bytes": len(version.data)}):
                head, is_new, changed = await self._store.put(tenant, name, kept, version, self._now_ms())
        except TooMany:
            what = f"there are {MOST_TEMPLATES} templates already; remove one first"
            raise Problem("too_many_templates", what) from None
        except NoLayout:
            raise _invalid([_no_layout(kept.layout)]) from None
        CHANGES.labels("put" if changed else "unchanged").inc()
        newest = head.newest
        answer = TemplatePut(
            name=name, version=newest.number, changed=changed, created_at=rfc3339(newest.at_ms), uses=uses
        )
        return answer, is_new

    async def _tried(self, tenant: str, name: str, kept: Kept) -> list[str]:
        """The variables that it names. Problem 422 if it does not compile, or not in its layout."""
        layout = await self._layout(tenant, name, kept) if kept.layout else None
        compiled: CompiledContent | list[Fault] | None = None
        if templates.stands_alone(kept):
            alone = kept if layout is None else templates.with_files(kept, layout)
            compiled = await self._compiler.compile(templates.tried(alone), Limits(), tenant)
            if not isinstance(compiled, CompiledContent):
                raise _invalid(compiled)
        if layout is not None:
            compiled = await self._compiler.compile(
                templates.tried(templates.in_layout(kept, layout)), Limits(), tenant
            )
        if not isinstance(compiled, CompiledContent):
            faults = compiled or []
            raise _invalid([Fault("$.layout", f"with it, {one.at.removeprefix('$.')}: {one.what}") for one in faults])
        return compiled.uses

    async def _layout(self, tenant: str, name: str, kept: Kept) -> Kept:
        """Problem 422 if it can stand in none of that name."""
        found = await self._store.find(tenant, kept.layout) if kept.layout != name else None
        if found is None:
            raise _invalid([_no_layout(kept.layout)])
        if found[1].layout:
            raise _invalid([Fault("$.layout", f"{kept.layout!r:.80} is a template that stands in a layout itself")])
        if what := templates.unfit(kept, found[1]):
            raise _invalid([Fault("$.layout", what)])
        return found[1]


def _no_layout(name: str) -> Fault:
    return Fault("$.layout", f"{name!r:.80} is no template")


def _invalid(faults: list[Fault]) -> Problem:
    CHANGES.labels("refused").inc()
    number = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    return Problem("invalid_template", f"the template has {number}; nothing was stored", faults[:100])
