"""Asks Redis for what a page says of a mail and its recipient; where it does not answer soon, the page says less.

Nobody waits for it who opens a mail or follows a link: only pages ask.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog

from services.tracking.about import ASKED, NOTHING_KNOWN, About, Offered, said_languages, shown_sender
from shared.redis import jobs
from shared.redis.consents import Consents
from shared.redis.looks import Looks
from shared.redis.members import Members
from shared.redis.recipients import Recipients
from shared.redis.redis import Client, RedisAway
from shared.redis.suppression import Listed, SuppressionList, normalised
from shared.words import scopes
from shared.words.consent import MARKETING_STREAM
from shared.words.scopes import Entry
from shared.words.tokens import Token

#: How long a page waits for it: a person sees no difference, and a page that says less will do.
LOOK_UP_S = 0.5
#: How long a mail program that posts waits to learn whether its user left before: one event however often it asks.
LEAVING_S = 0.05

_log = structlog.get_logger("abouts")


class Abouts:
    """The look-up. `monotonic` is a clock in seconds."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        recipients: Recipients,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._recipients = recipients
        self._now_ms = now_ms
        self._looks = Looks(client, monotonic)
        self._suppression = SuppressionList(client, partitions, now_ms)
        self._members = Members(client, partitions)
        self._consents = Consents(client, partitions, monotonic)

    async def of(self, token: Token) -> About:
        """What is known, of a token of a page. Raises nothing."""
        with suppress(RedisAway, TimeoutError):
            async with asyncio.timeout(LOOK_UP_S):
                return await self._of(token)
        _log.warning("page_without_look", tenant=token.tenant)
        return NOTHING_KNOWN

    async def _of(self, token: Token) -> About:
        look, job, found = await asyncio.gather(
            self._looks.of(token.tenant),
            jobs.read(self._client, self._partitions, token.job, (jobs.SENDER, jobs.LIST, jobs.LANGUAGE, jobs.PURPOSE)),
            self._recipients.find(token.job, [token.ordinal]),
        )
        known = found.get(token.ordinal)
        said = said_languages(known.metadata if known is not None else None)
        name = job[jobs.LIST]
        address = token.address or (known.email if known is not None else "")
        about = About(
            look=look,
            sender=shown_sender(look, job[jobs.SENDER]),
            list=name,
            purpose=job[jobs.PURPOSE],
            address=address,
            languages=(*said, job[jobs.LANGUAGE], look.language),
        )
        return await self._with_state(about, token) if token.address else about

    async def leaving(self, token: Token) -> About:
        """Of a token of who leaves no more than whether they left by it before, for a mail program that does not wait.
        Raises nothing."""
        with suppress(RedisAway, TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                job = await jobs.read(self._client, self._partitions, token.job, (jobs.LIST,))
                (listed,) = await self._suppression.listed(token.tenant, [token.address])
                return before(About(list=job[jobs.LIST]), token, listed)
        return NOTHING_KNOWN

    async def _with_state(self, about: About, token: Token) -> About:
        """With how the recipient stands to the tenant; of a test's, nothing."""
        address = normalised(token.address)
        (listed,) = await self._suppression.listed(token.tenant, [address])
        stopped = scopes.stops(listed.entries, "email", MARKETING_STREAM, about.list, self._now_ms()) or ""
        stays = stopped == "unsubscribed" and await self._stays(about, token.tenant, address, listed.entries)
        about = before(msgspec.structs.replace(about, stopped=stopped, stays=stays), token, listed)
        if token.kind != "preferences":
            return about
        return await self._with_choices(about, token.tenant, address, listed.entries)

    async def _stays(self, about: About, tenant: str, address: str, entries: tuple[Entry, ...]) -> bool:
        """Whether they would get nothing of it, had they not left by this mail: they left everything, too."""
        own = scopes.usual("unsubscribed", about.list)
        others = [one for one in entries if (one.channel, one.scope, one.reason) != ("email", own, "unsubscribed")]
        if scopes.stops(others, "email", MARKETING_STREAM, about.list, self._now_ms()):
            return True
        known = await self._consents.known(tenant, address)
        return known is not None and known.state.answer("email") == "no"

    async def _with_choices(self, about: About, tenant: str, address: str, entries: tuple[Entry, ...]) -> About:
        look, own = about.look, about.list
        names = list(dict.fromkeys([*(name for name, _ in look.lists), *([own] if own else [])]))
        members, known = await asyncio.gather(
            asyncio.gather(*(self._members.find(tenant, name, address) for name in names)),
            self._consents.known(tenant, address),
        )
        off = {one.list for one in entries if one.channel == "email" and one.list}
        lists = tuple(
            # Who has a mail of a list is on it, whether or not the tenant keeps it.
            Offered(name, look.title_of(name), name not in off and (member is not None or name == own))
            for name, member in zip(names, members, strict=True)
        )
        about = msgspec.structs.replace(about, lists=lists)
        answers = {topic: known.state.answer(topic) for topic in ASKED} if known is not None else {}
        most, days = known.pressure if known is not None else (0, 0)
        # Who has left by a channel since they agreed to it gets nothing there, and reads so.
        answers |= {one.channel: "no" for one in entries if scopes.is_left(one)}
        return msgspec.structs.replace(about, answers=answers, most=most, days=days)


def before(about: About, token: Token, listed: Listed) -> About:
    """With the event by which they left by the token's mail, or that which they took back. What is known of an entry
    stays when the entry goes."""
    place = scopes.place_of("email", scopes.usual("unsubscribed", about.list))
    said = listed.said.get(place)
    if said is None or (said.job, said.ordinal) != (token.job, token.ordinal):
        return about
    has_left = any(one.place == place and one.reason == "unsubscribed" for one in listed.entries)
    if has_left:
        return msgspec.structs.replace(about, left_as=said.event)
    return msgspec.structs.replace(about, came_back_from=said.event)
