"""Mail by the SMTP clients of other languages, as their documents show them: nodemailer, PHPMailer, Ruby's mail (which
Rails sends by)."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.flows.stack import Stack
from tests.servers import need

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODEMAILER = """
const nodemailer = require("nodemailer");
const { PORT, TLS_PORT, KEY, TO } = process.env;
const tls = { rejectUnauthorized: false }, auth = { user: "demo", pass: KEY };
const mail = { from: "Chouette <news@exemple.fr>", to: TO, subject: "Été", text: "Bonjour",
  html: '<a href="https://exemple.fr/">là</a> <img src="cid:logo">', headers: { "X-Estafette-Tags": "node" },
  attachments: [{ filename: "logo.png", cid: "logo", content: Buffer.from("89504e47", "hex") }] };
(async () => {
  for (const one of [{ port: +PORT, requireTLS: true }, { port: +TLS_PORT, secure: true, pool: true }]) {
    const transport = nodemailer.createTransport({ host: "127.0.0.1", tls, auth, ...one });
    await transport.sendMail(mail);
    transport.close();
  }
})().catch((error) => { console.error(error); process.exit(1); });
"""
PHPMAILER = """
foreach (['Exception', 'PHPMailer', 'SMTP'] as $one) require "/usr/share/php/libphp-phpmailer/src/$one.php";
foreach ([['PORT', 'tls', 'PLAIN'], ['TLS_PORT', 'ssl', 'LOGIN']] as [$port, $secure, $auth]) {
    $mail = new PHPMailer\\PHPMailer\\PHPMailer(true);
    $mail->isSMTP();
    $mail->Host = '127.0.0.1'; $mail->Port = (int) getenv($port);
    $mail->SMTPAuth = true; $mail->SMTPSecure = $secure; $mail->AuthType = $auth;
    $mail->SMTPOptions = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false, 'allow_self_signed' => true]];
    $mail->Username = 'demo'; $mail->Password = getenv('KEY');
    $mail->CharSet = 'UTF-8';
    $mail->setFrom('news@exemple.fr', 'Chouette'); $mail->addAddress(getenv('TO'));
    $mail->addCustomHeader('X-Estafette-Tags', 'php');
    $mail->Subject = 'Été'; $mail->isHTML(true);
    $mail->Body = '<a href="https://exemple.fr/">là</a>'; $mail->AltBody = 'là';
    $mail->send();
}
"""
RUBY = """
require "mail"
[{ port: ENV["PORT"].to_i, enable_starttls: true }, { port: ENV["TLS_PORT"].to_i, tls: true }].each do |how|
  Mail.deliver do
    delivery_method :smtp, { address: "127.0.0.1", user_name: "demo", password: ENV["KEY"], authentication: :plain,
                             openssl_verify_mode: "none" }.merge(how)
    from "Chouette <news@exemple.fr>"
    to ENV["TO"]
    subject "Été"
    header["X-Estafette-Tags"] = "ruby"
    text_part { body "là" }
    html_part { content_type "text/html; charset=UTF-8"; body '<a href="https://exemple.fr/">là</a>' }
  end
end
"""
CLIENTS = {"node": ["node", "-e", NODEMAILER], "php": ["php", "-r", PHPMAILER], "ruby": ["ruby", "-e", RUBY]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack.running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.mark.parametrize("name", CLIENTS)
async def test_it_sends_through_both_ports_unchanged(stack: Stack, name: str) -> None:
    program, *words = CLIENTS[name]
    to = f"{name}@exemple.fr"
    told = {
        "PORT": str(stack.submission_port),
        "TLS_PORT": str(stack.submission_tls_port),
        "KEY": stack.key,
        "TO": to,
        "NODE_PATH": "/usr/share/nodejs",
        "LANG": "C.UTF-8",
    }

    process = await asyncio.create_subprocess_exec(
        need(program), *words, env={**os.environ, **told}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await process.communicate()

    assert process.returncode == 0, printed.decode()

    async def both() -> bool:
        return len(await stack.mails(to)) == 2

    await stack.until(both)
    assert {mail["subject"] for mail in await stack.mails(to)} == {"Été"}
