"""Contacts as pages: who is looked for, and one of them with all that is known."""

from typing import Any
from urllib.parse import quote, urlencode

from services.pages.api import Api, Json, Refused
from services.pages.asked import Asked, Gone, NotThere, Shown

HERE = "/console/contacts"
ROWS = "50"
CHANNELS = (("email", "E-mail"), ("sms", "SMS"), ("phone", "Telephone"))
#: What somebody is looked for by, as the API names it.
_SOUGHT = ("q", "email", "mobile", "tag", "addressable")
_WHY_NOT = {
    "no_address": "there is no number",
    "hard": "the address is gone",
    "left": "they left",
    "opposed": "they are opposed",
    "no_optin": "they did not agree",
}
#: By what a contact is changed, as people say it.
_SOURCES = {"api": "the API", "fact": "what happened to mail, or was said on a page"}
_OPTIN = {True: "yes", False: "no", None: "not known"}


async def contacts(api: Api, asked: Asked) -> Shown:
    """Whoever all of this holds for, page by page."""
    sought = {name: asked.query.get(name, "").strip() for name in _SOUGHT}
    wanted = {name: value for name, value in sought.items() if value}
    after = asked.query.get("after", "")
    rows, following, problem, status = [], "", None, 200
    try:
        found = await api.get("/v1/contacts", {**wanted, "limit": ROWS, **({"after": after} if after else {})})
        rows, following = found["contacts"], found["next"] or ""
    except Refused as refused:
        if refused.status != 422:
            raise
        problem, status = {"detail": "That cannot be looked for.", "faults": refused.faults}, 422
    context = {
        "title": "Contacts",
        "nav": "contacts",
        "sought": sought,
        "channels": CHANNELS,
        "rows": [(one, _reached(one), _called(one)) for one in rows],
        "problem": problem,
        "next": f"{HERE}?{urlencode({**wanted, 'after': following})}" if following else "",
        "is_all": not wanted,
        "notice": "The contact is erased." if asked.query.get("done") == "erased" else "",
    }
    return Shown("contacts", context, status)


def _reached(contact: Json) -> list[str]:
    """Where they may be written to, or called."""
    return [text for name, text in CHANNELS if contact["channels"][name]["addressable"]]


def _called(contact: Json) -> str:
    names = (contact["fields"].get("first_name"), contact["fields"].get("last_name"))
    return " ".join(str(name) for name in names if name)


async def contact(api: Api, asked: Asked) -> Shown:
    """One contact. NotThere without a key."""
    key, copy = _named(asked.query)
    path, which = quote(key, safe=""), {"copy": copy}
    found = await api.get(f"/v1/contacts/{path}", which)
    fields = (await api.get("/v1/fields"))["fields"]
    happened = await api.get(f"/v1/contact-timeline/{path}", {**which, **_page(asked, "moments")})
    changed = await api.get(f"/v1/contact-changes/{path}", {**which, **_page(asked, "after")})
    labels = {one["name"]: one["label"] or one["name"].replace("_", " ").capitalize() for one in fields}
    context = {
        "title": _called(found) or found["email"] or found["key"],
        "nav": "contacts",
        "contact": found,
        "fields": [(labels[name], shown(value)) for name, value in found["fields"].items() if name in labels],
        "states": [(text, _state(name, found["channels"][name])) for name, text in CHANNELS],
        "moments": happened["moments"],
        "more_moments": _further(key, copy, "moments", happened["next"]),
        "lists": await _lists(api, found["email"]),
        "changes": [
            (one["at"], *_source(one["source"]), _changes(one["changes"], labels)) for one in changed["changes"]
        ],
        "next": _further(key, copy, "after", changed["next"]),
    }
    return Shown("contact", context)


def _page(asked: Asked, name: str) -> dict[str, str]:
    """Which part of what has several pages is asked for."""
    after = asked.query.get(name, "")
    return {"limit": ROWS, **({"after": after} if after else {})}


def _further(key: str, copy: str, name: str, following: str | None) -> str:
    """Where the next part of it is; "" at its end."""
    return f"{HERE}/one?{urlencode({'key': key, 'copy': copy, name: following})}" if following else ""


def _named(fields: Any) -> tuple[str, str]:
    key, copy = fields.get("key", "").strip(), fields.get("copy", "0")
    if key in ("", ".", ".."):
        raise NotThere
    return key, copy


def _state(channel: str, state: Json) -> dict[str, Json]:
    why = state["why_not"]
    text = "there is no address" if (channel, why) == ("email", "no_address") else _WHY_NOT.get(why)
    return {**state, "agreed": _OPTIN[state["optin"]], "why": text or str(why).replace("_", " ")}


def shown(value: Json) -> str:
    """A value of a field, as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == []:
        return "nothing"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _source(source: str) -> tuple[str, str]:
    """By what something was changed, and where more of that is ("" for nowhere)."""
    kind, _, which = source.partition(" ")
    if kind == "import" and which.isascii() and which.isdigit():
        return f"import {which}", f"/console/imports/{which}"
    return _SOURCES.get(kind, source), ""


def _changes(changes: Json, labels: Json) -> list[tuple[str, str, str]]:
    """By field what was there, and what is now."""
    rows = []
    for name, both in changes.items():
        before, after = both if isinstance(both, list) and len(both) == 2 else (None, both)
        rows.append((labels.get(name, name.replace("_", " ").capitalize()), shown(before), shown(after)))
    return rows


async def _lists(api: Api, address: str | None) -> list[Json]:
    """The lists that the address is on, or has left."""
    if not address:
        return []
    try:
        found = await api.get(f"/v1/people/{quote(address, safe='')}", {"limit": "1"})
    except Refused as refused:
        if refused.status not in (404, 422):
            raise
        return []
    listed: list[Json] = found["lists"]
    return listed


async def erase(api: Api, asked: Asked) -> Shown | Gone:
    """With all that is known of them, where the box says so."""
    key, copy = _named(asked.form)
    if asked.form.get("sure") != "yes":
        return Gone(f"{HERE}/one?{urlencode({'key': key, 'copy': copy})}")
    await api.send("DELETE", f"/v1/contacts/{quote(key, safe='')}", None, {"copy": copy})
    return Gone(f"{HERE}?done=erased")
