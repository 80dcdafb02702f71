"""Tokens: what the links of a mail carry from the relay, which makes them, to tracking, which reads them.

    kind (1) · key id (1) · job (12) · ordinal (4) · [O C: mark (6)] · [C c: position (2)]
    · [0 (1) · generation (2)] · tenant length (1) · tenant
    · [C c: destination] [u p a v: address, sealed] · HMAC-SHA256 of all before it, its first 12 bytes

    O an opening, C a click, u the page to unsubscribe on, p that of preferences, a that of an opt-in, v the mail itself
    D a document of a mail's recipient: a click, with until when (4), the name's length (1) and the name before the
      destination; its position is NO_POSITION if it is in no mail
    d a document for an address of no mail: the same, with the address' length (1) and the address, sealed, before the
      destination; a keyed digest of all that it says stands for job and ordinal
    W a visit: by who followed a link to a site of the tenant, and when: after the mark the time of the click in seconds
      since the epoch (4); made by trackers (`TokenKeys.visit`), for a site that is followed by consent
    o c the first two as they were made before there were marks; still read

in base64url without padding; numbers are big-endian, text is UTF-8. There is one text for one token: whatever does not
encode back to itself is refused. A token is all that its link needs, so links work for as long as the master secret
that signed them is among the keys, whatever else is gone. Who leaves has therefore an address in the token, and nobody
else reads it there: neither those through whose hands the link goes, nor in the logs of a proxy.

Keys are those of the tenant and a generation of them, and seal the address too (`shared.words.token_signers`).

Openings and clicks name no address. Their mark is a keyed digest of the tenant and the address, by which a tracker
knows who has withdrawn their consent to be tracked (`shared.redis.untracked`), without asking anybody. Without the key
it says nothing about the address, and it is short: one in 2^48 others has the same.

Theory of the fast path (`JobTokens`): within a job only the ordinal, the mark and the MAC of a link's token change. 24
bytes stand before the position, so the first 32 characters are one text for all the links of a mail, and the characters
up to the MAC are one text for all the mails of a tenant's jobs (`LinkShape.fixed`). What is left for each link is one
HMAC and its last 16 to 19 characters, encoded for all links at once.
"""

import binascii
import string
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from shared.words import ids, token_signers
from shared.words.destinations import MAX_DESTINATION_BYTES as MAX_DESTINATION_BYTES
from shared.words.destinations import begins_well
from shared.words.destinations import destination as destination
from shared.words.destinations import is_destination as is_destination
from shared.words.generations import COMMON, Generations
from shared.words.token_signers import MasterKey, Signer

Kind = Literal["open", "click", "unsubscribe", "preferences", "opt_in", "view", "document", "visit"]

#: No text that is longer is looked at: 8 kB is what servers take as a URL.
MAX_TOKEN_CHARS = 8192
MAC_BYTES = token_signers.MAC_BYTES
#: The length is one byte.
MAX_TENANT_BYTES = 255
#: The position is two bytes.
MAX_POSITION = 65535
#: Of a link that people do not see, and only machines follow.
TRAP_POSITION = MAX_POSITION
#: Of a document that is in no mail. A trap is no document.
NO_POSITION = MAX_POSITION
#: The name of a document, in UTF-8: its length is one byte.
MAX_DOCUMENT_BYTES = 255
#: Of the token of a click or a document in a mail: what changes from one mail to the next, but for the tail.
BEGIN_CHARS = 32
MARK_BYTES = token_signers.MARK_BYTES

