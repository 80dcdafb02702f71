"""What a tenant chooses for its pages can be read, and brings nothing along but a picture."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words.look import CARD_DARK, CARD_LIGHT, MAX_LOGO_BYTES, Look, contrast, faults, ink_on, logo_source

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)


def picture(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


GOOD = Look("Chouette", picture(PNG), "#7a1f3d", "#f2a7bf", "1 rue du Bac", "fr", (("newsletter", "La lettre"),))


@pytest.mark.parametrize(
    "look",
    [
        GOOD,
        Look(),
        Look(logo="https://exemple.fr/logo.png?v=2"),
        Look(logo="https://exemple.fr:8443"),
        Look(logo=picture(b"RIFF....WEBP", "webp")),
    ],
)
def test_what_fits_has_no_fault(look: Look) -> None:
    assert faults(look) == []


@pytest.mark.parametrize(
    ("look", "field", "what"),
    [
        (Look(name="x" * 101), "name", "at most 100 printable characters"),
        (Look(name="a\nb"), "name", "at most 100 printable characters"),
        (Look(contact="x" * 301), "contact", "at most 300 printable characters"),
        (Look(accent="red"), "accent", "a colour is written #rrggbb"),
        (Look(accent="#ffff00"), "accent", "its contrast with #ffffff is 1.1:1, less than 3:1"),
        (Look(accent_dark="#202020"), "accent_dark", "its contrast with #1b2024 is 1.0:1, less than 3:1"),
        (Look(logo="http://exemple.fr/l.png"), "logo", "an address that begins with https://"),
        (Look(logo="https://exemple.fr/l.png; script-src *"), "logo", "an address that begins with https://"),
        (Look(logo="https://exemple.fr/l.png,x"), "logo", "an address that begins with https://"),
        (Look(logo="https://a:b@exemple.fr/l.png"), "logo", "an address that begins with https://"),
        (Look(logo='https://exemple.fr/"onerror'), "logo", "an address that begins with https://"),
        (Look(logo="data:text/html;base64,AAAA"), "logo", "a picture is data:image/png, jpeg, gif or webp in base64"),
        (
            Look(logo=picture(b"<svg/>", "svg+xml")),
            "logo",
            "a picture is data:image/png, jpeg, gif or webp in base64",
        ),
        (Look(logo=picture(b"<svg/>")), "logo", "it is no picture of that kind: png"),
        (Look(logo="data:image/png;base64,AAA"), "logo", "its base64 is wrong"),
        (Look(logo=picture(PNG + bytes(MAX_LOGO_BYTES))), "logo", "at most 65536 bytes"),
        (Look(language="pl"), "language", "one of fr, en, de, es, it, nl, pt"),
        (Look(lists=(("a", "A"), ("a", "B"))), "lists", "a list is there twice"),
        (Look(lists=(("", "A"),)), "lists", "the name of a list has 1 to 64 printable characters"),
        (Look(lists=(("a", ""),)), "lists", "the title of a list has 1 to 100 printable characters"),
        (Look(lists=tuple((str(n), "A") for n in range(17))), "lists", "at most 16"),
    ],
)
def test_what_does_not_fit_is_named(look: Look, field: str, what: str) -> None:
    assert faults(look) == [(field, what)]


@given(st.integers(0, 0xFFFFFF))
def test_text_on_any_colour_can_be_read(number: int) -> None:
    colour = f"#{number:06x}"

    assert contrast(ink_on(colour), colour) >= 4.5


def test_contrast_is_that_of_the_guidelines() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", CARD_LIGHT), 2) == 4.48
    assert contrast(CARD_DARK, CARD_DARK) == 1


@pytest.mark.parametrize(
    ("logo", "source"),
    [
        ("", ""),
        (picture(PNG), "data:"),
        ("https://exemple.fr/logo.png", "https://exemple.fr"),
        ("https://exemple.fr:8443/logo.png?v=1", "https://exemple.fr:8443"),
    ],
)
def test_a_policy_allows_the_host_of_the_logo_alone(logo: str, source: str) -> None:
    assert logo_source(logo) == source
