"""What is known of sites: what waits there and since when, what holds it back and until when, what the host said last.

A site is in the list if mail waits for it or something holds it. All of it is put together from what others keep: the
ready queues, what relays found out and told each other, and what operators suspended.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, NamedTuple

import msgspec

from shared.redis import keys, stops
from shared.redis.heard import Heard, Known
from shared.redis.ready import LANES
from shared.redis.redis import Client
from shared.redis.stops import Stop, StopList
from shared.redis.waiting import Queue, Retries, Waiting
from shared.words import ids, pace, sites
from shared.words.described import says
from shared.words.pace import EVERY_SOURCE, Pace
from shared.words.times import rfc3339

#: The lanes by number.
LANE_WORDS = {number: "bulk" if name == "bulk" else "first" for name, number in LANES.items()}
#: Until when something is held that has no end of its own: an operator's suspension is a hold of a hundred years.
FOR_EVER_MS = 4_102_444_800_000


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Something that keeps mail back. `kind` is `suspended` (an operator's word), `held` (nothing of the site, or of
    one queue, is handed out), `rest` (a reply asked for it) or `one_connection`."""

    kind: Annotated[str, says("What it is.", "rest", "suspended", "held", "one_connection")]
    source: Annotated[str | None, says("The source of ours that it is about; null for all.", "default")]
    queue: Annotated[str | None, says("The queue that it is about; null for all.", "acme")]
    until: Annotated[
        str | None, says("When it is over by itself; null if an operator ends it.", "2026-01-31T09:15:00Z")
    ]
    who: Annotated[str | None, says("Which operator did it.", "key:k3v9x2p0qa")]
    why: Annotated[str | None, says("And why.", "blocks our range, ticket 4711")]


class FoundPace(msgspec.Struct, frozen=True, kw_only=True):
    """The pace that relays found for a source of ours at the site, from its refusals."""

    source: Annotated[str, says("The source of ours.", "default")]
    per_s: Annotated[float, says("Messages a second that go now.", 1.5)]
    ceiling_per_s: Annotated[float | None, says("Where refusals begin, as far as is known.", 2.1)]
    since: Annotated[str, says("When it was lowered last.", "2026-01-31T09:05:00.123Z")]


class LastReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a host of the site said when it took no mail."""

    time: Annotated[str, says("When it said so.", "2026-01-31T09:05:00.123Z")]
    host: Annotated[str, says("Which host.", "mx1.exemple.fr")]
    source: Annotated[str, says("To which source of ours.", "default")]
    reply: Annotated[str, says("What it said.", "421 4.7.0 Try again later")]


class QueueShown(msgspec.Struct, frozen=True, kw_only=True):
    """What waits of one tenant, or of a job that has a rate of its own, in one lane."""

    lane: Annotated[str, says("`first` for what people wait for, `bulk` for the rest.", "bulk")]
    tenant: Annotated[str, says("Whose it is.", "acme")]
    job: Annotated[str | None, says("The job, if it has a rate of its own.", "068vjfm5s9m2rc1jqqrg")]
    waiting: Annotated[int, says("Messages that are due.", 1200)]
    deferred: Annotated[int, says("Messages that wait for another attempt.", 340)]
    oldest: Annotated[str | None, says("Since when the first one is due.", "2026-01-31T09:05:00.123Z")]


class SiteShown(msgspec.Struct, frozen=True, kw_only=True):
    """A site: mail hosts that some domains share. `deferred` is an estimate (`is_estimate`) where very many wait."""

    site: Annotated[str, says("The name of the site; of a named provider its name.", "gmail")]
    is_provider: Annotated[bool, says("Whether it is a named provider.", True)]
    waiting: Annotated[int, says("Messages that are due, and wait for their turn.", 1200)]
    deferred: Annotated[int, says("Messages that wait for another attempt.", 340)]
    is_estimate: Annotated[bool, says("Whether `deferred` was estimated from a sample.", False)]
    in_hand: Annotated[int, says("Messages that relays have in hand.", 25)]
    oldest: Annotated[str | None, says("Since when the first message is due.", "2026-01-31T09:05:00.123Z")]
    next_attempt: Annotated[
        str | None, says("When the first of the deferred is due, as far as was seen.", "2026-01-31T09:20:00.000Z")
    ]
    holds: Annotated[list[Hold], says("What keeps mail back now.")]
    paces: Annotated[list[FoundPace], says("Paces that were found, by source of ours.")]
    limits: Annotated[str | None, says("Under which limits mail is sent there.", "20 connections; messages 100/s")]
    replies: Annotated[list[LastReply], says("What it said last when it took no mail, the latest first.")]
    queues: Annotated[list[QueueShown], says("What waits, by lane and tenant.")]


class Found(NamedTuple):
    """What was read, of which `shown` makes the sites."""

    queues: list[Queue]
    retries: list[Retries]
    holds: Mapping[tuple[str, str], int]
    rests: Mapping[tuple[str, str], int]
    singles: Mapping[tuple[str, str], int]
    paces: Mapping[tuple[str, str], Pace]
    stops: Mapping[str, Stop]


class Sites:
    """Looks. Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._partitions = partitions
        self._now_ms = now_ms
        self._waiting = Waiting(client, "email")
        self._heard = Heard(client)
        self._stops = StopList(client)

    async def all(self) -> list[SiteShown]:
        """By name."""
        return await self._shown(await self._found(range(self._partitions)), None)

    async def one(self, site: str) -> SiteShown | None:
        """None if nothing is known of it."""
        found = await self._found([ids.name_partition(site, self._partitions)])
        (shown,) = await self._shown(found, site)
        nothing = not (shown.waiting or shown.deferred or shown.in_hand or shown.holds or shown.paces)
        return None if nothing and not shown.replies and shown.limits is None else shown

    async def _found(self, partitions: Iterable[int]) -> Found:
        now_ms = self._now_ms()
        parts = list(partitions)
        queues = await asyncio.gather(*(self._waiting.queues(p) for p in parts))
        retries = await asyncio.gather(*(self._waiting.retries(p) for p in parts))
        holds = await asyncio.gather(*(self._waiting.holds(p, now_ms) for p in parts))
        rests, singles, paces = await asyncio.gather(
            *(self._client.hgetall(key) for key in (keys.rests(), keys.single_connections(), keys.paces()))
        )
        return Found(
            [one for found in queues for one in found],
            [one for found in retries for one in found],
            {name: until for found in holds for name, until in found.items()},
            _times(rests, now_ms),
            _times(singles, now_ms),
            {_pair(name): msgspec.msgpack.decode(stored, type=Pace) for name, stored in paces.items()},
            {name: stop for name, stop in (await self._stops.all()).items() if not stop.is_over(now_ms)},
        )

    async def _shown(self, found: Found, only: str | None) -> list[SiteShown]:
        names = sorted(names_in(found)) if only is None else [only]
        known = await self._heard.last(names)
        by_site = sorted_out(found)
        now_ms = self._now_ms()
        return [shown(name, by_site[name], one, now_ms) for name, one in zip(names, known, strict=True)]


def _times(stored: Mapping[bytes, bytes], now_ms: int) -> dict[tuple[str, str], int]:
    return {_pair(name): int(until) for name, until in stored.items() if int(until) > now_ms}


def _pair(name: bytes) -> tuple[str, str]:
    """Site and source, as relays write them."""
    site, _, source = name.decode().partition("\n")
    return site, source


def names_in(found: Found) -> set[str]:
    """Every site of which something was found."""
    return {
        *(one.place.site for one in found.queues),
        *(one.place.site for one in found.retries),
        *(site for site, _ in (*found.holds, *found.rests, *found.singles, *found.paces)),
        *filter(None, map(_site_of, found.stops)),
    }