_HEAD_BYTES = 14
#: How a generation begins, and with its number.
_GENERATION, _GENERATION_BYTES = b"\0", 3
#: Where the pages of recipients are, by the kind of token that their addresses end in.
PAGE_PATHS: Mapping[Literal["unsubscribe", "preferences", "opt_in", "view"], str] = {
    "unsubscribe": "u",
    "preferences": "p",
    "opt_in": "a",
    "view": "v",
}
#: Where documents are.
DOCUMENT_PATH = "d"
_LETTERS: dict[Kind, bytes] = {
    "open": b"O",
    "click": b"C",
    "unsubscribe": b"u",
    "preferences": b"p",
    "opt_in": b"a",
    "view": b"v",
    "document": b"D",
    "visit": b"W",
}
_FOR_ADDRESS = b"d"
_UNMARKED: dict[Kind, bytes] = {"open": b"o", "click": b"c"}
_KINDS: dict[int, Kind] = {letter[0]: kind for kinds in (_LETTERS, _UNMARKED) for kind, letter in kinds.items()}
_KINDS[_FOR_ADDRESS[0]] = "document"
_MARKED = b"OCDdW"
#: What stands behind the mark: the position of a click or a document, the time of a visit.
_PLACE_BYTES: Mapping[Kind, int] = {"click": 2, "document": 2, "visit": 4}
#: Where what is said of the tenant begins, by the letter.
_TENANT_AT = {
    letter: _HEAD_BYTES + 4 + (MARK_BYTES if letter in _MARKED else 0) + _PLACE_BYTES.get(kind, 0)
    for letter, kind in _KINDS.items()
}
#: Those that have the recipient's address.
_ADDRESSED: frozenset[Kind] = frozenset(("unsubscribe", "preferences", "opt_in", "view"))
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
#: What is no character of ours becomes one that strict decoding refuses.
_URL_UNSAFE = bytes.maketrans(b"-_+/=", b"+/!!!")
#: With which characters a text ends, by what its length leaves over four: 12, 8 or 18 bits are two bytes and two.
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_LAST = (_ALPHABET, "", _ALPHABET[::16], _ALPHABET[::4])


class InvalidToken(ValueError):
    """The text is no token of ours, or not one that we signed. Its message says why, for logs, never for the caller."""


class Token(msgspec.Struct, frozen=True, gc=False):
    """What a token says. `position` and `destination` are those of a click or a document; 0 and "" for the others.
    `address` is that of an unsubscription, of preferences, of an opt-in and of a view; "" in tokens that were made
    before it was there; and of a document for an address, of which `job` is "". `mark` is that of the recipient of an
    opening, a click, a document or a visit, b"" in tokens that were made before there were any. `document` is the name
    of one, and `until_s` (s since the epoch, 0: ever) how long its link leads on. `clicked_s` is when the link of a
    visit was followed, in s since the epoch."""

    kind: Kind
    job: str
    ordinal: int
    tenant: str
    position: int = 0
    destination: str = ""
    address: str = ""
    mark: bytes = b""
    document: str = ""
    until_s: int = 0
    clicked_s: int = 0


