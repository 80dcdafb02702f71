"""What can be set of drops."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.net.outside import Policy
from shared.process import setting_checks
from shared.process.setting_kinds import Networks, Ports
from shared.process.settings import Positive, Process


class Drops(Process, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {
        "folder": setting_checks.file,
        "networks": setting_checks.networks,
        "ports": setting_checks.ports,
    }

    #: Whether tenants may have drops; the process `drops` writes them (`estafette serve drops`).
    enabled: bool = False
    #: Below it each tenant has a folder of its name for drops that go into a folder. It must be there; empty: drops go
    #: to SFTP servers alone.
    folder: str = ""
    #: Private networks in which SFTP servers may be, as 10.20.0.0/16; else no address inside is ever dialled. In them
    #: any port may be asked.
    networks: Networks = ""
    #: Ports at which SFTP servers outside may be; empty: any.
    ports: Ports = "22"
    #: For the start of a connection, and for each step of a transfer: a server that is silent for so long is away.
    timeout_seconds: Annotated[int, Meta(ge=1, le=600)] = 30
    #: Files that are written at a time, and of one tenant.
    at_a_time: Annotated[int, Meta(ge=1, le=256)] = 8
    tenant_at_a_time: Annotated[int, Meta(ge=1, le=256)] = 2
    #: Drops of one tenant.
    per_tenant: Positive = 20

    def policy(self) -> Policy:
        """Which SFTP servers may be dialled."""
        return Policy.of(self.networks, self.ports)
