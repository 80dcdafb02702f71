"""A real Postfix on loopback, in a temporary directory of its own: the receiving MTA of tests, with every option told.

It is the final destination of the domains it is given, and keeps their mail in maildirs. What it says of a recipient
who does not exist depends on the domain, as it does in the world:

    accepting   takes the mail of anybody, finds out later, and sends a delivery status notification
    strict      550 5.1.1 at RCPT
    refused     550 5.7.25 at RCPT for everybody: it finds no host name for the client's address
    greylisted  450 4.2.0 at RCPT for everybody

Nothing of the machine's own Postfix is read or changed but its programs: `/etc/postfix` and `/var/spool/postfix` stay
as they are. Debian's Postfix wants root, to change into the users `postfix` and the owner of the maildirs.
"""

import os
import pwd
import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from tests.fakes.certificates import Authority
from tests.servers import free_port, missing, need

T = TypeVar("T")

HOSTNAME = "mx1.peer.test"
#: Not 127.0.0.1, so that a test sees that the address came out of DNS.
ADDRESS = "127.0.0.25"
START_SECONDS = 60.0
PATIENCE_SECONDS = 40.0
_MAILDIR_OWNER = "nobody"

# Which processes run, none of them in a chroot. `rewrite`, `proxymap` and others are called for by the rest.
_MASTER_CF = """\
{address}:{port} inet n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
lmtp      unix  - - n - - lmtp
error     unix  - - n - - error
retry     unix  - - n - - error
virtual   unix  - n n - - virtual
local     unix  - n n - - local
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""

_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log/mail.log
maillog_file_prefixes = {directory}

myhostname = {hostname}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
# The system's resolver is never asked: neither for clients nor for where a bounce goes.
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
transport_maps = texthash:{directory}/etc/transport

virtual_mailbox_domains = texthash:{directory}/etc/domains
virtual_mailbox_maps = texthash:{directory}/etc/mailboxes
virtual_mailbox_base = {directory}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
alias_maps =
alias_database =

smtpd_reject_unlisted_recipient = no
unknown_client_reject_code = 550
smtpd_recipient_restrictions =
    check_recipient_access texthash:{directory}/etc/access, reject_unauth_destination
# Nobody is at home here: what comes from loopback is other people's mail, and its headers stay as they are.
local_header_rewrite_clients =
smtpd_tls_security_level = may
smtpd_tls_cert_file = {directory}/etc/certificate.pem
smtpd_tls_key_file = {directory}/etc/key.pem
smtpd_milters = {milters}
milter_default_action = tempfail
notify_classes =
# Tests open more connections in a minute than a sender may.
smtpd_client_event_limit_exceptions = 127.0.0.0/8
# A bounce that found nobody listening is tried again soon.
minimal_backoff_time = 2s
maximal_backoff_time = 5s
queue_run_delay = 2s
"""

# Waits until the test has done with Postfix or is dead, however it died, and clears away. Postfix is a daemon: it would
# not notice. `postfix stop` is no help with a master that is starting or stopping, so it is asked again while one runs.
_JANITOR = """\
cat >/dev/null
while "$1" -c "$2/etc" status; do "$1" -c "$2/etc" stop; done >/dev/null 2>&1
rm -rf "$2"
"""


@dataclass(frozen=True)
class Domains:
    """The domains it is there for, by how it treats them, and `users`: the addresses that exist."""

    accepting: Sequence[str]
    strict: Sequence[str] = ()
    refused: Sequence[str] = ()
    greylisted: Sequence[str] = ()
    users: Sequence[str] = ()


