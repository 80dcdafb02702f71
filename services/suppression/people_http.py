"""The routes of one person: everything that is kept of an address, and its erasure."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from aiohttp import web

from services.suppression import consent_http, escalation, rules_http
from services.suppression.http import Desk, SuppressionEntry, address_of
from services.suppression.mentions import At
from services.suppression.people import Kept, Message, People
from services.suppression.retention import shown_day
from shared.http import api, paging
from shared.http.people import Keeper, PersonContact
from shared.http.query import Read
from shared.process import logs
from shared.redis.erased import Erasure
from shared.redis.members import Member, State
from shared.words import ids
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339
from shared.words.usual_hours import HOUR_MS, UsualHours, ranked

#: A cursor as a walk packs one.
_CURSOR = "kwC0MDY4dmpmbTVzOW0ycmMxampxcmf_"
#: Where `list` is a field's name.
_Names = list[str]
_OF_A_PERSON = ("invalid_path", "invalid_address")

_log = logs.get_logger()


class SoftBounces(msgspec.Struct, frozen=True, kw_only=True):
    """Since the last sign of life."""

    bounces: Annotated[int, says("How many, seven at most: more say no more.", 3)]
    first: Annotated[str, says("When the first was.", "2026-01-31T09:05:00.000Z")]
    last: Annotated[str, says("When the last was.", "2026-02-12T09:05:00.000Z")]
    rules: Annotated[
        dict[str, int],
        says("How many count under which rule of `/v1/escalation`.", {"soft_bounces": 2, "mailbox_full": 1}),
    ]


class PersonList(msgspec.Struct, frozen=True, kw_only=True):
    """How the address stands to one list of the tenant's."""

    list: Annotated[str, says("The list.", "newsletter")]
    state: Annotated[State, says("Whether they `joined` it or have `left` it.", "joined")]
    since: Annotated[str, says("Since when.", "2026-01-31T09:05:00.123Z")]


class PersonMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the address as its recipient: `GET /v1/messages/{message}` tells what became of it."""

    id: Annotated[str, says("The message.", "068vjfm5s9m2rc1jqqrg.0")]
    job: Annotated[str, says("Its job.", "068vjfm5s9m2rc1jqqrg")]
    made: Annotated[str, says("When its job was made.", "2026-01-31T09:00:00.000Z")]
    subject: Annotated[str, says("The subject of its job, before it was filled in.", "Hello {{ name }}")]
    list: Annotated[str, says("The list of its job; empty for none.", "newsletter")]
    metadata: Annotated[dict[str, str], says("What its job says of the recipient beside that.", {"customer": "4711"})]
    once: Annotated[str, says("The operation that its job names; empty for none.", "autumn-2026")]
    attachments: Annotated[
        _Names, says("What the files are called that nobody else gets with it.", ["facture-4711.pdf"])
    ]


class PersonHours(msgspec.Struct, frozen=True, kw_only=True):
    """When somebody opens and clicks in bulk. What was long ago fades."""

    best: Annotated[
        int | None,
        says("The hour of the day (UTC) that a job with `best_hour` prefers; null where too little is known.", 7),
    ]
    hours: Annotated[
        dict[str, int],
        says("In how many hours they did, by the hour of the day (UTC), 7 at most.", {"7": 3, "18": 1}),
    ]
    last: Annotated[str, says("The last of these hours.", "2026-01-31T07:00:00.000Z")]


class ErasureShown(msgspec.Struct, frozen=True, kw_only=True):
    """What is left is a keyed hash. `state` is `erasing` until the address is out of every job."""

    state: Annotated[str, says("`erasing` or `erased`.", "erased", "erasing")]
    asked: Annotated[str, says("When it was asked for.", "2026-01-31T09:05:00.000Z")]
    done: Annotated[str | None, says("When it was done.", "2026-01-31T09:05:07.000Z")]
    messages: Annotated[int, says("How many messages have lost the address so far.", 12)]


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of an address. Jobs are walked through, for two seconds at most: `next` goes on there,
    and only `messages` differ on the pages."""

    address: Annotated[str, says("The address, in lower case.", "ana@exemple.fr")]
    suppressions: Annotated[
        list[SuppressionEntry], says("For what it is on the suppression list, the strongest first.")
    ]
    soft_bounces: Annotated[SoftBounces | None, says("Null where there are none since the last sign of life.")]
    rules: Annotated[list[rules_http.SuppressionRule], says("The rules that concern it, the narrowest first.")]
    consent: Annotated[consent_http.Consent | None, says("What it agreed to; null if nothing is known of that.")]
    consent_log: Annotated[list[consent_http.ConsentEntry], says("The proof of that, the oldest first.")]
    untracked_since: Annotated[
        str | None,
        says(
            "Since when nothing is recorded about it, as trackers know: it withdrew its consent to be tracked, or "
            "asked to be erased; null if it did neither, or gave its consent again.",
            "2026-01-31T09:05:00.123Z",
        ),
    ]
    last_interaction: Annotated[
        str | None,
        says("The day (UTC) on which somebody last clicked, opted in or left; null for none.", "2026-01-31"),
    ]
    lists: Annotated[list[PersonList], says("The lists that it joined or left.")]
    marketing: Annotated[
        list[str],
        says(
            "When marketing was queued for it lately, where the tenant has rules of `/v1/pressure`.",
            ["2026-01-31T09:05:00.000Z"],
        ),
    ]
    usual_hours: Annotated[PersonHours | None, says("Null where nothing is kept of that.")]
    once: Annotated[
        list[str],
        says(
            "When messages of operations (`once` of a job) were queued for it in the last 90 days, where it had "
            "no `key`; where it had one, see the messages.",
            ["2026-01-31T09:05:00.000Z"],
        ),
    ]
    erasure: Annotated[ErasureShown | None, says("Null if the address was never erased.")]
    messages: Annotated[list[PersonMessage], says("Messages of jobs that are kept; by partition, then by time.")]
    contacts: Annotated[
        list[PersonContact],
        says("What the base of contacts has: each contact with the address; none where there is no base."),
    ]
    next: Annotated[str | None, paging.following(_CURSOR)]


