"""Makes `tests/data/bounces/made` anew: the reports that real mail hosts send when what they pass on is refused.

    PYTHONPATH=. .venv/bin/python -m tests.peers.make_bounces [--unpacked FOLDER]

Each host runs in a jail (`tests.peers.jail`; Postfix beside the machine's), takes our mails by SMTP, and passes all on
to one server of this script, which says to each recipient what its local part stands for (REFUSALS), and keeps what
comes back to our return path. FOLDER holds a folder for each host, with Debian's packages unpacked: by default
`.peers`. A host that is not there is passed over, and its mails stay as they are.

Queue names, times and process numbers in the mails change with each run; what they mean does not, and `index.tsv` says
what that is. Wants root.
"""

import argparse
import re
import smtplib
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from tests.peers import jail, postfix
from tests.peers.jail import Jail, greets
from tests.servers import free_port

MADE = Path(__file__).resolve().parents[1] / "data" / "bounces" / "made"
SENDER = "b-000g40o40k30e209185g0001090ra886mjahjm8@bounces.example"
PATIENCE_S = 40.0
#: By the first word of a local part, what is said at which stage.
REFUSALS = {
    "unknown": ("rcpt", "550 5.1.1 <{}>: Recipient address rejected: User unknown in virtual mailbox table"),
    "full": ("rcpt", "552 5.2.2 <{}>: Mailbox over quota"),
    "plain": ("rcpt", "550 No such user here"),
    "disabled": ("rcpt", "550 5.2.1 The email account that you tried to reach is disabled."),
    "many": ("rcpt", "550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n"
             "550-5.1.1 double-checking the recipient's email address for typos or\r\n550 5.1.1 unnecessary spaces."),
    "german": ("rcpt", "550 5.1.1 Empfaenger unbekannt"),
    "blocked": ("rcpt", "554 5.7.1 Service unavailable; Client host [192.0.2.44] blocked using zen.spamhaus.org"),
    "spam": ("dot", "554 5.7.1 Message rejected as spam"),
    "big": ("dot", "552 5.3.4 Message size exceeds fixed limit"),
    "sender": ("mail", "550 5.1.8 <{}>: Sender address rejected: Domain not found"),
}  # fmt: skip
#: The mails: a name, and the recipients.
MAILS = {
    "unknown": ["unknown.ana"], "full": ["full.ana"], "plain": ["plain.ana"], "disabled": ["disabled.ana"],
    "many-lines": ["many.ana"], "german": ["german.ana"], "blocked": ["blocked.ana"], "spam": ["spam.ana"],
    "too-big": ["big.ana"], "sender": ["sender.ana"], "two": ["unknown.ana", "full.ben"],
    "two-and-one-arrives": ["unknown.ana", "well.ben"],
}  # fmt: skip
DOMAIN = "far.test"
LETTER = (
    "From: Chouette <news@exemple.fr>\r\nTo: <{to}>\r\nSubject: Nos soldes commencent\r\n"
    "Message-ID: <000g40o40k30e209185g.258@exemple.fr>\r\nMIME-Version: 1.0\r\n\r\nBonjour, 550 5.1.1 User unknown.\r\n"
)


