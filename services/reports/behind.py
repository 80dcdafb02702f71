"""What has the events that the streams have no more, as the settings name it."""

from shared.archive.asked import Behind, Missing
from shared.process.settings import Settings


def behind(settings: Settings) -> Behind | None:
    """None: nothing has them."""
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
