"""The route of mails that come whole: for programs that make their own, and for the service `submission`."""

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated

import msgspec
from aiohttp import web

from services.queueing import dsn_wanted, given, jobs, pieces, taking
from services.queueing.aside import Aside
from services.queueing.dsn_wanted import Dsn
from services.queueing.http import apart, digest_of, idempotency_key
from services.queueing.quotas import Room
from services.queueing.store import JobStore
from services.queueing.taking import JobAccepted, Taking
from shared.http import api
from shared.words.described import says
from shared.words.errors import Problem

#: Of one mail: RFC 5321 section 4.5.3.1.8 asks for 100.
MAX_RECIPIENTS = 1_000
#: Most hosts refuse mails over 25 MB; the content of a job has no more than this, its attachments in base64.
MAX_MAIL_BYTES = 15_000_000
_MAIL = b"From: Chouette <news@exemple.fr>\r\nTo: ana@exemple.fr\r\nSubject: Bonjour\r\n\r\nBonjour Ana\r\n"


class MailRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole mail and its envelope. Its header may have `X-Estafette-` fields, which say what a job says: `Stream`,
    `List`, `Tags`, `Category`, `Once`, `Metadata`, `Track`, `Send-At`, `Expires-At` and `Job-Key`; none of them is
    sent."""

    mail: Annotated[bytes, says("The mail (RFC 5322) as base64.", "RnJvbTogYUBleGVtcGxlLmZyDQoNCg==")]
    recipients: Annotated[
        Annotated[list[Annotated[str, msgspec.Meta(max_length=320)]], msgspec.Meta(min_length=1)],
        says(
            "Who gets it, each a message of their own, whoever its header names.",
            ["ana@exemple.fr"],
            max_length=MAX_RECIPIENTS,
        ),
    ]
    dsn: Annotated[
        Dsn | None, says("Who is told by mail what became of it, and when (RFC 3461); nobody where null.", None)
    ] = None


def routes(store: JobStore, room: Room, taken: Taking, aside: Aside, now_ms: Callable[[], int]) -> list[api.Route]:
    """`taken` keeps the jobs."""
    return [
        api.Route(
            "POST",
            "/v1/mails",
            _Routes(store, room, taken, aside, now_ms).post,
            "Send a mail that you have made whole; only its tracked links, the pixel and the signature are added",
            scope="send",
            body=MailRequest,
            name="send_mail",
            tag="jobs",
            answers={202: JobAccepted},
            problems=[
                "invalid_job",
                "invalid_header",
                "unknown_sending_domain",
                "sending_domain_not_shown",
                "idempotency_key_reused",
                "engine_full",
            ],
            headers={
                "Idempotency-Key": says(
                    "As of POST /v1/jobs. Without it, and without X-Estafette-Job-Key, the same mail to the same "
                    "recipients is known again by its Message-ID.",
                    "order-4711",
                    max_length=255,
                )
            },
            examples={
                "application/json": {
                    "mail": msgspec.to_builtins(_MAIL),
                    "recipients": ["ana@exemple.fr"],
                }
            },
        )
    ]


class _Routes:
    def __init__(self, store: JobStore, room: Room, taken: Taking, aside: Aside, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._room = room
        self._taking = taken
        self._aside = aside
        self._now_ms = now_ms

    # POST /v1/mails

    async def post(self, request: web.Request) -> web.StreamResponse:
        principal = request[api.PRINCIPAL]
        key = idempotency_key(request)
        wanted = await api.read_json(request, MailRequest)
        if len(wanted.mail) > MAX_MAIL_BYTES:
            raise Problem("body_too_large", f"a mail has at most {MAX_MAIL_BYTES} bytes")
        read = await self._aside.do(principal.tenant, len(wanted.mail), given.read, wanted.mail)
        faults = [] if wanted.dsn is None else dsn_wanted.faults(wanted.dsn, wanted.recipients)
        if isinstance(read, list) or faults:
            raise pieces.refused([*(read if isinstance(read, list) else ()), *faults])
        dsn = dsn_wanted.packed(wanted.dsn)
        if wanted.dsn is not None and dsn:
            await self._taking.check_sender(principal, wanted.dsn.sender, read.compiled.from_domain)
        told, digest = _repeated(principal, key, read, wanted, dsn)
        repeated = bool(digest) and await self._store.knows(digest)
        if not repeated:
            await self._room.check(
                principal.tenant, principal.quotas, {"stored_bytes": 1, "idempotency_keys": int(bool(digest))}
            )
        draft = jobs.draft_of(read.job, given.recipients(wanted.recipients, read.metadata), self._now_ms())
        job = await self._aside.do(principal.tenant, len(wanted.mail), jobs.finish, draft, read.compiled)
        stored, reply = await self._taking.keep(principal, job, told, key_digest=digest, repeated=repeated, dsn=dsn)
        return web.Response(body=taking.answered(stored, reply), status=202, content_type="application/json")


def _repeated(
    principal: api.Principal, key: str, read: given.Given, wanted: MailRequest, dsn: bytes
) -> tuple[bytes, str]:
    """What a repeated request has to have in common with the first, and the digest of its key, "" for none. A program
    that makes its mail anew, with another date, names the job; then whom it goes to is what counts, and the wishes for
    reports, of which a program may make the name anew, too, stay those of the first."""
    recipients = "\x00".join(wanted.recipients).encode("utf-8", "replace")
    envelope = recipients + dsn
    tenant, own = principal.tenant.encode(), apart(principal).encode()
    if key:
        return envelope + wanted.mail, digest_of(principal, key)
    if read.key:
        named = b"\x00".join((b"job-key", tenant, read.key.encode(), recipients))
        return recipients, sha256(named + own).hexdigest()
    if read.is_named:
        return envelope, sha256(b"\x00".join((b"mail", tenant, envelope, wanted.mail)) + own).hexdigest()
    return envelope, ""
