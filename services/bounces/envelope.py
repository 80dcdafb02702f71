"""The envelope of a mail that came without one, by what the server that had it wrote into its header. Pure.

Mail servers note the envelope when they deliver into a mailbox: Postfix `Delivered-To`, `X-Original-To` and
`Return-Path`, Exim `Envelope-To` and `Return-Path`, others the like. What is signed there is as good as in an envelope:
nobody makes a fact by writing an address that they do not have.
"""

from collections.abc import Callable

from services.bounces import mail
from services.bounces.bounces import Accepted
from services.bounces.mail import Fields

#: Fields that servers write at delivery, in which a recipient of the envelope stands.
DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "x-real-to")
#: Where the sender had written to; the last to be asked.
ADDRESSED = ("to", "cc")
#: The address of a mail that names none of ours: it is read as one to whoever looks after mail, by what it says inside.
NOBODY = "postmaster"
#: Bytes of a mail in which its header is looked for.
HEADER_BYTES = 64 * 1024
#: The sender of a mail that does not say it. Not the null reverse-path, which only mail systems write from.
UNKNOWN = "unknown"


def fields(raw: bytes) -> Fields:
    """The header of the mail; of one that has no end, its beginning."""
    head = raw[:HEADER_BYTES]
    ends = [at for at in (head.find(b"\r\n\r\n"), head.find(b"\n\n")) if at >= 0]
    return mail.read(head[: min(ends) + 1] if ends else head).fields


def recipients(header: Fields, accepts: Callable[[str], Accepted | None]) -> tuple[str, ...]:
    """To whom it was delivered, of those that are ours: what we signed, else what everybody knows, else `NOBODY`."""
    named = [_named(header, names) for names in (DELIVERED, ADDRESSED)]
    for kind in ("signed", "fixed"):
        for addresses in named:
            if ours := [address for address in addresses if accepts(address) == kind]:
                return tuple(dict.fromkeys(ours))
    return (NOBODY,)


def sender(header: Fields) -> str:
    """The envelope sender, "" for the null reverse-path; where none was noted, who says to have written it."""
    noted = next((value.strip() for name, value in header.pairs if name == "return-path"), None)
    if noted is not None:
        return "" if noted in ("<>", "") else noted.strip("<>")
    written = mail.addresses(header.get("from"))
    return written[-1] if written else UNKNOWN


def _named(header: Fields, names: tuple[str, ...]) -> list[str]:
    return [address for name, value in header.pairs if name in names for address in mail.addresses(value)]
