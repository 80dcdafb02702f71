"""DNS on the wire, as far as mail asks it (RFC 1035, EDNS of RFC 6891): a question out, the answer in, with what a
denial says of its own life (RFC 2308). Pure.

A stub resolver's half: a server that resolves is asked, so that an answer comes whole, with the aliases that led to it.
What a packet says is only believed as far as it hangs together: records count if the question, or an alias of it, owns
them; names in a circle, lengths beyond the packet and the like are a `Malformed`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

RecordType = Literal["A", "AAAA", "MX", "TXT"]

#: What fits into one packet on any path (DNS flag day 2020); what is longer comes over TCP.
UDP_BYTES = 1_232
#: Aliases after each other that are followed: BIND and unbound stop at about as many.
MAX_ALIASES = 16
#: A name has 255 octets at most, so as many labels and jumps as this are a circle.
MAX_LABELS = 128

_CNAME, _SOA, _NS, _OPT = 5, 6, 2, 41
_TYPES: dict[RecordType, int] = {"A": 1, "AAAA": 28, "MX": 15, "TXT": 16}
_IN = 1
_HEADER_BYTES, _OPT_BYTES = 12, 11
_NOERROR, _NXDOMAIN = 0, 3
#: By name in what is logged and told (RFC 1035 section 4.1.1).
_CODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
#: What servers say that do not know EDNS (RFC 6891 section 7).
NO_EDNS_CODES = frozenset(("FORMERR", "NOTIMP"))


class Malformed(ValueError):
    """The packet is not an answer that could be read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`failed`: this server cannot tell. `rows` as `shared.net.dns.Answer` has them, not empty if and only if `found`.
    `ttl_s` is the least of the aliases and of the records, or, of a denial, of its SOA's TTL and minimum; None of one
    that brings no SOA, which nobody may keep (RFC 2308 section 5). A reply that is `truncated` says nothing more."""

    status: Literal["found", "no_record", "no_name", "failed", "truncated"]
    rows: tuple[tuple[int, str], ...] = ()
    ttl_s: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Record:
    owner: str
    type: int
    ttl_s: int
    start: int
    end: int


def question(name: str, record_type: RecordType, number: int, *, edns: bool = True) -> bytes:
    """The packet that asks. ValueError if that is not a name."""
    asked = _question(name, record_type)
    header = number.to_bytes(2, "big") + b"\x01\x00" + b"\x00\x01" + b"\x00\x00" * 2  # recursion is desired
    if not edns:
        return header + b"\x00\x00" + asked
    options = b"\x00" + _OPT.to_bytes(2, "big") + UDP_BYTES.to_bytes(2, "big") + b"\x00" * 6
    return header + b"\x00\x01" + asked + options


def answers(packet: bytes, asked: bytes) -> bool:
    """Whether the packet is a reply to the packet that asked: the same number and question, whatever its case. Who
    could not read the question may leave it away."""
    if len(packet) < _HEADER_BYTES or packet[:2] != asked[:2] or packet[2] & 0xF8 != 0x80:
        return False
    if packet[4:6] == b"\x00\x00":
        return packet[3] & 0x0F not in (_NOERROR, _NXDOMAIN)
    end = len(asked) if asked[11] == 0 else len(asked) - _OPT_BYTES
    return packet[4:6] == b"\x00\x01" and packet[_HEADER_BYTES:end].lower() == asked[_HEADER_BYTES:end].lower()


def read(packet: bytes, name: str, record_type: RecordType) -> Reply:
    """What a reply says of the name. Malformed."""
    if packet[2] & 0x02:
        return Reply("truncated")
    code = packet[3] & 0x0F
    if code not in (_NOERROR, _NXDOMAIN):
        return Reply("failed", detail=_CODES.get(code, f"RCODE {code}"))
    try:
        sections = _sections(packet)
        rows, ttl_s, canonical = _followed(packet, sections[0], name.lower(), _TYPES[record_type])
        if rows:
            return Reply("found", tuple(rows), ttl_s)
        denial_s = _denial_s(packet, sections[1], canonical)
    except (IndexError, UnicodeDecodeError) as error:
        raise Malformed(f"the answer of the name server cannot be read: {error}") from None
    if code == _NXDOMAIN:
        return Reply("no_name", (), _least(ttl_s, denial_s), "Domain name not found")
    if denial_s is None and any(record.type == _NS for record in sections[1]):
        # RFC 2308 section 2.2: no denial, but a hint whom to ask instead. It is not a resolver that we ask.
        return Reply("failed", detail="the name server does not resolve, it refers to others")
    return Reply("no_record", (), _least(ttl_s, denial_s), "DNS has no such record")


def _least(aliases_s: int | None, denial_s: int | None) -> int | None:
    """An alias may lead elsewhere before the denial at its end is over. Without a SOA there is no time to keep it."""
    return denial_s if aliases_s is None or denial_s is None else min(aliases_s, denial_s)


def _question(name: str, record_type: RecordType) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels) or sum(map(len, labels)) + len(labels) > 254:
        raise ValueError(f"not a name: {name!r:.100}")
    packed = b"".join(bytes((len(label),)) + label for label in labels)
    return packed + b"\x00" + _TYPES[record_type].to_bytes(2, "big") + _IN.to_bytes(2, "big")


def _sections(packet: bytes) -> tuple[list[_Record], list[_Record]]:
    """Answer and authority. What comes after them is of no use here, nor is what is not of the Internet."""
    at = _HEADER_BYTES
    for _ in range(_number(packet, 4)):
        at = _name(packet, at)[1] + 4
    answer: list[_Record] = []
    authority: list[_Record] = []
    for records, count in ((answer, _number(packet, 6)), (authority, _number(packet, 8))):
        for _ in range(count):
            owner, at = _name(packet, at)
            start = at + 10
            end = start + _number(packet, at + 8)
            if end > len(packet):
                raise Malformed("the answer of the name server is cut off")
            ttl_s = int.from_bytes(packet[at + 4 : at + 8], "big")
            if _number(packet, at + 2) == _IN:
                # RFC 2181 section 8: with the highest bit set, zero is meant.
                records.append(_Record(owner, _number(packet, at), ttl_s if ttl_s < 1 << 31 else 0, start, end))
            at = end
    return answer, authority


def _followed(
    packet: bytes, answer: list[_Record], name: str, record_type: int
) -> tuple[list[tuple[int, str]], int | None, str]:
    """The rows at the end of the aliases, the least TTL on the way (None: there is nothing), and the last name."""
    ttls: list[int] = []
    for _ in range(MAX_ALIASES):
        found = [record for record in answer if record.owner == name and record.type == record_type]
        if found:
            ttls += (record.ttl_s for record in found)
            return [_row(packet, record) for record in found], min(ttls), name
        alias = next((one for one in answer if one.owner == name and one.type == _CNAME), None)
        if alias is None:
            return [], min(ttls, default=None), name
        ttls.append(alias.ttl_s)
        name = _name(packet, alias.start)[0]
    raise Malformed("its aliases lead in a circle, or too far")


def _denial_s(packet: bytes, authority: list[_Record], name: str) -> int | None:
    """RFC 2308 section 5: the smaller one of the SOA's TTL and of its last field. Of a zone that has the name."""
    for record in authority:
        if record.type == _SOA and (not record.owner or f".{name}".endswith(f".{record.owner}")):
            numbers = _name(packet, _name(packet, record.start)[1])[1]
            if numbers + 20 > record.end:
                raise Malformed("the answer of the name server is cut off")
            return min(record.ttl_s, int.from_bytes(packet[numbers + 16 : numbers + 20], "big"))
    return None


