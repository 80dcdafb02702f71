"""What can be set of pages."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.process.setting_checks import url
from shared.process.settings import HttpUrl, Positive, Section


class Pages(Section, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {"api_url": url}

    #: Where the pages ask the API, as its clients do; empty: this process itself, at `http.port`.
    api_url: HttpUrl = ""
    #: How long somebody who signed in at the console stays so, while their key is not revoked.
    session_hours: Annotated[int, Meta(ge=1, le=720)] = 12
    #: Attempts to sign in, from one address (of IPv6 a /64), at one HTTP process; all of a minute's may come at once.
    sign_ins_per_minute: Positive = 10
