"""What can be set of webhooks."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.net.outside import Policy
from shared.process import setting_checks
from shared.process.setting_kinds import Networks, Ports
from shared.process.settings import Positive, Process


class Webhooks(Process, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {
        "networks": setting_checks.networks,
        "ports": setting_checks.ports,
    }

    #: Private networks in which endpoints may be, as 10.20.0.0/16; else no address inside is ever dialled. In them any
    #: port may be asked.
    networks: Networks = ""
    #: Whether endpoints may be http:// too: anybody on the way reads what is sent.
    plain_http: bool = False
    #: Ports at which endpoints outside may be; empty: any.
    ports: Ports = "443,8443"
    #: For a whole request; who has not answered then has not taken it.
    timeout_ms: Annotated[int, Meta(ge=100, le=60_000)] = 15_000
    #: Requests to one endpoint at a time.
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 32
    #: Events that wait for one endpoint; what comes beyond is dropped, and counted. Each is about a kilobyte of Redis.
    queue_events: Positive = 200_000
    #: An endpoint that has taken nothing for so long, and was asked, is asked no more.
    disable_after_hours: Positive = 120
    #: Endpoints of one tenant.
    per_tenant: Positive = 50
    #: How long attempts are shown, and events that were given up can be sent again.
    log_days: Positive = 7

    def policy(self) -> Policy:
        """Where requests may go."""
        return Policy.of(self.networks, self.ports, plain_http=self.plain_http)
