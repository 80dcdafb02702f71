"""A small policy server in Postfix's words, which Exim asks too: who is greylisted, and who has sent enough.

A request is lines of `name=value` and an empty line; the answer is `action=…` and an empty line
(Postfix's SMTPD_POLICY_README). Who begins with `grey` is told to come again at the first time; after
MAILS_PER_CONNECTION recipients named over one connection the answer is 421.
"""

import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.peers.receivers import GREY, MAILS_PER_CONNECTION

GREYLISTED = "4.7.1 Greylisted, please try again in 1 second"
ENOUGH = "4.7.0 Too many mails over this connection"


class PolicyServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._named: Counter[tuple[str | None, str | None]] = Counter()

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def action(self, asked: dict[str, str]) -> str:
        recipient = asked["recipient"].lower()
        # A client may have the same port once more, towards another address.
        port, connection = asked.get("client_port"), (asked.get("server_address"), asked.get("client_port"))
        with self._lock:
            if recipient.startswith(GREY) and recipient not in self._seen:
                self._seen.add(recipient)
                return f"450 {GREYLISTED}"
            if port:
                self._named[connection] += 1
                if self._named[connection] > MAILS_PER_CONNECTION:
                    return f"421 {ENOUGH}"
        return "dunno"


class _Session(socketserver.StreamRequestHandler):
    server: PolicyServer

    def handle(self) -> None:
        asked: dict[str, str] = {}
        for line in self.rfile:
            name, equals, value = line.decode().rstrip("\r\n").partition("=")
            if equals:
                asked[name] = value
            elif asked:
                self.wfile.write(f"action={self.server.action(asked)}\n\n".encode())
                asked = {}


@contextmanager
def serving() -> Iterator[PolicyServer]:
    with PolicyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