def document_name(text: str) -> str:
    """What a source or a caller calls a document, as a token holds it: blanks as one, and no longer than fits."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:100].encode("utf-8", "replace")[:MAX_DOCUMENT_BYTES].decode("utf-8", "ignore")


class LinkShape(msgspec.Struct, frozen=True):
    """What the tokens of one link have in common over all jobs and recipients of a tenant: `fixed`, in base64url,
    stands between the first 32 characters and the tail, which has `tail_chars`. The rest is for making the tail."""

    fixed: bytes
    tail_chars: int
    signed: bytes
    left_over: bytes
    padding: bytes


class JobTokens:
    """Makes the tokens of one job; see the module's theory. Texts are ASCII bytes, ready to be joined."""

    def __init__(self, key: MasterKey, job: str, tenant: str, generation: int) -> None:
        self._head = key.id + ids.job_bytes(job)
        name = tenant.encode()
        if not 0 < len(name) <= MAX_TENANT_BYTES:
            raise ValueError(f"a tenant's name has 1 to {MAX_TENANT_BYTES} bytes")
        self._signer = key.signer(name, generation)
        self._tenant = _whose(name, generation)
        self._marks = key.marks(tenant)

    def mark(self, address: str) -> bytes:
        """The mark of a recipient, however their address is spelt."""
        digest = self._marks.copy()
        digest.update(address.lower().encode())
        return digest.digest()

    def open(self, ordinal: int, mark: bytes) -> bytes:
        return self._whole(b"O", ordinal.to_bytes(4, "big") + mark + self._tenant)

    def addressed(self, kind: Kind, ordinal: int, address: str) -> bytes:
        """Of one of the kinds that have the address."""
        place = ordinal.to_bytes(4, "big")
        sealed = self._signer.sealed(self._head[1:] + place, address.encode())
        return self._whole(_LETTERS[kind], place + self._tenant + sealed)

    def click(self, ordinal: int, mark: bytes, position: int, destination: str) -> bytes:
        """ValueError if the destination is invalid (`is_destination`)."""
        return self._whole(b"C", ordinal.to_bytes(4, "big") + mark + self._rest(position, destination))

    def document(
        self, ordinal: int, mark: bytes, position: int, destination: str, name: str, until_s: int = 0
    ) -> bytes:
        """Of a document. ValueError as for `click`, and if the name is none (`document_name`)."""
        rest = self._rest(position, destination, _document(name, until_s))
        return self._whole(b"D", ordinal.to_bytes(4, "big") + mark + rest)

    def link(self, position: int, destination: str) -> LinkShape:
        """What a link's tokens have in common. ValueError as for `click`."""
        return self._shape(self._rest(position, destination))

    def document_link(self, position: int, destination: str, name: str) -> LinkShape:
        """The same of a document in a mail. ValueError as for `document`."""
        return self._shape(self._rest(position, destination, _document(name, 0)))

    def _shape(self, rest: bytes) -> LinkShape:
        whole = len(rest) - len(rest) % 3
        left_over = rest[whole:]
        return LinkShape(
            fixed=_encode(rest[:whole]),
            tail_chars=_encoded_length(len(left_over) + MAC_BYTES),
            signed=rest,
            left_over=left_over,
            padding=bytes(3 - len(left_over)),
        )

    def clicks(
        self, ordinal: int, mark: bytes, links: Sequence[LinkShape], letter: bytes = b"C"
    ) -> tuple[bytes, list[bytes]]:
        """The first characters of them all, and the tail of each link: a token is those characters, the link's `fixed`,
        and its tail; with the letter D it is one of a document."""
        signed_head = letter + self._head + ordinal.to_bytes(4, "big") + mark
        inner, outer = self._signer.mac.inner.copy, self._signer.mac.outer.copy
        raw: list[bytes] = []
        for link in links:
            first, second = inner(), outer()
            first.update(signed_head + link.signed)
            second.update(first.digest())
            raw += (link.left_over, second.digest()[:MAC_BYTES], link.padding)
        text = _encode(b"".join(raw))
        tails = [text[at : at + link.tail_chars] for at, link in zip(range(0, len(text), 20), links, strict=True)]
        return _encode(signed_head), tails

    def _rest(self, position: int, destination: str, before: bytes = b"") -> bytes:
        if not 0 <= position <= MAX_POSITION:
            raise ValueError(f"a link's position is at most {MAX_POSITION}")
        if not is_destination(destination):
            raise ValueError("a click leads to an absolute http or https URL")
        return position.to_bytes(2, "big") + self._tenant + before + destination.encode()

    def _whole(self, letter: bytes, rest: bytes) -> bytes:
        signed = letter + self._head + rest
        return _encode(signed + self._signer.sign(signed)).rstrip(b"=")


