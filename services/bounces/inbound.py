"""The route by which mail comes in: for mail servers that hand mail to a program, and for hooks of those who take mail
in for others.

    POST /v1/inbound?recipient=<address>,…&sender=<address>      the mail as message/rfc822

What is believed is what we signed, as by every other way: whose key brings the mail makes no difference. A feedback
loop that is known by its network alone is known by SMTP and LMTP, not here: nobody says who brought the mail.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
from aiohttp import web

from services.bounces import envelope, ways
from services.bounces.bounces import Received
from services.bounces.mail import Fields
from services.bounces.ways import Bounces
from shared.http import api
from shared.http.query import Read
from shared.words.described import says
from shared.words.errors import Fault, Problem

MEDIA = ("message/rfc822", "message/global")
#: As by SMTP.
MAX_RECIPIENTS = 100
#: RFC 5321 section 4.5.3.1.3 has 256; some are longer in UTF-8.
MAX_ADDRESS_CHARS = 512
_RECIPIENT, _SENDER = "X-Envelope-To", "X-Envelope-From"
_EXAMPLE = "From: MAILER-DAEMON@mx.exemple.net\nSubject: Undelivered Mail Returned to Sender\n\n…"


def _addresses(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip().strip("<>") for part in text.split(",") if part.strip()))
    if len(found) > MAX_RECIPIENTS:
        raise ValueError(f"expected {MAX_RECIPIENTS} addresses at most, with commas between")
    if any(len(address) > MAX_ADDRESS_CHARS for address in found):
        raise ValueError(f"expected addresses of at most {MAX_ADDRESS_CHARS} characters")
    return found


class InboundQuery(msgspec.Struct, frozen=True):
    """The envelope of the mail."""

    recipient: Annotated[
        tuple[str, ...],
        says(
            f"To whom it came, with commas between. Without it, and without {_RECIPIENT}: whom the mail's own header "
            "names (Delivered-To, X-Original-To, Envelope-To, To).",
            "b-0a1b2c@bounces.exemple.fr",
        ),
        Read(_addresses),
    ] = ()
    sender: Annotated[
        str | None,
        says(
            f"The envelope sender, `<>` for the null reverse-path. Without it, and without {_SENDER}: the mail's "
            "Return-Path.",
            "<>",
        ),
        Read(lambda text: text),
    ] = None


class Inbound(msgspec.Struct, frozen=True):
    """The mail is stored: what it says became facts, or it is kept for inspection."""

    taken: Annotated[list[str], says("The addresses that it was read for.", ["b-0a1b2c@bounces.exemple.fr"])]
    refused: Annotated[list[str], says("Those of the envelope that are none of ours.", ["contact@exemple.fr"])]


def routes(bounces: Bounces, max_mail_bytes: int, is_ready: Callable[[], bool] = lambda: True) -> list[api.Route]:
    """`is_ready`: whether it is known which domains are ours."""

    async def take(request: web.Request) -> web.StreamResponse:
        if request.content_type not in MEDIA:
            raise Problem("unsupported_media_type", f"expected {' or '.join(MEDIA)}, got {request.content_type[:100]}")
        query = api.query_of(request, InboundQuery)
        named, sender = _envelope(request, query)
        raw = await api.read_body(request)
        if not raw:
            raise Problem("no_mail", "the body is empty")
        if len(raw) > max_mail_bytes:
            raise Problem("body_too_large", f"the mail is larger than {max_mail_bytes} bytes")
        raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")  # the same mail by every way
        header = envelope.fields(raw)
        ours = tuple(one for one in named if bounces.accepts(one)) if named else _read_for(header, bounces)
        if not is_ready():
            raise Problem("unavailable", "which addresses are ours is not known yet", headers={"Retry-After": "1"})
        if not ours:
            raise Problem("unknown_recipient", "no address of the envelope is one of ours")
        sender = envelope.sender(header) if sender is None else sender.strip("<>")
        taken = await ways.take(bounces, Received(sender, ours, raw), "http")
        if taken.outcome != "stored":
            raise Problem("unavailable", "the mail cannot be stored; try again", headers={"Retry-After": "1"})
        return api.json_answer(Inbound(list(ours), [one for one in named if one not in ours]))

    return [
        api.Route(
            "POST",
            "/v1/inbound",
            take,
            "Bring a mail that came to a return path, as a mail server does; answered once it is stored",
            scope="inbound",
            body_media=MEDIA,
            examples=dict.fromkeys(MEDIA, _EXAMPLE),
            name="bring_mail",
            tag="kept mail",
            answers={200: Inbound},
            problems=["no_mail", "unknown_recipient", "invalid_header", "unavailable"],
            query=InboundQuery,
            headers={
                _RECIPIENT: says("As `recipient`, for who cannot write a query.", "b-0a1b2c@bounces.exemple.fr"),
                _SENDER: says("As `sender`, likewise.", "<>"),
            },
        )
    ]


def _envelope(request: web.Request, query: InboundQuery) -> tuple[tuple[str, ...], str | None]:
    """Its recipients and its sender, as far as the request tells: the query before the header. Problem 422."""
    named, sender = query.recipient, query.sender
    if not named and (told := request.headers.get(_RECIPIENT)):
        try:
            named = _addresses(told)
        except ValueError as fault:
            raise Problem("invalid_header", f"{_RECIPIENT} does not fit", [Fault(_RECIPIENT, str(fault))]) from None
    return named, request.headers.get(_SENDER) if sender is None else sender


def _read_for(header: Fields, bounces: Bounces) -> tuple[str, ...]:
    return envelope.recipients(header, bounces.accepts)