class Far(socketserver.ThreadingTCPServer):
    """The other side: refuses by REFUSALS, and has in `came` what was sent to our return path."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.came: list[bytes] = []
        self.port = int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: Far

    def handle(self) -> None:
        self._say("220 mx.far.test ESMTP")
        recipients: list[str] = []
        sender = ""
        while line := self.rfile.readline():
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            address = (re.findall(r"<([^>]*)>", rest) or [""])[0]
            match verb.upper():
                case "EHLO":
                    self._say("250-mx.far.test\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
                case "MAIL":
                    sender, recipients = address, []
                    self._say("250 2.1.0 Ok")
                case "RCPT":
                    refusal = (
                        self._refusal(address, "rcpt") or (sender and self._refusal(address, "mail", sender)) or ""
                    )
                    recipients += [] if refusal else [address]
                    self._say(refusal or "250 2.1.5 Ok")
                case "DATA":
                    self._say("354 Go ahead" if recipients else "503 5.5.1 No valid recipients")
                    if recipients:
                        self._take(recipients)
                case "QUIT":
                    self._say("221 2.0.0 Bye")
                    return
                case _:
                    self._say("250 2.0.0 Ok")

    def _take(self, recipients: list[str]) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        if recipients == [SENDER]:
            self.server.came.append(b"Return-Path: <>\r\n" + b"".join(lines))
        refused = [said for address in recipients if (said := self._refusal(address, "dot"))]
        self._say(refused[0] if refused else "250 2.0.0 Ok: queued")

    def _refusal(self, address: str, stage: str, named: str = "") -> str:
        at, said = REFUSALS.get(address.partition(".")[0], ("", ""))
        return said.format(named or address) if at == stage else ""

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


#: (recipients, letter, options of RCPT) to whether the host took it with these.
Submit = Callable[[list[str], str, list[str]], bool]


def _by_smtp(address: str, port: int) -> Submit:
    def submit(to: list[str], letter: str, options: list[str]) -> bool:
        with smtplib.SMTP(address, port, timeout=PATIENCE_S) as smtp:
            smtp.ehlo()
            if options and not smtp.has_extn("dsn"):
                return False
            smtp.sendmail(SENDER, to, letter, rcpt_options=options)
        return True

    return submit


@contextmanager
def _postfix(far: Far) -> Iterator[Submit]:
    where = f"127.0.0.1:{far.port}"
    open_to_all = {"127.0.0.33": {"smtpd_recipient_restrictions": "permit_mynetworks, reject"}}
    with postfix.running(
        postfix.Domains(accepting=("near.test",)), {DOMAIN: where, "bounces.example": where}, listeners=open_to_all
    ) as host:
        yield _by_smtp("127.0.0.33", host.port)


_EXIM = """\
primary_hostname = mx.exim.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
never_users = root
deliver_drop_privilege = true
acl_smtp_rcpt = accept
dsn_advertise_hosts = *
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = far
begin transports
far:
  driver = smtp
  port = {far}
  hosts_try_fastopen =
