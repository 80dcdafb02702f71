"""Dialogues that an operator wants to see: those of the next sessions with a site. Operators ask, relays tell.

What is asked for is one hash, which relays read every half second with what else they tend, so that a session that
nobody asked for costs no round trip. A relay that is to open a connection to such a site takes a number, of as many as
were asked for; what is said then is gathered, and told each half second. Lines are masked before they come here
(`services.relay.delivery.overheard`), and go away by themselves.
"""

import secrets
from collections.abc import Callable
from typing import Literal

import msgspec

from shared.redis import keys
from shared.redis.redis import Client, RedisAway, Script

#: Sessions of one request, and how long they may be waited for.
MOST_SESSIONS = 20
LEAST_S, MOST_S = 10, 3_600
#: Lines are kept for so long after they were told last, and so many of a request.
LINES_MS = 600_000
MOST_LINES = 20_000
#: Of one session; what it says beyond is not told.
SESSION_LINES = 1_000
#: What one process has gathered and not told yet; beyond, lines are left out.
GATHERED = 5_000
#: Lines of one step.
TOGETHER = 200

_ASK = Script.of(__file__, "dialogues_ask")
_TAKE = Script.of(__file__, "dialogues_take")
_TELL = Script.of(__file__, "dialogues_tell")

Kind = Literal["sent", "received", "note", "end"]


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A request: `sessions` of them, for as long as it is before `until_ms`."""

    id: str
    sessions: int
    until_ms: int


class Line(msgspec.Struct, frozen=True, array_like=True):
    """Something that was said in the session of that number: by us (`sent`), by the host (`received`), or what happened
    (`note`; `end` is the last one). `host`, `source` and `relay` are the same of all lines of a session."""

    session: int
    at_ms: int
    kind: Kind
    text: str
    host: str
    source: str
    relay: str


_asked = msgspec.msgpack.Decoder(Asked)
_line = msgspec.msgpack.Decoder(Line)


class DialogueList:
    """What operators ask for, and read. Every method raises RedisAway."""

    def __init__(self, client: Client, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._now_ms = now_ms

    async def ask(self, site: str, sessions: int, seconds: int) -> Asked:
        """For the next sessions with the site, for so long. It takes the place of what was asked of it before."""
        asked = Asked(secrets.token_hex(10), sessions, self._now_ms() + seconds * 1000)
        names = [keys.dialogues(), keys.dialogue_taken(asked.id)]
        await _ASK(self._client, names, [site, msgspec.msgpack.encode(asked), MOST_S * 1000 + LINES_MS])
        return asked

    async def all(self) -> dict[str, Asked]:
        """By site, but for what is over."""
        found = await self._client.hgetall(keys.dialogues())
        asked = {site.decode(): _asked.decode(packed) for site, packed in found.items()}
        return {site: one for site, one in asked.items() if one.until_ms > self._now_ms()}

    async def taken(self, request: str) -> int | None:
        """How many sessions of it have begun; None: there is no such request."""
        found = await self._client.get(keys.dialogue_taken(request))
        return None if found is None else int(found)

    async def lines(self, request: str, after: str, most: int, wait_ms: int | None = None) -> list[tuple[str, Line]]:
        """Up to so many that were told behind that one ("0": all), each with its place; waits for the first if told
        to."""
        read = await self._client.xread({keys.dialogue(request): after}, count=most, block=wait_ms)
        return [(place.decode(), _line.decode(fields[b"l"])) for _, entries in read or () for place, fields in entries]

    async def end(self, site: str, asked: Asked) -> None:
        """Nobody waits for more of it."""
        if (await self.all()).get(site) == asked:
            await self._client.hdel(keys.dialogues(), site)


class Dialogues:
    """What this process is asked for, and has to tell; `name` is that of the relay."""

    def __init__(self, client: Client, name: str, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._name = name
        self._list = DialogueList(client, now_ms)
        self._now_ms = now_ms
        #: By site. Empty nearly always: who opens a connection looks here first.
        self.asked: dict[str, Asked] = {}
        self._enough: set[str] = set()
        self._lines: dict[str, list[bytes]] = {}

    async def take(self, site: str, host: str, source: str) -> "Session | None":
        """The session that begins now, if it is one of those that were asked for. One round trip where somebody asked
        for this site, none elsewhere."""
        asked = self.asked.get(site)
        if asked is None or asked.id in self._enough:
            return None
        try:
            number = int(await _TAKE(self._client, [keys.dialogue_taken(asked.id)], [asked.sessions]))
        except RedisAway:
            return None
        if number == 0:
            self._enough.add(asked.id)
            return None
        return Session(self, asked, number, host, source)

    def note(self, asked: Asked, number: int, kind: Kind, text: str, host: str, source: str) -> bool:
        """Gathers a line; False: nobody waits for it any more."""
        if asked not in self.asked.values():
            return False
        lines = self._lines.setdefault(asked.id, [])
        if len(lines) < GATHERED:
            lines.append(msgspec.msgpack.encode(Line(number, self._now_ms(), kind, text, host, source, self._name)))
        return True

    async def tend(self) -> None:
        """Tells, and reads what is asked for. To be called every half second. RedisAway: it is told later."""
        for request, lines in list(self._lines.items()):
            while some := lines[:TOGETHER]:
                await _TELL(self._client, [keys.dialogue(request)], [MOST_LINES, LINES_MS, *some])
                del lines[: len(some)]
            del self._lines[request]
        self.asked = await self._list.all()
        self._enough &= {one.id for one in self.asked.values()}


class Session:
    """One that is told of. Every method costs no time to speak of."""

    def __init__(self, dialogues: Dialogues, asked: Asked, number: int, host: str, source: str) -> None:
        self._dialogues = dialogues
        self._asked = asked
        self._number = number
        self._host = host
        self._source = source
        self._left = SESSION_LINES

    def note(self, kind: Kind, text: str) -> None:
        """A line of it; nothing after its `end`."""
        if self._left == 0:
            return
        self._left -= 1
        if self._left == 0 and kind != "end":
            kind, text = "end", f"more than {SESSION_LINES} lines: what follows is not shown"
        is_wanted = self._dialogues.note(self._asked, self._number, kind, text, self._host, self._source)
        if kind == "end" or not is_wanted:
            self._left = 0
