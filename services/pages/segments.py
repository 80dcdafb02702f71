"""Segments as pages: all of them with how many are in each, and one that is built: criterion by criterion, or as JSON.

The form carries the tree as JSON, and each of its buttons says in `do` what becomes of it (`add 0.1`, `count` …): so it
works without a script, and what was not saved is in the page alone.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.pages import criteria
from services.pages.api import Api, Json, Refused
from services.pages.asked import Asked, Gone, NotThere, Shown
from services.pages.criteria import Language, NoPlace, NoTree

HERE = "/console/segments"
#: Segments of a page: each of them is counted.
ROWS = 20
#: Imports and mailings that are offered, the latest; others are written as JSON.
IMPORTS, MAILINGS = "100", "30"
SAMPLE = 20
_EMPTY = {"kind": "all", "of": []}
_DONE = {"saved": "It is saved.", "archived": "It is archived: its versions stay."}
_COUNTED = ("contacts", "email", "sms", "phone")
_WRONG = (400, 409, 422)


@dataclass(frozen=True)
class _Panel:
    """What is written of one criterion: where it goes (`+` behind the place of a group: into it), and what it is
    about."""

    place: str
    about: str
    node: Json


async def segments(api: Api, asked: Asked) -> Shown:
    """All of them, page by page, counted."""
    found = (await api.get("/v1/segments"))["segments"]
    first = _number(asked.query.get("after", ""))
    page = found[first : first + ROWS]
    counts = await asyncio.gather(*(_count(api, _of_saved(one["segment"])) for one in page))
    following = f"{HERE}?after={first + ROWS}" if len(found) > first + ROWS else ""
    context = {
        "title": "Segments",
        "nav": "segments",
        "rows": list(zip(page, counts, strict=True)),
        "next": following,
        "is_first": first == 0,
        "notice": _DONE.get(asked.query.get("done", ""), ""),
    }
    return Shown("segments", context)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _of_saved(number: int) -> Json:
    return {"kind": "segment", "test": "in", "segments": [number]}


async def _count(api: Api, tree: Json) -> Json:
    """How many belong; None where the API says that they cannot be told."""
    try:
        return await api.send("POST", "/v1/segments/count", {"criteria": tree})
    except Refused as refused:
        if refused.status not in (*_WRONG, 503):
            raise
        return None


async def new(api: Api, _asked: Asked) -> Shown:
    """The place to build one."""
    return await _Page(api, None, "", _EMPTY).shown()


async def segment(api: Api, asked: Asked) -> Shown:
    """A segment as it is, or as an earlier version was."""
    found = await api.get(f"{_path(asked)}")
    tree = found["criteria"]
    wanted = asked.query.get("version", "")
    if wanted:
        versions = (await api.get(f"{_path(asked)}/versions"))["versions"]
        kept = [one["criteria"] for one in versions if str(one["version"]) == wanted]
        if not kept:
            raise NotThere
        tree = kept[0]
    page = _Page(api, found, found["name"], tree)
    page.notice = _DONE.get(asked.query.get("done", ""), "")
    await page.count_if_it_can_be_told()
    return await page.shown()


async def build(api: Api, asked: Asked) -> Shown | Gone:
    """What a button of the form does."""
    found = await api.get(_path(asked)) if "segment" in asked.match else None
    form = asked.form
    page = _Page(api, found, form.get("name", "").strip(), _EMPTY)
    page.text = form.get("json", "")
    try:
        page.tree = criteria.read(page.text)
    except NoTree as wrong:
        page.refuse("The JSON cannot be read as criteria.", (str(wrong),))
        return await page.shown()
    page.text = ""
    do, _, place = form.get("do", "").partition(" ")
    try:
        return await page.do(do, place, form)
    except NoPlace:
        page.refuse("That criterion is not there any more.")
        return await page.shown()


async def archive(api: Api, asked: Asked) -> Gone:
    await api.send("DELETE", _path(asked))
    return Gone(f"{HERE}?done=archived")


def _path(asked: Asked) -> str:
    return f"/v1/segments/{asked.segment('segment')}"


class _Page:
    """The form while it is made: `saved` is the segment that it changes, None for a new one."""

    def __init__(self, api: Api, saved: Json | None, name: str, tree: Json) -> None:
        self._api = api
        self._saved = saved
        self._name = name
        self.tree = tree
        #: What was written as JSON, where it is no tree.
        self.text = ""
        self.notice = ""
        self._panel: _Panel | None = None
        self._counted: Json | None = None
        self._sample: list[Json] | None = None
        self._problem: dict[str, Any] | None = None
        self._faults: tuple[str, ...] = ()
        self._status = 200

    def refuse(self, detail: str, faults: tuple[str, ...] = ()) -> None:
        others = criteria.elsewhere(faults)
        if len(others) < len(faults):
            detail = "Some criteria are not complete, or do not fit: what is missing stands at each of them."
        self._problem, self._faults, self._status = {"detail": detail, "faults": others}, faults, 422

    async def do(self, do: str, place: str, form: Mapping[str, str]) -> Shown | Gone:
        """NoPlace."""
        match do:
            case "add":
                criteria.node_at(self.tree, place)
                self._panel = _Panel(f"{place}+", "", {})
            case "edit":
                node = criteria.node_at(self.tree, place)
                language = await self._language()
                self._panel = _Panel(place, language.about(node), node)
            case "remove":
                self.tree = criteria.removed(self.tree, place)
            case "all" | "any" | "none":
                self.tree = criteria.joined(self.tree, place, do)
            case "choose":
                self._panel = _Panel(form.get("at", ""), form.get("about", ""), {})
            case "put":
                await self._put(form)
            case "count" | "sample" | "save":
                return await self._ask(do)
            case _:
                pass  # "json": what was written is in the tree by now
        return await self.shown()

    async def _put(self, form: Mapping[str, str]) -> None:
        at, about = form.get("at", ""), form.get("chosen", "")
        node = (await self._language()).node(about, form)
        if at.endswith("+"):
            self.tree = criteria.added(self.tree, at[:-1], node)
        else:
            self.tree = criteria.put(self.tree, at, node)

    async def _ask(self, do: str) -> Shown | Gone:
        try:
            match do:
                case "save":
                    return await self._save()
                case "sample":
                    body = {"criteria": self.tree, "limit": SAMPLE}
                    self._sample = (await self._api.send("POST", "/v1/segments/sample", body))["contacts"]
            await self.count()
        except Refused as refused:
            if refused.status not in _WRONG:
                raise
            self.refuse(refused.detail, refused.faults)
        return await self.shown()

    async def count_if_it_can_be_told(self) -> None:
        self._counted = await _count(self._api, self.tree)

    async def count(self) -> None:
        self._counted = await self._api.send("POST", "/v1/segments/count", {"criteria": self.tree})

    async def _save(self) -> Gone:
        body = {"name": self._name, "criteria": self.tree}
        if self._saved is None:
            made = await self._api.send("POST", "/v1/segments", body)
            return Gone(f"{HERE}/{made['segment']}?done=saved")
        await self._api.send("PUT", f"/v1/segments/{self._saved['segment']}", body)
        return Gone(f"{HERE}/{self._saved['segment']}?done=saved")

    async def _language(self) -> Language:
        schema = await self._api.get("/v1/segments/schema")
        imports = (await self._api.get("/v1/contact-imports", {"limit": IMPORTS}))["imports"]
        named = {
            "segments": {str(number): name for number, name in (await self._names()).items()},
            "imports": {str(one["id"]): f"{one['id']} {one['name']}".strip() for one in imports},
            "operations": await self._mailings(),
        }
        return Language(schema, named)

    async def _mailings(self) -> dict[str, str]:
        """The latest jobs that are operations by themselves."""
        jobs = (await self._api.get("/v1/jobs", {"limit": MAILINGS}))["jobs"]
        return {
            one["id"]: f"{one['subject'] or '(no subject)'}, {one['created_at'][:10]}"
            for one in jobs
            if one["stream"] == "bulk"
        }

    async def _names(self) -> dict[int | str, str]:
        found = (await self._api.get("/v1/segments"))["segments"]
        return {one["segment"]: one["name"] for one in found}

    async def shown(self) -> Shown:
        language, saved = await self._language(), self._saved
        names = await self._names()
        names.update(language.named["operations"])
        panel = self._panel
        versions = (
            [] if saved is None else (await self._api.get(f"/v1/segments/{saved['segment']}/versions"))["versions"]
        )
        context = {
            "title": "A new segment" if saved is None else saved["name"],
            "nav": "segments",
            "action": f"{HERE}/new" if saved is None else f"{HERE}/{saved['segment']}",
            "saved": saved,
            "name": self._name,
            "rows": criteria.rows(self.tree, language.labels, names, self._faults),
            "json": self.text or criteria.written(self.tree),
            "is_text_wrong": bool(self.text),
            "panel": panel,
            "offered": language.offered(panel.about) if panel is not None else [],
            "inputs": language.inputs(panel.about, panel.node) if panel is not None else [],
            "counted": self._counted,
            "counted_names": _COUNTED,
            "sample": self._sample,
            "problem": self._problem,
            "versions": versions,
            "notice": self.notice,
        }
        return Shown("segment", context, self._status)
