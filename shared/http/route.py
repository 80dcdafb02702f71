"""A route as its service declares it: what is called, who may, and all that the documents of the API say of it."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from shared.words.described import says

_PARAMETER = re.compile(r"\{(\w+)\}")

Call = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: What the operations are sorted by, in the order in which somebody meets them.
TAGS = {
    "jobs": "A job is one content and the recipients it goes to: send it whole, or open it, append and start it.",
    "templates": "Stored contents in versions, with layouts and translations, and what a job's mail would look like.",
    "messages": "One recipient's mail, from the queue to its end and what the recipient did then.",
    "results": "Sets of recipients by what became of their messages, of one job or over several.",
    "events": "Everything that happened, as one list that is followed from page to page.",
    "stops": "What is not sent for now, who stopped it and why, and how it goes on.",
    "suppressions": "The addresses that a tenant does not write to any more.",
    "statistics": "Counts and rates by hour, and by what tells mail apart.",
    "usage": "What a tenant used day by day, and for operators what each tenant did.",
    "lists": "Lists of recipients: who is on which, who left it. Being on one is no consent.",
    "people": "What is kept of one address, and its erasure.",
    "consents": "What addresses agreed to, the proof of it, and what a tenant asks for before it mails and tracks.",
    "contacts": "The base of contacts: a record each, under a key of uniqueness, with fields of the tenant's own.",
    "segments": "Who of the base is meant: criteria on fields, operations, behaviour, imports and other segments.",
    "webhooks": "Endpoints of other systems that are told what happens, and what was sent to them.",
    "drops": "Events and suppressions as CSV files, hour by hour or day by day, in a folder or on an SFTP server.",
    "domains": "The domains that a tenant sends from: their DKIM keys, and the records to publish in DNS.",
    "sub-accounts": "Tenants that belong to another one: it makes them, gives them keys, and asks as them.",
    "operator": "What an engineer on call sees and does: sites, suspensions, cancellations, dead entries.",
    "kept mail": "Mail that came back and that nobody understood, for those who run the engine.",
    "recipients": "What links and pictures in mails lead to. The token is the right to it; no key is asked for.",
    "mailbox": "The catch-all mailbox of a trial installation; it is there only while mail goes to it.",
    "process": "Whether the engine is alive and ready, and this document.",
}

#: What a parameter of the path means, wherever a route has one of that name and says nothing else.
PATH = {
    "job": says("The id of the job, as POST /v1/jobs answered it.", "068vjfm5s9m2rc1jqqrg"),
    "message": says("The id of the message: its job's, a dot and the recipient's number.", "068vjfm5s9m2rc1jqqrg.0"),
    "address": says("The address, percent-encoded where a URL needs it.", "ana@exemple.fr"),
    "domain": says("The name of the domain.", "exemple.fr"),
    "webhook": says("The id of the endpoint.", "wh_8f2c0a61d94be735"),
    "token": says("The token of the link, signed by the engine.", "AbyDEu8fNw0zJpwgAQ"),
}


@dataclass(frozen=True)
class Route:
    """A route and what OpenAPI says of it. `answers`: status → Struct, a media type or several of which the
    request chooses one, or None for an empty body."""

    method: str
    path: str
    call: Call
    summary: str
    scope: str | None = None
    body: Any = None
    answers: Mapping[int, Any] = field(default_factory=dict)
    #: What it is called in clients that are made from the document (`operationId`), and one of `TAGS`.
    name: str = ""
    tag: str = ""
    #: Words of `shared.words.problems` that this route answers, beside those that every route of its kind may.
    problems: Sequence[str] = ()
    #: The parameters of the query: a Struct whose fields have defaults (`shared.http.query`).
    query: type[msgspec.Struct] | None = None
    #: What parameters of the path mean here, where `PATH` does not say it.
    in_path: Mapping[str, msgspec.Meta] = field(default_factory=dict)
    #: Media types of the body where it is not JSON (`application/x-ndjson`, `text/csv`).
    body_media: Sequence[str] = ()
    #: Nothing may be sent instead of a body.
    body_optional: bool = False
    #: Headers that the route heeds, and what they mean (all optional text).
    headers: Mapping[str, msgspec.Meta] = field(default_factory=dict)
    #: Media type → a body as somebody would send it.
    examples: Mapping[str, Any] = field(default_factory=dict)
    #: The last parameter of the path may have slashes: the local part of an address does.
    slashes: bool = False
    #: Parameters that it does not know are passed over: what was appended to a link shall not break it.
    any_query: bool = False
    #: Also with a slash at the end, for the same reason.
    trailing_slash: bool = False
    #: A key of the sandbox may ask for it, although it is no GET: it sees to it that nothing real is touched.
    sandbox: bool = False
    #: A page for people in a browser: no part of the API, and not in its document.
    is_page: bool = False

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters of its path."""
        return _PARAMETER.findall(self.path)

    @property
    def takes_body(self) -> bool:
        return self.body is not None or bool(self.body_media)

    @property
    def pattern(self) -> str:
        """The path as aiohttp matches it. By itself it takes no braces in a parameter, which is part of some addresses;
        what is not a name of ours is for the handler to say."""
        pattern = _PARAMETER.sub(r"{\1:[^/]+}", self.path)
        return pattern.removesuffix("[^/]+}") + r"[\s\S]+}" if self.slashes else pattern