class TokenKeys:
    """The current master secret, which signs, and those before it, whose tokens are still honoured. `generations` is
    what is known of tenants' keys: whoever makes or reads tokens of real tenants keeps it fresh."""

    def __init__(self, current: bytes, previous: Sequence[bytes] = ()) -> None:
        self.generations = Generations()
        self._current = MasterKey(current)
        self._keys = (self._current, *map(MasterKey, previous))

    def for_job(self, job: str, tenant: str) -> JobTokens:
        """The fast path: a job's constant parts prepared. ValueError if `job` is not a job id."""
        return JobTokens(self._current, job, tenant, self.generations.current(tenant))

    def open(self, job: str, ordinal: int, tenant: str, address: str) -> str:
        made = self.for_job(job, tenant)
        return made.open(ordinal, made.mark(address)).decode("ascii")

    def click(self, job: str, ordinal: int, tenant: str, address: str, position: int, destination: str) -> str:
        """ValueError if the destination is invalid (`is_destination`)."""
        made = self.for_job(job, tenant)
        return made.click(ordinal, made.mark(address), position, destination).decode("ascii")

    def unsubscribe(self, job: str, ordinal: int, tenant: str, address: str) -> str:
        return self.for_job(job, tenant).addressed("unsubscribe", ordinal, address).decode("ascii")

    def document(
        self, job: str, ordinal: int, tenant: str, address: str, destination: str, name: str, until_s: int = 0
    ) -> str:
        """Of a document that is in no mail, for the recipient of a message. ValueError as for `JobTokens.document`."""
        made = self.for_job(job, tenant)
        return made.document(ordinal, made.mark(address), NO_POSITION, destination, name, until_s).decode("ascii")

    def document_for(self, tenant: str, address: str, destination: str, name: str, until_s: int = 0) -> str:
        """The same for an address. What says the same is the same token."""
        if not is_destination(destination):
            raise ValueError("a document is at an absolute http or https URL")
        key, who, generation = self._current, address.encode(), self.generations.current(tenant)
        signer = key.signer(tenant.encode(), generation)
        named = _whose(tenant.encode(), generation) + _document(name, until_s)
        place = key.document(named + bytes((len(who),)) + who + destination.encode())
        sealed = bytes((len(who),)) + signer.sealed(place, who)
        signed = b"".join(
            (_FOR_ADDRESS, key.id, place, self.marks(tenant, address)[0], NO_POSITION.to_bytes(2, "big"), named, sealed)
        )
        signed += destination.encode()
        return _encode(signed + signer.sign(signed)).rstrip(b"=").decode("ascii")

    def visit(self, click: str, clicked_s: int) -> str:
        """Of who followed the link of that token at that time (s since the epoch): by the key that signed it, whose
        mark it has. InvalidToken if that was no click of ours, or has no mark."""
        raw = _decode(click)
        signed, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        if signed[0] != _LETTERS["click"][0]:
            raise InvalidToken("no click with a mark")
        _, _, end = named = _named(signed)
        signer = self._signer_of(signed, mac, named)
        behind, at = _HEAD_BYTES + 4 + MARK_BYTES, _TENANT_AT[signed[0]]
        said = b"".join((_LETTERS["visit"], signed[1:behind], clicked_s.to_bytes(4, "big"), signed[at:end]))
        return _encode(said + signer.sign(said)).rstrip(b"=").decode("ascii")

    def marks(self, tenant: str, address: str) -> list[bytes]:
        """By which trackers may meet a recipient: the mark by each of the keys. The first is the current one's."""
        found = []
        for key in self._keys:
            digest = key.marks(tenant)
            digest.update(address.lower().encode())
            found.append(digest.digest())
        return found

    def read(self, text: str) -> Token:
        """What a token says, once its signature is found good. InvalidToken for anything else, whatever it is."""
        raw = _decode(text)
        signed, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        generation, begin, end = named = _named(signed)
        signer = self._signer_of(signed, mac, named)
        token = _parse(signed, begin, end, signer)
        if self.generations.is_revoked(token.tenant, generation):
            raise InvalidToken("of a generation that is revoked")
        return token

    def _signer_of(self, signed: bytes, mac: bytes, named: tuple[int, int, int]) -> Signer:
        """That whose MAC it is; `named` as of `_named`. InvalidToken if it is nobody's."""
        generation, begin, end = named
        key_id, why = signed[1:2], "signed with a key that is not known"
        for key in self._keys:
            # Two keys may share their id of one byte, so each of that id is tried.
            if key.id == key_id:
                signer, why = key.signed_by(signed, mac, signed[begin:end], generation), "the signature is wrong"
                if signer is not None:
                    return signer
        raise InvalidToken(why)


def _whose(tenant: bytes, generation: int) -> bytes:
    return _GENERATION + generation.to_bytes(2, "big") + bytes((len(tenant),)) + tenant


def _named(signed: bytes) -> tuple[int, int, int]:
    """The generation, and from where to where the tenant's name stands, of bytes that nobody vouches for yet."""
    at = _TENANT_AT.get(signed[0])
    if at is None or len(signed) <= at:
        raise InvalidToken("of no known kind, or cut short")
    if signed[at]:
        return COMMON, at + 1, at + 1 + signed[at]
    behind = at + _GENERATION_BYTES
    if len(signed) <= behind:
        raise InvalidToken("of no known kind, or cut short")
    return int.from_bytes(signed[at + 1 : behind], "big"), behind + 1, behind + 1 + signed[behind]


def _parse(signed: bytes, begin: int, end: int, signer: Signer) -> Token:
    kind = _KINDS[signed[0]]
    if kind == "click":
        return _parse_click(signed, begin, end)
    if kind == "document":
        return _parse_document(signed, begin, end, signer)
    behind_mark = _HEAD_BYTES + 4 + (MARK_BYTES if signed[0] in _MARKED else 0)
    rest = signed[end:]
    if kind in _ADDRESSED:
        rest = signer.sealed(signed[2 : _HEAD_BYTES + 4], rest)
    try:
        tenant, text = signed[begin:end].decode(), rest.decode()
    except UnicodeDecodeError:
        raise InvalidToken("its text is not UTF-8") from None
    if end > len(signed) or not tenant or (text and kind not in _ADDRESSED):
        raise InvalidToken("its fields do not fit together")
    place = int.from_bytes(signed[behind_mark : _TENANT_AT[signed[0]]], "big")
    return Token(
        kind=kind,
        job=ids.job_text(signed[2:_HEAD_BYTES]),
        ordinal=int.from_bytes(signed[_HEAD_BYTES : _HEAD_BYTES + 4], "big"),
        tenant=tenant,
        address=text if kind in _ADDRESSED else "",
        mark=signed[_HEAD_BYTES + 4 : behind_mark],
        clicked_s=place if kind == "visit" else 0,
    )


