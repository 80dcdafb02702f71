"""The certificate that clients are shown."""

from prometheus_client import Gauge

from services.submission import settings as own
from shared.process.settings import Settings
from shared.process.shown_certificate import Named, ShownCertificate

UNTIL = Gauge(
    "estafette_submission_certificate_until_timestamp_seconds",
    "When the certificate that we show to clients is over; 0: it is made here, at each start",
)


class Certificate(ShownCertificate):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, named, UNTIL)


def named(settings: Settings) -> Named:
    mine = settings.of(own.Submission)
    return Named("submission", mine.hostname, mine.certificate, mine.key)
