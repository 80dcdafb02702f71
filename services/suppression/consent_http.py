"""The routes of consent: what one address agreed to and the proof of it, what many agreed to, and a tenant's rules."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Protocol

import msgspec
from aiohttp import web
from msgspec import Meta

from services.suppression.consents import BY_API, Saying, of_request
from services.suppression.returning import Warned
from shared.http import api, paging
from shared.http.query import Read
from shared.mail import addresses
from shared.redis.consents import Consents, Entry, Known
from shared.words import consent
from shared.words.consent import Answer, Gate, Kind, Rules, Topic
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

#: Of one bulk call.
MAX_CONSENTS = 10_000
#: Told of one call: whoever looks at a hundred knows what it is about.
MAX_WARNINGS = 100
#: Clocks of two machines differ; what is said to come from further ahead is a mistake.
AHEAD_MS = 300_000
#: So many are made ready before others have their turn.
_AT_ONCE = 200
_OF_AN_ADDRESS = ("invalid_path", "invalid_address")
_CURSOR = "Ag"


class OptIns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether somebody agreed to marketing, channel by channel; null where nothing is said of it."""

    email: Annotated[Answer | None, says("To be written to by e-mail.", "yes")] = None
    sms: Annotated[Answer | None, says("To be written to by SMS.", "no")] = None
    phone: Annotated[Answer | None, says("To be called.", "unknown")] = None


class ConsentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody said, and how that can be shown. What is null stays as it is; one answer at least is given. An
    answer that is older than the one that is known is proved and changes nothing."""

    kind: Annotated[Kind | None, says("Whose address it is.", "person")] = None
    optin: Annotated[OptIns, says("What they agreed to.")] = OptIns()
    tracking: Annotated[
        Answer | None, says("Whether openings and clicks may be recorded about them; `no` holds at once.", "no")
    ] = None
    objected: Annotated[Answer | None, says("Whether they object to prospecting, by whatever channel.", "no")] = None
    at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None, says("When they said so; now where null.", "2026-01-31T09:05:00Z")
    ] = None
    purpose: Annotated[str, says("What they agreed to, in a few words.", "offers by e-mail", max_length=200)] = ""
    text: Annotated[
        str,
        says("The name of the text under which they said so, and its version.", "newsletter-2026-02", max_length=64),
    ] = ""
    words: Annotated[
        str,
        says("The words of that text: their digest is kept.", "I want to get the offers by e-mail.", max_length=20_000),
    ] = ""
    ip: Annotated[str, says("The address from which they said so.", "192.0.2.33", max_length=45)] = ""
    user_agent: Annotated[
        str, says("The program with which they said so.", "Mozilla/5.0 (X11; Linux x86_64)", max_length=512)
    ] = ""
    who: Annotated[str, says("Who noted it, or where.", "form /subscribe", max_length=200)] = ""


class ConsentOf(ConsentRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same of one of many addresses."""

    email: Annotated[str, says("The address.", "ana@exemple.fr")]


class ConsentsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What many said. If anything of it does not fit, nothing is stored."""

    consents: Annotated[list[ConsentOf], Meta(min_length=1, max_length=MAX_CONSENTS, description="What each said.")]


class ConsentsStored(msgspec.Struct, frozen=True):
    """Everything is stored."""

    stored: Annotated[int, says("How many there were.", 2)]
    warnings: Annotated[list[Fault], says("Of who agrees and had left, what came of it: the first hundred.")]


class ConsentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and what proves it, as far as it is known."""

    answer: Annotated[Answer, says("The answer; `unknown` where there is none.", "yes")]
    since: Annotated[str | None, says("When it was given; null where there is none.", "2026-01-31T09:05:00.000Z")]
    by: Annotated[str | None, says("How it came: `api`, `page`, `button` or `double_opt_in`.", "api")]
    text: Annotated[str | None, says("The name of the text under which it was given.", "newsletter-2026-02")]
    purpose: Annotated[str | None, says("What for.", "offers by e-mail")]


class OptInsSaid(msgspec.Struct, frozen=True, kw_only=True):
    """The same of each channel."""

    email: Annotated[ConsentAnswer, says("To be written to by e-mail.")]
    sms: Annotated[ConsentAnswer, says("To be written to by SMS.")]
    phone: Annotated[ConsentAnswer, says("To be called.")]


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """How many mails somebody wants at most, as they chose on their page. It is kept and shown; nothing is held back
    for it yet."""

    most: Annotated[int, says("At most so many mails.", 3)]
    days: Annotated[int, says("In so many days.", 7)]


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """What an address agreed to. Times are to the second."""

    address: Annotated[str, says("The address as it is compared.", "ana@exemple.fr")]
    kind: Annotated[Kind, says("Whose address it is.", "person")]
    optin: Annotated[OptInsSaid, says("What they agreed to, channel by channel.")]
    tracking: Annotated[ConsentAnswer, says("Whether openings and clicks may be recorded about them.")]
    objected: Annotated[ConsentAnswer, says("Whether they object to prospecting.")]
    pressure: Annotated[Pressure | None, says("At most how many mails they want; null where they said nothing of it.")]