def _parse_click(signed: bytes, begin: int, end: int) -> Token:
    """The same of a click, of which there are most."""
    try:
        tenant, url = signed[begin:end].decode(), signed[end:].decode()
    except UnicodeDecodeError:
        raise InvalidToken("its text is not UTF-8") from None
    # What was signed was looked at then (`is_destination`): this is what may not reach a header, whoever signed it.
    if end > len(signed) or not tenant or not begins_well(url):
        raise InvalidToken("its fields do not fit together")
    behind_mark = _TENANT_AT[signed[0]] - 2
    return Token(
        "click",
        ids.job_text(signed[2:_HEAD_BYTES]),
        int.from_bytes(signed[_HEAD_BYTES : _HEAD_BYTES + 4], "big"),
        tenant,
        int.from_bytes(signed[behind_mark : behind_mark + 2], "big"),
        url,
        "",
        signed[_HEAD_BYTES + 4 : behind_mark],
    )


def _parse_document(signed: bytes, begin: int, end: int, signer: Signer) -> Token:
    """The same of a document."""
    rest, at = signed[end:], _TENANT_AT[signed[0]]
    named = 5 + rest[4] if len(rest) > 4 else 0
    is_for_address = signed[:1] == _FOR_ADDRESS
    behind = named + 1 + rest[named] if is_for_address and len(rest) > named else named
    place = signed[2 : _HEAD_BYTES + 4]
    try:
        tenant, name, url = signed[begin:end].decode(), rest[5:named].decode(), rest[behind:].decode()
        address = signer.sealed(place, rest[named + 1 : behind]).decode() if is_for_address else ""
    except UnicodeDecodeError:
        raise InvalidToken("its text is not UTF-8") from None
    if not tenant or not name or not begins_well(url) or bool(address) != is_for_address:
        raise InvalidToken("its fields do not fit together")
    return Token(
        kind="document",
        job="" if is_for_address else ids.job_text(signed[2:_HEAD_BYTES]),
        ordinal=0 if is_for_address else int.from_bytes(signed[_HEAD_BYTES : _HEAD_BYTES + 4], "big"),
        tenant=tenant,
        position=int.from_bytes(signed[at - 2 : at], "big"),
        destination=url,
        address=address,
        mark=signed[_HEAD_BYTES + 4 : at - 2],
        document=name,
        until_s=int.from_bytes(rest[:4], "big"),
    )


def _document(name: str, until_s: int) -> bytes:
    packed = name.encode()
    if not name or name != document_name(name):
        raise ValueError(f"the name of a document has 1 to 100 characters, of {MAX_DOCUMENT_BYTES} bytes together")
    if not 0 <= until_s < 2**32:
        raise ValueError("a link leads on until 2106 at most")
    return until_s.to_bytes(4, "big") + bytes((len(packed),)) + packed


def _encode(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE)


def _encoded_length(raw_bytes: int) -> int:
    return (raw_bytes * 4 + 2) // 3


def _decode(text: str) -> bytes:
    chars = len(text)
    if chars > MAX_TOKEN_CHARS:
        raise InvalidToken("too long")
    try:
        raw = binascii.a2b_base64(text.encode("ascii").translate(_URL_UNSAFE) + b"=="[: -chars % 4], strict_mode=True)
    except ValueError:  # also what is not ASCII, and what has a character too many
        raise InvalidToken("not base64url") from None
    # The last character of an unpadded text has bits that decoding drops: only their one value 0 is ours.
    if text[-1:] not in _LAST[chars % 4]:
        raise InvalidToken("not the one text of its bytes")
    if len(raw) <= _HEAD_BYTES + 4 + MAC_BYTES:
        raise InvalidToken("too short")
    return raw
