"""Named routes, end to end: one tenant's mail by a host that wants a login, the rest as always."""

import os
import signal
from base64 import b64encode
from pathlib import Path

from tests.fakes.certificates import Authority
from tests.fakes.smtp_server import EXTENSIONS, SmtpServer, Step
from tests.flows.stack import Stack

RIGHT, WRONG = "correct-horse-battery", "wrong-horse-battery"
ROUTES = """
[route.out]
host = "localhost:{port}"
username = "ana"
password_file = "{password}"
dkim = false

[[rule]]
route = "out"
tenant = "demo"
domain = ["partner.test", "*.partner.test"]
"""


def login(argument: str) -> Step:
    """What the host says to AUTH."""
    right = argument == f"PLAIN {b64encode(f'{chr(0)}ana{chr(0)}{RIGHT}'.encode()).decode()}"
    return "235 2.7.0 welcome" if right else "535 5.7.8 Authentication credentials invalid"


async def test_a_route_with_a_login_takes_one_tenants_mail_and_a_wrong_password_loses_none(tmp_path: Path) -> None:
    authority = Authority()
    host = SmtpServer(
        {"AUTH": login}, extensions=(*EXTENSIONS, "AUTH PLAIN"), tls=authority.issue("localhost").server_context()
    )
    password, routes = tmp_path / "password", tmp_path / "routes.toml"
    password.write_text(WRONG + "\n", "ascii")
    environ = {"ESTAFETTE_RELAY_ROUTES_FILE": str(routes), "ESTAFETTE_TLS_CA_FILE": authority.write(tmp_path)}
    async with host:
        routes.write_text(ROUTES.format(port=host.port, password=password), "utf-8")
        async with Stack.running(tmp_path / "run", environ) as stack:
            stack.secrets |= {RIGHT.encode(), WRONG.encode()}
            acme, demo = await stack.new_key("acme", "send,read"), stack.key
            await stack.console("domains", "add", "acme.example", "--tenant", "acme")
            waiting = await stack.send("ana@fr.partner.test", "bob@partner.test")
            await stack.done(await stack.send("cleo@notpartner.test"))
            stack.key = acme
            await stack.done(await stack.send("cleo@partner.test", **{"from": "news@acme.example"}))
            stack.key = demo

            async def refused() -> bool:
                return bool(stack.logged("relay", "route_failed"))

            await stack.until(refused)
            said = stack.logged("relay", "route_failed")
            assert {(line["route"], line["phase"]) for line in said} == {("out", "auth")}
            assert host.envelopes == []

            stack.kill("relay")
            password.write_text(RIGHT, "ascii")
            report = await stack.done(waiting)
            assert (report["counts"]["delivered"], report["counts"]["bounced"]["total"]) == (2, 0)
            assert [envelope.rcpts for envelope in host.envelopes] != []
            assert not any(b"DKIM-Signature" in message for message in host.messages)

            # The route ends: what is asked for from then on goes as everything else.
            routes.write_text("", "utf-8")
            os.kill(stack.pid_of("queueing"), signal.SIGHUP)

            async def reloaded() -> bool:
                return bool(stack.logged("queueing", "reloaded"))

            await stack.until(reloaded)
            await stack.done(await stack.send("dan@partner.test"))
            assert sorted(rcpt for envelope in host.envelopes for rcpt in envelope.rcpts) == [
                "TO:<ana@fr.partner.test>",
                "TO:<bob@partner.test>",
            ]
