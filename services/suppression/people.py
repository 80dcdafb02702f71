"""All that is kept of one address of a tenant, gathered where it is asked for."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.suppression.counts import Counts
from services.suppression.erasing import REQUEST, Erasing
from services.suppression.escalation import Count
from services.suppression.forgetting import Removed
from services.suppression.interactions import Interactions
from services.suppression.mentions import At, Mention, Mentions, found
from shared.redis import jobs, keys
from shared.redis.consents import Consents, Known
from shared.redis.erased import Erased, Erasure
from shared.redis.members import Member, Members
from shared.redis.once import Once
from shared.redis.pressure import Reached
from shared.redis.redis import Client
from shared.redis.untracked import UntrackedList
from shared.redis.usual_hours import UsualHoursList
from shared.words import ids, rules
from shared.words.erased import ErasureKeys
from shared.words.rules import Named
from shared.words.tokens import TokenKeys
from shared.words.usual_hours import UsualHours

#: No step of a walk through jobs begins later than this after it was asked for: callers wait ten seconds and more.
BUDGET_S = 2.0


class Message(NamedTuple):
    """One that had the address as its recipient, with that metadata, of that operation, and files of its own that are
    called so."""

    job: str
    ordinal: int
    subject: str
    list: str
    metadata: dict[str, str]
    once: str
    attachments: Sequence[str]


class Kept(NamedTuple):
    """What maps have of an address, beside its entries of the suppression list: its soft bounces; what it agreed to,
    and the proof; the lists that it joined or left; the tenant's rules that concern it; when (ms) it withdrew its
    consent to be tracked, 0 for never, or given again; the day of the last interaction of its own that was noted, 0 for
    none; when (s) marketing was queued for it that marketing pressure remembers; at which hours of the day somebody
    opens and clicks; and when (s) messages of operations were queued for it."""

    bounces: Count | None
    consent: Known | None
    lists: list[tuple[str, Member]]
    rules: list[Named]
    untracked_ms: int
    last_day: int
    marketing_s: list[int]
    usual: UsualHours
    once_s: list[int]


class People:
    """`monotonic` is a clock in seconds. Every method raises RedisAway."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        secrets: ErasureKeys,
        tokens: TokenKeys,
        erasing: Erasing,
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._keys = secrets
        self._tokens = tokens
        self._erasing = erasing
        self._erased = Erased(client, partitions, secrets)
        self._counts = Counts(client, partitions)
        self._consents = Consents(client, partitions, monotonic)
        self._members = Members(client, partitions)
        self._untracked = UntrackedList(client)
        self._interactions = Interactions(client, partitions)
        self._mentions = Mentions(client, partitions)
        self._reached = Reached(client, partitions)
        self._usual = UsualHoursList(client, partitions)
        self._once = Once(client, partitions)
        self._monotonic = monotonic

    async def kept(self, tenant: str, address: str) -> Kept:
        """Of a normalised address, as below."""
        (count,) = await self._counts.get_many([(tenant, address)])
        return Kept(
            count if count is not None and count.bounces else None,
            await self._consents.known(tenant, address),
            await self._members.lists_of(tenant, address),
            await self._rules(tenant, address),
            await self._untracked.since_ms(tenant, self._tokens.marks(tenant, address)),
            (await self._interactions.get(tenant, address)).last_day,
            await self._reached.sent_s(tenant, address),
            (await self._usual.of(tenant, [address]))[0],
            await self._once.sent_s(tenant, address),
        )

    async def _rules(self, tenant: str, address: str) -> list[Named]:
        """The narrowest first, whatever they are for."""
        patterns = list(rules.candidates(address))
        stored = await self._client.hmget(keys.rules(tenant), patterns)
        return [Named(one, rules.decode(packed)) for one, packed in zip(patterns, stored, strict=True) if packed]

    async def erasure(self, tenant: str, address: str) -> Erasure | None:
        """With what it has come to, while it is under way."""
        for digest in self._keys.digests(tenant, address):
            if (intent := await self._erasing.intent(tenant, digest)) is not None:
                return Erasure(intent.asked_ms, 0, intent.messages)
        return await self._erased.find(tenant, address)

    async def erase(self, tenant: str, address: str, by: str = REQUEST) -> Removed:
        """Begins, or begins again: what came since the last time goes as well. From then on there is an erasure.
        Who asks for it is measured no more in the mails that they have. Of those whom retention takes there may be
        millions, and every tracker keeps every mark."""
        marks = self._tokens.marks(tenant, address) if by == REQUEST else ()
        return await self._erasing.begin(tenant, address, self._keys.digests(tenant, address), by, marks)

    async def erasing(self, tenant: str) -> int:
        """How many erasures of the tenant are under way."""
        return await self._erasing.pending(tenant)

    async def messages(self, tenant: str, address: str, after: At, limit: int) -> tuple[list[Message], At | None]:
        """At most `limit` from that place on, and the place to go on from, None at the end; few, or none, where a walk
        takes longer."""
        deadline_s = self._monotonic() + BUDGET_S
        mentions: list[Mention] = []
        at: At | None = after
        while at is not None and len(mentions) <= limit:
            chunks, following = await self._mentions.read(tenant, at)
            for job, member in chunks:
                mentions += [one for one in found(job, member, (address,)) if at.is_before(one)]
            at = following
            if self._monotonic() >= deadline_s:
                break
        if len(mentions) > limit:
            last = mentions[limit - 1]
            at = At(ids.job_partition(last.job, self._partitions), last.job, last.ordinal + 1)
        return [await self._message(mention) for mention in mentions[:limit]], at

    async def _message(self, mention: Mention) -> Message:
        job = await jobs.read(self._client, self._partitions, mention.job, (jobs.SUBJECT, jobs.LIST, jobs.ONCE))
        said = job[jobs.SUBJECT], job[jobs.LIST], mention.metadata or {}, job[jobs.ONCE]
        return Message(mention.job, mention.ordinal, *said, mention.files)
