"""What can be set of the relay."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.process import setting_checks
from shared.process.settings import MOST, AgreedRelay, Positive, Seconds


class Relay(AgreedRelay, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {
        "helo": setting_checks.host,
        "retry_schedule": setting_checks.seconds,
    }

    #: The name in EHLO; empty: this host's.
    helo: str = ""
    #: Connections of one relay process to a site, of each pool, whatever shaping allows all relays together.
    connections_per_site: Positive = 20
    #: How long a relay may be silent before the others take its messages. Below a second a busy one would lose them.
    lease_ms: Annotated[int, Meta(ge=1_000, le=MOST)] = 15_000
    #: Messages one relay process holds at a time; an eighth is kept for what people wait for.
    in_flight: Positive = 2_000
    #: Seconds before the second, third, … attempt, separated by commas; empty: the schedule of the relay.
    retry_schedule: Seconds = ""
    #: The last part of Feedback-ID, by which Gmail counts complaints (Postmaster Tools): the same on all mail.
    sender_id: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._-]{5,15}$", description="5 to 15 of a-z, A-Z, 0-9, dot, _ and -")
    ] = "estafette"
    #: Whether mails are signed; no, if the host that `route` names signs them.
    dkim: bool = True
    #: Processes beside each relay that make its signatures, one processor each; 0: the relay makes them itself.
    signing_processes: Annotated[int, Meta(ge=0, le=64)] = 1
    #: Processes beside each relay in which templates with logic are rendered.
    rendering_processes: Annotated[int, Meta(ge=1, le=64)] = 2
    #: Messages taken from a partition in one round trip.
    batch: Positive = 200

    @property
    def patience_seconds(self) -> float:
        """One whose lease is not over yet hangs for nobody."""
        return 2 * self.lease_ms / 1000
