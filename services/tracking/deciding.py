"""What a recipient's request means: its answer, and the facts that have to be durable before it. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qsl, quote

import msgspec

from services.tracking import choosing, consent_pages, pages
from services.tracking.about import NOTHING_KNOWN, About
from services.tracking.consent_pages import TRACKING_FIELD, Variant
from services.tracking.machines import verdict
from services.tracking.networks import NOWHERE, Known
from services.tracking.pages import Page
from shared.words import events
from shared.words.events import (
    Clicked,
    DocumentOpened,
    Fact,
    Opened,
    Unsubscribed,
)
from shared.words.tokens import NO_POSITION, Kind, Token

#: Longer ones are cut: what matters stands in front, and facts are kept for long.
MAX_USER_AGENT_CHARS = 512
#: An IPv6 address with an IPv4 tail.
MAX_IP_CHARS = 45
#: A one-click body has 26 bytes, in multipart some 200. What comes behind so many is not looked at.
MAX_FORM_BYTES = 16_384


class Request(msgspec.Struct, frozen=True, gc=False):
    """What is needed of an HTTP request. `kind` is the path's, `purpose` the Sec-Purpose header or a forerunner."""

    method: str
    kind: Kind
    token: str
    ip: str = ""
    user_agent: str = ""
    accept_language: str = ""
    purpose: str = ""
    content_type: str = ""
    body: bytes = b""
    query: str = ""


