"""What can be set of tracking."""

from typing import Annotated

from msgspec import Meta

from shared.process.settings import AgreedTracking, Positive


class Tracking(AgreedTracking, frozen=True, kw_only=True):
    #: How long an answer waits for Redis before its event goes to the local spool.
    spool_after_ms: Positive = 50
    #: All spool files together; beyond, what cannot be recorded is answered with 503.
    spool_max_bytes: Positive = 1024 * 1024 * 1024
    #: Requests that may wait for their event to be recorded; the next is answered with 503.
    max_waiting: Positive = 10_000
    #: TOML: networks from which scanners and mail proxies come, laid over those that come with tracking
    #: (`services/tracking/networks.toml`). Read again at SIGHUP.
    networks_file: str = ""
    #: Processes beside it in which mails with logic are rendered that are looked at in a browser.
    rendering_processes: Annotated[int, Meta(ge=1, le=64)] = 1
