"""Postfix as a peer: an instance of its own that relays everything to a sink, measured in three ways."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from loadtests.processes import free_port, listens, program, until

#: Connections of smtp-source, and of Postfix to the sink: more of either made it slower on two cores.
SESSIONS = 20
MESSAGE_BYTES = 12_000


class Postfix:
    """`directory` must be reachable for the user postfix. `milter`: a filter that everything passes which comes in.
    Needs root: Postfix insists."""

    def __init__(self, directory: Path, sink_port: int, milter: str = "") -> None:
        self._directory = directory
        self._sink_port = sink_port
        self._milter = milter
        self._port = free_port()

    def relayed_at_once(self, messages: int) -> float:
        """Messages a second from the first injected to the last relayed."""
        self._start()
        try:
            began = time.monotonic()
            self._inject(messages)
            ended = until(self._is_empty, 600, "Postfix", 0.02)
            return messages / (ended - began)
        finally:
            self._stop()

    def accepted(self, messages: int, size_bytes: int) -> float:
        """Messages a second into its queue, where they stay: each is on the disk before it is answered."""
        self._start("defer_transports = smtp")
        try:
            began = time.monotonic()
            self._inject(messages, size_bytes)
            return messages / (time.monotonic() - began)
        finally:
            self._stop()

    def drained(self, messages: int) -> float:
        """Messages a second out of a queue that was held until all were in."""
        self._start("defer_transports = smtp")
        try:
            self._inject(messages)
            until(lambda: self._count("incoming", "active") == 0, 600, "Postfix", 0.1)
            self._configure()
            self._run("reload")
            began = time.monotonic()
            subprocess.run([program("postqueue"), "-c", str(self._etc), "-f"], check=True)
            ended = until(self._is_empty, 600, "Postfix", 0.02)
            return messages / (ended - began)
        finally:
            self._stop()

    @property
    def _etc(self) -> Path:
        return self._directory / "etc"

    def _configure(self, *lines: str) -> None:
        here = self._directory
        (self._etc / "main.cf").write_text(
            "\n".join(
                (
                    "compatibility_level = 3.6",
                    f"queue_directory = {here}/queue",
                    f"data_directory = {here}/data",
                    f"maillog_file = {here}/log/mail.log",
                    f"maillog_file_prefixes = {here}",
                    "inet_interfaces = 127.0.0.1",
                    "inet_protocols = ipv4",
                    "mynetworks = 127.0.0.0/8",
                    "myhostname = peer.example",
                    "mydestination =",
                    f"relayhost = [127.0.0.1]:{self._sink_port}",
                    "smtpd_recipient_restrictions = permit_mynetworks, reject",
                    "smtp_host_lookup = native",
                    "disable_dns_lookups = yes",
                    f"default_destination_concurrency_limit = {SESSIONS}",
                    "initial_destination_concurrency = 20",
                    "qmgr_message_active_limit = 40000",
                    "alias_maps =",
                    "alias_database =",
                    "smtpd_peername_lookup = no",
                    "in_flow_delay = 0",
                    # What the filter does not answer is no measurement.
                    *((f"smtpd_milters = {self._milter}", "milter_default_action = reject") if self._milter else ()),
                    *lines,
                    "",
                )
            )
        )

    def _start(self, *lines: str) -> None:
        for name in ("etc", "queue", "data", "log"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        shutil.chown(self._directory / "data", "postfix")
        self._configure(*lines)
        shipped = next(
            file
            for file in (Path("/usr/share/postfix/master.cf.dist"), Path("/etc/postfix/master.cf"))
            if file.exists()
        )
        services = [
            line.replace("smtp      inet  n       -       y", f"127.0.0.1:{self._port} inet n - n", 1)
            for line in shipped.read_text().splitlines()
        ]
        text = "\n".join(_without_chroot(line) for line in services)
        (self._etc / "master.cf").write_text(text + "\n")
        self._run("start")
        until(lambda: listens(self._port), 30, "Postfix")

    def _stop(self) -> None:
        self._run("stop")

    def _run(self, word: str) -> None:
        with (self._directory / "postfix.out").open("ab") as out:
            environ = {**os.environ, "MAIL_CONFIG": str(self._etc)}
            subprocess.run(
                [program("postfix"), "-c", str(self._etc), word], check=True, stdout=out, stderr=out, env=environ
            )

    def _inject(self, messages: int, size_bytes: int = MESSAGE_BYTES) -> None:
        subprocess.run(
            [
                *(program("smtp-source"), "-s", str(SESSIONS), "-l", str(size_bytes), "-m", str(messages), "-d"),
                *("-f", "news@exemple.fr", "-t", "recipient@domain.example", f"127.0.0.1:{self._port}"),
            ],
            check=True,
        )

    def _is_empty(self) -> bool:
        return self._count("maildrop", "incoming", "active", "deferred") == 0

    def _count(self, *queues: str) -> int:
        return sum(len(files) for queue in queues for _, _, files in os.walk(self._directory / "queue" / queue))


def _without_chroot(line: str) -> str:
    """The fifth column of a service is whether it runs in a chroot: Debian's default needs files that are not here."""
    columns = line.split()
    if line[:1] in ("", "#", " ", "\t") or len(columns) < 8 or columns[4] not in ("y", "-"):
        return line
    columns[4] = "n"
    return " ".join(columns)
