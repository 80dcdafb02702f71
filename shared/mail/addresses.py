"""Addresses: what is one (RFC 5321, with SMTPUTF8 and international domains), its one form, and its form in headers.

White space and invisible characters around an address come of copying and mean nothing: they are dropped. Inside of one
they make it invalid, as everything does that is not an address: a fact of life in lists.

The one form of an address has its domain in A-labels and lower case; the local part keeps its case, because only the
receiving host may say that case does not matter there (RFC 5321 section 2.4). Its `key` is lower-cased whole: it is
what de-duplication and suppression compare, since no host in use has two mailboxes that differ by case alone. Dots that
RFC 5321 has no place for (`a..b`, `.a`, `a.`: some carriers gave them out) stand in quotes, as the RFC has it, so what
is stored can be sent, and is the same address with and without them.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import idna
import msgspec

from shared.mail import headers

#: RFC 5321 section 4.5.3.1.3: a path has 256 octets, two of which are its angle brackets.
MAX_ADDRESS_OCTETS = 254
#: RFC 5321 section 4.5.3.1.1.
MAX_LOCAL_OCTETS = 64
#: RFC 1035 section 2.3.4, as text without the dot of the root.
MAX_DOMAIN_CHARS = 253
#: Domains whose A-labels are remembered: lists repeat a few thousand domains.
_DOMAINS_REMEMBERED = 16_384

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_DOT_ATOM = re.compile(rf"[{_ATEXT}\u0080-\U0010ffff]+(?:\.[{_ATEXT}\u0080-\U0010ffff]+)*")
_DOTS_ANYWHERE = re.compile(rf"\.*[{_ATEXT}\u0080-\U0010ffff][.{_ATEXT}\u0080-\U0010ffff]*")
#: What may stand around an address unseen: white space, and of Unicode's format characters those that editors,
#: spreadsheets and address books leave behind: zero width, soft hyphen, direction, byte order.
AROUND = "".join(
    chr(code)
    for code in range(0x10000)
    if chr(code).isspace()
    or code in (0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF)
    or 0x200B <= code <= 0x200F
    or 0x202A <= code <= 0x202E
    or 0x2060 <= code <= 0x206F
)
# qtextSMTP and quoted-pairSMTP of RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531.
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])+"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAILBOX = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<>]*?))\s*<(?P<address>[^<>]*)>\s*', re.DOTALL)
# RFC 5322 phrase of atoms; a dot needs quotes.
_PHRASE = re.compile(rf"[{_ATEXT}]+(?: [{_ATEXT}]+)*")
#: What nearly all addresses are: such a one is, in lower case, its own key.
_USUAL = re.compile(
    r"[A-Za-z0-9_+\-]+(?:\.[A-Za-z0-9_+\-]+)*+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)++[A-Za-z]{2,}"
)
_USUAL_MOST_CHARS = 64
#: A display name longer than this is cut: no client shows more, and a header has its limits.
_MAX_NAME_CHARS = 200


class InvalidAddress(ValueError):
    """Not an address. The message says why, for people, and repeats none of it."""


class Address(msgspec.Struct, frozen=True, array_like=True):
    """An address in its one form; `str()` of it is what is stored and sent."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """What is compared: the whole in lower case."""
        return str(self).lower()

    @property
    def utf8(self) -> bool:
        """Whether the local part takes SMTPUTF8 (RFC 6531) to be sent."""
        return not self.local.isascii()


class Mailbox(msgspec.Struct, frozen=True, array_like=True):
    """A display name, "" if there is none, and an address."""

    name: str
    address: Address


def domain_of(address: str) -> str:
    """What stands behind the last @ of an address that is known to be one."""
    return address.rpartition("@")[2]


def parse(text: str) -> Address:
    """The address in its one form; what is unseen around it is dropped. InvalidAddress."""
    text = text.strip(AROUND)
    if len(text) > MAX_ADDRESS_OCTETS or len(text.encode("utf-8", "replace")) > MAX_ADDRESS_OCTETS:
        raise InvalidAddress("it is longer than 254 octets")
    if _has_controls(text):
        raise InvalidAddress("it has control characters")
    local, at, domain = text.rpartition("@")
    if not at:
        raise InvalidAddress("it has no @")
    address = Address(_local_part(local), _domain_part(domain))
    if len(str(address).encode()) > MAX_ADDRESS_OCTETS:
        raise InvalidAddress("it is longer than 254 octets")
    return address


def normal(text: str) -> str:
    """The address in its one form, as it is stored. InvalidAddress."""
    if len(text) <= _USUAL_MOST_CHARS and _USUAL.fullmatch(text):
        local, _, domain = text.rpartition("@")
        return f"{local}@{domain.lower()}"
    return str(parse(text))


def key_of(text: str) -> str:
    """The key of an address, as lists spell it. InvalidAddress."""
    if len(text) <= _USUAL_MOST_CHARS and _USUAL.fullmatch(text):
        return text.lower()
    return parse(text).key


def ascii_domain(domain: str) -> str:
    """A domain name in A-labels and lower case. InvalidAddress if it is invalid."""
    return _ascii_domain(domain)


def parse_mailbox(text: str) -> Mailbox:
    """`Chouette <news@exemple.fr>`, `"Chouette, SA" <news@exemple.fr>` or the address alone. InvalidAddress."""
    text = text.strip(AROUND)
    if _has_controls(text):
        raise InvalidAddress("it has control characters")
    found = _MAILBOX.fullmatch(text)
    if found is None:
        return Mailbox("", parse(text))
    quoted, plain, address = found.group("quoted", "plain", "address")
    return Mailbox(plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted), parse(address))


def format_mailbox(name: str, address: str, name_chars: int = 10) -> str:
    """The value of a header field with one mailbox (RFC 5322 section 3.4), folded; its name has `name_chars`."""
    return _mailbox(name, address, name_chars + 2, headers.MAX_LINE_CHARS)


def format_mailboxes(mailboxes: Sequence[tuple[str, str]], name_chars: int) -> str:
    """The same of several, each a name and an address: on one line what fits there, and none apart that fits on one."""
    value, column = "", name_chars + 2
    for at, (name, address) in enumerate(mailboxes):
        end = headers.MAX_LINE_CHARS - (at + 1 < len(mailboxes))  # a comma follows
        if at == 0:
            one = _mailbox(name, address, column, end)
        else:
            one = _mailbox(name, address, 1, end)
            fits = "\n" not in one and column + 2 + len(one) <= end
            value += ", " if fits else ",\r\n "
            column = column + 2 if fits else 1
        value += one
        column = len(one) - one.rfind("\n") - 1 + (0 if "\n" in one else column)
    return value


def _mailbox(name: str, address: str, column: int, end: int) -> str:
    """Folded; it starts at `column`, and no line of it is longer than `end` where that can be."""
    display_name = headers.one_line(name[:_MAX_NAME_CHARS])
    if not display_name:
        return address
    phrase = _phrase(display_name, column)
    last_line = len(phrase) - phrase.rfind("\n") - 1
    column = last_line if "\n" in phrase else column + last_line
    fits = column + len(address) + 3 <= end
    return f"{phrase} <{address}>" if fits else f"{phrase}\r\n <{address}>"


def _phrase(name: str, column: int) -> str:
    if not name.isascii() or "=?" in name or column + len(name) > headers.MAX_LINE_CHARS - 2:
        return headers.encoded_words(name, column)
    if _PHRASE.fullmatch(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _has_controls(text: str) -> bool:
    # Printable text has neither controls, nor line ends of any alphabet, nor lone surrogates, which UTF-8 cannot write.
    return not text.isprintable() and any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


def _local_part(local: str) -> str:
    if not local:
        raise InvalidAddress("it has nothing before the @")
    if not local.isascii():
        if not local.isprintable():
            raise InvalidAddress("it has invisible characters before the @")
        local = unicodedata.normalize("NFC", local)
    form = _local_form(local)
    if len(form.encode()) > MAX_LOCAL_OCTETS:
        raise InvalidAddress("it has more than 64 octets before the @")
    return form


def _local_form(local: str) -> str:
    if _DOT_ATOM.fullmatch(local):
        return local
    if _DOTS_ANYWHERE.fullmatch(local):
        return f'"{local}"'
    if not _QUOTED.fullmatch(local):
        raise InvalidAddress("what is before the @ is no local part")
    content = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    # Quotes that are not needed make no other address (RFC 5321 section 4.1.2).
    if _DOT_ATOM.fullmatch(content):
        return content
    return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _domain_part(domain: str) -> str:
    if domain.startswith("["):
        return _literal(domain)
    return _ascii_domain(domain)


@lru_cache(_DOMAINS_REMEMBERED)
def _ascii_domain(domain: str) -> str:
    name = domain.lower()
    if not name.isascii():
        name = a_labels(name)
    if len(name) > MAX_DOMAIN_CHARS or not _DOMAIN.fullmatch(name):
        raise InvalidAddress("its domain is no domain name" if name else "it has nothing after the @")
    if name.rpartition(".")[2].isdigit():
        raise InvalidAddress("its domain ends in a number; an IP address is written in brackets")
    return name


def a_labels(domain: str) -> str:
    """A domain name in A-labels, its `xn--` ones proven to be the IDNA 2008 form of something. InvalidAddress."""
    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise InvalidAddress("its domain is no domain name") from None


def _literal(domain: str) -> str:
    """RFC 5321 section 4.1.3."""
    if domain.endswith("]"):
        inner = domain[1:-1]
        try:
            if inner[:5].lower() == "ipv6:":
                return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
            return f"[{ipaddress.IPv4Address(inner)}]"
        except ValueError:
            pass
    raise InvalidAddress("its domain is no IP address in brackets")
