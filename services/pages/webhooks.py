"""Webhooks as pages: the endpoints and how they fare; of each what was sent and answered, and what may be done."""

from datetime import datetime

from services.pages.api import Api, Json
from services.pages.asked import Asked, Gone, Shown

HERE = "/console/webhooks"
ROWS = "50"
_DONE = {
    "tested": "An example is on its way: reload the page to see what came of it.",
    "failures": "What was given up is sent again.",
    "period": "What happened in that time is sent again.",
    "enabled": "It is told again what happens.",
    "disabled": "It is told nothing more.",
}
#: What restricts which events an endpoint is told.
_CHOICES = ("types", "lists", "tags", "streams", "fields")


async def webhooks(api: Api, _asked: Asked) -> Shown:
    found = await api.get("/v1/webhooks")
    return Shown("webhooks", {"title": "Webhooks", "nav": "webhooks", "webhooks": found["webhooks"]})


async def webhook(api: Api, asked: Asked) -> Shown:
    """One endpoint, and the log of what was sent to it."""
    name = asked.segment("webhook")
    found = await api.get(f"/v1/webhooks/{name}")
    log = await api.get(f"/v1/webhooks/{name}/deliveries", {"limit": ROWS})
    context = {
        "title": found["description"] or "An endpoint",
        "nav": "webhooks",
        "webhook": found,
        "choices": choices(found),
        "deliveries": log["deliveries"],
        "notice": _DONE.get(asked.query.get("done", ""), ""),
    }
    return Shown("webhook", context)


def choices(found: Json) -> list[tuple[str, str]]:
    """Which events it is told, where it is not told all of them."""
    return [(name, ", ".join(found[name])) for name in _CHOICES if found[name]]


async def test(api: Api, asked: Asked) -> Gone:
    return await _do(api, asked, "test", {"type": "message.delivered"}, "tested")


async def replay(api: Api, asked: Asked) -> Gone:
    """What was given up; or what happened in a period, where the form has one."""
    since, until = (asked.form.get(name, "").strip() for name in ("since", "until"))
    if not (since or until):
        return await _do(api, asked, "replay", {"failures": True}, "failures")
    body = {"since": _time(since), **({"until": _time(until)} if until else {})}
    return await _do(api, asked, "replay", body, "period")


def _time(text: str) -> str:
    """What a browser sends of a moment has no zone, and is meant in UTC; what is none is for the API to refuse."""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%dT%H:%M:%S}Z"
    except ValueError:
        return text


async def switch(api: Api, asked: Asked) -> Gone:
    """On or off."""
    is_on = asked.form.get("enabled") == "yes"
    name = asked.segment("webhook")
    await api.send("PATCH", f"/v1/webhooks/{name}", {"enabled": is_on})
    return Gone(f"{HERE}/{name}?done={'enabled' if is_on else 'disabled'}")


async def _do(api: Api, asked: Asked, what: str, body: Json, done: str) -> Gone:
    name = asked.segment("webhook")
    await api.send("POST", f"/v1/webhooks/{name}/{what}", body)
    return Gone(f"{HERE}/{name}?done={done}")
