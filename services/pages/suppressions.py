"""The suppression list as a page: searched, added to, taken from."""

from urllib.parse import quote, urlencode

from services.pages.api import Api, Json, Refused
from services.pages.asked import Asked, Gone, Shown

#: As the API names them; those of `ADDED` may be given for an address that somebody adds.
REASONS = (
    "complaint", "compliance", "erased", "hard_bounce", "inactive", "mailbox_full", "manual", "objected",
    "soft_bounces", "unsubscribed",
)  # fmt: skip
ADDED = ("manual", "unsubscribed", "objected", "complaint", "hard_bounce")
ROWS = "50"
HERE = "/console/suppressions"
_DONE = {"added": "It is on the list.", "removed": "It is off the list."}


async def suppressions(api: Api, asked: Asked) -> Shown:
    """The entries of one address, or all of them page by page."""
    address, reason = (asked.query.get(name, "").strip() for name in ("address", "reason"))
    after = asked.query.get("after", "")
    rows, following, fault = await _found(api, address, reason, after)
    context = {
        "title": "Suppression list",
        "nav": "suppressions",
        "rows": rows,
        "address": address,
        "reason": reason,
        "reasons": REASONS,
        "added": ADDED,
        "fault": fault,
        "next": f"{HERE}?{urlencode({'reason': reason, 'after': following})}" if following else "",
        "notice": _DONE.get(asked.query.get("done", ""), ""),
    }
    return Shown("suppressions", context)


async def _found(api: Api, address: str, reason: str, after: str) -> tuple[list[Json], str, str]:
    """Entries, where the next page begins, and why there are none."""
    if not address:
        wanted = {"limit": ROWS, "reason": reason, "after": after}
        page = await api.get("/v1/suppressions", {name: value for name, value in wanted.items() if value})
        return page["suppressions"], page["next"] or "", ""
    try:
        return [await api.get(f"/v1/suppressions/{quote(address, safe='')}")], "", ""
    except Refused as refused:
        if refused.status not in (404, 422):
            raise
        return [], "", "That address is not on the list." if refused.status == 404 else "That is no address."


async def add(api: Api, asked: Asked) -> Gone:
    address = asked.form.get("address", "").strip()
    body = {"reason": asked.form.get("reason", "manual"), "note": asked.form.get("note", "").strip()}
    await api.send("PUT", f"/v1/suppressions/{quote(address, safe='')}", body)
    return _back(address, "added")


async def remove(api: Api, asked: Asked) -> Gone:
    """One entry, or all of an address."""
    address = asked.form.get("address", "").strip()
    narrowed = {name: asked.form[name] for name in ("channel", "scope") if asked.form.get(name)}
    await api.send("DELETE", f"/v1/suppressions/{quote(address, safe='')}", None, narrowed)
    return _back("", "removed")


def _back(address: str, done: str) -> Gone:
    return Gone(f"{HERE}?{urlencode({'address': address, 'done': done} if address else {'done': done})}")
