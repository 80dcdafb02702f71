"""Stops as a page: what is not sent for now, who stopped it and why; and how it goes on."""

from urllib.parse import quote, urlencode

from services.pages.api import Api
from services.pages.asked import Asked, Gone, Shown

HERE = "/console/stops"
ROWS = "100"


async def stops(api: Api, asked: Asked) -> Shown:
    after = asked.query.get("after", "")
    page = await api.get("/v1/stops", {"limit": ROWS, **({"after": after} if after else {})})
    context = {
        "title": "Stops",
        "nav": "stops",
        "stops": page["stops"],
        "next": f"{HERE}?{urlencode({'after': page['next']})}" if page["next"] else "",
        "notice": "It goes on." if asked.query.get("done") == "resumed" else "",
    }
    return Shown("stops", context)


async def resume(api: Api, asked: Asked) -> Gone:
    await api.send("POST", f"/v1/stops/{quote(asked.form.get('name', ''), safe='')}/resume")
    return Gone(f"{HERE}?done=resumed")


async def pause_job(api: Api, asked: Asked) -> Gone:
    """Nothing more of a job is sent until somebody resumes it."""
    job = asked.segment("job")
    await api.send("POST", f"/v1/jobs/{job}/pause")
    return Gone(f"/console/jobs/{job}")


async def resume_job(api: Api, asked: Asked) -> Gone:
    job = asked.segment("job")
    await api.send("POST", f"/v1/jobs/{job}/resume")
    return Gone(f"/console/jobs/{job}")
