"""One message's timeline, and what is known of one address: its messages, and why it is written to or not."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from services.pages.api import Api, Json, Refused
from services.pages.asked import Asked, Shown

#: Of a page of messages.
ROWS = "50"


async def message(api: Api, asked: Asked) -> Shown:
    """What happened to a message, in the order of time."""
    found = await api.get(f"/v1/messages/{asked.segment('message')}")
    timeline = [{**event, "details": details(event["details"])} for event in found["timeline"]]
    return Shown(
        "message",
        {
            "title": f"Mail to {found['email']}" if found["email"] else "Mail to an erased address",
            "nav": "recipients",
            "message": found,
            "metadata": details(found["metadata"]),
            "timeline": timeline,
        },
    )


def details(found: Mapping[str, Json]) -> list[tuple[str, str]]:
    """What an event says besides, but for what it leaves open."""
    return [(name, _said(value)) for name, value in found.items() if value not in (None, "", [], {})]


def _said(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_said(one)}" for name, one in value.items())
    return str(value)


async def recipients(api: Api, asked: Asked) -> Shown:
    """All that is kept of an address, found by its spelling; without one, only the place to write it."""
    address = asked.query.get("address", "").strip()
    context: dict[str, Json] = {
        "title": "Recipients",
        "nav": "recipients",
        "address": address,
        "person": None,
        "messages": [],
        "fault": "",
        "next": "",
    }
    if not address:
        return Shown("recipients", context)
    try:
        # Its messages are found by its history, the latest first; here jobs are walked through, for seconds.
        person = await api.get(f"/v1/people/{quote(address, safe='')}", {"limit": "1"})
    except Refused as refused:
        if refused.status not in (404, 422):
            raise
        fault = "Nothing is kept of that address." if refused.status == 404 else "That is no address."
        return Shown("recipients", {**context, "fault": fault}, refused.status)
    after = asked.query.get("after", "")
    wanted = {"recipient": person["address"], "limit": ROWS, **({"after": after} if after else {})}
    found = await api.get("/v1/messages", wanted)
    following = f"/console/recipients?{urlencode({'address': address, 'after': found['next'] or ''})}"
    shown = {"person": person, "messages": found["messages"], "next": following if found["next"] else ""}
    return Shown("recipients", {**context, **shown})
