"""View in browser: a signed token becomes the mail of its recipient, as a page; nothing is recorded.

    token → job (kept, else loaded) → recipient → is anything in the way? → rendered → page

A token that is not ours costs no look-up, and gets the page that says so. So does one whose mail is not kept any more,
whose recipient was erased, or which cannot be rendered: who asks does not learn which.

Whether links are tracked is decided anew: for who is not tracked, or has withdrawn since, they are plain.

What it may cost is bounded: contents are kept, so many and so large, with their text alone; so many pages are made at
a time, and who comes beyond is asked to come again; logic is rendered in a process apart, within the bounds that the
relay has (`shared.process.sandbox`), which is there from the first such page on.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec
from prometheus_client import Counter

from services.tracking import pages, showing
from services.tracking.about import shown_sender
from services.tracking.deciding import LATER_HEADERS
from services.tracking.showing import Mail
from shared.mail import templates
from shared.mail.templates import TemplateFailed
from shared.making.rendering import Asked
from shared.process.sandbox import Unavailable
from shared.redis import jobs
from shared.redis.recipients import Viewed
from shared.redis.redis import Client, RedisAway
from shared.redis.suppression import normalised
from shared.words import content
from shared.words.look import NOTHING_CHOSEN
from shared.words.tokens import InvalidToken, Token, TokenKeys
from shared.words.variables import TooDeep

VIEWS = Counter("estafette_tracking_views_total", "Mails asked for in a browser, by what came of it", ["result"])

#: Jobs whose text is kept, those used last, and how large they may be together.
JOBS_KEPT = 50
CONTENT_BYTES_KEPT = 32 * 1024 * 1024
#: Pages that are made at a time; a page takes some milliseconds.
AT_A_TIME = 64


class Hosts(Protocol):
    async def of(self, tenant: str, from_domain: str) -> str:
        """Where links begin in the mails of that domain. RedisAway."""


class Recipients(Protocol):
    async def viewed(self, job: str, ordinal: int) -> Viewed | None:
        """RedisAway."""


class Untracked(Protocol):
    """Who withdrew their consent to be tracked."""

    @property
    def is_known(self) -> bool:
        """Whether what it says is all there is."""

    def is_withdrawn(self, tenant: str, marks: Iterable[bytes]) -> bool: ...


class Erased(Protocol):
    async def are_erased(self, asked: list[tuple[str, str]]) -> list[bool]:
        """RedisAway."""


class Rendering(Protocol):
    async def texts(self, asked: Asked, tenant: str) -> Mapping[templates.Name, str]:
        """TemplateFailed, Unavailable."""


class Page(msgspec.Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Gone(Exception):
    """There is nothing to be shown."""


class Viewing:
    """`hosts` say where tracking answers; `marks_key` is chance of this process (`shared.making.layout.Marks`)."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        tokens: TokenKeys,
        recipients: Recipients,
        untracked: Untracked,
        erased: Erased,
        rendering: Rendering,
        hosts: Hosts,
        marks_key: bytes,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._tokens = tokens
        self._recipients = recipients
        self._untracked = untracked
        self._erased = erased
        self._rendering = rendering
        self._hosts = hosts
        self._marks_key = marks_key
        self._mails: OrderedDict[tuple[str, int], Mail] = OrderedDict()
        self._kept_bytes = 0
        self._under_way = 0
        self._loading = asyncio.Lock()

    async def answer(self, text: str, accept_language: str) -> Page:
        """The page of a token. Raises nothing."""
        try:
            token = self._tokens.read(text)
        except InvalidToken:
            token = None
        if token is None or token.kind != "view":
            return _told("forged", 404, pages.invalid(accept_language))
        if self._under_way >= AT_A_TIME:
            return _told("busy", 503, pages.later(accept_language))
        self._under_way += 1
        try:
            shown = await self._shown(token, accept_language)
        except (RedisAway, Unavailable):
            return _told("unavailable", 503, pages.later(accept_language))
        except (Gone, TemplateFailed, TooDeep):
            return _told("gone", 404, pages.invalid(accept_language))
        finally:
            self._under_way -= 1
        VIEWS.labels("shown").inc()
        return Page(200, showing.HEADERS, shown)

    async def _shown(self, token: Token, accept_language: str) -> bytes:
        who = await self._recipients.viewed(token.job, token.ordinal)
        if who is None or not who.email:
            raise Gone
        (is_erased,) = await self._erased.are_erased([(token.tenant, normalised(who.email))])
        if is_erased:
            raise Gone
        mail = (await self._mail(token)).of(who)
        asked = mail.asked(token.ordinal, who)
        texts = {} if asked is None else await self._rendering.texts(asked, token.tenant)
        is_tracked = self._is_tracked(token.tenant, who)
        return mail.page(token.ordinal, who, texts, accept_language, is_tracked=is_tracked)

    def _is_tracked(self, tenant: str, who: Viewed) -> bool:
        if who.untracked or not self._untracked.is_known:
            return False
        return not self._untracked.is_withdrawn(tenant, self._tokens.marks(tenant, who.email))

    async def _mail(self, token: Token) -> Mail:
        async with self._loading:  # one after the other: a content can have 14 MB before its text is taken out
            # By the generation too that its links are signed with: a former one may be revoked.
            name = (token.job, self._tokens.generations.current(token.tenant))
            known = self._mails.get(name)
            if known is not None and await self._hosts.of(token.tenant, known.from_domain) != known.base_url:
                self._forget(name)
                known = None
            if known is None:
                known = await self._loaded(token)
                self._keep(name, known)
            self._mails.move_to_end(name)
            return known

    async def _loaded(self, token: Token) -> Mail:
        fields = (jobs.CONTENT, jobs.TEST, jobs.TENANT, jobs.SENDER)
        stored = await jobs.read(self._client, self._partitions, token.job, fields)
        if not stored[jobs.CONTENT] or stored[jobs.TENANT] != token.tenant:
            raise Gone
        try:
            compiled = content.decode(stored[jobs.CONTENT])
            return Mail(
                compiled,
                job=token.job,
                tenant=token.tenant,
                tokens=self._tokens,
                base_url=await self._hosts.of(token.tenant, compiled.from_domain),
                marks_key=self._marks_key,
                title=shown_sender(NOTHING_CHOSEN, stored[jobs.SENDER]),
                test=stored[jobs.TEST],
            )
        except ValueError:
            raise Gone from None

    def _keep(self, name: tuple[str, int], mail: Mail) -> None:
        self._mails[name] = mail
        self._kept_bytes += mail.size_bytes
        while len(self._mails) > 1 and (len(self._mails) > JOBS_KEPT or self._kept_bytes > CONTENT_BYTES_KEPT):
            self._forget(next(iter(self._mails)))

    def _forget(self, name: tuple[str, int]) -> None:
        self._kept_bytes -= self._mails.pop(name).size_bytes


def _told(result: str, status: int, body: bytes) -> Page:
    VIEWS.labels(result).inc()
    return Page(status, LATER_HEADERS if status == 503 else pages.HEADERS, body)
