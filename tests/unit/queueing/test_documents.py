"""What may be asked for as a link to a document."""

from datetime import UTC, datetime

import pytest

from services.queueing.documents import DocumentRequest, refuse
from shared.words import ids, tokens
from shared.words.errors import Problem

NOW_MS = 1_750_000_000_000
JOB = ids.new_job_id(NOW_MS, b"chance", 8)
ANA = "ana@example.fr"
URL = "https://exemple.fr/devis/113.pdf"


def wanted(**fields: object) -> DocumentRequest:
    given: dict[str, object] = {"name": "Devis", "url": URL, "email": ANA}
    return DocumentRequest(**given | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ({"name": ""}, ["$.name"]),
        ({"name": " Devis"}, ["$.name"]),
        ({"name": "Devis\u202e"}, ["$.name"]),
        ({"url": "file:///etc/passwd"}, ["$.url"]),
        ({"url": "/devis.pdf", "name": "\n"}, ["$.name", "$.url"]),
        ({"message": f"{JOB}.0"}, ["$.message"]),
        ({"email": None}, ["$.message"]),
        ({"expires_at": datetime.fromtimestamp(NOW_MS // 1000, UTC)}, ["$.expires_at"]),
        ({"expires_at": datetime(2107, 1, 1, tzinfo=UTC)}, ["$.expires_at"]),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_every_fault(fields: dict[str, object], places: list[str]) -> None:
    request = wanted(**fields)
    until_s = 0 if request.expires_at is None else int(request.expires_at.timestamp())

    with pytest.raises(Problem) as refused:
        refuse(request, tokens.destination(request.url), until_s, NOW_MS)

    assert [fault.at for fault in refused.value.faults] == places


def test_a_request_that_fits_is_not_refused() -> None:
    until = datetime.fromtimestamp(NOW_MS // 1000 + 1, UTC)

    refuse(wanted(expires_at=until), URL, int(until.timestamp()), NOW_MS)
    refuse(wanted(email=None, message=f"{JOB}.0"), URL, 0, NOW_MS)
