"""Stops: what is not sent for now, why, and how it goes on. Queueing writes them, relays obey, reports show them.

A stop is of a job, `job:<id>`, or of the bulk of a tenant, `tenant:<name>`; what else the tenant sends goes on.
Breakers stop what fares badly; that is resumed by the tenant once an operator has consented. A tenant may pause a job
of their own, and resumes it alone, as one whose first mails could not be made.

All stops are in one hash, which relays read twice a second. Each change is a script that looks at what is there:
nothing is resumed on a consent to another stop, and figures counted before a resume stop nothing after it (`resumed`
counts the resumes; whoever stops says how many there had been when they counted).
"""

from collections.abc import Mapping, Sequence

import msgspec

from shared.redis import keys, lua
from shared.redis.redis import Client, Script
from shared.words import events

#: Reasons. The first two harm others' mail, too: only these need consent.
INVALID_RATE = "invalid_rate"
COMPLAINT_RATE = "complaint_rate"
RENDER_FAILED = "render_failed"
PAUSED = "paused"
SUSPENDED = "suspended"
#: What a tenant resumes without an operator.
_OWN = frozenset((PAUSED, RENDER_FAILED))
#: What comes of figures, which begin anew when it is resumed.
_COUNTED = frozenset((INVALID_RATE, COMPLAINT_RATE, RENDER_FAILED))
#: What each may take the place of: a tenant's pause hides no breaker's stop, and an operator's no breaker's.
_STRONGER: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(_COUNTED, (PAUSED,)),
    SUSPENDED: (PAUSED, RENDER_FAILED, SUSPENDED),
}

#: The stream that a tenant's stop is about.
STOPPED_STREAM = "bulk"


class Stop(msgspec.Struct, frozen=True, array_like=True):
    """Why something is stopped. `by` is `engine`, `tenant` or `operator`; of a breaker's stop `bad` of `of` messages
    are its figures, counted after `epoch` resumes. `told_ms` is when the fact was stored, `consent_ms` when an operator
    consented to a resume, 0 if that has not happened yet. An operator's says `who` suspended it, `why`, and until when
    (0: until somebody resumes it)."""

    reason: str
    tenant: str
    since_ms: int
    by: str
    bad: int = 0
    of: int = 0
    epoch: int = 0
    told_ms: int = 0
    consent_ms: int = 0
    who: str = ""
    why: str = ""
    until_ms: int = 0

    @property
    def needs_consent(self) -> bool:
        return self.reason not in _OWN

    @property
    def is_counted(self) -> bool:
        """It comes of figures, which begin anew when it is resumed."""
        return self.reason in _COUNTED

    def is_over(self, now_ms: int) -> bool:
        """It was for a time, and that has passed."""
        return 0 < self.until_ms <= now_ms


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Stop)
_NAMED = lua.places(STOP=Stop)

_ADD = Script.of(__file__, "stops_add", names=_NAMED, kept=True)
_CHANGE = Script.of(__file__, "stops_change", names=_NAMED, kept=True)
_REMOVE = Script.of(__file__, "stops_remove", names=_NAMED, kept=True)
_TOLD, _CONSENT = _NAMED["STOP"]["told_ms"], _NAMED["STOP"]["consent_ms"]


def of_job(job: str) -> str:
    """The name of a job's stop."""
    return f"job:{job}"


def of_tenant(tenant: str) -> str:
    """The name of the stop of a tenant's bulk."""
    return f"tenant:{tenant}"


def of_site(site: str) -> str:
    """The name of the stop of a site, or of a named provider, whose name is that of its site."""
    return f"site:{site}"


def of_source(site: str, source: str) -> str:
    """The name of the stop of one of our sources at a site."""
    return f"source:{source}@{site}"


def kind_of(name: str) -> str:
    """What the name is about: `job`, `tenant`, `site` or `source`."""
    return name.partition(":")[0]


def site_of(name: str) -> str:
    """The site that the name is about, "" if it is about something else."""
    kind, _, site = name.partition(":")
    return site if kind == "site" else ""


def job_of(name: str) -> str:
    """The job that the name is about, "" if it is about a tenant's bulk."""
    kind, _, job = name.partition(":")
    return job if kind == "job" else ""


def about_stop(name: str, stop: Stop) -> events.About:
    """What Stopped begins with: the same however often it is recorded."""
    return events.about(stop.tenant, stop.since_ms, "stopped", name, stop.since_ms, job=job_of(name))


def about_resume(name: str, stop: Stop, now_ms: int) -> events.About:
    """And what Resumed begins with."""
    return events.about(stop.tenant, now_ms, "resumed", name, stop.since_ms, job=job_of(name))


class StopList:
    """Every method is one round trip and raises RedisAway. A change returns whether it was made: False where what is
    there is not what was seen."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self) -> dict[str, Stop]:
        """By name."""
        found: dict[bytes, bytes] = await self._client.hgetall(keys.stops())
        return {name.decode(): _decoder.decode(packed) for name, packed in found.items()}

    async def some(self, names: Sequence[str]) -> list[Stop | None]:
        """For each name its stop."""
        found = await self._client.hmget(keys.stops(), list(names))
        return [None if packed is None else _decoder.decode(packed) for packed in found]

    async def resumed(self, name: str) -> int:
        """How often it was resumed."""
        return int(await self._client.hget(keys.resumes(), name) or 0)

    async def add(self, name: str, stop: Stop) -> bool:
        """Stops it, unless it is stopped already by something that it may not take the place of (`_STRONGER`), or was
        resumed since `stop.epoch`."""
        replaced = " ".join(_STRONGER.get(stop.reason, ()))
        args: list[str | bytes | int] = [name, _encoder.encode(stop), stop.epoch, f" {replaced} "]
        return bool(await _ADD(self._client, [keys.stops(), keys.resumes()], args))

    async def tell(self, name: str, seen: Stop, now_ms: int) -> bool:
        """Notes that the fact is stored."""
        return await self._change(name, seen, _TOLD, now_ms)

    async def consent(self, name: str, seen: Stop, now_ms: int) -> bool:
        """Notes that an operator consents to a resume."""
        return await self._change(name, seen, _CONSENT, now_ms)

    async def _change(self, name: str, seen: Stop, element: str, value: int) -> bool:
        return bool(await _CHANGE(self._client, [keys.stops()], [name, seen.since_ms, element, value]))

    async def resume(self, name: str, seen: Stop) -> bool:
        """Ends the stop, and with a breaker's all that was decided from the figures before."""
        return await self._remove(name, seen, seen.epoch + 1 if seen.is_counted else "")

    async def forget(self, name: str, seen: Stop) -> bool:
        """Removes the stop of a job that has ended."""
        return await self._remove(name, seen, "")

    async def _remove(self, name: str, seen: Stop, resumes: int | str) -> bool:
        return bool(await _REMOVE(self._client, [keys.stops(), keys.resumes()], [name, seen.since_ms, resumes]))
