"""Imports of contacts as pages: what was imported, a file before it is, and what became of each line."""

import csv
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from services.pages.api import Api, BrokeOff, Json, Refused
from services.pages.asked import Asked, Download, Gone, Shown, Upload
from shared.tabular import cells

HERE = "/console/imports"
ROWS = "20"
#: Lines of a report that its page shows; the file has all.
REPORTED = 50
#: What the API looks at of a file before it is imported.
LOOKED_AT_BYTES = 262_144
#: By the end of its name what a file is; a table with whatever between its cells otherwise.
_MEDIA = {".tsv": "text/tab-separated-values", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson",
          ".json": "application/x-ndjson"}  # fmt: skip
_TABLE = "text/csv"
MODES = {"update": "update them", "new_only": "leave them as they are"}
#: Cells that stand beside the heading of a column, and how much of each.
_EXAMPLES, _EXAMPLE_CHARS = 3, 40
COUNTS = ("added", "updated", "unchanged", "replaced", "refused", "reactivated")
_OVER = ("done", "refused", "interrupted")
_WRONG = (400, 413, 415, 422)
#: Fields of the form: `head.3` is a heading, `map.3` what its column is to be.
_HEAD, _MAP = "head.", "map."


async def imports(api: Api, asked: Asked) -> Shown:
    return await _listed(api, asked.query.get("after", ""), {})


async def _listed(api: Api, after: str, form: dict[str, Any], problem: Json = None) -> Shown:
    found = await api.get("/v1/contact-imports", {"limit": ROWS, **({"after": after} if after else {})})
    context = {
        "title": "Imports",
        "nav": "imports",
        "imports": found["imports"],
        "next": f"{HERE}?after={found['next']}" if found["next"] else "",
        "modes": MODES,
        "form": {"name": "", "mode": "update", **form},
        "problem": problem,
        "preview": None,
        "columns": [],
        "refused": [],
    }
    return Shown("imports", context, 200 if problem is None else 422)


async def upload(api: Api, asked: Asked) -> Shown | Gone:
    """Looks at the first lines of the file, or imports it: the button says which by the URL, for whatever stands in the
    form behind the file is not read before it."""
    do = asked.query.get("do", "")
    form = {name: asked.form.get(name, "") for name in ("name", "mode")}
    file = asked.upload
    if file is None or not file.name:
        return await _listed(api, "", form, {"detail": "Choose a file first.", "faults": ()})
    media = next((one for end, one in _MEDIA.items() if file.name.lower().endswith(end)), _TABLE)
    mapping = _mapping(asked)
    query = {} if mapping is None else {"mapping": msgspec.json.encode(mapping).decode()}
    try:
        if do == "look" and media != _MEDIA[".json"]:
            found = await api.upload("/v1/contact-imports/preview", query, media, _first(file))
            return await _previewed(api, form, file.name, found)
        # What has no columns is looked at by a run that changes nothing.
        is_trial = do != "import"
        query |= {"name": form["name"] or file.name, "mode": form["mode"] or "update"}
        made = await api.upload(
            "/v1/contact-imports", {**query, **({"dry_run": "true"} if is_trial else {})}, media, file.pieces
        )
    except Refused as refused:
        if refused.status not in _WRONG:
            raise
        return await _listed(api, "", form, {"detail": refused.detail, "faults": refused.faults})
    return Gone(f"{HERE}/{made['id']}")


async def _first(file: Upload) -> AsyncIterator[bytes]:
    """As much as the API looks at; the rest is not read."""
    left = LOOKED_AT_BYTES
    async for piece in file.pieces:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


async def _previewed(api: Api, form: dict[str, Any], file: str, found: Json) -> Shown:
    shown = await _listed(api, "", {**form, "name": form["name"] or file})
    columns = [(at, column, _examples(found["lines"], at)) for at, column in enumerate(found["columns"])]
    refused = [line for line in found["lines"] if line["fault"]]
    return Shown(shown.template, {**shown.context, "preview": found, "columns": columns, "refused": refused})


def _examples(lines: Json, at: int) -> list[str]:
    """The first different cells of a column that have something in them."""
    cells = dict.fromkeys(line["cells"][at].strip() for line in lines if at < len(line["cells"]))
    return [_cut(cell) for cell in cells if cell][:_EXAMPLES]


def _cut(cell: str) -> str:
    return cell if len(cell) <= _EXAMPLE_CHARS else f"{cell[: _EXAMPLE_CHARS - 1]}…"


def _mapping(asked: Asked) -> dict[str, str | None] | None:
    """By heading what its column is to be; None where nobody was asked yet."""
    heads = {name.removeprefix(_HEAD): text for name, text in asked.form.items() if name.startswith(_HEAD)}
    found = {text: asked.form.get(_MAP + at, "") or None for at, text in heads.items() if text}
    return found or None


async def one(api: Api, asked: Asked) -> Shown:
    """How far an import is, and the first lines of its report."""
    name = asked.segment("import")
    found = await api.get(f"/v1/contact-imports/{name}")
    written = sum(found["results"][count] for count in COUNTS[:5])
    context = {
        "title": found["name"] or f"Import {found['id']}",
        "nav": "imports",
        "one": found,
        "counts": [(count, found["results"][count]) for count in COUNTS],
        "written": written,
        "is_over": found["state"] in _OVER,
        "modes": MODES,
        "report": await _report(api, name),
        "reported": REPORTED,
    }
    return Shown("import", context)


async def _report(api: Api, name: str) -> list[dict[str, str]]:
    """The first lines, as they were before they were made safe for spreadsheets."""
    body = await api.stream(f"/v1/contact-imports/{name}/report", {})
    text = b""
    try:
        async for piece in body.pieces():
            text += piece
            if text.count(b"\n") > REPORTED + 1:
                break
    except BrokeOff:
        pass  # what came is shown
    finally:
        body.close()
    lines = text.decode("utf-8", "replace").splitlines()[: REPORTED + 1]
    rows = [{head: cells.read(cell or "") for head, cell in row.items() if head} for row in csv.DictReader(lines)]
    return [{**row, "detail": row["detail"].removeprefix(f"line {row['line']}").lstrip(".: ")} for row in rows]


async def report(api: Api, asked: Asked) -> Download:
    name = asked.segment("import")
    return Download(await api.stream(f"/v1/contact-imports/{name}/report", {}), f"contact-import-{name}.csv")
