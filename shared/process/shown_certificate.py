"""The certificate that a server of ours shows: that of its settings, read again at SIGHUP, or one that is made at a
start."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from prometheus_client import Gauge

from shared.net import server_certificate
from shared.net.server_certificate import CertificateFault, Shown
from shared.process.reload import Prepared
from shared.process.settings import Settings, SettingsError


class Named(NamedTuple):
    """What the settings of a `section` say: the `host` that one is made for where no `certificate` is named, and the
    files."""

    section: str
    host: str
    certificate: str
    key: str


class ShownCertificate:
    """`context` is what is shown now. `named` reads the settings, `until` tells when it is over. SettingsError with
    what is wrong with the files."""

    def __init__(self, settings: Settings, named: Callable[[Settings], Named], until: Gauge) -> None:
        self._named = named
        self._until = until
        mine = named(settings)
        self.settings = frozenset((f"{mine.section}.certificate", f"{mine.section}.key"))
        self._is_named = bool(mine.certificate)
        self._shown = _read(mine) if self._is_named else server_certificate.self_made(mine.host)
        self._tell()

    def context(self) -> ssl.SSLContext:
        return self._shown.context

    def prepare(self, settings: Settings) -> Prepared:
        """As `shared.process.reload.Part`. Sessions that are encrypted go on under what they began with."""
        mine = self._named(settings)
        is_named = bool(mine.certificate)
        shown = self._shown
        if is_named:
            shown = _read(mine)
        elif self._is_named:
            shown = server_certificate.self_made(mine.host)
        if shown.fingerprint == self._shown.fingerprint:
            return Prepared((), _nothing)

        async def apply() -> None:
            self._shown, self._is_named = shown, is_named
            self._tell()

        return Prepared([f"{mine.section}.certificate: that of the fingerprint {shown.fingerprint[:16]}"], apply)

    def _tell(self) -> None:
        self._until.set(self._shown.until_s if self._is_named else 0)


def check(mine: Named) -> None:
    """SettingsError with what is wrong with the files, if settings name any."""
    if mine.certificate:
        _read(mine)


def _read(mine: Named) -> Shown:
    try:
        return server_certificate.read(Path(mine.certificate), Path(mine.key or mine.certificate))
    except CertificateFault as fault:
        raise SettingsError([f"{mine.section}.certificate: {fault}"]) from None


async def _nothing() -> None:
    pass
