"""A real OpenSMTPD in a jail: a receiving MTA of tests (`tests.peers.receivers`), its mail in maildirs.

It knows neither PIPELINING nor SMTPUTF8, and has no greylisting of its own: its variants differ in STARTTLS alone. When
it has enough of a connection it says 452 and not 421. Up to 6.8, which Debian 12 has, it offers STARTTLS and fails at
every handshake on OpenSSL 3 (its issue 1171): it stands for the hosts that promise more than they can.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.certificates import Authority
from tests.peers import receivers
from tests.peers.jail import Jail, greets, maildir

MAKE = "opensmtpd"
#: Who owns the mail.
_OWNER = "post"

_CONF = """\
pki peer cert "/etc/mail/certificate.pem"
pki peer key "/etc/mail/key.pem"
table users file:/etc/mail/users
smtp max-message-size {size_limit}
smtp limit max-mails {mails_per_connection}
{listeners}
action here maildir "/var/mail/%{{rcpt.domain}}/%{{rcpt.user}}" virtual {{ "@" = "post" }}
match from any for rcpt-to <users> action here
"""


class OpenSmtpd:
    make = MAKE

    def __init__(self, port: int) -> None:
        self.port = port
        # It runs what delivers by /bin/sh.
        self.jail = Jail("opensmtpd", ["opensmtpd", "opensmtpq", _OWNER], ["/bin/sh"])
        certificate = Authority().issue("mx.opensmtpd.test")
        addresses = {variant: receivers.address(MAKE, variant) for variant in receivers.VARIANTS}
        conf = _CONF.format(
            size_limit=receivers.SIZE_LIMIT_BYTES,
            mails_per_connection=receivers.MAILS_PER_CONNECTION,
            listeners="\n".join(
                f"listen on {address} port {port} {'' if variant == 'clear' else 'tls pki peer'}"
                for variant, address in addresses.items()
            ),
        )
        users = [f"{user}@{domain}\n" for domain in receivers.domains(MAKE) for user in receivers.USERS]
        self.jail.write("/etc/smtpd.conf", conf)
        self.jail.write("/etc/mail/users", "".join(user for user in users if user.isascii()))
        self.jail.write("/etc/mail/certificate.pem", certificate.pem)
        self.jail.write("/etc/mail/key.pem", certificate.key_pem, mode=0o600)
        self.jail.write("/etc/mailname", "mx.opensmtpd.test\n")
        self.jail.folder("/var/lib/opensmtpd/empty")
        self.jail.folder("/var/spool/smtpd", mode=0o711)
        self.jail.folder("/var/spool/smtpd/offline", "root", 0o770, "opensmtpq")
        for folder in ("purge", "queue", "corrupt", "incoming", "temporary"):
            self.jail.folder(f"/var/spool/smtpd/{folder}", "opensmtpq", 0o700, "root")
        self.jail.folder("/var/mail", _OWNER, 0o755)

    def encrypts(self) -> bool:
        """Whether its handshakes succeed."""
        version = re.search(r"version: OpenSMTPD (\d+)\.", self.jail.run("/usr/sbin/smtpd", "-h"))
        return version is not None and int(version[1]) >= 7

    def start(self) -> None:
        """Returns when it answers."""
        self.jail.start("/usr/sbin/smtpd", "-d")
        self.jail.until(lambda: greets(receivers.address(MAKE, "whole"), self.port))

    def log(self) -> str:
        return self.jail.log()

    def mails(self, address: str) -> list[bytes]:
        local_part, _, domain = address.partition("@")
        return maildir(self.jail.path(f"/var/mail/{domain}/{local_part}"))


@contextmanager
def running(port: int) -> Iterator[OpenSmtpd]:
    opensmtpd = OpenSmtpd(port)
    try:
        opensmtpd.start()
        yield opensmtpd
    finally:
        opensmtpd.jail.remove()
