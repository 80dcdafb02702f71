"""Signed links to documents of a tenant that are in no mail: for the recipient of a message, or for an address.

Nothing is stored: the link holds all that there is to know, so it is the same each time that the same is asked for, and
leads on for as long as the key that signed it is kept, or until `expires_at`. Of whom nothing may be recorded gets the
document's own URL.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from email.utils import parseaddr
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from shared.mail import addresses
from shared.redis import jobs
from shared.redis.own_hosts import OwnHosts
from shared.redis.recipients import Recipient
from shared.redis.redis import Client
from shared.words import consent, ids, tokens
from shared.words.consent import Declared, Rules, State
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339
from shared.words.tokens import TokenKeys


class DocumentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which document, and for whom: either the recipient of a message or an address."""

    name: Annotated[str, says("What the document is called, in events and reports.", "Devis 2026-113", max_length=100)]
    url: Annotated[str, says("Where it is: http or https.", "https://exemple.fr/devis/113.pdf")]
    message: Annotated[
        str | None, says("The message whose recipient gets the link; or `email`.", "068vjfm5s9m2rc1jqqrg.0")
    ] = None
    email: Annotated[str | None, says("The address that gets the link, of no message; or `message`.", None)] = None
    expires_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        says("When the link leads on no more; never where null.", "2036-03-31T00:00:00Z"),
    ] = None
    tracking_consent: Annotated[
        bool | None, says("What you know of their consent to be tracked, as in a job; null: nothing.", None)
    ] = None


class DocumentLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that records each opening."""

    link: Annotated[
        str,
        says("What to give to the recipient; the URL itself where nothing is recorded.", "https://t.exemple.fr/d/RAG…"),
    ]
    tracked: Annotated[bool, says("Whether openings are recorded; not about whom consent says no.", True)]
    expires_at: Annotated[
        str | None, says("When it leads on no more; null: never, as of a URL itself.", "2036-03-31T00:00:00.000Z")
    ]


class Recipients(Protocol):
    async def tenant_of(self, job: str) -> str | None:
        """RedisAway."""

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        """Those that the job has. RedisAway."""


class Consents(Protocol):
    async def of(self, tenant: str, addresses: Sequence[str]) -> tuple[Rules, list[State] | None]:
        """RedisAway."""


class Untracked(Protocol):
    async def since_ms(self, tenant: str, marks: Sequence[bytes]) -> int:
        """When somebody with one of these marks withdrew; 0: never. RedisAway."""


class Documents:
    """Makes the links. Raises RedisAway."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        keys: TokenKeys,
        recipients: Recipients,
        consents: Consents,
        untracked: Untracked,
        hosts: OwnHosts,
        now_ms: Callable[[], int],
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._keys = keys
        self._recipients = recipients
        self._consents = consents
        self._untracked = untracked
        self._hosts = hosts
        self._now_ms = now_ms

    async def link(self, tenant: str, wanted: DocumentRequest) -> DocumentLink:
        """Problem 422 if it does not fit, 404 if the message is not the tenant's."""
        url = tokens.destination(wanted.url)
        until_s = 0 if wanted.expires_at is None else int(wanted.expires_at.timestamp())
        refuse(wanted, url, until_s, self._now_ms())
        assert url is not None  # refused
        if wanted.message is None:
            job, ordinal, email = "", 0, _address(wanted.email or "")
        else:
            job, ordinal, email = await self._recipient(tenant, wanted.message)
        if not await self._is_tracked(tenant, email, wanted.tracking_consent):
            return DocumentLink(link=url, tracked=False, expires_at=None)
        if job:
            token = self._keys.document(job, ordinal, tenant, email, url, wanted.name, until_s)
        else:
            token = self._keys.document_for(tenant, email, url, wanted.name, until_s)
        base = await self._base_url(tenant, job)
        expires_at = rfc3339(until_s * 1000) if until_s else None
        return DocumentLink(link=f"{base}/{tokens.DOCUMENT_PATH}/{token}", tracked=True, expires_at=expires_at)

    async def _recipient(self, tenant: str, message: str) -> tuple[str, int, str]:
        """Also unknown is whose recipient was erased."""
        try:
            job, ordinal = ids.split_message_id(message)
        except ValueError:
            raise _unknown() from None
        if await self._recipients.tenant_of(job) != tenant:
            raise _unknown()
        found = (await self._recipients.find(job, [ordinal])).get(ordinal)
        if found is None or not found.email:
            raise _unknown()
        return job, ordinal, found.email

    async def _is_tracked(self, tenant: str, email: str, tracking_consent: bool | None) -> bool:
        """As of a mail that was queued now."""
        if await self._untracked.since_ms(tenant, self._keys.marks(tenant, email)):
            return False
        rules, states = await self._consents.of(tenant, [email])
        state = consent.NOTHING_SAID if states is None else states[0]
        return consent.is_tracked(rules, Declared(tracking=tracking_consent), state)

    async def _base_url(self, tenant: str, job: str) -> str:
        """That of the message's mail, or of the installation's."""
        if not job:
            return self._hosts.base_url
        stored = await jobs.read(self._client, self._partitions, job, (jobs.SENDER,))
        _, address = parseaddr(stored[jobs.SENDER])
        return await self._hosts.of(tenant, address.rpartition("@")[2])


def refuse(wanted: DocumentRequest, url: str | None, until_s: int, now_ms: int) -> None:
    """Problem 422 with everything that is wrong with it; `url` is what became of its URL."""
    faults = []
    if not wanted.name or tokens.document_name(wanted.name) != wanted.name:
        what = f"has 1 to 100 characters that can be shown, {tokens.MAX_DOCUMENT_BYTES} bytes of UTF-8 together"
        faults.append(Fault("$.name", f"{what}, without blanks around it or several in a row"))
    if url is None:
        what = f"not an absolute http or https URL of at most {tokens.MAX_DESTINATION_BYTES} bytes"
        faults.append(Fault("$.url", what))
    if (wanted.message is None) == (wanted.email is None):
        faults.append(Fault("$.message", "either message or email is given, and not both"))
    if wanted.expires_at is not None and not now_ms < until_s * 1000 < 2**32 * 1000:
        faults.append(Fault("$.expires_at", "lies behind, or beyond 2106"))
    if faults:
        raise Problem("invalid_body", "the body does not fit", faults)


def _address(text: str) -> str:
    try:
        return addresses.parse(text).key
    except addresses.InvalidAddress as fault:
        raise Problem("invalid_body", "the body does not fit", [Fault("$.email", f"not an address: {fault}")]) from None


def _unknown() -> Problem:
    """The same for what is not there and for what is another tenant's."""
    return Problem("unknown_message", "there is no such message")
