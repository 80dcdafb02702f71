"""The mail of a job with the clicks of each link, and the addresses of a result set of it, as a file."""

import asyncio

from services.pages import heat_map
from services.pages.api import Api
from services.pages.asked import Asked, Download, Framed, NotThere

#: The result sets that are offered, and how they are called; those of `OF_LINKS` may be of the links to one address.
SETS = {
    "not_opened": "who did not open it", "opened": "who opened it", "clicked": "who clicked",
    "not_clicked": "who did not click", "delivered": "who got it", "bounced": "whom it did not reach",
    "excluded": "who was left out", "unsubscribed": "who unsubscribed by it", "complained": "who complained about it",
    "pending": "of whom there is no end yet", "selected": "everybody",
}  # fmt: skip
OF_LINKS = ("clicked", "not_clicked")


async def mail(api: Api, asked: Asked) -> Framed:
    """Its HTML, which does nothing. NotThere where it has none."""
    name = asked.segment("job")
    content = await api.get(f"/v1/jobs/{name}/content")
    if content["html"] is None:
        raise NotThere
    job = await api.get(f"/v1/jobs/{name}")
    clicks = heat_map.clicks(job["positions"], job["counts"]["delivered"])
    # A large one takes a while, and others shall not wait for it.
    return Framed(await asyncio.to_thread(heat_map.page, content["html"], clicks))


async def recipients(api: Api, asked: Asked) -> Download:
    """NotThere of a set that is not offered."""
    name, state, url = asked.segment("job"), asked.query.get("state", ""), asked.query.get("url", "")
    if state not in SETS:
        raise NotThere
    query = {"state": state, "format": "csv", **({"url": url} if url and state in OF_LINKS else {})}
    return Download(await api.stream(f"/v1/jobs/{name}/messages", query), f"{name}-{state}.csv")
