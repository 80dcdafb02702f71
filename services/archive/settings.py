"""What can be set of the archive."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.process import setting_checks
from shared.process.settings import MOST, AgreedArchive, Positive


def target(text: str) -> None:
    setting_checks.file(text)
    scheme, colon, place = text.partition("://")
    if colon and not (scheme == "s3" and place.strip("/")):
        raise ValueError("expected a folder, or s3://bucket/prefix")


class Archive(AgreedArchive, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {"target": target, "s3_endpoint": setting_checks.url}

    #: A file is written when so much time is over, by the clock: 3600 means at each full hour.
    file_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 3_600
    #: And before, when a partition has so many events that are in no file: they are in memory, 400 bytes each.
    file_events: Annotated[int, Meta(ge=100, le=1_000_000)] = 50_000
    #: Between two looks for files to be merged, and for who was erased.
    tend_seconds: Positive = 60
    #: For so long files are left alone that were just written, and an erasure waits for what is being written.
    settle_seconds: Annotated[int, Meta(ge=0, le=MOST)] = 300
