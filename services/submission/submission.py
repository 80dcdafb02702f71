"""A mail's way from a client of a tenant to a job: who brings it, whom it goes to, and what becomes of it.

    AUTH        the tenant's name, and a key of theirs that may send; a wrong one costs time, and is counted
    RCPT        addresses that are some; who must not be mailed is taken, and ends as Suppressed, as by the API
    DSN         who is told by mail what became of it: said in MAIL and RCPT (`dsn`), handed over with the mail
    the dot     POST /v1/mails of this installation with the same key; 250 once it has said that the job is stored

So every rule of the API holds, and is written once: sending domains, quotas, what a mail may be. The key of a mail that
is brought again, because its 250 was lost, is made there, of its Message-ID: it is not sent twice.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import msgspec
from prometheus_client import Counter

from services.submission import replies
from services.submission.dsn import OfMail, OfRecipient
from shared.mail import addresses
from shared.words.errors import StorageAway
from shared.words.principal import Principal

LOGINS = Counter("estafette_submission_logins_total", "AUTH commands answered, by how they ended", ["outcome"])
#: What the answer to a wrong key waits for; the second of a session twice that, and so on.
SLOWED_S = 1.0
SCOPE = "send"


class Caller(NamedTuple):
    """Who has shown a key in this session."""

    tenant: str
    key: str


class Mail(NamedTuple):
    """As it came."""

    recipients: tuple[str, ...]
    raw: bytes
    #: The envelope sender, "" for the null one, and what is said of reports; of recipients one for each.
    sender: str = ""
    asked: OfMail = OfMail()
    notify: tuple[OfRecipient, ...] = ()


class KeyRing(Protocol):
    async def verify(self, text: str) -> Principal | None: ...


class Api(Protocol):
    """`api`."""

    async def send(self, key: str, body: bytes) -> tuple[int, bytes] | None:
        """The status and the body of what POST /v1/mails answers; None if it does not answer."""
        ...


class Submission:
    """Every answer is a reply of SMTP, with its codes."""

    def __init__(self, keys: KeyRing, api: Api, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._keys = keys
        self._api = api
        self._sleep = sleep

    async def login(self, user: str, password: str, failures: int) -> Caller | str:
        """The caller, or why nobody is. `failures`: how often it failed in this session."""
        try:
            principal = await self._keys.verify(password)
        except StorageAway:
            LOGINS.labels("away").inc()
            return "454 4.7.0 Keys cannot be looked up now, please try again later"
        if principal is None or principal.tenant != user:
            LOGINS.labels("wrong").inc()
            await self._sleep(SLOWED_S * 2**failures)
            return "535 5.7.8 Not a tenant and a key of theirs"
        if (reason := _not_allowed(principal)) is not None:
            LOGINS.labels("not_allowed").inc()
            return f"535 5.7.8 {reason}"
        LOGINS.labels("done").inc()
        return Caller(principal.tenant, password)

    def recipient(self, address: str) -> str:
        try:
            addresses.parse(address)
        except addresses.InvalidAddress:
            return "553 5.1.3 Not an address"
        return "250 2.1.5 OK"

    async def mail(self, caller: Caller, mail: Mail) -> str:
        """2xx means that its job is stored."""
        raw = mail.raw
        if raw.count(b"\n") != raw.count(b"\r\n") or raw.count(b"\r") != raw.count(b"\r\n"):
            # Hosts that take one for a line end would read other mails in it than we do.
            return "550 5.6.0 The mail has a CR or an LF alone"
        answered = await self._api.send(caller.key, msgspec.json.encode(asked(mail)))
        return replies.AWAY if answered is None else replies.reply(*answered)


def asked(mail: Mail) -> dict[str, Any]:
    """The body of POST /v1/mails: each recipient once. Nobody is told of a mail with the null sender, for it may tell
    of another (RFC 3461 section 4.1)."""
    told = dict.fromkeys(mail.recipients, OfRecipient())
    for recipient, said in zip(mail.recipients, mail.notify, strict=False):
        known = told[recipient]
        told[recipient] = OfRecipient(tuple(sorted({*known.notify, *said.notify})), known.original or said.original)
    body: dict[str, Any] = {"mail": mail.raw, "recipients": list(told)}
    if mail.sender and any(said.notify for said in told.values()):
        each = [{"notify": said.notify, "original_recipient": said.original} for said in told.values()]
        body["dsn"] = {"sender": mail.sender, **mail.asked._asdict(), "recipients": each}
    return body


def _not_allowed(principal: Principal) -> str | None:
    """Why a key that is one may not hand over mail; None if it may."""
    if principal.is_over:
        return "The time of the key is over"
    if principal.networks:
        # The API, which asks again for each mail, sees this process and not the client.
        return "The key is bound to networks, and so is for the API alone"
    return None if SCOPE in principal.scopes else f"The key lacks the scope {SCOPE}"
