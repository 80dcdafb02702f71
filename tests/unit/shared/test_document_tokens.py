"""Tokens of tracked documents: all that they say comes back, nobody else makes one, and they show no address."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import ids, tokens
from shared.words.tokens import NO_POSITION, InvalidToken, Token, TokenKeys, document_name

KEYS = TokenKeys(bytes(range(32)))
JOB = ids.job_text(bytes(range(12)))
ANA = "ana@exemple.fr"
URL = "https://exemple.fr/devis/113.pdf"

names = st.text(min_size=1, max_size=120).map(document_name).filter(bool)
urls = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80).map("https://exemple.fr/".__add__)
moments = st.integers(0, 2**32 - 1)


def raw_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@given(st.integers(0, 2**32 - 1), names, urls, moments)
def test_a_document_of_a_message_comes_back(ordinal: int, name: str, url: str, until_s: int) -> None:
    text = KEYS.document(JOB, ordinal, "demo", ANA, url, name, until_s)

    assert KEYS.read(text) == Token(
        "document", JOB, ordinal, "demo", NO_POSITION, url, "", KEYS.marks("demo", ANA)[0], name, until_s
    )


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), names, urls, moments)
def test_a_document_of_an_address_comes_back_and_shows_the_address_to_nobody(
    address: str, name: str, url: str, until_s: int
) -> None:
    text = KEYS.document_for("demo", address, url, name, until_s)

    assert KEYS.read(text) == Token(
        "document", "", 0, "demo", NO_POSITION, url, address, KEYS.marks("demo", address)[0], name, until_s
    )
    assert text == KEYS.document_for("demo", address, url, name, until_s)
    if len(address.encode()) > 8:  # shorter ones are there by chance, or in the name
        assert address.encode() not in raw_of(text).replace(name.encode(), b"").replace(url.encode(), b"")


@given(st.lists(st.tuples(st.integers(0, 65535), urls, names), max_size=5))
def test_the_pieces_of_the_fast_path_are_the_whole_token(links: list[tuple[int, str, str]]) -> None:
    fast = KEYS.for_job(JOB, "demo")
    mark = fast.mark(ANA)
    shapes = [fast.document_link(*link) for link in links]

    begin, tails = fast.clicks(7, mark, shapes, b"D")

    pieced = [begin + shape.fixed + tail for shape, tail in zip(shapes, tails, strict=True)]
    assert pieced == [fast.document(7, mark, *link) for link in links]
    assert [KEYS.read(one.decode()).document for one in pieced] == [name for _, _, name in links]


@pytest.mark.parametrize(
    "text", [KEYS.document(JOB, 7, "demo", ANA, URL, "Devis"), KEYS.document_for("demo", ANA, URL, "Devis", 1)]
)
@given(data=st.data())
def test_any_flipped_bit_and_any_cut_is_refused(text: str, data: st.DataObject) -> None:
    raw = bytearray(raw_of(text))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    length = data.draw(st.integers(0, len(text) - 1))

    for forged in (base64.urlsafe_b64encode(raw).decode().rstrip("="), text[:length]):
        with pytest.raises(InvalidToken):
            KEYS.read(forged)


def test_a_document_signed_with_a_former_secret_is_read() -> None:
    rotated = TokenKeys(b"new" * 11, [bytes(range(32))])

    for text in (KEYS.document(JOB, 7, "demo", ANA, URL, "Devis"), KEYS.document_for("demo", ANA, URL, "Devis")):
        assert rotated.read(text) == KEYS.read(text)
        with pytest.raises(InvalidToken):
            TokenKeys(b"new" * 11).read(text)


def test_what_is_no_document_is_not_signed() -> None:
    for name in ("", " a", "a\nb", "a  b", "é" * 101, "\U0001f989" * 64):
        with pytest.raises(ValueError, match="name"):
            KEYS.document(JOB, 7, "demo", ANA, URL, name)
    for url in ("javascript:alert(1)", "https://", "exemple.fr", "https://exemple.fr/a b"):
        with pytest.raises(ValueError, match="http"):
            KEYS.document(JOB, 7, "demo", ANA, url, "Devis")
        with pytest.raises(ValueError, match="http"):
            KEYS.document_for("demo", ANA, url, "Devis")
    with pytest.raises(ValueError, match="2106"):
        KEYS.document_for("demo", ANA, URL, "Devis", 2**32)


def test_the_longest_token_is_read() -> None:
    url = "https://exemple.fr/".ljust(tokens.MAX_DESTINATION_BYTES, "x")

    text = KEYS.document_for("t" * 255, "a" * 254, url, "€" * 85, 1)

    assert len(text) == 6544
    assert KEYS.read(text).destination == url


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Devis \n 2026-113 ", "Devis 2026-113"),
        ("a\x00\u2028b\u200fc", "a b c"),
        ("é" * 200, "é" * 100),
        ("\U0001f989" * 100, "\U0001f989" * 63),
        ("\t", ""),
    ],
)
def test_a_name_is_what_can_be_shown_and_fits(text: str, name: str) -> None:
    assert document_name(text) == name
    assert len(name.encode()) <= tokens.MAX_DOCUMENT_BYTES


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (
            "RGAAAQIDBAUGBwgJCgsAAAAHFmp0GFyb__8EZGVtb2tJ0gAFRGV2aXNodHRwczovL2V4ZW1wbGUuZnIvZGV2aXMvMTEzLnBkZk4Kp0oMZFkV83XnzQ",
            Token("document", JOB, 7, "demo", NO_POSITION, URL, "", KEYS.marks("demo", ANA)[0], "Devis", 1_800_000_000),
        ),
        (
            "ZGBFz-NPtJ4ilhVjlaP4jsyNFmp0GFyb__8EZGVtbwAAAAAFRGV2aXMOeTDGfpZ-U5VJ1LLf5GBodHRwczovL2V4ZW1wbGUuZnIvZGV2aXMvMTEzLnBkZnlY7FJkwTZEegvF_A",
            Token("document", "", 0, "demo", NO_POSITION, URL, ANA, KEYS.marks("demo", ANA)[0], "Devis"),
        ),
    ],
)
def test_a_document_of_today_is_readable_for_ever(text: str, token: Token) -> None:
    assert KEYS.read(text) == token
