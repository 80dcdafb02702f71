"""Sending domains as a page: whether each may be sent from, and the records that DNS still lacks."""

from urllib.parse import quote, urlencode

from services.pages.api import Api, Json
from services.pages.asked import Asked, Gone, Shown

HERE = "/console/domains"
ROWS = "100"


async def domains(api: Api, asked: Asked) -> Shown:
    after = asked.query.get("after", "")
    page = await api.get("/v1/domains", {"limit": ROWS, **({"after": after} if after else {})})
    rows = [{**domain, "missing": missing(domain), "published": published(domain)} for domain in page["domains"]]
    context = {
        "title": "Domains",
        "nav": "domains",
        "domains": rows,
        "next": f"{HERE}?{urlencode({'after': page['next']})}" if page["next"] else "",
        "notice": "DNS was asked: what it showed stands below." if asked.query.get("done") == "checked" else "",
    }
    return Shown("domains", context)


def missing(domain: Json) -> list[Json]:
    """The records that are to be published, or differ from what is."""
    return [record for record in domain["records"] if record["dns"] != "published" and record["key"] != "retiring"]


def published(domain: Json) -> list[Json]:
    return [record for record in domain["records"] if record not in missing(domain)]


async def check(api: Api, asked: Asked) -> Gone:
    """Has DNS asked for the records of a domain."""
    await api.send("POST", f"/v1/domains/{quote(asked.form.get('domain', ''), safe='')}/check")
    return Gone(f"{HERE}?done=checked")
