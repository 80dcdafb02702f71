"""The place of a drop, by its target."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from services.reports.drops import folder
from services.reports.drops.drop import Drop, Failed
from services.reports.drops.ssh_keys import SEALED_AS
from services.reports.drops.target import Folder, parse
from shared.mail.dkim_keys import CannotOpen, Vault
from shared.net.outside import Policy, Refused

if TYPE_CHECKING:
    from services.reports.drops.drops import Place
    from services.reports.drops.sftp import Sftp


class Places:
    """`root`: what has the tenants' folders; None: there is none. `sftp`: None where the library is not installed."""

    def __init__(self, root: Path | None, sftp: "Sftp | None", policy: Policy, vault: Vault) -> None:
        self._root = root
        self._sftp = sftp
        self._policy = policy
        self._vault = vault

    @asynccontextmanager
    async def opened(self, drop: Drop) -> "AsyncIterator[Place]":
        """Failed."""
        try:
            target = parse(drop.target, self._policy)
        except Refused as refused:  # the settings have changed since
            raise Failed("inside", str(refused)) from None
        if isinstance(target, Folder):
            if self._root is None:
                raise Failed("no_folder", "drops.folder is not set: there are no folders of tenants")
            async with folder.opened(self._root, (drop.tenant, *target.parts)) as place:
                yield place
            return
        if self._sftp is None:
            raise Failed("not_installed", "SFTP needs pip install 'estafette[drop]'")
        try:
            key = self._vault.open(drop.sealed, drop.id, SEALED_AS)
        except CannotOpen as fault:
            raise Failed("key", str(fault)) from None
        async with self._sftp.opened(target, key, drop.host_keys) as there:
            yield there