class Answer(msgspec.Struct, frozen=True, gc=False):
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What to answer, and which facts have to be durable before; none where nothing happened."""

    answer: Answer
    facts: Sequence[Fact] = ()


class Ties(Protocol):
    """Ties what happens on a tenant's site to the click that led there."""

    def tied(self, click: str, token: Token, now_ms: int) -> str:
        """Where the click of that text leads."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """When: ms since the epoch, and what tells requests of the same millisecond apart; which networks machines are
    known to come from then, and how visits of sites are tied to clicks."""

    now_ms: int
    apart: str = ""
    networks: Known = NOWHERE
    ties: Ties | None = None


#: A GIF of one transparent pixel, in the 43 bytes that it takes.
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")

#: Each opening shall be seen: no copy is kept, neither in the browser nor in a proxy. Mail pages that isolate
#: themselves (COEP) may show it.
PIXEL_HEADERS: Mapping[str, str] = {
    "Content-Type": "image/gif",
    "Cache-Control": "no-store, no-cache, must-revalidate, max-age=0",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
#: The site visited learns neither the mail page nor the link. Robots shall not list what mails link to.
REDIRECT_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
#: Seconds: long enough that a click repeated by hand comes after it.
RETRY_AFTER = "5"
LATER_HEADERS: Mapping[str, str] = {**pages.HEADERS, "Retry-After": RETRY_AFTER}
PLAIN_HEADERS: Mapping[str, str] = {**pages.HEADERS, "Content-Type": "text/plain; charset=utf-8"}

_PIXEL = Answer(200, PIXEL_HEADERS, PIXEL)


def decide(request: Request, token: Token | None, moment: Moment, about: About = NOTHING_KNOWN) -> Decision:
    """What the request means. A token of another kind than its path's is as invalid as one that was not signed. HEAD is
    answered as GET is (RFC 9110, 9.3.2), and nothing happened: nobody sees what it answers."""
    deciders = _DECIDERS[request.kind]
    decider = deciders.get(request.method)
    if decider is None:
        return Decision(Answer(405, {**pages.HEADERS, "Allow": ", ".join(deciders)}))
    if token is None or token.kind != request.kind:
        return Decision(Answer(404, pages.HEADERS, pages.invalid(request.accept_language)))
    decision = decider(request, token, moment, about)
    return Decision(decision.answer) if request.method == "HEAD" else decision


def _opened(request: Request, token: Token, moment: Moment, _about: About) -> Decision:
    agent, ip = _agent(request), request.ip[:MAX_IP_CHARS]
    now_ms = moment.now_ms
    what = ("opened", now_ms, ip, agent, moment.apart)
    told = verdict("open", agent, request.purpose, ip, moment.networks)
    fact = Opened(
        **events.about_message(token.tenant, token.job, token.ordinal, now_ms, *what),
        user_agent=agent,
        ip=ip,
        machine=told.word,
        reason=told.reason,
    )
    return Decision(_PIXEL, (fact,))


def _clicked(request: Request, token: Token, moment: Moment, _about: About) -> Decision:
    agent, ip = _agent(request), request.ip[:MAX_IP_CHARS]
    now_ms = moment.now_ms
    what = ("clicked", token.position, now_ms, ip, agent, moment.apart)
    told = verdict("click", agent, request.purpose, ip, moment.networks, token.position)
    fact = Clicked(
        **events.about_message(token.tenant, token.job, token.ordinal, now_ms, *what),
        position=token.position,
        url=token.destination,
        user_agent=agent,
        ip=ip,
        machine=told.word,
        reason=told.reason,
    )
    destination = token.destination
    if moment.ties is not None and not told.word:
        destination = moment.ties.tied(request.token, token, now_ms)
    return Decision(Answer(302, {**REDIRECT_HEADERS, "Location": location(destination)}), (fact,))


def _document_opened(request: Request, token: Token, moment: Moment, _about: About) -> Decision:
    """A redirect, as of a click: we fetch nothing for anybody."""
    now_ms = moment.now_ms
    if 0 < token.until_s * 1000 <= now_ms:
        return Decision(Answer(410, pages.HEADERS, pages.invalid(request.accept_language)))
    agent, ip = _agent(request), request.ip[:MAX_IP_CHARS]
    what = ("document", token.position, token.document, now_ms, ip, agent, moment.apart)
    told = verdict("click", agent, request.purpose, ip, moment.networks)
    common = (
        events.about_message(token.tenant, token.job, token.ordinal, now_ms, *what)
        if token.job
        else events.about(token.tenant, now_ms, token.tenant, token.address, *what, email=token.address)
    )
    fact = DocumentOpened(
        **common,
        document=token.document,
        url=token.destination,
        position=None if token.position == NO_POSITION else token.position,
        user_agent=agent,
        ip=ip,
        machine=told.word,
        reason=told.reason,
    )
    return Decision(Answer(302, {**REDIRECT_HEADERS, "Location": location(token.destination)}), (fact,))


def _shown(page: Page, facts: Sequence[Fact] = ()) -> Decision:
    return Decision(Answer(200, page.headers, page.body), facts)


def _leave_page(request: Request, _token: Token, _moment: Moment, about: About) -> Decision:
    return _shown(pages.leave(about, choosing.language({}, about, request.accept_language)))


def _unsubscribed(request: Request, token: Token, moment: Moment, about: About) -> Decision:
    said = choosing.form(request.body)
    where = _where(request, moment, about, said)
    named = choosing.event(said)
    if said.get(pages.UNDO_FIELD) == "yes":
        # They left everything, or complained: that stays, and the page says so.
        if about.has_left and not about.can_undo:
            return _shown(pages.leave(about, where.language))
        return _shown(pages.back(about, where.language), choosing.undone(token, where, named or about.left_as))
    one_click = is_one_click(request)
    fact = Unsubscribed(
        **choosing.leaving(token, moment.now_ms, named, about),
        by="one_click" if one_click else "page",
        user_agent=where.agent,
        ip=where.ip,
        reason=choosing.reason(said),
    )
    if one_click:
        return Decision(Answer(200, PLAIN_HEADERS, pages.left_plain(request.accept_language)), (fact,))
    return _shown(pages.left(about, where.language, fact.event_id), (fact,))


def _preferences_page(request: Request, _token: Token, _moment: Moment, about: About) -> Decision:
    language = choosing.language({}, about, request.accept_language)
    if choosing.asks(request.query, TRACKING_FIELD):
        return _shown(consent_pages.tracking(about, language))
    return _shown(consent_pages.preferences(about, language))


def _preferences(request: Request, token: Token, moment: Moment, about: About) -> Decision:
    said = choosing.form(request.body)
    where = _where(request, moment, about, said)
    choice = choosing.choice(request.body)
    if not choice.says_anything:
        return _preferences_page(request, token, moment, about)
    return _shown(consent_pages.saved(about, where.language), choosing.preferences(choice, token, where))


def _opt_in_page(request: Request, token: Token, _moment: Moment, about: About) -> Decision:
    language, variant = choosing.language({}, about, request.accept_language), choosing.variant(request.query)
    if _lacks(about, token, variant):
        return _later(language)
    return _shown(consent_pages.opt_in(about, language, variant))


def _opted_in(request: Request, token: Token, moment: Moment, about: About) -> Decision:
    said = choosing.form(request.body)
    where, variant = _where(request, moment, about, said), choosing.answered(said, request.query)
    if _lacks(about, token, variant):
        return _later(where.language)
    if choosing.is_unticked(said, variant):
        return _shown(consent_pages.opt_in(about, where.language, "box", is_missing=True))
    return _shown(consent_pages.opted_in(about, where.language), choosing.opted_in(variant, token, about, where))


def _lacks(about: About, token: Token, variant: Variant) -> bool:
    """Whether nobody can say now what a double opt-in is for: the page would not say what is agreed to, and the proof
    would not hold. Of a test nothing comes."""
    return variant == "confirm" and bool(token.address) and not about.is_known


def _later(language: str) -> Decision:
    return Decision(Answer(503, LATER_HEADERS, pages.later(language)))


def _where(request: Request, moment: Moment, about: About, said: Mapping[str, str]) -> choosing.Where:
    """When, and what proves it: the language in which it was asked, by what and from where it was answered."""
    language = choosing.language(said, about, request.accept_language)
    return choosing.Where(moment.now_ms, moment.apart, language, _agent(request), request.ip[:MAX_IP_CHARS])


def is_one_click(request: Request) -> bool:
    """Whether a mail program says that its user leaves (RFC 8058)."""
    return request.kind == "unsubscribe" and (
        request.method == "POST" and unsubscribed_by(request.content_type, request.body) == "one_click"
    )


_DECIDERS: Mapping[Kind, Mapping[str, Callable[[Request, Token, Moment, About], Decision]]] = {
    "open": {"GET": _opened, "HEAD": _opened},
    "click": {"GET": _clicked, "HEAD": _clicked},
    "document": {"GET": _document_opened, "HEAD": _document_opened},
    "unsubscribe": {"GET": _leave_page, "HEAD": _leave_page, "POST": _unsubscribed},
    "preferences": {"GET": _preferences_page, "HEAD": _preferences_page, "POST": _preferences},
    "opt_in": {"GET": _opt_in_page, "HEAD": _opt_in_page, "POST": _opted_in},
}


def unsubscribed_by(content_type: str, body: bytes) -> str:
    """`one_click` for the form of RFC 8058, 3.1, urlencoded or multipart. Any other POST, an empty one too, is `page`:
    nobody posts here but to leave, and nobody who wants to leave is turned away for a badly filled form."""
    if content_type.lower().startswith("multipart/"):
        # The value stands on a line of its own after its part's headers. The token authenticates; a loose look will do.
        named = b'name="list-unsubscribe"' in body.lower() or b"name=list-unsubscribe" in body.lower()
        return "one_click" if named and b"one-click" in body.lower() else "page"
    fields = parse_qsl(body.decode("utf-8", "replace"))
    pairs = {(name.lower(), value.strip().lower()) for name, value in fields}
    return "one_click" if ("list-unsubscribe", "one-click") in pairs else "page"


def location(destination: str) -> str:
    """The signed URL exactly, but that what is not ASCII is written in percent-encoded UTF-8, as a header needs it and
    a browser would (RFC 3987, 3.1)."""
    if destination.isascii():
        return destination
    return quote(destination, safe="!\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`{|}~")


def _agent(request: Request) -> str:
    """Cut, and without the half characters with which a header that is not UTF-8 arrives: facts are UTF-8."""
    agent = request.user_agent[:MAX_USER_AGENT_CHARS]
    return agent if agent.isascii() else agent.encode("utf-8", "replace").decode()
