"""The main path of pages: who looks, may they, what the API says, and how it looks.

    cookie → session → the form's token, if something is done → the API, with the key of the session → a page

What the API refuses decides what is shown: 401 ends the session (the key was revoked), 403 says which right is missing,
404 is the same page for what is not there and for what is another tenant's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from prometheus_client import Counter

from services.pages import jobs
from services.pages.api import Api, Refused
from services.pages.asked import Answer, Asked, Download, Framed, Gone, NotThere, Shown
from services.pages.documents import INDEX, LONG, Documents, address_of
from services.pages.drawing import FRAMED_HEADERS, HEADERS, STYLE, STYLE_HEADERS, STYLE_NAME, Drawing, safe
from services.pages.session_keys import SessionKeys, is_secret
from services.pages.sessions import Sessions, SignedIn
from shared.net.peers import peer_of
from shared.redis.redis import RedisAway

SHOWN = Counter("estafette_pages_shown_total", "Pages shown to people, by page and status", ["page", "status"])
SIGN_INS = Counter(
    "estafette_pages_sign_ins_total", "Attempts to sign in at the console, by what came of them", ["end"]
)

#: The pages of somebody who is signed in: name, where it is, what it is called, and the scope that it needs.
PAGES = (
    ("jobs", "/console/jobs", "Jobs", "read"),
    ("statistics", "/console/statistics", "Statistics", "read"),
    ("contacts", "/console/contacts", "Contacts", "read"),
    ("segments", "/console/segments", "Segments", "read"),
    ("imports", "/console/imports", "Imports", "read"),
    ("activity", "/console/activity", "Activity", "read"),
    ("recipients", "/console/recipients", "Recipients", "read"),
    ("suppressions", "/console/suppressions", "Suppressions", "read"),
    ("domains", "/console/domains", "Domains", "read"),
    ("webhooks", "/console/webhooks", "Webhooks", "read"),
    ("stops", "/console/stops", "Stops", "admin"),
)
_PLACES = {name: (path, f"To: {text.lower()}") for name, path, text, _ in PAGES}
#: A key of ours has 47 characters.
MAX_KEY_CHARS = 200

View = Callable[[Api, Asked], Awaitable[Shown | Framed | Download | Gone]]


class Pacing(Protocol):
    def allows(self, who: str, /) -> bool: ...


class Pages:
    """`api_of` gives the API as that key asks it. `pacing` says whether somebody at that address may try to sign in."""

    def __init__(
        self,
        sessions: Sessions,
        session_keys: SessionKeys,
        api_of: Callable[[str], Api],
        drawing: Drawing,
        documents: Documents,
        pacing: Pacing,
        hours: int,
    ) -> None:
        self._sessions = sessions
        self._keys = session_keys
        self._api_of = api_of
        self._drawing = drawing
        self._documents = documents
        self._pacing = pacing
        self._hours = hours

    # For everybody

    async def home(self, _asked: Asked) -> Answer:
        return self._page("home", Shown("home", {"title": "Sending and tracking of mail"}))

    async def style(self, asked: Asked) -> Answer:
        if asked.match["name"] != STYLE_NAME:
            return Answer(404, headers={"Content-Type": "text/plain"})
        return Answer(200, STYLE, STYLE_HEADERS)

    async def document(self, asked: Asked) -> Answer:
        """A page of `docs/`; without a name the list of them."""
        name = "/".join(asked.match[part] for part in ("folder", "name") if part in asked.match) or INDEX
        # The first look at a long one takes a while, and others shall not wait for it.
        found = await asyncio.to_thread(self._documents.page, name)
        if found is None:
            return self._missing("docs")
        folder = name.partition("/")[0] if "/" in name else ""
        trail = [] if name == INDEX else [(address_of(name), found.title)]
        if folder == LONG:
            trail.insert(0, (address_of(LONG), "The API"))
        context = {
            "title": found.title,
            "nav": "docs",
            "html": safe(found.html),
            "sections": found.sections,
            "trail": trail,
            "is_api": LONG in (name, folder),
        }
        return self._page("docs", Shown("document", context))

    async def linked_report(self, asked: Asked) -> Answer:
        """The report of a job, for who has a link to it: the API says whether the link is good, and asks for no key."""
        try:
            return self._page("linked_report", await jobs.linked(self._api_of(""), asked))
        except NotThere:
            return self._missing("linked_report")
        except Refused as refused:
            if refused.status == 404:
                text = "It is over, or was taken back. Ask whoever sent it to you for a new one."
                return self._told("linked_report", 404, "This link leads nowhere", text, None)
            return self.unavailable("linked_report")

    # Signing in and out

    async def sign_in_page(self, asked: Asked) -> Answer:
        """To sign in on; who is signed in goes on to their jobs."""
        if await self._sessions.find(asked.secret) is not None:
            return _gone("/console/jobs")
        return self._sign_in(asked)

    async def sign_in(self, asked: Asked) -> Answer:
        """Asks the API whose the key is, and begins a session of its own."""
        if not self._is_from_our_form(asked):
            SIGN_INS.labels("forged").inc()
            return self._sign_in(asked, "The page was too old: please try again.", 403)
        if not self._pacing.allows(peer_of(asked.ip)):
            SIGN_INS.labels("limited").inc()
            return self._sign_in(asked, "Too many attempts from your address: try again in a minute.", 429)
        key = asked.form.get("key", "").strip()
        if not (key.isascii() and key.isprintable() and 0 < len(key) <= MAX_KEY_CHARS):
            SIGN_INS.labels("unknown").inc()
            return self._sign_in(asked, "That is no key.", 422)
        try:
            found = await self._api_of(key).get("/v1/key")
        except Refused as refused:
            fault, status = _why_not(refused)
            SIGN_INS.labels("unknown" if refused.status == 401 else "refused").inc()
            return self._sign_in(asked, fault, status)
        await self._sessions.end(asked.secret)
        secret = await self._sessions.begin(key, found["tenant"], found["id"], tuple(found["scopes"]))
        SIGN_INS.labels("signed_in").inc()
        return _gone("/console/jobs", secret)

    async def sign_out(self, asked: Asked) -> Answer:
        if not self._is_from_our_form(asked):
            return self._forged()
        await self._sessions.end(asked.secret)
        return _gone("/console", "")

    def _sign_in(self, asked: Asked, fault: str = "", status: int = 200, notice: str = "") -> Answer:
        # The form's token needs a secret to belong to, whether anybody is signed in or not.
        is_new = not is_secret(asked.secret)
        secret = self._sessions.new_secret() if is_new else asked.secret
        context = {
            "title": "Sign in",
            "nav": "console",
            "fault": fault,
            "hours": self._hours,
            "notice": notice,
            "form_token": self._keys.form_token(secret),
        }
        return self._page("sign_in", Shown("sign_in", context, status), secret if is_new else None)

    # For who is signed in

    async def console(self, name: str, view: View, asked: Asked) -> Answer:
        """A page of the console, or what a form of it does."""
        found = await self._sessions.find(asked.secret)
        if found is None:
            return self._sign_in(asked, status=401) if asked.method == "POST" else _gone("/console")
        if asked.method == "POST" and not self._is_from_our_form(asked):
            return self._forged()
        try:
            shown = await view(self._api_of(found.key), asked)
        except NotThere:
            return self._missing(name, found)
        except Refused as refused:
            return await self._refused(name, refused, asked, found)
        match shown:
            case Gone(to):
                return _gone(to)
            case Download(body, file):
                SHOWN.labels(name, "200").inc()
                named = {
                    "Content-Type": "text/csv; charset=utf-8",
                    "Content-Disposition": f'attachment; filename="{file}"',
                }
                return Answer(200, b"", {**HEADERS, **named}, stream=body)
            case Framed(html):
                SHOWN.labels(name, "200").inc()
                return Answer(200, html.encode("utf-8", "replace"), FRAMED_HEADERS)
        return self._page(name, Shown(shown.template, self._with_who(shown.context, found), shown.status))

    async def _refused(self, name: str, refused: Refused, asked: Asked, found: SignedIn) -> Answer:
        if refused.status == 401:
            await self._sessions.end(asked.secret)
            return self._sign_in(asked, status=401, notice="You were signed out: your key was revoked.")
        if refused.status == 404:
            return self._missing(name, found)
        title = "Your key may not do that" if refused.status == 403 else "That did not work"
        return self._told(name, refused.status, title, refused.detail, found, refused.faults)

    def _with_who(self, context: Mapping[str, Any], found: SignedIn) -> dict[str, Any]:
        pages = [(name, path, text) for name, path, text, scope in PAGES if scope in found.scopes]
        who = {"tenant": found.tenant, "pages": pages, "scopes": found.scopes}
        return {"who": who, "form_token": self._keys.form_token(found.secret), **context}

    def _is_from_our_form(self, asked: Asked) -> bool:
        return asked.is_ours and self._keys.is_form_token(asked.form.get("form", ""), asked.secret)

    # What is said instead

    def _missing(self, name: str, found: SignedIn | None = None) -> Answer:
        return self._told(name, 404, "There is no such page", "It is not there, or not any more.", found)

    def _forged(self) -> Answer:
        text = "It did not come from a page that you were shown, or that was too long ago. Nothing was done."
        return self._told("forged", 403, "That was not asked here", text, None)

    def unavailable(self, name: str) -> Answer:
        return self._told(name, 503, "Try again in a moment", "What the page needs cannot be had now.", None)

    def _told(
        self, name: str, status: int, title: str, text: str, found: SignedIn | None, faults: tuple[str, ...] = ()
    ) -> Answer:
        back, back_text = _PLACES[name] if found else ("/", "To the first page")
        context = {
            "title": title, "nav": name, "text": text, "faults": faults, "back": back, "back_text": back_text,
        }  # fmt: skip
        shown = self._with_who(context, found) if found else context
        return self._page(name, Shown("told", shown, status))

    def _page(self, name: str, shown: Shown, secret: str | None = None) -> Answer:
        SHOWN.labels(name, str(shown.status)).inc()
        return Answer(shown.status, self._drawing.page(shown.template, shown.context), HEADERS, secret)


async def answered(pages: Pages, name: str, call: Callable[[Asked], Awaitable[Answer]], asked: Asked) -> Answer:
    """What the call answers, or that it cannot now."""
    try:
        return await call(asked)
    except RedisAway:
        return pages.unavailable(name)


def _gone(to: str, secret: str | None = None) -> Answer:
    # What is behind a form is asked for anew (RFC 9110, 15.4.4).
    return Answer(303, b"", {**HEADERS, "Location": to}, secret)


def _why_not(refused: Refused) -> tuple[str, int]:
    match refused.status:
        case 401:
            return "That key is not known, or was revoked.", 401
        case 403:
            return "That key lacks the scope read, which the console needs.", 403
    return "The API cannot say now whose key that is: try again in a moment.", 503