def _row(packet: bytes, record: _Record) -> tuple[int, str]:
    content = packet[record.start : record.end]
    match record.type:
        case 1 if len(content) == 4:
            return 0, str(IPv4Address(content))
        case 28 if len(content) == 16:
            return 0, str(IPv6Address(content))
        case 15 if len(content) > 2:
            return int.from_bytes(content[:2], "big"), _name(packet, record.start + 2)[0]
        case 16:
            return 0, b"".join(_strings(content)).decode("utf-8", "replace")
        case _:
            raise Malformed("the answer of the name server has a record of a wrong length")


def _strings(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        end = at + 1 + content[at]
        if end > len(content):
            raise Malformed("the answer of the name server has a text that is cut off")
        yield content[at + 1 : end]
        at = end


def _name(packet: bytes, at: int) -> tuple[str, int]:
    """The name at this place, in lower case and without a dot at its end, and where what follows it begins. Whatever is
    not printable ASCII, and a dot inside of a label, is escaped as in a zone file: no host is called like that."""
    labels: list[str] = []
    after = 0
    for _ in range(MAX_LABELS):
        length = packet[at]
        if length >= 0xC0:  # the rest stands elsewhere
            after = after or at + 2
            at = _number(packet, at) & 0x3FFF
        elif length >= 0x40:
            raise Malformed("the answer of the name server has a label of an unknown kind")
        elif length:
            label = packet[at + 1 : at + 1 + length]
            if len(label) < length:
                raise Malformed("the answer of the name server is cut off")
            labels.append(label.decode("ascii").lower() if label.replace(b"-", b"").isalnum() else _escaped(label))
            at += 1 + length
        else:
            return ".".join(labels), after or at + 1
    raise Malformed("the answer of the name server has a name without end")


def _escaped(label: bytes) -> str:
    return "".join(
        chr(byte) if 0x21 <= byte <= 0x7E and byte not in b".\\" else f"\\{byte:03}" for byte in label.lower()
    )


def _number(packet: bytes, at: int) -> int:
    """Two octets. IndexError beyond the end."""
    return packet[at] << 8 | packet[at + 1]
