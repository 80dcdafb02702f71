"""What a page of a tenant's site tells of who came by a link, and what becomes of it: a fact, or what is wrong. Pure.

A page tells one thing at a time, as JSON. What it may say is bounded and listed by the tenant (`shared.words.visits`);
what it says is what a browser says: whoever has a token can tell anything of that one message, and of no other.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Literal, Protocol

import msgspec
import orjson

from services.tracking.deciding import MAX_IP_CHARS, MAX_USER_AGENT_CHARS, Moment
from services.tracking.machines import verdict
from shared.words import events, visits
from shared.words.described import says
from shared.words.errors import Fault
from shared.words.events import Fact, PageViewed, VisitorActed, VisitorConsented
from shared.words.tokens import Token
from shared.words.visits import WebTracking

MAX_URL_CHARS = 2048
MAX_ID_CHARS = 64
MAX_PROPERTIES = 20
MAX_PROPERTY_CHARS = 200
#: Beyond it an amount is a mistake; sums of them fit into what Redis and Lua count exactly.
MAX_VALUE = 100_000_000
#: No currency has more.
MAX_DECIMALS = 4
MAX_AGE_S = visits.MAX_DAYS * 86_400

_PROPERTY = re.compile(r"[a-z][a-z0-9_]{0,31}")
#: What may stand beside `kind`, `url` and `id`.
_FIELDS = {
    "page": frozenset[str](),
    "event": frozenset(("name", "value", "currency", "properties")),
    "consent": frozenset(("given",)),
}


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page tells: that it was looked at, that something happened there, or that somebody agreed to be followed
    or took that back."""

    kind: Annotated[Literal["page", "event", "consent"], says("What is told.", "event")]
    url: Annotated[
        str, says("The page, on a site of the tenant. Query and fragment are not kept.", "https://www.exemple.fr/merci")
    ]
    id: Annotated[
        str,
        says("Up to 64 characters: what has the same is the same event and counts once, as an order does.", "4711"),
    ] = ""
    name: Annotated[str, says("Of an event: one of the names that the tenant lists.", "purchase")] = ""
    value: Annotated[float | None, says("Of an event: an amount, with 4 decimals at most.", 59.9)] = None
    currency: Annotated[str, says("Of which currency: one of those that the tenant lists.", "EUR")] = ""
    properties: Annotated[
        dict[str, str | int | float | bool],
        says("Of an event: up to 20 more words, numbers, yes and no.", {"category": "shoes", "items": 2}),
    ] = {}
    given: Annotated[bool | None, says("Of a consent: whether they agreed, or took it back.", True)] = None


class Visitor(msgspec.Struct, frozen=True, gc=False):
    """What is needed of the request that told it. `refuses`: its browser asks not to be tracked (`DNT`, `Sec-GPC`)."""

    ip: str = ""
    user_agent: str = ""
    purpose: str = ""
    refuses: bool = False


def is_over(token: Token, now_ms: int) -> bool:
    """Whether the link was followed so long ago that nothing more is told of it."""
    return now_ms // 1000 - token.clicked_s > MAX_AGE_S


def faults(told: Told, chosen: WebTracking) -> list[Fault]:
    """All that does not fit."""
    return [Fault(f"$.{at}", what) for at, what in _faults(told, chosen)]


def _faults(told: Told, chosen: WebTracking) -> Iterator[tuple[str, str]]:
    host = visits.host_of(told.url)
    if len(told.url) > MAX_URL_CHARS or not told.url.isprintable() or not host:
        yield "url", f"expected an http or https URL of at most {MAX_URL_CHARS} characters"
    elif host not in chosen.sites:
        yield "url", f"{host[:100]} is no site on which visitors are followed (PUT /v1/web-tracking)"
    if len(told.id) > MAX_ID_CHARS or not told.id.isprintable():
        yield "id", f"at most {MAX_ID_CHARS} printable characters"
    for field in ("name", "value", "currency", "properties", "given"):
        if getattr(told, field) not in ("", None, {}) and field not in _FIELDS[told.kind]:
            yield field, f"there is none with the kind {told.kind}"
    if told.kind == "consent" and told.given is None:
        yield "given", "expected true or false"
    if told.kind == "event":
        yield from _event_faults(told, chosen)


