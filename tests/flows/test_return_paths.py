"""A return path of the tenant's own through a whole instance, with a DNS server that answers for the world."""

import smtplib
import uuid
from pathlib import Path

from tests.fakes.dns_server import DnsServer
from tests.flows.stack import Stack, job

OURS, OWN = "bounces.house.test", "bounces.acme.test"
HOUSE = """
    bounces.house.test. 1 IN MX 10 mx.house.test.
    bounces.house.test. 1 IN TXT "v=spf1 ip4:192.0.2.1 -all"
    mx.house.test. 1 IN A 192.0.2.1
"""
REPORT = (
    "From: MAILER-DAEMON@mx.elsewhere.test\r\nTo: {to}\r\nSubject: Undelivered Mail Returned to Sender\r\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.elsewhere.test\r\n\r\n"
    "Final-Recipient: rfc822; ana@inbox.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 no such user here\r\n\r\n--b--\r\n"
)


class Acme:
    """A tenant, its mail, and what comes of it."""

    def __init__(self, stack: Stack, key: str) -> None:
        self.stack = stack
        self.key = key

    async def returns_to(self, domain: str) -> str:
        """The return path of a mail, once it is at that domain."""

        async def sent() -> str:
            to = f"{uuid.uuid4().hex}@inbox.test"
            body = job(to, **{"from": "News <news@acme.test>"})
            status, answer = await self.stack.call("POST", "/v1/jobs", body, key=self.key)
            assert status == 202, answer
            path = str((await self.stack.mail(to))["return_path"])
            return path if path.endswith(f"@{domain}") else ""

        return await self.stack.until(sent)

    async def checked(self) -> list[str]:
        """What DNS shows of the records of the return path."""
        _, checked = await self.stack.call("POST", "/v1/domains/acme.test/check", key=self.key)
        return [str(one["dns"]) for one in checked["records"] if one["name"] == OWN]

    async def has_bounced(self) -> bool:
        _, page = await self.stack.call("GET", "/v1/events", params={"type": "message.bounced"}, key=self.key)
        return bool(page["events"])


async def test_bounces_come_back_to_the_tenants_own_domain_while_dns_leads_there_and_to_ours_else(
    tmp_path: Path,
) -> None:
    async with DnsServer(HOUSE) as world:
        environ = {"ESTAFETTE_DNS_SERVERS": world.address, "ESTAFETTE_BOUNCES_DOMAIN": OURS}
        async with Stack.running(tmp_path, environ) as stack:
            acme = Acme(stack, key := await stack.new_key("acme", "send,read,suppress,admin"))

            await stack.console("domains", "add", "acme.test", "--tenant", "acme")
            status, named = await stack.call(
                "POST", "/v1/domains", {"domain": "acme.test", "return_path": OWN}, key=key
            )
            assert (status, named["return_path"]) == (200, OWN)
            assert await acme.returns_to(OURS)
            assert await acme.checked() == ["missing", "missing"]
            code, printed = await stack.console_ended("domains", "check", "acme.test")
            assert code == 1
            assert f"\n{OWN}. CNAME {OURS}.\n" in printed
            assert OWN in printed.split("not as they should be:")[1]

            world.records += DnsServer(f"{OWN}. 1 IN CNAME {OURS}.").records
            checked = await acme.checked()
            own = await acme.returns_to(OWN)
            with smtplib.SMTP("127.0.0.1", stack.bounces_port) as smtp:
                smtp.sendmail("", [own], REPORT.format(to=own))
                fixed = smtp.docmd("MAIL FROM:<>"), smtp.rcpt(f"postmaster@{OWN}")

            assert checked == ["published", "published"]
            assert fixed[1][0] == 250

            assert await stack.until(acme.has_bounced)

            world.records = DnsServer(HOUSE).records
            assert await acme.returns_to(OURS)
            with smtplib.SMTP("127.0.0.1", stack.bounces_port) as smtp:
                smtp.docmd("EHLO x"), smtp.docmd("MAIL FROM:<>")
                assert smtp.rcpt(own)[0] == 250  # what is on its way still comes home
                assert smtp.rcpt("postmaster@elsewhere.test")[0] == 550