def _site_of(stop: str) -> str:
    """The site that a stop is about: all of it, or one source there."""
    return stops.site_of(stop) or (stop.partition("@")[2] if stop.startswith("source:") else "")


class OfSite(NamedTuple):
    """What was found of one site."""

    queues: list[Queue]
    retries: list[Retries]
    holds: list[Hold]
    paces: dict[str, Pace]


def sorted_out(found: Found) -> "defaultdict[str, OfSite]":
    """The same by site."""
    by_site: defaultdict[str, OfSite] = defaultdict(lambda: OfSite([], [], [], {}))
    for queue in found.queues:
        by_site[queue.place.site].queues.append(queue)
    for retries in found.retries:
        by_site[retries.place.site].retries.append(retries)
    for name, stop in found.stops.items():
        if site := _site_of(name):
            source = None if stops.site_of(name) else name.removeprefix("source:").rpartition(f"@{site}")[0]
            by_site[site].holds.append(_hold("suspended", stop.until_ms, source=source, stop=stop))
    for (site, word), until_ms in found.holds.items():
        if word or stops.of_site(site) not in found.stops:
            by_site[site].holds.append(_hold("held", until_ms, queue=word or None))
    for kind, times in (("rest", found.rests), ("one_connection", found.singles)):
        for (site, word), until_ms in times.items():
            by_site[site].holds.append(_hold(kind, until_ms, source=None if word == EVERY_SOURCE else word))
    for (site, word), one in found.paces.items():
        by_site[site].paces[word] = one
    return by_site


def _hold(
    kind: str, until_ms: int, *, source: str | None = None, queue: str | None = None, stop: Stop | None = None
) -> Hold:
    return Hold(
        kind=kind,
        source=source,
        queue=queue,
        until=rfc3339(until_ms) if 0 < until_ms < FOR_EVER_MS else None,
        who=stop.who or None if stop else None,
        why=stop.why or None if stop else None,
    )


def shown(site: str, found: OfSite, known: Known, now_ms: int) -> SiteShown:
    """A site as it is shown."""
    return SiteShown(
        site=site,
        is_provider=sites.is_provider(site),
        waiting=sum(one.waiting for one in found.queues),
        deferred=sum(one.waiting for one in found.retries),
        is_estimate=any(one.is_estimate for one in found.retries),
        in_hand=max((one.in_hand for one in found.queues), default=0),
        oldest=_first(one.since_ms for one in found.queues),
        next_attempt=_first(one.due_ms for one in found.retries),
        holds=found.holds,
        paces=[one for source, stored in sorted(found.paces.items()) if (one := _found_pace(source, stored, now_ms))],
        limits=known.limits or None,
        replies=[
            LastReply(time=rfc3339(one.at_ms), host=one.host, source=one.source, reply=one.reply)
            for one in known.replies
        ],
        queues=queues_shown(found),
    )


def queues_shown(found: OfSite) -> list[QueueShown]:
    """By lane and tenant."""
    waiting = {one.place: one for one in found.queues}
    deferred = {one.place: one for one in found.retries}
    return [
        QueueShown(
            lane=LANE_WORDS[place.lane],
            tenant=place.tenant,
            job=place.job or None,
            waiting=waiting[place].waiting if place in waiting else 0,
            deferred=deferred[place].waiting if place in deferred else 0,
            oldest=rfc3339(waiting[place].since_ms) if place in waiting else None,
        )
        for place in sorted({*waiting, *deferred})
    ]


def _found_pace(source: str, stored: Pace, now_ms: int) -> FoundPace | None:
    per_s = pace.current_per_s(stored, now_ms)
    if per_s is None:
        return None
    ceiling = round(stored.ceiling_per_s, 2) or None
    return FoundPace(source=source, per_s=round(per_s, 2), ceiling_per_s=ceiling, since=rfc3339(stored.at_ms))


def _first(times_ms: Iterable[int]) -> str | None:
    first = min(times_ms, default=0)
    return rfc3339(first) if first else None
