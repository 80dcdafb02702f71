"""What can be set of the archive."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.process import setting_checks
from shared.process.settings import MOST, HttpUrl, Positive, Process


def target(text: str) -> None:
    setting_checks.file(text)
    scheme, colon, place = text.partition("://")
    if colon and not (scheme == "s3" and place.strip("/")):
        raise ValueError("expected a folder, or s3://bucket/prefix")


class Archive(Process, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {"target": target, "s3_endpoint": setting_checks.url}

    #: Where events are kept for good: a folder, or `s3://bucket/prefix` of any S3-compatible store (keys as the
    #: AWS SDK finds them: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a profile, the machine's role). Empty: there
    #: is no archive. Needs `pip install 'estafette[archive]'`.
    target: str = ""
    #: The S3 endpoint, as `http://minio:9000`; empty: that of AWS in `s3_region`.
    s3_endpoint: HttpUrl = ""
    s3_region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,64}$", description="a region, as eu-west-3")] = ""
    #: A file is written when so much time is over, by the clock: 3600 means at each full hour.
    file_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 3_600
    #: And before, when a partition has so many events that are in no file: they are in memory, 400 bytes each.
    file_events: Annotated[int, Meta(ge=100, le=1_000_000)] = 50_000
    #: Between two looks for files to be merged, and for who was erased.
    tend_seconds: Positive = 60
    #: For so long files are left alone that were just written, and an erasure waits for what is being written.
    settle_seconds: Annotated[int, Meta(ge=0, le=MOST)] = 300
