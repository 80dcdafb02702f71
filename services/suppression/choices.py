"""What recipients chose on their pages, applied to the lists: joining, leaving, opting out of channels, and taking
back that they left.

Their later word takes back their own earlier one, and nothing else: an entry that is not theirs stays, and so does one
that is younger than what they say, for facts come again. They join lists that the tenant offers to everybody
(`shared.words.look`), and the list of the mail that led them to the page.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client import Counter

from services.suppression.store import Addition, Removal, Removed
from shared.redis.suppression import Listed, normalised
from shared.words import events, scopes
from shared.words.look import Look
from shared.words.scopes import Channel, Reason

CHOSEN = Counter(
    "estafette_suppression_choices_total", "Lists and channels that recipients joined, left or came back to", ["what"]
)

#: Facts that may change a list.
NAMES = frozenset(("OptedIn", "PreferencesChanged"))
#: What the recipient's own word takes back.
_THEIRS: frozenset[Reason] = frozenset(("unsubscribed",))
#: On whose word.
_BY = "recipient"
#: How an opt-in comes that the recipient gave themselves.
_BY_THEMSELVES = frozenset(("button", "page", "double_opt_in"))


class Store(Protocol):
    async def add(self, additions: Sequence[Addition]) -> list[bool]: ...

    async def remove(self, removals: Sequence[Removal]) -> list[Removed]: ...


class Lookup(Protocol):
    async def listed(self, tenant: str, addresses: Sequence[str]) -> list[Listed]: ...


class Members(Protocol):
    async def join(self, tenant: str, name: str, addresses: Sequence[str], at_ms: int) -> list[bool | None]: ...


class Jobs(Protocol):
    async def list_of(self, job: str) -> str: ...


class Looks(Protocol):
    async def of(self, tenant: str) -> Look: ...


class Choices:
    """Everything may be done twice. Every method raises RedisAway."""

    def __init__(self, store: Store, lookup: Lookup, members: Members, jobs: Jobs, looks: Looks) -> None:
        self._store = store
        self._lookup = lookup
        self._members = members
        self._jobs = jobs
        self._looks = looks

    async def apply(self, fact: events.Message) -> None:
        """What one fact changes; nothing for one that is about none of it."""
        match fact:
            case events.PreferencesChanged(email=str(email), by="page"):
                await self._leave(fact, normalised(email), fact.left.splitlines())
                await self._opt_out(fact, normalised(email), fact.opted_out.splitlines())
                await self._join(fact, normalised(email), fact.joined.splitlines())
                if fact.undone:
                    scope = scopes.usual("unsubscribed", await self._jobs.list_of(fact.job))
                    await self._take_back(fact, normalised(email), [scope])
            case events.OptedIn(email=str(email), by=by) if by in _BY_THEMSELVES:
                await self._opted_in(fact, normalised(email))

    async def _opted_in(self, fact: events.OptedIn, address: str) -> None:
        """Who agrees to marketing by a channel has not left it there any more; who confirms a double opt-in joins the
        list of its mail."""
        channel = next((one for one in scopes.CHANNELS if one == fact.channel), None)
        if channel is None:
            return
        await self._take_back(fact, address, [scopes.MARKETING], channel)
        if channel != "email":
            return
        name = fact.list or (await self._jobs.list_of(fact.job) if fact.by == "double_opt_in" else "")
        await self._join(fact, address, [name] if name else [])

    async def _leave(self, fact: events.Fact, address: str, names: Iterable[str]) -> None:
        lists = [name for name in names if _is_list(name)]
        await self._store.add([_left(fact, address, name, scope=scopes.of_list(name)) for name in lists])
        CHOSEN.labels("left").inc(len(lists))

    async def _opt_out(self, fact: events.Fact, address: str, channels: Sequence[str]) -> None:
        """Of marketing by these channels: whatever a job says of its recipients, they get none."""
        known = [channel for channel in scopes.CHANNELS if channel in channels]
        await self._store.add(
            [_left(fact, address, "opted out", one, scope=scopes.MARKETING, channel=one) for one in known]
        )
        CHOSEN.labels("opted_out").inc(len(known))

    async def _join(self, fact: events.Fact, address: str, names: Sequence[str]) -> None:
        if not names:
            return
        offered = {name for name, _ in (await self._looks.of(fact.tenant)).lists}
        offered.add(await self._jobs.list_of(fact.job))
        for name in names:
            if _is_list(name) and name in offered:
                await self._take_back(fact, address, [scopes.of_list(name)])
                await self._members.join(fact.tenant, name, [address], fact.occurred_at)
                CHOSEN.labels("joined").inc()

    async def _take_back(
        self, fact: events.Fact, address: str, wanted: Sequence[str], channel: Channel = "email"
    ) -> None:
        (listed,) = await self._lookup.listed(fact.tenant, [address])
        removals = [
            Removal(
                fact.tenant,
                address,
                fact.occurred_at,
                _BY,
                events.event_id(fact.event_id, entry.scope),
                channel,
                entry.scope,
                _THEIRS,
            )
            for entry in listed.entries
            if entry.channel == channel
            and entry.scope in wanted
            and entry.reason in _THEIRS
            and entry.last_ms <= fact.occurred_at
        ]
        if removals:
            await self._store.remove(removals)
            CHOSEN.labels("came_back").inc(len(removals))


def _left(fact: events.Fact, address: str, *of: str, scope: str, channel: Channel = "email") -> Addition:
    """That they left, by that scope and channel; `of` tells the events apart that one choice makes."""
    return Addition(
        fact.tenant,
        address,
        "unsubscribed",
        fact.occurred_at,
        scope=scope,
        channel=channel,
        diagnostic="page",
        event=events.event_id(fact.event_id, *of),
        job=fact.job,
        ordinal=-1 if fact.ordinal is None else fact.ordinal,
    )


def _is_list(name: str) -> bool:
    return 0 < len(name) <= scopes.MAX_LIST_CHARS
