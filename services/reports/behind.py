"""What has the events and the statistics that Redis has no more: the archive, if there is one."""

from typing import Protocol

from shared.archive.asked import Behind, Counts, Missing
from shared.process.settings import Settings


class Archive(Behind, Counts, Protocol):
    pass


def archive_of(settings: Settings) -> Archive | None:
    """None where there is none. What its search needs may be missing: then each search says so."""
    archive = settings.archive
    if not archive.target:
        return None
    try:
        from shared.archive.search import Search
    except ImportError as missing:
        return Missing(missing.name or str(missing))
    return Search(
        archive.target,
        settings.data.path / "archive",
        archive.s3_endpoint,
        archive.s3_region,
        archive.search_seconds,
        archive.searches,
        archive.search_megabytes,
    )
