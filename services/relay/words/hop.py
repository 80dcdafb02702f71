"""Where a message may be taken: an address of a host, or nowhere. Pure."""

from dataclasses import dataclass

from services.relay.words.tls import OPPORTUNISTIC, TlsPolicy


@dataclass(frozen=True, slots=True)
class Hop:
    """One address of one host. `host` is the name that it goes by; `address` what is dialled, None: what the system
    finds for the name; `tls` how it has to be encrypted to, `implicit`: from the first byte. `route` is the name of the
    operator's route that leads there, if one does: by another one it is another customer's door."""

    host: str
    port: int
    address: str | None = None
    tls: TlsPolicy = OPPORTUNISTIC
    implicit: bool = False
    route: str = ""


@dataclass(frozen=True, slots=True)
class NoRoute:
    """There is nowhere to go: for ever if `final`, else for now."""

    reason: str
    text: str
    final: bool
