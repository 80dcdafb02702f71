"""Jobs as pages: the list with how far each is, the report of one, and the same for who has a link to it."""

from collections.abc import Sequence
from urllib.parse import urlencode

from services.pages import charts, report_links, statistics
from services.pages.api import Api, Json
from services.pages.asked import Asked, Shown

#: As the API names them (`GET /v1/jobs`).
STATES = ("open", "scheduled", "selecting", "queueing", "queued", "paused", "stopped", "cancelling", "done")
ROWS = "50"
_FILTERS = ("state", "list", "tag")

#: What a table of a report says: a text, a count, and whether it is a part of the line above it.
End = tuple[str, int, bool]


async def jobs(api: Api, asked: Asked) -> Shown:
    """The jobs of the tenant, the latest first."""
    chosen = {name: asked.query.get(name, "").strip() for name in _FILTERS}
    after = asked.query.get("after", "")
    wanted = {name: value for name, value in {**chosen, "after": after, "limit": ROWS}.items() if value}
    found = await api.get("/v1/jobs", wanted)
    rows = [{**job, "ended": ended(job)} for job in found["jobs"]]
    filters = {name: value for name, value in chosen.items() if value}
    return Shown(
        "jobs",
        {
            "title": "Jobs",
            "nav": "jobs",
            "jobs": rows,
            "states": STATES,
            "chosen": chosen,
            "is_filtered": bool(filters),
            "after": after,
            "first": _address(filters),
            "next": _address({**filters, "after": found["next"]}) if found["next"] else "",
        },
    )


def ended(job: Json) -> int:
    """Of how many messages the end is known: none while recipients are still taken."""
    is_taking = job["state"] in ("open", "scheduled")
    return 0 if is_taking else max(0, int(job["total"]) - int(job["pending"]))


def _address(query: dict[str, str]) -> str:
    return f"/console/jobs?{urlencode(query)}" if query else "/console/jobs"


async def job(api: Api, asked: Asked) -> Shown:
    """The report of one job."""
    name = asked.segment("job")
    found = await api.get(f"/v1/jobs/{name}")
    context = {
        "nav": "jobs",
        "title": found["subject"] or "(no subject)",
        "report_links": await report_links.of_job(api, name),
        "days": report_links.DAYS,
        **report(found, await api.get(f"/v1/jobs/{name}/statistics")),
    }
    return Shown("job", context)


async def linked(api: Api, asked: Asked) -> Shown:
    """The report, for whoever has the link. Made to be printed, too."""
    found = await api.get(f"/r/{asked.segment('token')}/report")
    job = found["report"]
    context = {
        "title": job["subject"] or "(no subject)",
        "expires_at": found["expires_at"],
        **report(job, found["statistics"]),
    }
    return Shown("linked_report", context)


def report(job: Json, found: Json) -> dict[str, Json]:
    """What the report of a job is drawn from: the API's, and the statistics of it."""
    return {
        "job": job,
        "chart": charts.funnel(stages(job)),
        "ends": ends(job["counts"]),
        "people": people(job["counts"]),
        "rates": rates(job["rates"]),
        "statistics": statistics.of_job(found),
    }


def stages(job: Json) -> list[tuple[str, int]]:
    """From the list to the click: each is a part of the one before."""
    counts = job["counts"]
    return [
        ("Recipients", job["total"]),
        ("Accepted", counts["accepted"]),
        ("Delivered", counts["delivered"]),
        ("Opened", counts["opens"]["unique"]),
        ("Clicked", counts["clicks"]["unique"]),
    ]


def ends(counts: Json) -> list[End]:
    """All that became of messages, with the reasons of those that did not arrive; what never happened is left out, but
    for what everybody looks for."""
    bounced, suppressed, cancelled = counts["bounced"], counts["suppressed"], counts["cancelled"]
    rows: list[End] = [
        ("Delivered", counts["delivered"], False),
        ("Bounced", bounced["total"], False),
        ("the address is bad", bounced["hard"], True),
        ("the address may be good later", bounced["soft"], True),
        ("refused for what we are, or sent", bounced["block"], True),
        ("reported after a delivery", bounced["late"], True),
        ("On the suppression list", suppressed["total"], False),
        ("found when it was queued", suppressed["at_queueing"], True),
        ("found just before the attempt", suppressed["at_attempt"], True),
        ("Never queued, for a reason in the job", counts["rejected"], False),
        ("Time ran out", counts["expired"], False),
        ("Could not be made or sent", counts["failed"], False),
        ("Cancelled", cancelled["total"], False),
        ("No end yet", counts["pending"], False),
        ("waiting for another attempt", counts["deferred"]["current"], True),
    ]
    always = ("Delivered", "Bounced", "No end yet")
    return [row for row in rows if row[1] or row[0] in always]


def people(counts: Json) -> list[tuple[str, int, int | None, int | None]]:
    """What recipients did: of how many messages, how often, and how often a machine did."""
    engaged = [
        (text, counts[name]["unique"], counts[name]["total"], counts[name]["machine"]["total"])
        for text, name in (("Opened", "opens"), ("Clicked", "clicks"), ("Read a document", "documents"))
    ]
    others = [
        (text, counts[name], None, None)
        for text, name in (
            ("Unsubscribed", "unsubscriptions"),
            ("Complained", "complaints"),
            ("Answered by themselves", "auto_replies"),
        )
    ]
    return [*engaged, *others]


def rates(found: Json) -> Sequence[tuple[str, str, float | None]]:
    return [
        ("Delivered", "accepted", found["delivered"]),
        ("Bounced", "accepted", found["bounced"]),
        ("Opened", "delivered", found["opened"]),
        ("Clicked", "delivered", found["clicked"]),
        ("Clicked", "opened", _share(found["clicked"], found["opened"])),
        ("Complained", "delivered", found["complained"]),
        ("Unsubscribed", "delivered", found["unsubscribed"]),
    ]


def _share(part: float | None, of: float | None) -> float | None:
    return part / of if part is not None and of else None
