"""Ids: how jobs and messages are named, and to which partition a thing belongs.

A job id is 12 bytes, written as 20 characters of base32hex in lower case: 48 bits of milliseconds since the epoch, then
48 bits of chance, so ids sort by time. Its last two bytes decide the partition; `new_job_id` can be told which one is
wanted (an Idempotency-Key picks the partition of its job). A message id is `<job>.<ordinal>`.
"""

from functools import lru_cache
from hashlib import blake2b
from zlib import crc32

JOB_BYTES = 12
JOB_CHARS = 20
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_ALPHABET = frozenset(_DIGITS)
#: Any ten bits as two characters: half the steps of single ones.
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
#: The twenty characters hold 100 bits; behind the 96 of the id there are four of zero (RFC 4648 section 7).
_PADDING_BITS = 4
_SHIFTS = range(90, -1, -10)
#: Ordinals are 32 bits on the wire; a job of four billion recipients is refused long before.
MAX_ORDINAL = 2**32 - 1


def new_job_id(now_ms: int, chance: bytes, partitions: int, partition: int | None = None) -> str:
    """A new job id from the time in ms and six random bytes; in `partition` when one is named."""
    if len(chance) != 6:
        raise ValueError("a job id takes six bytes of chance")
    tail = int.from_bytes(chance[4:], "big")
    if partition is not None:
        tail = min(tail - tail % partitions, 65536 - partitions - 65536 % partitions) + partition
    return job_text(now_ms.to_bytes(6, "big") + chance[:4] + tail.to_bytes(2, "big"))


def seeds_job(job: str, partitions: int) -> str:
    """The job by which the tenant's seed list gets a copy of this one. It counts as made at the same time."""
    return new_job_id(job_created_ms(job), blake2b(job.encode(), digest_size=6).digest(), partitions)


def dsn_job(message: str, action: str, partitions: int) -> str:
    """The job that tells the sender of this message of that (`failed`, `relayed`). It counts as made when the mail
    was."""
    chance = blake2b(f"{message} {action}".encode(), digest_size=6).digest()
    return new_job_id(job_created_ms(split_message_id(message)[0]), chance, partitions)


def last_job(at_ms: int) -> str:
    """The last id that a job made until then can have: ids sort by time."""
    return job_text(at_ms.to_bytes(6, "big") + b"\xff" * 6)


@lru_cache(4096)
def job_text(raw: bytes) -> str:
    """Twelve bytes as the twenty characters that people and URLs see."""
    bits = int.from_bytes(raw, "big") << _PADDING_BITS
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


@lru_cache(4096)
def job_bytes(job: str) -> bytes:
    """The twelve bytes of a job id. ValueError if it is invalid."""
    if not is_job_id(job):
        raise ValueError(f"not a job id: {job!r:.40}")
    return (int(job, 32) >> _PADDING_BITS).to_bytes(JOB_BYTES, "big")


def is_job_id(text: str) -> bool:
    return len(text) == JOB_CHARS and set(text) <= _ALPHABET and text[-1] in "0g"


@lru_cache(4096)
def job_created_ms(job: str) -> int:
    """When the job was made, in ms since the epoch."""
    return int.from_bytes(job_bytes(job)[:6], "big")


def job_partition(job: str, partitions: int) -> int:
    return int.from_bytes(job_bytes(job)[-2:], "big") % partitions


def name_partition(name: str, partitions: int) -> int:
    """The partition of a site, of a tenant, or of any other name."""
    return crc32(name.encode("utf-8", "surrogatepass")) % partitions


def address_partition(tenant: str, address: str, partitions: int) -> int:
    """The partition of a tenant's normalised address: of its record on the suppression list, and of facts about it."""
    return name_partition(f"{tenant}/{address}", partitions)


def address_prefix(tenant: str) -> int:
    """Where the checksum of a tenant's addresses begins: `crc32(address, prefix) % partitions` is the partition of one,
    for whoever has many of one tenant."""
    return crc32(f"{tenant}/".encode())


def message_id(job: str, ordinal: int) -> str:
    return f"{job}.{ordinal}"


def split_message_id(text: str) -> tuple[str, int]:
    """`<job>.<ordinal>` in its two parts. ValueError if it is invalid: each message has one id, so no leading zeros."""
    job, dot, ordinal = text.partition(".")
    if not (dot and is_job_id(job) and ordinal.isascii() and ordinal.isdigit() and len(ordinal) <= 10):
        raise ValueError(f"not a message id: {text!r:.60}")
    number = int(ordinal)
    if number > MAX_ORDINAL or ordinal != str(number):
        raise ValueError(f"not a message id: {text!r:.60}")
    return job, number
