"""The certificate that STARTTLS shows: that of the settings, read again at SIGHUP, or one that is made at a start."""

import ssl
from pathlib import Path

from prometheus_client import Gauge

from services.bounces import settings as own
from shared.net import server_certificate
from shared.net.server_certificate import CertificateFault, Shown
from shared.process.reload import Prepared
from shared.process.settings import Settings, SettingsError

UNTIL = Gauge(
    "estafette_bounces_certificate_until_timestamp_seconds",
    "When the certificate that we show to hosts that bring mail is over; 0: it is made here, at each start",
)


class Certificate:
    """`context` is what STARTTLS shows now. SettingsError with what is wrong with the files."""

    settings = frozenset(("bounces.certificate", "bounces.key"))

    def __init__(self, settings: Settings) -> None:
        mine = settings.of(own.Bounces)
        self._is_named = bool(mine.certificate)
        self._shown = _named(mine) if self._is_named else server_certificate.self_made(mine.domain)
        self._tell()

    def context(self) -> ssl.SSLContext:
        return self._shown.context

    def prepare(self, settings: Settings) -> Prepared:
        """As `shared.process.reload.Part`. Sessions that are encrypted go on under what they began with."""
        mine = settings.of(own.Bounces)
        is_named = bool(mine.certificate)
        shown = self._shown
        if is_named:
            shown = _named(mine)
        elif self._is_named:
            shown = server_certificate.self_made(mine.domain)
        if shown.fingerprint == self._shown.fingerprint:
            return Prepared((), _nothing)

        async def apply() -> None:
            self._shown, self._is_named = shown, is_named
            self._tell()

        return Prepared([f"bounces.certificate: that of the fingerprint {shown.fingerprint[:16]}"], apply)

    def _tell(self) -> None:
        UNTIL.set(self._shown.until_s if self._is_named else 0)


def check(settings: Settings) -> None:
    """SettingsError with what is wrong with the files that settings name."""
    mine = settings.of(own.Bounces)
    if mine.certificate:
        _named(mine)


def _named(mine: own.Bounces) -> Shown:
    try:
        return server_certificate.read(Path(mine.certificate), Path(mine.key or mine.certificate))
    except CertificateFault as fault:
        raise SettingsError([f"bounces.certificate: {fault}"]) from None


async def _nothing() -> None:
    pass
