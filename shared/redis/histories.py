"""What was sent to an address of a tenant: which message of which job, found by a keyed hash of the address.

    <base>          `keys.history`: of a tenant, and of the jobs that were made in the same 28 days, in their partition
    <base>:<path>   list of records: those whose hash begins with these hex digits; `/` where they were split

A record has 22 bytes: 6 of the keyed hash by which an erased address is known (`shared.words.erased`), the 12 of the
job, 4 of the ordinal (big-endian). A bucket has 256 of them at most, then it is split into sixteen by one more digit.
An address that has more than that in one partition and window fills the deepest bucket of its path, of which the last
`MOST_LOOKED_AT` are found. Lists, because a string that is written whole writes 250 times as much to disk, and one
that is appended to keeps as much again in reserve.

Who has no more than this learns neither an address nor which records are of the same one without the key's owner. It is
an index: whether a message is there, whose it is and what its recipient is called says its job, which is asked for each
record. So six bytes are enough, and a record that is left over shows nothing.

Feeds write it in the script that writes them (`services.reports.feed`), at kill -9 of any process. A fact that was
told twice is there twice, and found once.
Windows go by themselves, `LONGER_MS` after what they are about may be gone.
"""

from collections.abc import Sequence

from shared.redis import keys
from shared.redis.redis import Client, Script, lua_of
from shared.redis.suppression import normalised
from shared.words import ids
from shared.words.erased import ErasureKeys

#: What scripts that write histories begin with.
LUA = lua_of(__file__, "histories_common")

DAY_MS = 86_400_000
WINDOW_MS = 28 * DAY_MS
#: A job lives on after its retention while its own time is not over, and is looked at each hour.
LONGER_MS = 28 * DAY_MS
#: The furthest that a job is made ahead of its mails.
AHEAD_MS = 366 * DAY_MS
HASH_BYTES = 6
_ORDINAL_BYTES = 4
_PLACE_BYTES = ids.JOB_BYTES + _ORDINAL_BYTES
#: Of one bucket: 440 kB.
MOST_LOOKED_AT = 20_000

_FIND = Script.of(__file__, "histories_common", "histories_find")
_FORGET = Script.of(__file__, "histories_common", "histories_forget")


def window_of(at_ms: int) -> int:
    """In which window jobs are that were made then."""
    return at_ms // WINDOW_MS


def lifetime_ms(retention_days: int) -> int:
    """How long a window is kept after it was last written to."""
    return retention_days * DAY_MS + LONGER_MS


def record(secrets: ErasureKeys, tenant: str, job: str, ordinal: int, email: str) -> bytes:
    """Of a message, as scripts note it. ValueError if that is no job."""
    hashed = bytes.fromhex(secrets.digest(tenant, normalised(email))[: 2 * HASH_BYTES])
    return hashed + ids.job_bytes(job) + ordinal.to_bytes(_ORDINAL_BYTES, "big")


class Histories:
    """`retention_days` is that of jobs. Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int, retention_days: int) -> None:
        self._client = client
        self._partitions = partitions
        self._kept_ms = lifetime_ms(retention_days)

    def first_window(self, now_ms: int) -> int:
        """The earliest that may still be there."""
        return window_of(max(0, now_ms - self._kept_ms - AHEAD_MS))

    async def find(
        self, tenant: str, digests: Sequence[str], windows: range, partitions: Sequence[int]
    ) -> list[tuple[str, int]]:
        """Job and ordinal of what may be messages to the address with one of these hashes, each once, in any order."""
        hashes = _hashes(digests)
        args: list[str | bytes | int] = [MOST_LOOKED_AT, *hashes]
        calls = [(_bases(p, tenant, windows), args) for p in partitions if windows]
        places = {
            found[at : at + _PLACE_BYTES]
            for found in await _FIND.many(self._client, calls)
            for at in range(0, len(found), _PLACE_BYTES)
        }
        return [_place(place) for place in places]

    async def forget(self, tenant: str, digests: Sequence[str], until_ms: int) -> int:
        """Takes out what is about the address with one of these hashes, of jobs made until then; how many."""
        windows = range(self.first_window(until_ms), window_of(until_ms) + 1)
        last = ids.job_bytes(ids.last_job(until_ms))
        calls = [(_bases(p, tenant, windows), [last, *_hashes(digests)]) for p in range(self._partitions)]
        return sum(await _FORGET.many(self._client, calls))


def _bases(partition: int, tenant: str, windows: range) -> list[str]:
    return [keys.history(partition, tenant, window) for window in windows]


def _hashes(digests: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(one[: 2 * HASH_BYTES]) for one in digests]


def _place(packed: bytes) -> tuple[str, int]:
    return ids.job_text(packed[: ids.JOB_BYTES]), int.from_bytes(packed[ids.JOB_BYTES :], "big")
