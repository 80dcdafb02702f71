"""Where the links of a mail lead here: the beginnings of clicks and openings, and each recipient's own pages."""

import re
from collections.abc import Sequence

from shared.making.layout import Urls
from shared.words.content import PAGE_QUERIES, PAGES, UNSUBSCRIBE_URL
from shared.words.tokens import DOCUMENT_PATH, PAGE_PATHS, JobTokens

# No character of it is special in HTML, in quoted-printable or in a header field.
_BASE_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~-]+)*")


class Addresses:
    """Of one job. `base_url` is where tracking answers, `uses` the paths of the variables that its templates name,
    `test` a job whose links shall set nobody's consent. ValueError if `base_url` cannot stand in a mail."""

    def __init__(self, base_url: str, tokens: JobTokens, uses: Sequence[str], *, test: bool) -> None:
        base_url = base_url.rstrip("/")
        if not _BASE_URL.fullmatch(base_url):
            raise ValueError(f"not a base URL for links: {base_url!r:.100}")
        self._tokens = tokens
        self._test = test
        bases = {kind: f"{base_url}/{kind_path}/" for kind, kind_path in PAGE_PATHS.items()}
        self.urls = Urls(f"{base_url}/c/", f"{base_url}/o/", tuple(bases.values()), f"{base_url}/{DOCUMENT_PATH}/")
        used = {path.partition(".")[0] for path in uses}
        self._needed = [
            (name, kind, bases[kind], PAGE_QUERIES.get(name, ""))
            for name, kind in PAGES.items()
            if name == UNSUBSCRIBE_URL or name in used
        ]

    def for_job(self, tokens: JobTokens) -> "Addresses":
        """Of another job of the same content."""
        again = object.__new__(Addresses)
        again.__dict__ |= self.__dict__ | {"_tokens": tokens}
        return again

    def pages(self, ordinal: int, address: str) -> dict[str, str]:
        """Those of the recipient's pages that the mail needs, by the names that templates have for them. Those of a
        test have nobody's address, and so nothing comes of them; but that who leaves has left."""
        return {
            name: base
            + self._tokens.addressed(kind, ordinal, address if not self._test or kind == "unsubscribe" else "").decode()
            + query
            for name, kind, base, query in self._needed
        }
