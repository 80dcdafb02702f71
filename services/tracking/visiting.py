"""The main path of visits: what a page of a tenant's site tells of who came by a link, recorded before it is answered.

    token → not too old? → not too often? → told → does it fit? → withdrawn? → recorded → 204

Facts are recorded as clicks are, by the same recorder and spool. A token that is not ours costs no look-up and records
nothing. Of who withdrew their consent to be tracked nothing is recorded, whatever they agreed to on the site.

Each token may tell `AT_ONCE` things, and one more each `EACH_S`, in each process: nobody floods the events of a tenant
with a link of theirs. What comes beyond is 429.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from services.tracking import visits
from services.tracking.deciding import RETRY_AFTER, Moment
from services.tracking.tracking import ANSWERS, FORGOTTEN
from services.tracking.visits import Told, Untracked, Visitor
from shared.http import api
from shared.net.pacing import Pacing
from shared.words.errors import Problem
from shared.words.events import Fact
from shared.words.tokens import InvalidToken, Token
from shared.words.visits import OFF, WebTracking

#: What is told has some hundred bytes; with all properties at their longest it has five thousand.
MAX_BODY_BYTES = 8192
#: Of one visitor: a page with all that happens on it, and then a page each ten seconds all day.
AT_ONCE, EACH_S = 60, 10.0
#: Visitors whose pace is known, those who told something last; 200 bytes each.
VISITORS_KEPT = 20_000

#: Scripts of any site may read what is answered: it says nothing, or what is wrong with what they sent.
CORS = {"Access-Control-Allow-Origin": "*"}


class Tokens(Protocol):
    def read(self, text: str) -> Token:
        """InvalidToken."""


class Sites(Protocol):
    @property
    def is_known(self) -> bool: ...

    def of(self, tenant: str) -> WebTracking | None: ...


class Tracking(Protocol):
    """Who records."""

    def moment(self, now_ms: int) -> Moment: ...

    async def are_recorded(self, facts: Sequence[Fact], token: Token) -> bool:
        """Whether they are durable."""


class Pace(Pacing[tuple[str, int]]):
    """How much each visitor tells."""

    def __init__(self, monotonic: Callable[[], float], most: int = VISITORS_KEPT) -> None:
        super().__init__(monotonic, AT_ONCE, EACH_S, most)


class Visiting:
    """Takes what pages tell."""

    def __init__(self, tokens: Tokens, tracking: Tracking, untracked: Untracked, sites: Sites, pace: Pace) -> None:
        self._tokens = tokens
        self._tracking = tracking
        self._untracked = untracked
        self._sites = sites
        self._pace = pace

    async def take(self, text: str, body: bytes, visitor: Visitor, now_ms: int) -> None:
        """Returns when what was told is durable, or is not to be recorded. Problem."""
        try:
            await self._take(text, body, visitor, now_ms)
        except Problem as problem:
            problem.headers.update(CORS)
            ANSWERS.labels("visit", str(problem.status)).inc()
            raise
        ANSWERS.labels("visit", "204").inc()

    async def _take(self, text: str, body: bytes, visitor: Visitor, now_ms: int) -> None:
        token = self._token(text, now_ms)
        if not self._pace.allows((token.job, token.ordinal)):
            raise Problem("too_many_visits", f"one each {EACH_S:g} s", headers={"Retry-After": f"{EACH_S:g}"})
        told = api.fit(body, Told)
        chosen = self._sites.of(token.tenant)
        if chosen is None and not self._sites.is_known:
            raise Problem("unavailable", "storage does not answer; try again", headers={"Retry-After": RETRY_AFTER})
        if faults := visits.faults(told, chosen or OFF):
            raise Problem("invalid_body", "the body does not fit", faults)
        fact = visits.fact(told, token, visitor, self._tracking.moment(now_ms))
        if fact is None:
            return
        if self._untracked.is_withdrawn(token.tenant, (token.mark,)):
            FORGOTTEN.labels("visit").inc()
        elif not await self._tracking.are_recorded((fact,), token):
            raise Problem("unavailable", "it cannot be recorded now", headers={"Retry-After": RETRY_AFTER})

    def _token(self, text: str, now_ms: int) -> Token:
        try:
            token = self._tokens.read(text)
        except InvalidToken:
            token = None
        if token is None or token.kind != "visit" or visits.is_over(token, now_ms):
            raise Problem("unknown_visit", "no visit has this token, or it was too long ago")
        return token
