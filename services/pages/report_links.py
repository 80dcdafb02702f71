"""Links to a report: made and taken back on the job's page."""

from services.pages.api import Api, Json, Refused
from services.pages.asked import Asked, Gone, NotThere

#: What may be chosen, in days.
DAYS = (7, 30, 90, 365)


async def of_job(api: Api, job: str) -> list[Json] | None:
    """Those of the job; None where the key may not know."""
    try:
        found = await api.get(f"/v1/jobs/{job}/report-links")
    except Refused as refused:
        if refused.status != 403:
            raise
        return None
    links: list[Json] = found["links"]
    return links


async def add(api: Api, asked: Asked) -> Gone:
    days = asked.form.get("days", "")
    if days not in map(str, DAYS):
        raise NotThere
    job = asked.segment("job")
    await api.send("POST", f"/v1/jobs/{job}/report-links", {"days": int(days), "note": asked.form.get("note", "")})
    return Gone(f"/console/jobs/{job}#report-links-h")


async def remove(api: Api, asked: Asked) -> Gone:
    job = asked.segment("job")
    await api.send("DELETE", f"/v1/jobs/{job}/report-links/{asked.segment('link')}")
    return Gone(f"/console/jobs/{job}#report-links-h")