class ConsentNoted(Consent, frozen=True, kw_only=True):
    """The same, and what came of an opt-in of somebody who had left."""

    warnings: Annotated[list[Fault], says("What somebody should know of it.")]


class ConsentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the proof: who said what, when, from where, what for, and under which text."""

    event_id: Annotated[str, says("The id of the saying.", "9f86d081884c7d65")]
    time: Annotated[str, says("When it was said.", "2026-01-31T09:05:00.123Z")]
    by: Annotated[str, says("How it came: `api`, `page`, `button` or `double_opt_in`.", "page")]
    answers: Annotated[dict[str, str], says("What was said, by topic.", {"email": "yes", "tracking": "no"})]
    joined: Annotated[list[str], says("Lists that were joined.", ["newsletter"])]
    left: Annotated[list[str], says("Lists that were left.", ["offers"])]
    purpose: Annotated[str, says("What for.", "offers by e-mail")]
    text: Annotated[str, says("The name of the text under which it was said.", "newsletter-2026-02")]
    words_sha256: Annotated[str, says("The SHA-256 of the words of that text, in hex; empty: not told.", "0a" * 32)]
    ip: Annotated[str, says("From which address.", "192.0.2.33")]
    user_agent: Annotated[str, says("With which program.", "Mozilla/5.0 (X11; Linux x86_64)")]
    who: Annotated[str, says("Who noted it, or where.", "form /subscribe")]
    message: Annotated[str | None, says("The message that led there.", "068vjfm5s9m2rc1jqqrg.0")]
    pressure: Annotated[
        Pressure | None, says("At most how many mails they want, if they said so; -1 in both: any number again.")
    ]


class ConsentLog(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest first. `next` is what `after` takes to go on, null at the end."""

    entries: Annotated[list[ConsentEntry], says("The entries of this page.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


def _place(text: str) -> int:
    place = paging.unpack(text, int)
    if not 0 <= place < 2**31:
        raise paging.InvalidCursor
    return place


class ConsentLogQuery(msgspec.Struct, frozen=True):
    """Which part of the log is shown."""

    after: Annotated[int, paging.after(_CURSOR), Read(_place)] = 0
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


class ConsentRulesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the tenant asks for. `declared`: who is known to have said no is kept away; `required`: everybody who is not
    known to have said yes."""

    gate: Annotated[Gate, says("Of persons, before they get marketing by e-mail.", "required")] = "declared"
    tracking: Annotated[Gate, says("Before openings and clicks are recorded about somebody.", "required")] = "declared"
    double_opt_in: Annotated[bool, says("Whether POST /v1/optins sends mails that ask to confirm.", True)] = True


class Recording(Protocol):
    async def record(self, sayings: Sequence[Saying]) -> list[bool]:
        """RedisAway."""


class Returning(Protocol):
    async def settle(self, sayings: Sequence[Saying]) -> list[Warned]:
        """What opt-ins of who had left come to. RedisAway."""


class Tokens(Protocol):
    def marks(self, tenant: str, address: str) -> list[bytes]: ...


_EXAMPLE = {
    "kind": "person",
    "optin": {"email": "yes", "sms": "no"},
    "tracking": "no",
    "at": "2026-01-31T09:05:00Z",
    "purpose": "offers by e-mail",
    "text": "newsletter-2026-02",
    "words": "I want to get the offers by e-mail.",
    "ip": "192.0.2.33",
    "who": "form /subscribe",
}


def routes(
    recording: Recording,
    returning: Returning,
    consents: Consents,
    tokens: Tokens,
    now_ms: Callable[[], int],
    new_id: Callable[[], str],
) -> list[api.Route]:
    """`new_id` gives sixteen hex digits for an event."""
    handlers = _Routes(recording, returning, consents, tokens, now_ms, new_id)
    made: dict[str, Any] = {"tag": "consents"}
    return [
        # Before the address alone, which may have slashes in it.
        api.Route(
            "GET", "/v1/consents/{address}/log", handlers.log,
            "The proof of what an address agreed to: every answer, its time, its place and its text, page by page",
            scope="read", name="get_consent_log", answers={200: ConsentLog}, query=ConsentLogQuery,
            problems=[*_OF_AN_ADDRESS, "unknown_consent"], **made,
        ),
        api.Route(
            "GET", "/v1/consents/{address}", handlers.show, "What an address agreed to",
            slashes=True, scope="read", name="get_consent", answers={200: Consent},
            problems=[*_OF_AN_ADDRESS, "unknown_consent"], **made,
        ),
        api.Route(
            "PUT", "/v1/consents/{address}", handlers.put,
            "Notes what somebody said, and proves it; a consent to be tracked that is withdrawn here ends at once",
            slashes=True, scope="suppress", body=ConsentRequest, name="put_consent",
            answers={200: ConsentNoted},
            examples={"application/json": _EXAMPLE}, problems=_OF_AN_ADDRESS, **made,
        ),
        api.Route(
            "POST", "/v1/consents", handlers.put_many, "Notes what many said, up to 10,000 at once",
            scope="suppress", body=ConsentsRequest, name="put_consents", answers={200: ConsentsStored},
            examples={"application/json": {"consents": [{"email": "ana@exemple.fr", **_EXAMPLE}]}}, **made,
        ),
        api.Route(
            "GET", "/v1/consent-rules", handlers.rules, "What the tenant asks for before it mails and tracks",
            scope="read", name="get_consent_rules", answers={200: ConsentRulesBody}, **made,
        ),
        api.Route(
            "PUT", "/v1/consent-rules", handlers.put_rules, "Changes what the tenant asks for, within a second",
            scope="admin", body=ConsentRulesBody, name="put_consent_rules", answers={200: ConsentRulesBody},
            examples={"application/json": {"gate": "required", "tracking": "required"}}, **made,
        ),
    ]  # fmt: skip


class _Routes:
    def __init__(
        self,
        recording: Recording,
        returning: Returning,
        consents: Consents,
        tokens: Tokens,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._recording = recording
        self._returning = returning
        self._consents = consents
        self._tokens = tokens
        self._now_ms = now_ms
        self._new_id = new_id

    async def show(self, request: web.Request) -> web.StreamResponse:
        address = _address(request)
        return api.json_answer(shown(address, await self._known(request, address)))

    async def log(self, request: web.Request) -> web.StreamResponse:
        address, query = _address(request), api.query_of(request, ConsentLogQuery)
        tenant = request[api.PRINCIPAL].tenant
        found = await self._consents.log(tenant, address, query.after, query.after + query.limit)
        if not found and query.after == 0:
            raise _unknown()
        following = paging.pack(query.after + query.limit) if len(found) > query.limit else None
        return api.json_answer(ConsentLog(entries=[line(one) for one in found[: query.limit]], next=following))

    async def put(self, request: web.Request) -> web.StreamResponse:
        address = _address(request)
        faults: list[Fault] = []
        saying = self._saying(request, address, await api.read_json(request, ConsentRequest), "$", faults)
        if saying is None:
            raise Problem("invalid_body", "the body does not fit", faults)
        await self._recording.record([saying])
        warned = await self._returning.settle([saying])
        known = shown(address, await self._known(request, address))
        noted = ConsentNoted(
            **msgspec.structs.asdict(known),
            warnings=[Fault(f"$.optin.{one.channel}", one.what) for one in warned],
        )
        return api.json_answer(noted)

    async def put_many(self, request: web.Request) -> web.StreamResponse:
        wanted = (await api.read_json(request, ConsentsRequest)).consents
        sayings: list[Saying] = []
        faults: list[Fault] = []
        for index, one in enumerate(wanted):
            at = f"$.consents[{index}]"
            try:
                key = addresses.parse(one.email).key
            except addresses.InvalidAddress as fault:
                faults.append(Fault(f"{at}.email", f"not an address: {fault}"))
                continue
            saying = self._saying(request, key, one, at, faults)
            sayings += [saying] if saying is not None else []
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
        if faults:
            raise Problem("invalid_body", "the body does not fit, and nothing was stored", faults[:100])
        await self._recording.record(sayings)
        warned = await self._returning.settle(sayings)
        warnings = [Fault(f"$.consents[{one.place}].optin.{one.channel}", one.what) for one in warned[:MAX_WARNINGS]]
        return api.json_answer(ConsentsStored(len(sayings), warnings))

    async def rules(self, request: web.Request) -> web.StreamResponse:
        _, rules = await self._consents.rules.of(request[api.PRINCIPAL].tenant)
        return api.json_answer(ConsentRulesBody(rules.gate, rules.tracking, rules.double_opt_in))

    async def put_rules(self, request: web.Request) -> web.StreamResponse:
        wanted = await api.read_json(request, ConsentRulesBody)
        await self._consents.rules.put(
            request[api.PRINCIPAL].tenant, Rules(wanted.gate, wanted.tracking, wanted.double_opt_in)
        )
        return api.json_answer(wanted)

    def _saying(
        self, request: web.Request, address: str, wanted: ConsentRequest, at: str, faults: list[Fault]
    ) -> Saying | None:
        """None, and what is wrong added to `faults`, if it does not fit."""
        answers = answers_of(wanted)
        now_ms = self._now_ms()
        at_ms = now_ms if wanted.at is None else int(wanted.at.timestamp() * 1000)
        if not answers:
            faults.append(Fault(at, "says nothing: give kind, optin, tracking or objected"))
        elif not 0 < at_ms <= now_ms + AHEAD_MS:
            faults.append(Fault(f"{at}.at", "in the future" if at_ms > 0 else "before 1970"))
        else:
            tenant = request[api.PRINCIPAL].tenant
            entry = Entry(
                at_ms=at_ms,
                event_id=self._new_id(),
                by=BY_API,
                answers=dict(answers.items()),
                purpose=wanted.purpose,
                text=wanted.text,
                digest=sha256(wanted.words.encode("utf-8", "surrogatepass")).hexdigest() if wanted.words else "",
                ip=wanted.ip,
                user_agent=wanted.user_agent,
                who=wanted.who or f"key:{request[api.PRINCIPAL].key}",
            )
            marks = self._tokens.marks(tenant, address) if "tracking" in answers else []
            return of_request(tenant, address, answers, entry, marks, self._new_id)
        return None

    async def _known(self, request: web.Request, address: str) -> Known:
        known = await self._consents.known(request[api.PRINCIPAL].tenant, address)
        if known is None:
            raise _unknown()
        return known


def answers_of(wanted: ConsentRequest) -> dict[Topic, str]:
    """What is said, by topic."""
    said: dict[Topic, str | None] = {
        "kind": wanted.kind,
        "email": wanted.optin.email,
        "sms": wanted.optin.sms,
        "phone": wanted.optin.phone,
        "tracking": wanted.tracking,
        "objected": wanted.objected,
    }
    return {topic: word for topic, word in said.items() if word is not None}


def shown(address: str, known: Known) -> Consent:
    """The state, with what the log says of each answer."""
    said = {topic: _said(topic, known) for topic in consent.TOPICS if topic != "kind"}
    return Consent(
        address=address,
        kind=consent.KINDS[known.state.kind],
        optin=OptInsSaid(email=said["email"], sms=said["sms"], phone=said["phone"]),
        tracking=said["tracking"],
        objected=said["objected"],
        pressure=Pressure(most=known.pressure[0], days=known.pressure[1]) if known.pressure[0] else None,
    )


def _said(topic: Topic, known: Known) -> ConsentAnswer:
    at_s = known.state.said(topic).at_s
    word = known.state.answer(topic)
    entry = next(
        (one for one in reversed(known.log) if one.at_ms // 1000 == at_s and one.answers.get(topic) == word),
        None,
    )
    return ConsentAnswer(
        answer=word,
        since=rfc3339(at_s * 1000) if at_s else None,
        by=entry.by if entry else None,
        text=entry.text or None if entry else None,
        purpose=entry.purpose or None if entry else None,
    )


def line(entry: Entry) -> ConsentEntry:
    """A line of the log."""
    return ConsentEntry(
        event_id=entry.event_id,
        time=rfc3339(entry.at_ms),
        by=entry.by,
        answers=entry.answers,
        joined=list(entry.joined),
        left=list(entry.left),
        purpose=entry.purpose,
        text=entry.text,
        words_sha256=entry.digest,
        ip=entry.ip,
        user_agent=entry.user_agent,
        who=entry.who,
        message=entry.message or None,
        pressure=Pressure(most=entry.most, days=entry.days) if entry.most else None,
    )


def _address(request: web.Request) -> str:
    """The address in the path, as it is compared."""
    try:
        return addresses.parse(api.path_text(request, "address")).key
    except addresses.InvalidAddress as fault:
        raise Problem("invalid_address", f"not an address: {fault}", [Fault("address", str(fault))]) from fault


def _unknown() -> Problem:
    return Problem("unknown_consent", "nothing is known of what the address agreed to")
