"""What a page is asked, and what it answers: agreed between the main path, its views and the edge. Pure."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from services.pages.api import Body


class NotThere(Exception):
    """There is no such page."""


@dataclass(frozen=True)
class Upload:
    """A file of a form, to be read once. `name` is what the browser calls it, "" where none was chosen."""

    name: str
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True)
class Asked:
    """`secret` is what the cookie holds, "" without one. `is_https`: whether the browser came by https. `is_ours`:
    the browser does not say that another site sent it. `form` are the fields of a POST; `upload` is
    its file, which comes behind them."""

    method: str
    path: str
    match: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    secret: str = field(default="", repr=False)
    is_https: bool = False
    is_ours: bool = True
    ip: str = ""
    upload: Upload | None = field(default=None, repr=False)

    def segment(self, name: str) -> str:
        """A parameter of the path, as it stands in a path of the API. NotThere for what would be another path."""
        found = self.match[name]
        if found in (".", ".."):
            raise NotThere
        return quote(found, safe="")


@dataclass(frozen=True)
class Shown:
    """A template, and what it is filled with."""

    template: str
    context: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True)
class Framed:
    """What somebody else wrote, as a document that a page of ours shows in a frame."""

    html: str


@dataclass(frozen=True)
class Download:
    """A file of that name, as it comes."""

    body: Body
    name: str


@dataclass(frozen=True)
class Gone:
    """Something was done: the browser goes on to that page, so that to reload it does nothing twice."""

    to: str


@dataclass(frozen=True)
class Answer:
    """`secret`: what the cookie shall hold from now on; "" takes it away; None leaves it. `stream` is a body that is
    sent as it comes, and closed."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    stream: Body | None = field(default=None, repr=False)
