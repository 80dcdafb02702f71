"""How a tenant's pages look to its recipients: its name, logo, colours and contact, and the lists that it offers there.

Colours are checked when they are given, so that whatever a tenant chooses can be read (WCAG 2.2, 1.4.3 and 1.4.11):
what is drawn in a colour of theirs stands out from our card by 3:1, and the text on it is black or white, whichever
stands out more, which is never less than 4.5:1. A logo is a picture that the page brings along, or an address under
https; a browser then asks that host for it, and no other.
"""

import binascii
import re
from urllib.parse import urlsplit

import msgspec

from shared.words.consent import OptInChannel
from shared.words.languages import LANGUAGES
from shared.words.scopes import MAX_LIST_CHARS

#: What our cards are drawn in, by the reader's scheme.
CARD_LIGHT, CARD_DARK = "#ffffff", "#1b2024"
#: Of what is no text: a button's edge, the mark of what has the focus (WCAG 2.2, 1.4.11).
MIN_CONTRAST = 3.0
#: A picture that is part of each page.
MAX_LOGO_BYTES = 64 * 1024
MAX_URL_CHARS = 1024
MAX_NAME_CHARS, MAX_CONTACT_CHARS, MAX_TITLE_CHARS = 100, 300, 100
#: A form names each of them, and 16 of the longest names fit into what is read of a form.
MAX_LISTS = 16

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
# Nothing that ends a source in a policy or an attribute: blanks, quotes, commas, semicolons.
_URL = re.compile(r"https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~!$&()*+=:@%/?-]*)?")
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,([A-Za-z0-9+/]+={0,2})")
_BEGINS = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff", "gif": b"GIF8", "webp": b"RIFF"}


class Look(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """ "" where a tenant chose nothing. `lists` are the names of lists that everybody may join, with their titles;
    `channels` those by which the tenant reaches people beside e-mail."""

    name: str = ""
    logo: str = ""
    accent: str = ""
    accent_dark: str = ""
    contact: str = ""
    language: str = ""
    lists: tuple[tuple[str, str], ...] = ()
    channels: tuple[OptInChannel, ...] = ()

    def title_of(self, name: str) -> str:
        """What recipients call a list."""
        return dict(self.lists).get(name) or name


NOTHING_CHOSEN = Look()


def faults(look: Look) -> list[tuple[str, str]]:
    """The fields that cannot be shown, by their names, and what is wrong with each."""
    found = [
        ("name", _text(look.name, MAX_NAME_CHARS)),
        ("logo", _logo(look.logo)),
        ("accent", _colour(look.accent, CARD_LIGHT)),
        ("accent_dark", _colour(look.accent_dark, CARD_DARK)),
        ("contact", _text(look.contact, MAX_CONTACT_CHARS)),
        ("language", "" if look.language in ("", *LANGUAGES) else f"one of {', '.join(LANGUAGES)}"),
        ("lists", _lists(look.lists)),
    ]
    return [(field, what) for field, what in found if what]


def logo_source(logo: str) -> str:
    """What a policy has to allow for the logo (CSP 3, 2.3.1); "" for none."""
    if logo.startswith("data:"):
        return "data:"
    return "https://" + urlsplit(logo).netloc if logo else ""


def contrast(one: str, other: str) -> float:
    """Of two colours, `#rrggbb` (WCAG 2.2: relative luminance)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(colour: str) -> str:
    """What text on that colour is written in: black or white."""
    return max(("#ffffff", "#000000"), key=lambda ink: contrast(ink, colour))


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _text(text: str, most: int) -> str:
    return "" if len(text) <= most and (text.isprintable() or not text) else f"at most {most} printable characters"


def _colour(colour: str, card: str) -> str:
    if not colour:
        return ""
    if not _COLOUR.fullmatch(colour):
        return "a colour is written #rrggbb"
    found = contrast(colour, card)
    return "" if found >= MIN_CONTRAST else f"its contrast with {card} is {found:.1f}:1, less than {MIN_CONTRAST:g}:1"


def _logo(logo: str) -> str:
    if not logo:
        return ""
    if picture := _PICTURE.fullmatch(logo):
        return _picture(picture[1], picture[2])
    if logo.startswith("data:"):
        return "a picture is data:image/png, jpeg, gif or webp in base64"
    return "" if len(logo) <= MAX_URL_CHARS and _URL.fullmatch(logo) else "an address that begins with https://"


def _picture(kind: str, encoded: str) -> str:
    try:
        picture = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        return "its base64 is wrong"
    if len(picture) > MAX_LOGO_BYTES:
        return f"at most {MAX_LOGO_BYTES} bytes"
    return "" if picture.startswith(_BEGINS[kind]) else f"it is no picture of that kind: {kind}"


def _lists(lists: tuple[tuple[str, str], ...]) -> str:
    if len(lists) > MAX_LISTS:
        return f"at most {MAX_LISTS}"
    for name, title in lists:
        if not (0 < len(name) <= MAX_LIST_CHARS and name.isprintable()):
            return f"the name of a list has 1 to {MAX_LIST_CHARS} printable characters"
        if not title or _text(title, MAX_TITLE_CHARS):
            return f"the title of a list has 1 to {MAX_TITLE_CHARS} printable characters"
    return "" if len(dict(lists)) == len(lists) else "a list is there twice"
