"""A real OpenSSH server in a jail, whose one user has SFTP and nothing else: where files of drops go."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.peers.jail import Jail

USER = "estafette"
_CONF = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/host
AuthorizedKeysFile /etc/ssh/authorized
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
AllowTcpForwarding no
"""


class OpenSsh:
    """`host_key` is private, in OpenSSH's form; `authorized` are lines of public keys."""

    def __init__(self, port: int, host_key: str, authorized: Sequence[str]) -> None:
        self.port = port
        self.jail = Jail("openssh-server", ["sshd", USER], ["/bin/sh"])
        self.jail.folder("/run/sshd")
        self.jail.folder("/in", USER, 0o755)
        self.jail.write("/etc/ssh/conf", _CONF.format(port=port))
        self.jail.write("/etc/ssh/authorized", "".join(f"{one}\n" for one in authorized))
        self.host_key = host_key

    @property
    def folder(self) -> Path:
        """Where the user may write: /in of the server."""
        return self.jail.path("/in")

    def start(self, host_key: str = "") -> None:
        """Returns when it listens."""
        self.jail.write("/etc/ssh/host", host_key or self.host_key, mode=0o600)
        self.jail.write("/log", b"")
        self.jail.start("/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/conf")
        self.jail.until(lambda: "Server listening" in self.jail.log())

    def stop(self) -> None:
        self.jail.stop()


@contextmanager
def running(port: int, host_key: str, authorized: Sequence[str]) -> Iterator[OpenSsh]:
    server = OpenSsh(port, host_key, authorized)
    try:
        server.start()
        yield server
    finally:
        server.jail.remove()