class Postfix:
    """`sends_to`: the domains to which its own mail, that is its DSNs, can go → `host:port`, or `lmtp:…` as its
    transport table has it. `milter`: `host:port` of a
    mail filter, or "". `listeners`: more addresses that it listens on, each with parameters of its own there.
    `port`: else a free one. Ports and files are its own from the beginning;
    `remove` gives them back."""

    make = "postfix"

    def __init__(
        self,
        domains: Domains,
        sends_to: Mapping[str, str],
        milter: str = "",
        listeners: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        port: int = 0,
    ) -> None:
        self._program = need("postfix")
        if os.geteuid() != 0:
            missing("root, which Postfix wants,")
        self.address = ADDRESS
        self.port = port or free_port()
        # Not below pytest's directory: that is closed to the users that Postfix changes into.
        self._directory = Path(tempfile.mkdtemp(prefix="estafette-postfix-"))
        self._janitor = subprocess.Popen(
            ["sh", "-c", _JANITOR, "sh", self._program, str(self._directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._make_folders()
        self._make_tables(domains, sends_to)
        # Signed by nobody whom anybody knows, as that of most hosts out there.
        Authority().issue(HOSTNAME).write(self._directory / "etc")
        self._configure(milter, listeners)

    def encrypts(self) -> bool:
        return True

    def start(self) -> None:
        """Returns when it answers."""
        self._postfix("start")
        self.until(self._greets)

    def stop(self) -> None:
        """Returns when it and all its processes have ended. Does nothing if it does not run."""
        if (master := self._master()) is not None:
            self._postfix("stop")
            self.until(lambda: not _is_group_alive(master))

    def remove(self) -> None:
        """Stops it, and leaves nothing behind."""
        self._janitor.communicate()

    def log(self) -> str:
        file = self._directory / "log" / "mail.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def folder(self, address: str) -> Path:
        """The maildir of this address."""
        return self._directory / "mail" / _folder(address)

    def mails(self, address: str) -> list[bytes]:
        """What lies in the maildir of this address, as it was stored: with LF. A file appears there whole."""
        new = self.folder(address) / "new"
        files = sorted(new.iterdir(), key=lambda file: file.stat().st_mtime_ns) if new.exists() else []
        return [file.read_bytes() for file in files]

    def mail(self, address: str) -> bytes:
        """The last mail of this address, once there is one."""
        return self.until(lambda: self.mails(address))[-1]

    def inject(self, raw: bytes, to: str, sender: str = "inject@elsewhere.test") -> None:
        """Brings a mail to it over SMTP, as any other host might."""
        with smtplib.SMTP(self.address, self.port, timeout=START_SECONDS) as smtp:
            smtp.sendmail(sender, [to], raw)

    def until(self, call: Callable[[], T], patience_s: float = PATIENCE_SECONDS) -> T:
        """Asks until the answer is true, and returns it."""
        deadline = time.monotonic() + patience_s
        while not (found := call()):
            if time.monotonic() > deadline:
                raise AssertionError(f"still {found!r} after {patience_s} s\n{self.log()[-4000:]}")
            time.sleep(0.05)
        return found

    def _make_folders(self) -> None:
        """Each with the owner that Postfix insists on."""
        owners = {"etc": "root", "queue": "root", "log": "root", "data": "postfix", "mail": _MAILDIR_OWNER}
        self._directory.chmod(0o755)
        for name, owner in owners.items():
            (self._directory / name).mkdir(mode=0o755)
            shutil.chown(self._directory / name, owner)

    def _make_tables(self, domains: Domains, sends_to: Mapping[str, str]) -> None:
        everywhere = [*domains.accepting, *domains.strict, *domains.refused, *domains.greylisted]
        access = dict.fromkeys(domains.strict, "reject_unlisted_recipient")
        access |= dict.fromkeys(domains.refused, "reject_unknown_client_hostname")
        access |= dict.fromkeys(domains.greylisted, "450 4.2.0 Greylisted, come back in a while")
        self._table("domains", dict.fromkeys(everywhere, "here"))
        self._table("mailboxes", {user: f"{_folder(user)}/" for user in domains.users})
        self._table("access", access)
        self._table("transport", {domain: _transport(where) for domain, where in sends_to.items()})

    def _configure(self, milter: str, listeners: Mapping[str, Mapping[str, str]]) -> None:
        owner = pwd.getpwnam(_MAILDIR_OWNER)
        values = {
            "directory": self._directory,
            "hostname": HOSTNAME,
            "address": self.address,
            "port": self.port,
            "uid": owner.pw_uid,
            "gid": owner.pw_gid,
            "milters": f"inet:{milter}" if milter else "",
        }
        for name, text in (("main.cf", _MAIN_CF), ("master.cf", _MASTER_CF)):
            (self._directory / "etc" / name).write_text(text.format(**values))
        with (self._directory / "etc" / "master.cf").open("a") as master:
            for address, parameters in listeners.items():
                told = "".join(f"    -o {{ {name} = {value} }}\n" for name, value in parameters.items())
                master.write(f"{address}:{self.port} inet n - n - - smtpd\n{told}")

    def _table(self, name: str, rows: Mapping[str, str]) -> None:
        text = "".join(f"{key} {value}\n" for key, value in rows.items())
        (self._directory / "etc" / name).write_text(text)

    def _postfix(self, command: str) -> None:
        try:
            _run(self._program, "-c", str(self._directory / "etc"), command)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.log()[-4000:]}") from None

    def _master(self) -> int | None:
        """The process that started all others, and leads their group, if it runs."""
        file = self._directory / "queue/pid/master.pid"
        pid = int(file.read_text()) if file.exists() else 0
        return pid if pid and _is_group_alive(pid) else None

    def _greets(self) -> bool:
        try:
            with smtplib.SMTP(self.address, self.port, timeout=START_SECONDS) as smtp:
                return smtp.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False


@contextmanager
def running(
    domains: Domains,
    sends_to: Mapping[str, str],
    milter: str = "",
    listeners: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    port: int = 0,
) -> Iterator[Postfix]:
    postfix = Postfix(domains, sends_to, milter, listeners, port)
    try:
        postfix.start()
        yield postfix
    finally:
        postfix.remove()


def _folder(address: str) -> str:
    local_part, _, domain = address.partition("@")
    return f"{domain}/{local_part}"


def _transport(where: str) -> str:
    """The right side of a transport table: as it is told, or SMTP to `host:port`."""
    return where if where.startswith("lmtp:") else f"smtp:{_bracketed(where)}"


def _bracketed(where: str) -> str:
    """`[host]:port`, which asks for no MX record. What Postfix asks, it asks the servers of /etc/resolv.conf: these are
    the machine's, so the way back is told to it instead of looked up."""
    host, _, port = where.rpartition(":")
    return f"[{host}]:{port}"


def _is_group_alive(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