class PersonErased(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away at once. The address leaves the recipients of jobs from now on, in the background."""

    suppressions: Annotated[int, says("Entries of the suppression list that are gone; the hash stops all instead.", 1)]
    soft_bounces: Annotated[int, says("Soft bounces that were counted.", 0)]
    consents: Annotated[int, says("Lines of the log of consent.", 3)]
    lists: Annotated[int, says("Lists that it had joined or left.", 2)]
    rules: Annotated[int, says("Rules that were this address alone.", 0)]


def _place(text: str) -> At:
    return paging.unpack(text, At)


class PersonQuery(msgspec.Struct, frozen=True):
    """Which part of the messages is shown."""

    after: Annotated[At, paging.after(_CURSOR), Read(_place)] = At()
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


def routes(people: People, desk: Desk, keepers: Sequence[Keeper] = ()) -> list[api.Route]:
    """`keepers` have something of people elsewhere."""
    handlers = _Routes(people, desk, keepers)
    return [
        api.Route(
            "GET",
            "/v1/people/{address}",
            handlers.show,
            "Everything that is kept of an address: why it is stopped, its soft bounces, what it agreed to and the "
            "proof, its lists, its messages, and its contacts with their history, imports and behaviour",
            slashes=True,
            scope="read",
            name="get_person",
            tag="people",
            answers={200: Person},
            problems=(*_OF_A_PERSON, "unknown_person"),
            query=PersonQuery,
        ),
        api.Route(
            "DELETE",
            "/v1/people/{address}",
            handlers.erase,
            "Erases an address: nothing of it is kept but a keyed hash, by which nothing is sent to it any more. What "
            "jobs say of it goes in the background (`GET` tells how far that is), and its contacts after that; safe to "
            "repeat",
            slashes=True,
            scope="admin",
            name="erase_person",
            tag="people",
            answers={202: PersonErased},
            problems=_OF_A_PERSON,
        ),
    ]


class _Routes:
    def __init__(self, people: People, desk: Desk, keepers: Sequence[Keeper]) -> None:
        self._people = people
        self._desk = desk
        self._keepers = keepers

    async def show(self, request: web.Request) -> web.StreamResponse:
        address, tenant = address_of(request), request[api.PRINCIPAL].tenant
        query = api.query_of(request, PersonQuery)
        after = query.after
        if not 0 <= after.partition < self._desk.partitions:
            raise paging.refused(paging.InvalidCursor())
        messages, following = await self._people.messages(tenant, address, after, query.limit)
        erasure = await self._people.erasure(tenant, address)
        person = _person(
            address,
            await self._desk.entries(tenant, address),
            await self._people.kept(tenant, address),
            None if erasure is None else _erasure(erasure),
            [_message(message) for message in messages],
            [one for keeper in self._keepers for one in await keeper(tenant, address)],
            None if following is None else paging.pack(following),
        )
        if not _is_known(person) and person.next is None and after == At():
            raise Problem("unknown_person", "nothing is kept of the address")
        return api.json_answer(person)

    async def erase(self, request: web.Request) -> web.StreamResponse:
        address, tenant = address_of(request), request[api.PRINCIPAL].tenant
        removed = await self._people.erase(tenant, address)
        _log.info("erasure_asked", tenant=tenant, key=request[api.PRINCIPAL].key)
        return api.json_answer(PersonErased(**removed._asdict()), 202)


def _person(
    address: str,
    entries: list[SuppressionEntry],
    kept: Kept,
    erasure: ErasureShown | None,
    messages: list[PersonMessage],
    contacts: list[PersonContact],
    following: str | None,
) -> Person:
    return Person(
        address=address,
        suppressions=entries,
        soft_bounces=_bounces(kept.bounces),
        rules=[rules_http.shown(named) for named in kept.rules],
        consent=None if kept.consent is None else consent_http.shown(address, kept.consent),
        consent_log=[] if kept.consent is None else [consent_http.line(one) for one in kept.consent.log],
        untracked_since=rfc3339(kept.untracked_ms) if kept.untracked_ms else None,
        last_interaction=shown_day(kept.last_day) if kept.last_day else None,
        lists=[_list(name, member) for name, member in kept.lists],
        marketing=[rfc3339(at_s * 1000) for at_s in kept.marketing_s],
        usual_hours=_hours(kept.usual) if kept.usual.counts else None,
        once=[rfc3339(at_s * 1000) for at_s in kept.once_s],
        erasure=erasure,
        messages=messages,
        contacts=contacts,
        next=following,
    )


def _is_known(person: Person) -> bool:
    """Whether anything is kept of the address itself: a rule of its whole domain is not."""
    return bool(
        person.suppressions
        or person.soft_bounces
        or person.consent
        or person.untracked_since
        or person.lists
        or person.last_interaction
        or person.marketing
        or person.usual_hours
        or person.once
        or person.erasure
        or person.messages
        or person.contacts
        or any(rule.pattern == person.address for rule in person.rules)
    )


def _list(name: str, member: Member) -> PersonList:
    return PersonList(list=name, state=member.state, since=rfc3339(member.since_ms))


def _message(message: Message) -> PersonMessage:
    return PersonMessage(
        id=ids.message_id(message.job, message.ordinal),
        job=message.job,
        made=rfc3339(ids.job_created_ms(message.job)),
        subject=message.subject,
        list=message.list,
        metadata=message.metadata,
        once=message.once,
        attachments=[*message.attachments],
    )


def _bounces(count: escalation.Count | None) -> SoftBounces | None:
    if count is None:
        return None
    names = [escalation.NAMES[bounce.rule] for bounce in count.bounces]
    return SoftBounces(
        bounces=len(names),
        first=rfc3339(count.bounces[0].at_s * 1000),
        last=rfc3339(count.bounces[-1].at_s * 1000),
        rules={name: names.count(name) for name in escalation.NAMES if name in names},
    )


def _hours(usual: UsualHours) -> PersonHours:
    return PersonHours(
        best=next(iter(ranked(usual)), None),
        hours={str(hour): count for hour, count in usual.counts},
        last=rfc3339(usual.last_hour * HOUR_MS),
    )


def _erasure(erasure: Erasure) -> ErasureShown:
    return ErasureShown(
        state="erased" if erasure.done_ms else "erasing",
        asked=rfc3339(erasure.asked_ms),
        done=rfc3339(erasure.done_ms) if erasure.done_ms else None,
        messages=erasure.messages,
    )