begin retry
* * F,1h,1m
"""


@contextmanager
def _exim(far: Far) -> Iterator[Submit]:
    cell, port = Jail("exim4-daemon-light", ["Debian-exim"]), free_port()
    cell.write("/etc/exim4/exim4.conf", _EXIM.format(port=port, far=far.port))
    for folder in ("/var/spool/exim4", "/var/log/exim4", "/var/mail"):
        cell.folder(folder, "Debian-exim", 0o750)
    with _running(cell, port, "/usr/sbin/exim4", "-bdf", "-q5s"):
        yield _by_smtp("127.0.0.1", port)


@contextmanager
def _opensmtpd(far: Far) -> Iterator[Submit]:
    cell, port = Jail("opensmtpd", ["opensmtpd", "opensmtpq"], ["/bin/sh"]), free_port()
    cell.write(
        "/etc/smtpd.conf",
        f'listen on 127.0.0.1 port {port}\naction far relay host "smtp://127.0.0.1:{far.port}"\n'
        "match from any for any action far\n",
    )
    cell.write("/etc/mailname", "mx.opensmtpd.test\n")
    cell.folder("/var/lib/opensmtpd/empty")
    cell.folder("/var/spool/smtpd", mode=0o711)
    cell.folder("/var/spool/smtpd/offline", "root", 0o770, "opensmtpq")
    for folder in ("purge", "queue", "corrupt", "incoming", "temporary"):
        cell.folder(f"/var/spool/smtpd/{folder}", "opensmtpq", 0o700, "root")
    with _running(cell, port, "/usr/sbin/smtpd", "-d"):
        yield _by_smtp("127.0.0.1", port)


_SENDMAIL = """\
divert(-1)
include(`{share}/m4/cf.m4')
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mx.sendmail.test')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confTO_IDENT', `0')dnl
define(`SMART_HOST', `[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {far}')dnl
define(`confBIND_OPTS', `-DNSRCH -DEFNAMES')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Port={port}, Addr=127.0.0.1, Name=MTA')dnl
MAILER(`smtp')dnl
"""


@contextmanager
def _sendmail(far: Far) -> Iterator[Submit]:
    unpacked, port = jail.UNPACKED / "sendmail", free_port()
    cell = Jail("sendmail", ["smmta", "smmsp"])
    share = unpacked / "usr/share/sendmail/cf"
    libraries = {str(file.parent) for file in unpacked.rglob("*.so*")}
    made = subprocess.run(
        [unpacked / "usr/bin/m4", f"-D_CF_DIR_={share}/", "-"],
        input=_SENDMAIL.format(share=share, far=far.port, port=port), capture_output=True, text=True, check=True,
        env={"LD_LIBRARY_PATH": ":".join(sorted(libraries))},
    ).stdout  # fmt: skip
    cell.write("/etc/mail/sendmail.cf", made)
    cell.write("/etc/mail/local-host-names", "mx.sendmail.test\n")
    cell.write("/etc/mail/aliases", "")
    cell.folder("/var/spool/mqueue", "root", 0o700)
    with _running(cell, port, "/usr/libexec/sendmail/sendmail", "-bD", "-q5s", "-C", "/etc/mail/sendmail.cf"):
        yield _by_smtp("127.0.0.1", port)


@contextmanager
def _dma(far: Far) -> Iterator[Submit]:
    """It has no server: what it is given on its standard input it delivers, and bounces itself."""
    cell = Jail("dma", ["mail", "dma"], ["/bin/sh"])
    cell.write(
        "/etc/dma/dma.conf", f"SMARTHOST 127.0.0.1\nPORT {far.port}\nMAILNAME mx.dma.test\nSPOOLDIR /var/spool/dma\n"
    )
    cell.write("/etc/aliases", "")
    cell.folder("/var/spool/dma", "mail", 0o770)

    def submit(to: list[str], letter: str, options: list[str]) -> bool:
        if not options:
            cell.write("/letter", letter.replace("\r\n", "\n"))
            cell.run("/bin/sh", "-c", f"/usr/sbin/dma -D -i -f {SENDER} {' '.join(to)} </letter")
        return not options

    try:
        yield submit
    finally:
        cell.remove()


@contextmanager
def _running(cell: Jail, port: int, *command: str) -> Iterator[None]:
    try:
        cell.start(*command)
        cell.until(lambda: greets("127.0.0.1", port))
        yield
    except BaseException:
        print(cell.log()[-4_000:])
        raise
    finally:
        cell.remove()


MAKES: dict[str, Callable[[Far], AbstractContextManager[Submit]]] = {
    "postfix": _postfix,
    "exim": _exim,
    "opensmtpd": _opensmtpd,
    "sendmail": _sendmail,
    "dma": _dma,
}


def reports(make: str) -> Iterator[tuple[str, bytes]]:
    """(name, report) for each of MAILS that this host reports about."""
    with ExitStack() as stack:
        far = stack.enter_context(Far())
        threading.Thread(target=far.serve_forever, daemon=True).start()
        stack.callback(far.shutdown)
        submit = stack.enter_context(MAKES[make](far))
        for name, locals_ in MAILS.items():
            yield from _of_one(f"{make}-{name}", far, submit, [f"{local}@{DOMAIN}" for local in locals_], [])
        yield from _of_one(f"{make}-relayed", far, submit, [f"well.ana@{DOMAIN}"], ["NOTIFY=SUCCESS"])
        if make == "postfix":
            yield from _of_one(f"{make}-nobody-here", far, submit, ["nobody@near.test"], [])


def _of_one(name: str, far: Far, submit: Submit, to: list[str], options: list[str]) -> Iterator[tuple[str, bytes]]:
    far.came.clear()
    if not submit(to, LETTER.format(to=", ".join(to)), options):
        return
    deadline = time.monotonic() + PATIENCE_S
    while not far.came and time.monotonic() < deadline:
        time.sleep(0.1)
    if far.came:
        yield name, far.came[0]
    else:
        print(f"nothing came: {name}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--unpacked", type=Path, default=jail.UNPACKED)
    arguments.add_argument("makes", nargs="*", default=list(MAKES))
    told = arguments.parse_args()
    jail.UNPACKED = told.unpacked
    MADE.mkdir(exist_ok=True)
    for make in told.makes:
        for name, raw in reports(make):
            (MADE / f"{name}.eml").write_bytes(raw.replace(b"\r\n", b"\n"))
            print(name)


if __name__ == "__main__":
    main()
