"""A real Exim in a jail: a receiving MTA of tests (`tests.peers.receivers`), its mail in maildirs."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.certificates import Authority
from tests.peers import receivers
from tests.peers.jail import Jail, greets, maildir

MAKE = "exim"
_USER = "Debian-exim"

# `bare` and `clear` are told by the address that the client has connected to.
_CONF = """\
primary_hostname = mx.exim.test
local_interfaces = <; {interfaces}
daemon_smtp_ports = {port}
# Nobody is asked who the client is.
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
never_users = root
# There is no setuid root in here.
deliver_drop_privilege = true
tls_certificate = /etc/exim4/certificate.pem
tls_privatekey = /etc/exim4/key.pem
tls_advertise_hosts = ${{if eq{{$received_ip_address}}{{{clear}}}{{}}{{*}}}}
pipelining_advertise_hosts = ${{if eq{{$received_ip_address}}{{{bare}}}{{}}{{*}}}}
smtputf8_advertise_hosts = ${{if eq{{$received_ip_address}}{{{bare}}}{{}}{{*}}}}
message_size_limit = {size_limit}
smtp_accept_max_per_connection = {mails_per_connection}
smtp_accept_max = 100
acl_smtp_rcpt = rcpt
domainlist here = {domains}

begin acl
rcpt:
  deny    message = relay not permitted
          !domains = +here
  deny    message = Unknown user
          !local_parts = lsearch;/etc/exim4/users
  defer   condition = ${{if match{{$local_part}}{{^{grey}}}}}
          set acl_m_said = ${{readsocket{{inet:{policy}}}{{recipient=$local_part@$domain\\n\\n}}{{5s}}}}
          condition = ${{if match{{$acl_m_said}}{{action=450}}}}
          message = ${{sg{{$acl_m_said}}{{\\Naction=450 (\\S+) ([^\\n]*)\\n+\\N}}{{\\$2}}}}
  accept

begin routers
mailbox:
  driver = accept
  domains = +here
  local_parts = lsearch;/etc/exim4/users
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = /var/mail/$domain_data/$local_part_data
  maildir_format
  envelope_to_add
  return_path_add
  delivery_date_add
"""


class Exim:
    """`policy`: `host:port` of the policy server."""

    make = MAKE

    def __init__(self, port: int, policy: str) -> None:
        self.port = port
        self.jail = Jail("exim4-daemon-light", [_USER])
        certificate = Authority().issue("mx.exim.test")
        conf = _CONF.format(
            interfaces=" ; ".join(receivers.address(MAKE, variant) for variant in receivers.VARIANTS),
            port=port,
            clear=receivers.address(MAKE, "clear"),
            bare=receivers.address(MAKE, "bare"),
            size_limit=receivers.SIZE_LIMIT_BYTES,
            mails_per_connection=receivers.MAILS_PER_CONNECTION,
            domains=" : ".join(receivers.domains(MAKE)),
            grey=receivers.GREY,
            policy=policy,
        )
        self.jail.write("/etc/exim4/exim4.conf", conf)
        self.jail.write("/etc/exim4/users", "".join(f"{user}: {user}\n" for user in receivers.USERS))
        self.jail.write("/etc/exim4/certificate.pem", certificate.pem, _USER)
        self.jail.write("/etc/exim4/key.pem", certificate.key_pem, _USER, 0o600)
        for folder in ("/var/spool/exim4", "/var/log/exim4", "/var/mail"):
            self.jail.folder(folder, _USER, 0o750)

    def encrypts(self) -> bool:
        return True

    def start(self) -> None:
        """Returns when it answers."""
        self.jail.start("/usr/sbin/exim4", "-bdf", "-q5s")
        self.jail.until(lambda: greets(receivers.address(MAKE, "whole"), self.port))

    def log(self) -> str:
        return self.jail.log()

    def mails(self, address: str) -> list[bytes]:
        local_part, _, domain = address.partition("@")
        return maildir(self.jail.path(f"/var/mail/{domain}/{local_part}"))


@contextmanager
def running(port: int, policy: str) -> Iterator[Exim]:
    exim = Exim(port, policy)
    try:
        exim.start()
        yield exim
    finally:
        exim.jail.remove()
