"""The main path of tracking: what a recipient's request means, recorded before it is answered.

    request → token → decide → record → answer

Of who withdrew their consent to be tracked no opening and no click is recorded, and links lead on as ever: the mark in
a token says who that is (`shared.redis.untracked`), and nobody is asked.

`decide` is pure. Between it and the answer `Tracking.answer` awaits that the fact is durable; if it cannot be made so,
the answer is 503, never the redirect: a click answered is a click recorded.

Nothing here knows who listens. `http.py` stands in front under aiohttp, and `edge.py` for openings and clicks, with the
same `Request` and `Answer`: `begin` is `answer` without a task for each request.

Event ids. An opening or a click is an event of its own each time: its id is made from the message, the time, who
asked, and, for several requests within a millisecond, their number within it at this edge. An unsubscription is one
event however often it is asked for: its id is made from the message alone.

Who leaves is told so only if they will be found: the address is in the token, and so in the fact. For a token that was
made before addresses were in it, the job's recipients are asked; of a job that is not kept any more it is not valid.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Protocol
from urllib.parse import parse_qsl, quote

import msgspec
from prometheus_client import Counter

from services.tracking import choosing, consent_pages, pages
from services.tracking.about import NOTHING_KNOWN, About
from services.tracking.consent_pages import TRACKING_FIELD
from services.tracking.machines import verdict
from services.tracking.networks import NOWHERE, Known
from services.tracking.pages import Page
from shared.process import logs
from shared.redis.recipients import Recipient
from shared.redis.redis import RedisAway
from shared.redis.untracked import Told
from shared.words import events, ids
from shared.words.events import (
    Clicked,
    Fact,
    Opened,
    PreferencesChanged,
    Unsubscribed,
)
from shared.words.tokens import InvalidToken, Kind, Token

FACTS = Counter("estafette_tracking_facts_total", "Facts recorded, in Redis or in the spool", ["fact", "machine"])
ANSWERS = Counter("estafette_tracking_answers_total", "Requests answered", ["kind", "status"])

FORGOTTEN = Counter(
    "estafette_tracking_untracked_total",
    "Openings and clicks of which nothing was recorded, for their recipients withdrew their consent",
    ["kind"],
)

_log = logs.get_logger()

#: How long a process waits for Redis to say who withdrew, before it begins without.
LOAD_S = 2.0
#: How long a click on a link without a mark waits to learn whose it is, where its tenant has people who withdrew.
UNMARKED_S = 0.05
#: Longer ones are cut: what matters stands in front, and facts are kept for long.
MAX_USER_AGENT_CHARS = 512
#: An IPv6 address with an IPv4 tail.
MAX_IP_CHARS = 45
#: A one-click body has 26 bytes, in multipart some 200. What comes behind so many is not looked at.
MAX_FORM_BYTES = 16_384
#: Seconds: long enough that a click repeated by hand comes after it.
RETRY_AFTER = "5"


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


class Moment(msgspec.Struct, frozen=True, gc=False):
    """When: ms since the epoch, and what tells requests of the same millisecond apart; and which networks machines are
    known to come from then."""

    now_ms: int
    apart: str = ""
    networks: Known = NOWHERE


class NotRecorded(Exception):
    """The fact is neither in Redis nor in the spool, or may not be; the text says why."""


class Recorder(Protocol):
    async def record(self, fact: Fact, mark: bytes = b"") -> None:
        """Returns when the fact is durable. NotRecorded if it cannot be made so. `mark`: of whom it is about."""

    def hand_in(self, fact: Fact, mark: bytes, told: Callable[[bool], None]) -> None:
        """The same, and whether it is durable is told later. NotRecorded if it is not even tried."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Recipients(Protocol):
    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        """Those that the job has. RedisAway."""


class Abouts(Protocol):
    async def of(self, token: Token) -> About:
        """What a page may say of the mail and its recipient, as far as it is soon known. Raises nothing."""


class Tokens(Protocol):
    def read(self, text: str) -> Token:
        """InvalidToken, a ValueError, for whatever we did not sign."""

    def marks(self, tenant: str, address: str) -> list[bytes]:
        """By which a recipient may be known."""


class Untracked(Protocol):
    """Who withdrew their consent to be tracked, as this process knows."""

    async def load(self) -> None:
        """RedisAway."""

    def has_any(self, tenant: str) -> bool: ...

    def is_withdrawn(self, tenant: str, marks: Iterable[bytes]) -> bool: ...

    def hear(self, told: Iterable[Told]) -> None:
        """What was told to this process itself."""


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
PLAIN_HEADERS: Mapping[str, str] = {**pages.HEADERS, "Content-Type": "text/plain; charset=utf-8"}
LATER_HEADERS: Mapping[str, str] = {**pages.HEADERS, "Retry-After": RETRY_AFTER}

