"""Statistics of all jobs as a page: over days, or by what tells mail apart; and those of one job, for its report."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from services.pages.api import Api, Json, Refused
from services.pages.asked import Asked, Shown
from services.pages.over_time import over_time

#: By what they are told apart, and how that is called.
BY = {
    "day": "day", "list": "list", "tag": "tag", "category": "category", "stream": "kind of mail",
    "domain": "sending domain", "provider": "provider", "device": "device", "client": "mail program",
    "reason": "reason",
}  # fmt: skip
#: Those of which only openings and clicks are known, and only other events.
_SEEN, _REASONS = ("device", "client"), ("reason",)
_FILTERS = ("list", "tag")
_DAYS = ("from", "to")
#: Of the reasons of a job, those that happened most often.
MOST_REASONS = 20
NO_DAY = "A day is written as 2026-01-31."


async def statistics(api: Api, asked: Asked) -> Shown:
    chosen = {name: asked.query.get(name, "").strip() for name in (*_DAYS, *_FILTERS)}
    by = asked.query.get("by", "")
    by = by if by in BY else "day"
    found, fault, status = await _found(api, by, chosen)
    rows = found["rows"] if found else []
    context = {
        "title": "Statistics",
        "nav": "statistics",
        "ways": BY,
        "by": by,
        # What is no day is not written into its field again: a browser would drop it, and complain.
        "chosen": chosen if fault != NO_DAY else {**chosen, "from": "", "to": ""},
        "fault": fault,
        "since": found["from"] if found else "",
        "until": found["to"] if found else "",
        "over": over_time(rows, ("Delivered", "Opened", "Clicked"), "day") if by == "day" and rows else None,
        "rows": [{**row, "name": row["key"] if row["key"] is not None else ""} for row in rows],
        "total": found["total"] if found else None,
        "is_seen": by in _SEEN,
        "is_reason": by in _REASONS,
    }
    return Shown("statistics", context, status)


async def _found(api: Api, by: str, chosen: Mapping[str, str]) -> tuple[Json, str, int]:
    """The answer, or why there is none, and the status of the page."""
    try:
        query = {"by": by, **_period(chosen), **{name: chosen[name] for name in _FILTERS if chosen[name]}}
    except ValueError:
        return None, NO_DAY, 422
    try:
        return await api.get("/v1/statistics", query), "", 200
    except Refused as refused:
        if refused.status != 422:
            raise
        return None, "; ".join(refused.faults) or refused.detail, 422


def _period(chosen: Mapping[str, str]) -> dict[str, str]:
    """Whole days, the last one too."""
    found = {}
    if chosen["from"]:
        found["from"] = f"{date.fromisoformat(chosen['from'])}T00:00:00Z"
    if chosen["to"]:
        try:
            found["to"] = f"{date.fromisoformat(chosen['to']) + timedelta(days=1)}T00:00:00Z"
        except OverflowError:
            raise ValueError from None
    return found


def of_job(found: Json) -> dict[str, Json]:
    """What the report of a job has of its statistics."""
    return {
        "over": over_time(found["hours"], ("Opened", "Clicked")),
        "providers": found["providers"],
        "reasons": reasons(found["reasons"]),
        "seen": [
            (title, rows)
            for title, rows in (("Devices", found["devices"]), ("Mail programs", found["clients"]))
            if rows
        ],
    }


def reasons(found: Sequence[Json]) -> list[Json]:
    """The most frequent ones first, each with its share of those of its type."""
    of_type: dict[str, int] = {}
    for one in found:
        of_type[one["type"]] = of_type.get(one["type"], 0) + one["total"]
    ranked = sorted(found, key=lambda one: (-one["total"], one["type"], one["reason"]))
    return [{**one, "share": one["total"] / of_type[one["type"]]} for one in ranked[:MOST_REASONS]]
