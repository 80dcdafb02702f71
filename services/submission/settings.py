"""What can be set of submission."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.process import setting_checks
from shared.process.settings import HttpUrl, Port, Positive, Process


class Submission(Process, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {
        "host": setting_checks.host,
        "hostname": setting_checks.domain,
        "api": setting_checks.url,
        "certificate": setting_checks.file,
        "key": setting_checks.file,
    }

    host: str = "127.0.0.1"
    #: Where sessions begin in clear and go on under STARTTLS; in the world it is 587.
    port: Port = 2587
    #: Where TLS comes first; in the world it is 465.
    tls_port: Port = 2465
    #: Its name in the greeting, and in the certificate that is made at a start.
    hostname: str = "localhost"
    #: Where the API of this installation is; empty: `http://<http.host>:<http.port>`.
    api: HttpUrl = ""
    #: What is shown to clients, PEM: the certificate with those above it. Empty: one is made at each start, in which
    #: clients trust who do not look. Read again at SIGHUP.
    certificate: str = ""
    #: Its key; empty: it stands in the same file. Read again at SIGHUP.
    key: str = ""
    #: Whether keys are taken without TLS from clients on this machine (loopback addresses).
    plain_on_loopback: bool = False

    #: Advertised by SIZE; the API takes none that is larger than the default.
    max_mail_bytes: Annotated[int, Meta(ge=1, le=15_000_000)] = 15_000_000
    #: Of one mail, each a message of their own.
    max_recipients: Annotated[int, Meta(ge=1, le=1_000)] = 1_000
    #: Sessions at the same time, of each port; while all are taken, one that is idle or slow gives its place up.
    max_sessions: Positive = 500
    #: Of one peer: an IPv4 address, or an IPv6 /64. An application server keeps as many connections as it has workers.
    max_sessions_per_peer: Positive = 100
    #: For a command, and for all of a mail's data.
    command_timeout_seconds: Positive = 300
    #: How long the API may take to answer for a mail; then it is 451, and the client brings the mail again.
    api_timeout_seconds: Positive = 30