_PIXEL = Answer(200, PIXEL_HEADERS, PIXEL)


class Tracking:
    """Answers requests. `edge` names this process among those that run at the same time; it need not outlive it."""

    def __init__(
        self,
        tokens: Tokens,
        recorder: Recorder,
        edge: str,
        recipients: Recipients,
        untracked: Untracked,
        networks: Known = NOWHERE,
        abouts: Abouts | None = None,
    ) -> None:
        self._networks = networks
        self._abouts = abouts
        self._untracked = untracked
        self._tokens = tokens
        self._recorder = recorder
        self._recipients = recipients
        self._edge = edge
        self._last_ms = 0
        self._within_ms = 0

    async def start(self) -> None:
        """Opens the spool, takes over what dead processes left in it, and begins to record. OSError if it cannot. Who
        withdrew is known when it returns; or learnt once Redis is back, and until then the spool takes everything."""
        await self._recorder.start()
        with suppress(RedisAway, TimeoutError):
            async with asyncio.timeout(LOAD_S):
                await self._untracked.load()

    async def close(self) -> None:
        """Records what is in hand. To be called when no more requests come in."""
        await self._recorder.close()

    async def answer(self, request: Request, now_ms: int) -> Answer:
        """The answer, and by the time it is returned its fact is durable. Raises nothing."""
        token = self._token(request)
        try:
            token = await self._with_address(request, token)
        except RedisAway:
            decision = Decision(Answer(503, LATER_HEADERS, pages.later(request.accept_language)))
        else:
            decision = decide(request, token, self._moment(now_ms), await self._about(request, token))
        answer = decision.answer
        if decision.facts and token is not None:
            if await self._is_forgotten(token):
                _forgotten(request.kind).inc()
            elif not await self._are_recorded(decision.facts, token):
                answer = Answer(503, LATER_HEADERS, pages.later(request.accept_language))
        _answers(request.kind, answer.status).inc()
        return answer

    def begin(self, request: Request, now_ms: int, told: Callable[[Answer], None]) -> bool:
        """The same for an opening or a click about which nobody has to be asked: `told` is called with its answer, once
        the fact is durable. False for all else, of which nothing was done: it is for `answer`. Raises nothing."""
        token = self._token(request)
        if token is None or token.kind != request.kind or token.kind not in ("open", "click"):
            return False
        if self._untracked.has_any(token.tenant) and (
            not token.mark or self._untracked.is_withdrawn(token.tenant, (token.mark,))
        ):
            return False
        decision = decide(request, token, self._moment(now_ms))
        if len(decision.facts) != 1:
            return False
        (fact,) = decision.facts

        def recorded(is_durable: bool) -> None:
            answer = decision.answer
            if is_durable:
                _tell(fact)
            else:
                answer = Answer(503, LATER_HEADERS, pages.later(request.accept_language))
            _answers(request.kind, answer.status).inc()
            told(answer)

        try:
            self._recorder.hand_in(fact, token.mark, recorded)
        except NotRecorded:
            recorded(False)
        return True

    def _token(self, request: Request) -> Token | None:
        try:
            return self._tokens.read(request.token)
        except InvalidToken:
            return None

    async def _with_address(self, request: Request, token: Token | None) -> Token | None:
        """An older token of who leaves, with the address; None if nobody knows it any more. RedisAway."""
        leaves = request.kind == "unsubscribe" and request.method == "POST"
        if not leaves or token is None or token.kind != "unsubscribe" or token.address:
            return token
        found = await self._recipients.find(token.job, [token.ordinal])
        known = found.get(token.ordinal)
        return None if known is None else msgspec.structs.replace(token, address=known.email)

    async def _about(self, request: Request, token: Token | None) -> About:
        """What a page says; nothing of anything else, and a mail program that posts waits for nothing."""
        is_shown = token is not None and token.kind == request.kind and token.kind not in ("open", "click")
        if not is_shown or token is None or self._abouts is None or _is_one_click(request):
            return NOTHING_KNOWN
        return await self._abouts.of(token)

    async def _are_recorded(self, facts: Sequence[Fact], token: Token) -> bool:
        """Whether they are durable. Who withdraws their consent to be tracked, or gives it, is known here at once."""
        for fact in facts:
            said = fact
            if isinstance(said, PreferencesChanged) and said.tracking:
                marks = self._tokens.marks(token.tenant, token.address)
                said = msgspec.structs.replace(said, marks=" ".join(mark.hex() for mark in marks))
            try:
                await self._recorder.record(said, token.mark)
            except NotRecorded:
                return False
            _tell(said)
            if isinstance(said, PreferencesChanged) and said.tracking:
                self._untracked.hear(
                    Told(token.tenant, mark, said.tracking == "no", said.occurred_at) for mark in marks
                )
        return True

    async def _is_forgotten(self, token: Token) -> bool:
        """Whether an opening or a click is one of somebody who withdrew their consent to be tracked."""
        if token.kind not in ("open", "click") or not self._untracked.has_any(token.tenant):
            return False
        if token.mark:
            return self._untracked.is_withdrawn(token.tenant, (token.mark,))
        try:  # a mail that was sent before links had marks
            async with asyncio.timeout(UNMARKED_S):
                found = await self._recipients.find(token.job, [token.ordinal])
        except (RedisAway, TimeoutError):
            return True  # a figure less, rather than one that should not be
        known = found.get(token.ordinal)
        return known is not None and self._untracked.is_withdrawn(
            token.tenant, self._tokens.marks(token.tenant, known.email)
        )

    def _moment(self, now_ms: int) -> Moment:
        self._within_ms = self._within_ms + 1 if now_ms == self._last_ms else 0
        self._last_ms = now_ms
        return Moment(now_ms, f"{self._edge}.{self._within_ms}", self._networks)


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
    return Decision(Answer(302, {**REDIRECT_HEADERS, "Location": location(token.destination)}), (fact,))