def _event_faults(told: Told, chosen: WebTracking) -> Iterator[tuple[str, str]]:
    if told.name not in chosen.events:
        yield "name", f"not listed: {_listed(chosen.events)} (PUT /v1/web-tracking)"
    if (told.value is None) != (not told.currency):
        yield "currency", "an amount has a value and a currency"
    elif told.currency and told.currency not in chosen.currencies:
        yield "currency", f"not listed: {_listed(chosen.currencies)} (PUT /v1/web-tracking)"
    if told.value is not None and not (0 <= told.value <= MAX_VALUE and _decimals(told.value) <= MAX_DECIMALS):
        yield "value", f"expected 0 to {MAX_VALUE}, with {MAX_DECIMALS} decimals at most"
    if len(told.properties) > MAX_PROPERTIES:
        yield "properties", f"at most {MAX_PROPERTIES}"
    for name, value in told.properties.items():
        if not _PROPERTY.fullmatch(name):
            yield f"properties.{name[:40]}", "a name has 1 to 32 of a-z, 0-9 and _, and begins with a letter"
        elif isinstance(value, str) and (len(value) > MAX_PROPERTY_CHARS or not value.isprintable()):
            yield f"properties.{name}", f"at most {MAX_PROPERTY_CHARS} printable characters"
        elif not isinstance(value, str) and abs(value) > 2**53:
            yield f"properties.{name}", "no number that JavaScript knows"


def _listed(names: Sequence[str]) -> str:
    return f"there are {', '.join(names)}" if names else "there are none"


def _decimals(value: float) -> int:
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def amount(value: float) -> str:
    """A number as people write it, exactly as JavaScript does: `59.9`, `60`."""
    return format(Decimal(repr(abs(value))).normalize(), "f")


def fact(told: Told, token: Token, visitor: Visitor, moment: Moment) -> Fact | None:
    """What is recorded of something that fits; None if nothing is, for the browser asks for that. That a consent is
    taken back is heard all the same."""
    if visitor.refuses and told.given is not False:
        return None
    url = visits.page(told.url)
    same = (told.id,) if told.id else (moment.now_ms, moment.apart)
    about = (token.tenant, token.job, token.ordinal, moment.now_ms)
    if told.kind == "consent":
        given = bool(told.given)
        what = events.about_message(*about, "visitor consented", given, *same)
        return VisitorConsented(**what, given=given, url=url)
    agent = visitor.user_agent[:MAX_USER_AGENT_CHARS]
    said = verdict("click", agent, visitor.purpose, visitor.ip[:MAX_IP_CHARS], moment.networks)
    if told.kind == "page":
        what = events.about_message(*about, "page viewed", url, *same)
        return PageViewed(**what, url=url, machine=said.word, reason=said.reason)
    return VisitorActed(
        **events.about_message(*about, "visitor acted", told.name, *same),
        name=told.name,
        url=url,
        value="" if told.value is None else amount(told.value),
        currency=told.currency,
        properties=orjson.dumps(told.properties, option=orjson.OPT_SORT_KEYS).decode() if told.properties else "",
        machine=said.word,
        reason=said.reason,
    )


class Sites(Protocol):
    def of(self, tenant: str) -> WebTracking | None: ...


class Tokens(Protocol):
    def visit(self, click: str, clicked_s: int) -> str:
        """InvalidToken if that is no click with a mark."""


class Untracked(Protocol):
    def is_withdrawn(self, tenant: str, marks: Iterable[bytes]) -> bool: ...


class Ties:
    """Adds the token of a visit to where a click leads, if its tenant follows visitors on that site: nobody is asked,
    and for all other tenants it is one look into what this process knows."""

    def __init__(self, tokens: Tokens, sites: Sites, untracked: Untracked) -> None:
        self._tokens = tokens
        self._sites = sites
        self._untracked = untracked

    def tied(self, click: str, token: Token, now_ms: int) -> str:
        """Where the click leads, of a token that was read; `click` is its text."""
        chosen = self._sites.of(token.tenant)
        if chosen is None or not token.mark or visits.host_of(token.destination) not in chosen.sites:
            return token.destination
        if self._untracked.is_withdrawn(token.tenant, (token.mark,)):
            return token.destination
        return visits.with_token(token.destination, self._tokens.visit(click, now_ms // 1000))
