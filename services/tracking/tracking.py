"""The main path of tracking: what a recipient's request means, recorded before it is answered.

    request → token → decide → record → answer

Of who withdrew their consent to be tracked no opening, of a mail or a document, and no click is recorded, and links
lead on as ever: the mark in a token says who that is (`shared.redis.untracked`), and nobody is asked.

`decide` (`deciding.py`) is pure. Between it and the answer `Tracking.answer` awaits that the fact is durable; if it
cannot be made so, the answer is 503, never the redirect: a click answered is a click recorded.

Nothing here knows who listens. `http.py` stands in front under aiohttp, and `edge.py` for openings and clicks, with the
same `Request` and `Answer`: `begin` is `answer` without a task for each request.

Event ids. An opening or a click is an event of its own each time: its id is made from the message, the time, who
asked, and, for several requests within a millisecond, their number within it at this edge. To leave is one event
however often it is asked for, by page or mail program: its id is made from the message and, once somebody came back,
from the event that they took back. So who leaves again makes another event. Taking back is named after what is taken
back, and is one event, too. While Redis is away the forms of the pages say it, and a mail program that posts makes the
first event again, at a later time.

Who leaves is told so only if they will be found: the address is in the token, and so in the fact. For a token that was
made before addresses were in it, the job's recipients are asked; of a job that is not kept any more it is not valid.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Protocol

import msgspec
from prometheus_client import Counter

from services.tracking import pages
from services.tracking.about import NOTHING_KNOWN, About
from services.tracking.deciding import (
    LATER_HEADERS,
    Answer,
    Decision,
    Moment,
    Request,
    Ties,
    decide,
    is_one_click,
)
from services.tracking.networks import NOWHERE, Known
from shared.process import logs
from shared.redis.recipients import Recipient
from shared.redis.redis import RedisAway
from shared.redis.untracked import Told
from shared.words import ids
from shared.words.events import (
    Fact,
    PreferencesChanged,
    Unsubscribed,
)
from shared.words.tokens import InvalidToken, Kind, Token

FACTS = Counter("estafette_tracking_facts_total", "Facts recorded, in Redis or in the spool", ["fact", "machine"])
ANSWERS = Counter("estafette_tracking_answers_total", "Requests answered", ["kind", "status"])

FORGOTTEN = Counter(
    "estafette_tracking_untracked_total",
    "Openings, of documents too, and clicks of which nothing was recorded, for their recipients withdrew their consent",
    ["kind"],
)

_log = logs.get_logger()

#: What is recorded about a recipient unless they withdrew their consent to be tracked, and asks nobody.
_FOLLOWED: frozenset[Kind] = frozenset(("open", "click", "document"))
#: How long a process waits for Redis to say who withdrew, before it begins without.
LOAD_S = 2.0
#: How long a click on a link without a mark waits to learn whose it is, where its tenant has people who withdrew.
UNMARKED_S = 0.05


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

    async def leaving(self, token: Token) -> About:
        """Whether they left by this mail before, if that is known at once. Raises nothing."""


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
        ties: Ties | None = None,
    ) -> None:
        self._ties = ties
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
            decision = decide(request, token, self.moment(now_ms), await self._about(request, token))
        answer = decision.answer
        if decision.facts and token is not None:
            if await self._is_forgotten(token):
                _forgotten(request.kind).inc()
            elif not await self.are_recorded(decision.facts, token):
                answer = Answer(503, LATER_HEADERS, pages.later(request.accept_language))
        _answers(request.kind, answer.status).inc()
        return answer

    def begin(self, request: Request, now_ms: int, told: Callable[[Answer], None]) -> bool:
        """The same for an opening, also of a document, or a click about which nobody has to be asked: `told` is called
        with its answer, once the fact is durable. False for all else, of which nothing was done: it is for `answer`.
        Raises nothing."""
        token = self._token(request)
        if token is None or token.kind != request.kind or token.kind not in _FOLLOWED:
            return False
        if self._untracked.has_any(token.tenant) and (
            not token.mark or self._untracked.is_withdrawn(token.tenant, (token.mark,))
        ):
            return False
        decision = decide(request, token, self.moment(now_ms))
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
        """What a page says; nothing of anything else, and next to nothing of a mail program that posts."""
        is_shown = token is not None and token.kind == request.kind and token.kind not in _FOLLOWED
        if not is_shown or token is None or self._abouts is None:
            return NOTHING_KNOWN
        return await (self._abouts.leaving(token) if is_one_click(request) else self._abouts.of(token))

    async def are_recorded(self, facts: Sequence[Fact], token: Token) -> bool:
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
        """Whether it is an opening, also of a document, or a click of somebody who withdrew their consent to be
        tracked."""
        if token.kind not in _FOLLOWED or not self._untracked.has_any(token.tenant):
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

    def moment(self, now_ms: int) -> Moment:
        """Of a request that came then."""
        self._within_ms = self._within_ms + 1 if now_ms == self._last_ms else 0
        self._last_ms = now_ms
        return Moment(now_ms, f"{self._edge}.{self._within_ms}", self._networks, self._ties)


def _tell(fact: Fact) -> None:
    """Who leaves is asked after, so there is a line; opens and clicks are too many, and stand in the events."""
    _facts(type(fact).__name__, getattr(fact, "machine", "")).inc()
    if isinstance(fact, Unsubscribed):
        named = {"message": ids.message_id(fact.job, fact.ordinal), "job": fact.job} if fact.ordinal is not None else {}
        _log.info("unsubscribed", **named, tenant=fact.tenant, by=fact.by)


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