def _shown(page: Page, facts: Sequence[Fact] = ()) -> Decision:
    return Decision(Answer(200, page.headers, page.body), facts)


def _leave_page(request: Request, _token: Token, _moment: Moment, about: About) -> Decision:
    return _shown(pages.leave(about, choosing.language({}, about, request.accept_language)))


def _unsubscribed(request: Request, token: Token, moment: Moment, about: About) -> Decision:
    said = choosing.form(request.body)
    where = _where(request, moment, about, said)
    if said.get(pages.UNDO_FIELD) == "yes":
        return _shown(pages.back(about, where.language), choosing.undone(token, where))
    one_click = _is_one_click(request)
    fact = Unsubscribed(
        **events.about_message(
            token.tenant, token.job, token.ordinal, moment.now_ms, "unsubscribed", email=token.address or None
        ),
        by="one_click" if one_click else "page",
        user_agent=where.agent,
        ip=where.ip,
        reason=choosing.reason(said),
    )
    if one_click:
        return Decision(Answer(200, PLAIN_HEADERS, pages.left_plain(request.accept_language)), (fact,))
    return _shown(pages.left(about, where.language), (fact,))


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


def _opt_in_page(request: Request, _token: Token, _moment: Moment, about: About) -> Decision:
    language = choosing.language({}, about, request.accept_language)
    return _shown(consent_pages.opt_in(about, language, choosing.variant(request.query)))


def _opted_in(request: Request, token: Token, moment: Moment, about: About) -> Decision:
    said = choosing.form(request.body)
    where = _where(request, moment, about, said)
    if choosing.is_unticked(said):
        return _shown(consent_pages.opt_in(about, where.language, "box", is_missing=True))
    return _shown(consent_pages.opted_in(about, where.language), choosing.opted_in(said, token, about, where))


def _where(request: Request, moment: Moment, about: About, said: Mapping[str, str]) -> choosing.Where:
    """When, and what proves it: the language in which it was asked, by what and from where it was answered."""
    language = choosing.language(said, about, request.accept_language)
    return choosing.Where(moment.now_ms, moment.apart, language, _agent(request), request.ip[:MAX_IP_CHARS])


def _is_one_click(request: Request) -> bool:
    return request.kind == "unsubscribe" and (
        request.method == "POST" and unsubscribed_by(request.content_type, request.body) == "one_click"
    )


_DECIDERS: Mapping[Kind, Mapping[str, Callable[[Request, Token, Moment, About], Decision]]] = {
    "open": {"GET": _opened, "HEAD": _opened},
    "click": {"GET": _clicked, "HEAD": _clicked},
    "unsubscribe": {"GET": _leave_page, "HEAD": _leave_page, "POST": _unsubscribed},
    "preferences": {"GET": _preferences_page, "HEAD": _preferences_page, "POST": _preferences},
    "opt_in": {"GET": _opt_in_page, "HEAD": _opt_in_page, "POST": _opted_in},
}


def _tell(fact: Fact) -> None:
    """Who leaves is asked after, so there is a line; opens and clicks are too many, and stand in the events."""
    _facts(type(fact).__name__, getattr(fact, "machine", "")).inc()
    if isinstance(fact, Unsubscribed):
        named = {"message": ids.message_id(fact.job, fact.ordinal), "job": fact.job} if fact.ordinal is not None else {}
        _log.info("unsubscribed", **named, tenant=fact.tenant, by=fact.by)


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


# The labels are few and known, so each child is looked up once.


@cache
def _forgotten(kind: Kind) -> Counter:
    return FORGOTTEN.labels(kind)


@cache
def _facts(name: str, word: str) -> Counter:
    return FACTS.labels(name, word)


@cache
def _answers(kind: Kind, status: int) -> Counter:
    return ANSWERS.labels(kind, str(status))
