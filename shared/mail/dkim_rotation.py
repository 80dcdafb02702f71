"""The life of a sending domain's DKIM keys, agreed by who changes them (API, console) and who signs (relay).

    waiting ── activated ──→ signing ── the next are activated ──→ retiring ── RETIRING_MS ──→ gone

A waiting key has a record to publish and signs nothing, so that no mail is ever signed by a key that receivers cannot
find. It is activated once DNS shows its record. The keys that it replaces sign nothing more, but what they signed is
still on its way, or verified only when it is read: their records stay listed until then.

A domain's first keys sign at once: there are no others, and a mail without a signature is no better than one whose key
is not there yet.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from shared.mail.dkim_keys import Algorithm

State = Literal["waiting", "signing", "retiring"]
#: What DNS shows at the name of a record. `unavailable`: nobody could tell.
Dns = Literal["unchecked", "published", "missing", "differs", "unavailable"]

#: Hosts keep trying for 4 to 5 days (RFC 5321 section 4.5.4.1), and some programs verify when a mail is read.
RETIRING_MS = 7 * 24 * 3600 * 1000

#: What each name has in DNS now, one text a record; None where DNS did not answer.
Texts = Mapping[str, Sequence[str] | None]


class Check(msgspec.Struct, frozen=True, array_like=True):
    """What a look-up said, and when (ms; 0: never)."""

    dns: Dns = "unchecked"
    detail: str = ""
    checked_at: int = 0


class Key(msgspec.Struct, frozen=True, array_like=True):
    """`sealed` is the private key as `dkim_keys.Vault` keeps it, `record` the TXT record of the public one. `since` is
    when it came into its state (ms), `until` when its record may go (retiring keys alone)."""

    selector: str
    algorithm: Algorithm
    sealed: bytes
    record: str
    state: State
    since: int
    until: int = 0
    check: Check = Check()

    def __repr__(self) -> str:
        return f"Key({self.selector}, {self.algorithm}, {self.state})"


class NothingWaiting(Exception):
    """There are no new keys that could be activated."""


class NotPublished(Exception):
    """DNS does not show what has to be there. `faults` are (name of the record, what is wrong with it)."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {what}" for name, what in faults))
        self.faults = list(faults)


def name_of(key: Key, domain: str) -> str:
    """Where its record is published."""
    return f"{key.selector}._domainkey.{domain}"


def signing(keys: Iterable[Key]) -> list[Key]:
    """The keys that sign, RSA first: that is what every verifier reads, and some read the first signature alone."""
    return sorted((key for key in keys if key.state == "signing"), key=lambda key: key.algorithm, reverse=True)


def waiting(keys: Iterable[Key]) -> list[Key]:
    return [key for key in keys if key.state == "waiting"]


def kept(keys: Iterable[Key], now_ms: int) -> tuple[Key, ...]:
    """Without those whose time is over."""
    return tuple(key for key in keys if key.state != "retiring" or key.until > now_ms)


def activated(keys: Sequence[Key], now_ms: int) -> tuple[Key, ...]:
    """Those that waited sign, those that signed retire. NothingWaiting."""
    if not waiting(keys):
        raise NothingWaiting("there are no new keys: rotate first")
    changed: dict[State, dict[str, object]] = {
        "waiting": {"state": "signing", "since": now_ms},
        "signing": {"state": "retiring", "since": now_ms, "until": now_ms + RETIRING_MS},
        "retiring": {},
    }
    return tuple(msgspec.structs.replace(key, **changed[key.state]) for key in kept(keys, now_ms))


def checked(keys: Iterable[Key], domain: str, texts: Texts, now_ms: int) -> tuple[Key, ...]:
    """With what DNS shows of them, where it was asked."""
    return tuple(
        msgspec.structs.replace(key, check=judge(texts[name], key.record, now_ms))
        if (name := name_of(key, domain)) in texts
        else key
        for key in keys
    )


def faults(keys: Iterable[Key], domain: str) -> list[tuple[str, str]]:
    """Of the waiting keys: (name of the record, why it cannot sign yet), by what was found last."""
    return [
        (name_of(key, domain), f"{key.check.dns}: {key.check.detail}")
        for key in waiting(keys)
        if key.check.dns != "published"
    ]


def judge(found: Sequence[str] | None, expected: str, now_ms: int) -> Check:
    """What the texts at a key's name mean for verifiers (RFC 6376 section 3.6.1)."""
    if found is None:
        return Check("unavailable", "DNS does not answer", now_ms)
    if not found:
        return Check("missing", f"there is no TXT record; publish {expected}", now_ms)
    if len(found) > 1:
        # RFC 6376 section 3.6.2.2: then it is undefined which one a verifier takes.
        return Check("differs", f"there are {len(found)} TXT records; leave only {expected}", now_ms)
    what = _difference(_tags(found[0]), _tags(expected))
    return Check("differs", f"{what}; publish {expected}", now_ms) if what else Check("published", "", now_ms)


def _difference(found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Why a verifier would not take this record for the key; "" if it would."""
    if found.get("v", "DKIM1") != "DKIM1" or "p" not in found:
        return "it is no DKIM record"
    if not found["p"]:
        return "the key is revoked there (p= is empty)"
    if found.get("k", "rsa") != expected["k"]:
        return f"its k= is {found.get('k', 'rsa')[:20]!r}, not {expected['k']!r}"
    if found["p"] != expected["p"]:
        return "its p= is another public key, or cut off"
    if "sha256" not in found.get("h", "sha256").split(":"):
        return "its h= forbids sha256"
    if not {"*", "email"} & set(found.get("s", "*").split(":")):
        return "its s= is not for mail"
    return ""


def _tags(record: str) -> dict[str, str]:
    """A tag list (RFC 6376 section 3.2); no value of a key's record has blanks that mean anything."""
    pairs = (part.partition("=") for part in re.sub(r"\s+", "", record).split(";"))
    return {name: value for name, equals, value in pairs if equals}
