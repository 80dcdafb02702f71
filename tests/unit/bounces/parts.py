"""What the tests of the bounce service share: small real parts around it, and the message of the samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from services.bounces.bounces import Bounces, Received
from services.bounces.loops import Loops
from shared.redis.bus import BusUnavailable
from shared.redis.recipients import Recipient
from shared.redis.redis import RedisAway
from shared.words import events, ids
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys

DOMAIN = "bounces.example"
KEYS = VerpKeys(b"m" * 32)
TOKENS = TokenKeys(b"m" * 32)
#: The message that every sample is about.
JOB = ids.job_text(bytes(range(12)))
ORDINAL = 258
RETURN_PATH = KEYS.return_path(JOB, ORDINAL, DOMAIN)
UNSUBSCRIBE = KEYS.unsubscribe_address(JOB, ORDINAL, DOMAIN)
COMPLAIN = KEYS.feedback_address(JOB, ORDINAL, DOMAIN)
NOW_MS = 1_760_000_000_000

SAMPLES = Path(__file__).parents[2] / "data" / "bounces"


def sample(name: str) -> bytes:
    """A sample as it comes by SMTP, with CRLF line ends."""
    return (SAMPLES / name).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Recorder:
    """A bus that remembers its batches by their names, and can be away."""

    def __init__(self) -> None:
        self.batches: dict[str, list[events.Fact]] = {}
        self.is_away = False

    @property
    def facts(self) -> list[events.Fact]:
        return [fact for batch in self.batches.values() for fact in batch]

    async def publish(self, facts: Sequence[events.Fact], *, batch: str) -> None:
        if self.is_away:
            raise BusUnavailable("away")
        self.batches[batch] = list(facts)


class Drawer:
    """Keeps mail in a list, and can be away."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, Received, str]] = []
        self.is_away = False

    async def keep(self, reason: str, received: Received, tenant: str) -> None:
        if self.is_away:
            raise RedisAway("away")
        self.mails.append((reason, received, tenant))

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _, _ in self.mails]


class OneJob:
    """A look-up that knows the job of the samples, and its recipients."""

    def __init__(self, recipients: Mapping[int, str]) -> None:
        self._recipients = recipients

    async def tenant_of(self, job: str) -> str | None:
        return "demo" if job == JOB else None

    async def find(self, job: str, ordinals: Sequence[int]) -> Mapping[int, Recipient]:
        known = self._recipients if job == JOB else {}
        return {ordinal: Recipient(known[ordinal]) for ordinal in ordinals if ordinal in known}


ANA: Mapping[int, str] = {ORDINAL: "ana@example.fr"}


class Desk:
    """The service with its parts."""

    def __init__(self, now_ms: int = NOW_MS, feedback_loops: str = "", recipients: Mapping[int, str] = ANA) -> None:
        self.bus = Recorder()
        self.drawer = Drawer()
        self.now_ms = now_ms
        self.bounces = Bounces(
            KEYS,
            lambda domain: domain == DOMAIN,
            OneJob(recipients),
            self.bus,
            self.drawer,
            lambda: self.now_ms,
            tokens=TOKENS,
            is_loop=Loops(feedback_loops).include,
        )

    async def receive(self, raw: bytes, to: str | Sequence[str] = RETURN_PATH, sender: str = "") -> None:
        recipients = (to,) if isinstance(to, str) else tuple(to)
        await self.bounces.receive(Received(sender, recipients, raw, "192.0.2.9"))
