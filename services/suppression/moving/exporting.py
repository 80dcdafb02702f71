"""The list as a file: row by row as it is read (`shared.redis.suppression_file`)."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

from shared.redis.suppression_file import heading

Delimiter = Literal["comma", "semicolon", "tab"]
DELIMITERS: dict[Delimiter, str] = {"comma": ",", "semicolon": ";", "tab": "\t"}
_BOM = "\ufeff"


class Pages(Protocol):
    """The list of a tenant, some rows at a time. RedisAway."""

    def lines(self, tenant: str, delimiter: str, now_ms: int) -> AsyncIterator[str]: ...


async def pieces(pages: Pages, tenant: str, delimiter: str, now_ms: int, *, bom: bool = False) -> AsyncIterator[bytes]:
    """The file, piece by piece, its heading with the first of them. RedisAway."""
    before = (_BOM if bom else "") + heading(delimiter)
    async for rows in pages.lines(tenant, delimiter, now_ms):
        yield (before + rows).encode()
        before = ""
    if before:
        yield before.encode()
