"""The mailbox says of each DKIM signature whether it holds: of what the instance signed, and what others made of it."""

import asyncio
import re
import smtplib
from pathlib import Path

from tests.flows.stack import Stack


async def badges(stack: Stack, to: str) -> list[str]:
    """The signatures of the mail to this address, as its page shows them: colour and words."""
    mail = await stack.mail(to)
    status, page = await stack.call("GET", f"/mailbox/{mail['id']}")
    assert status == 200
    return [
        f"{colour}: {words}" for colour, words in re.findall(r'class="badge (\w+)">DKIM [^:]*: ([^<]*)<', page.decode())
    ]


async def test_a_badge_is_green_for_what_holds_alone(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        await stack.send("ana@example.org")
        source = await stack.source(await stack.mail("ana@example.org"))

        def deliver(to: str, raw: bytes) -> None:
            with smtplib.SMTP("127.0.0.1", int(stack._environ["ESTAFETTE_MAILBOX_PORT"])) as smtp:
                smtp.sendmail("x@example.net", [to], raw)

        for to, raw in {
            "same@example.org": source,
            "body@example.org": source + b"PS: send money\r\n",
            "subject@example.org": source.replace(b"Subject: Bonjour", b"Subject: Bonsoir"),
            "key@example.org": source.replace(b"s=est", b"s=xst"),
        }.items():
            await asyncio.to_thread(deliver, to, raw)

        assert await badges(stack, "ana@example.org") == ["good: valid"] * 2
        assert await badges(stack, "same@example.org") == ["good: valid"] * 2
        assert await badges(stack, "body@example.org") == ["bad: not valid, the body was changed"] * 2
        assert (
            await badges(stack, "subject@example.org") == ["bad: not valid, forged, or a signed field was changed"] * 2
        )
        assert await badges(stack, "key@example.org") == ["bad: not valid, DNS does not answer"] * 2
