"""The certificate that STARTTLS shows: that of the settings, read again at SIGHUP, or one that is made at a start."""

from prometheus_client import Gauge

from services.bounces import settings as own
from shared.process.settings import Settings
from shared.process.shown_certificate import Named, ShownCertificate

UNTIL = Gauge(
    "estafette_bounces_certificate_until_timestamp_seconds",
    "When the certificate that we show to hosts that bring mail is over; 0: it is made here, at each start",
)


class Certificate(ShownCertificate):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, named, UNTIL)


def named(settings: Settings) -> Named:
    mine = settings.of(own.Bounces)
    return Named("bounces", mine.domain, mine.certificate, mine.key)
