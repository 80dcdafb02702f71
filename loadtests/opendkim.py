"""OpenDKIM as a peer: a mail filter that signs what Postfix takes in, as most who run Postfix sign."""

import os
import subprocess
from pathlib import Path

from loadtests.processes import START_S, Processes, free_port, listens, program, until

DOMAIN = "exemple.fr"
SELECTOR = "bench"
_CONF = """\
Mode s
Domain {domain}
Selector {selector}
KeyFile {key}
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
Socket inet:{port}@127.0.0.1
InternalHosts 127.0.0.1
RequireSafeKeys no
Syslog no
Background no
"""


class NotSigned(RuntimeError):
    """The filter let a mail through without a signature: what was measured would not be what it says."""


def started(processes: Processes) -> str:
    """What Postfix takes as `smtpd_milters`. Signs with an RSA key of 2,048 bits, as we do."""
    here = processes.directory
    key, conf, port = here / "key.pem", here / "opendkim.conf", free_port()
    subprocess.run([program("openssl"), "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    conf.write_text(_CONF.format(domain=DOMAIN, selector=SELECTOR, key=key, port=port))
    processes.start([program("opendkim"), "-f", "-x", str(conf)])
    until(lambda: listens(port), START_S, "opendkim")
    return f"inet:127.0.0.1:{port}"


def dumping_sink(processes: Processes) -> tuple[int, Path]:
    """A sink that keeps its mails: its port, and the folder."""
    folder, port = processes.directory / "mails", free_port()
    folder.mkdir()
    folder.chmod(0o777)
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    processes.start([program("smtp-sink"), *user, "-d", str(folder / "%M."), f"127.0.0.1:{port}", "100"], name="dump")
    until(lambda: listens(port), START_S, "smtp-sink")
    return port, folder


def is_signed(folder: Path) -> bool:
    """Whether what came there has a signature of the filter's."""
    mails = [file.read_bytes() for file in folder.iterdir()]
    return bool(mails) and all(b"DKIM-Signature:" in mail and f"d={DOMAIN};".encode() in mail for mail in mails)
