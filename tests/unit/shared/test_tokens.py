"""Tokens say what was put in, and nobody else can make one."""

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import ids, tokens
from shared.words.tokens import InvalidToken, Token, TokenKeys
from tests.fakes.old_tokens import unmarked

MASTER = b"m" * 32
KEYS = TokenKeys(MASTER)
JOB = ids.job_text(bytes(range(12)))
ANA = "ana@example.fr"
MARK = KEYS.marks("demo", ANA)[0]

jobs = st.binary(min_size=12, max_size=12).map(ids.job_text)
ordinals = st.integers(0, ids.MAX_ORDINAL)
tenants = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
positions = st.integers(0, tokens.MAX_POSITION)
destinations = st.builds(
    "{}://{}/{}".format,
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(["exemple.fr", "a.b:8080", "[::1]", "bücher.example"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=90),
).filter(tokens.is_destination)


@given(jobs, ordinals, tenants, positions, destinations)
def test_a_token_reads_back_as_what_was_put_in(
    job: str, ordinal: int, tenant: str, position: int, destination: str
) -> None:
    mark = KEYS.marks(tenant, ANA)[0]
    assert KEYS.read(KEYS.open(job, ordinal, tenant, ANA)) == Token("open", job, ordinal, tenant, mark=mark)
    click = KEYS.click(job, ordinal, tenant, ANA, position, destination)
    assert KEYS.read(click) == Token("click", job, ordinal, tenant, position, destination, mark=mark)
    for kind in ("preferences", "opt_in"):
        text = KEYS.for_job(job, tenant).addressed(kind, ordinal, ANA).decode()
        assert KEYS.read(text) == Token(kind, job, ordinal, tenant, address=ANA)


@given(jobs, ordinals, tenants, positions, destinations)
def test_an_opening_and_a_click_that_were_made_before_there_were_marks_are_read(
    job: str, ordinal: int, tenant: str, position: int, destination: str
) -> None:
    opening = unmarked(b"o", MASTER, job, ordinal, tenant)
    click = unmarked(b"c", MASTER, job, ordinal, tenant, (position, destination))

    assert KEYS.read(opening) == Token("open", job, ordinal, tenant)
    assert KEYS.read(click) == Token("click", job, ordinal, tenant, position, destination)


def test_a_mark_is_that_of_an_address_however_it_is_spelt_at_one_tenant_under_one_key() -> None:
    rotated = TokenKeys(b"n" * 32, [MASTER])

    assert KEYS.marks("demo", "Ana@Example.FR") == [MARK] == [KEYS.for_job(JOB, "demo").mark(ANA)]
    assert rotated.marks("demo", ANA)[1] == MARK
    others = [KEYS.marks("other", ANA)[0], KEYS.marks("demo", "bo@example.fr")[0], rotated.marks("demo", ANA)[0]]
    assert len({MARK, *others}) == 4


@given(jobs, ordinals, tenants, st.text(st.characters(codec="utf-8"), max_size=320))
def test_who_leaves_has_the_address_in_the_token_and_others_do_not_read_it(
    job: str, ordinal: int, tenant: str, address: str
) -> None:
    text = KEYS.unsubscribe(job, ordinal, tenant, address)

    assert KEYS.read(text) == Token("unsubscribe", job, ordinal, tenant, address=address)
    if len(address.encode()) > 3:  # shorter ones are there by chance
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        assert address.encode() not in raw[19 + len(tenant.encode()) :]


def test_the_same_address_looks_different_in_each_token() -> None:
    texts = [KEYS.unsubscribe(JOB, ordinal, "demo", "ana@example.fr" * 5) for ordinal in range(50)]
    texts += [TokenKeys(bytes([n]) * 32).unsubscribe(JOB, 0, "demo", "ana@example.fr" * 5) for n in range(50)]

    sealed = {base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[-82:-12] for text in texts}

    assert len(sealed) == 100


def test_a_token_that_was_made_before_addresses_were_in_it_is_read() -> None:
    old = unmarked(b"o", MASTER, JOB, 7, "demo")
    raw = b"u" + base64.urlsafe_b64decode(old + "=" * (-len(old) % 4))[1:-12]
    key = hmac.digest(MASTER, b"estafette/tokens", "sha256")
    text = base64.urlsafe_b64encode(raw + hmac.digest(key, raw, "sha256")[:12]).decode().rstrip("=")

    assert KEYS.read(text) == Token("unsubscribe", JOB, 7, "demo") == KEYS.read(KEYS.unsubscribe(JOB, 7, "demo", ""))


@given(jobs, ordinals, tenants, st.lists(st.tuples(positions, destinations), max_size=5))
def test_the_pieces_of_the_fast_path_are_the_whole_token(
    job: str, ordinal: int, tenant: str, links: list[tuple[int, str]]
) -> None:
    fast = KEYS.for_job(job, tenant)
    shapes = [fast.link(position, destination) for position, destination in links]

    begin, tails = fast.clicks(ordinal, MARK, shapes)

    pieced = [begin + shape.fixed + tail for shape, tail in zip(shapes, tails, strict=True)]
    assert len(begin) == tokens.BEGIN_CHARS
    assert pieced == [fast.click(ordinal, MARK, position, destination) for position, destination in links]


@given(st.sampled_from(["open", "click", "unsubscribe"]), st.data())
def test_any_flipped_bit_is_refused(kind: str, data: st.DataObject) -> None:
    text = {
        "open": KEYS.open(JOB, 7, "demo", ANA),
        "click": KEYS.click(JOB, 7, "demo", ANA, 2, "https://exemple.fr/é?a=1"),
        "unsubscribe": KEYS.unsubscribe(JOB, 7, "demo", "ana@example.fr"),
    }[kind]
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8

    with pytest.raises(InvalidToken):
        KEYS.read(base64.urlsafe_b64encode(raw).decode().rstrip("="))


@given(st.text(max_size=200) | st.binary(max_size=120).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        KEYS.read(text)


@pytest.mark.parametrize("tenant", ["d", "de", "dem", "demo"])
def test_there_is_one_text_for_a_token(tenant: str) -> None:
    text = KEYS.open(JOB, 7, tenant, ANA)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [text[:-1] + char for char in alphabet if char != text[-1]]
    others += [text + "=", text + "==", text + "A", text + "\n", " " + text, text.replace("A", "%41", 1)]

    for other in others:
        with pytest.raises(InvalidToken):
            KEYS.read(other)


def test_the_standard_alphabet_is_not_the_url_safe_one() -> None:
    text = next(t for n in range(200) if "-" in (t := KEYS.open(JOB, n, "demo", ANA)))

    with pytest.raises(InvalidToken):
        KEYS.read(text.replace("-", "+"))


def test_a_token_of_an_unknown_key_is_refused() -> None:
    stranger = TokenKeys(b"x" * 32).open(JOB, 0, "demo", ANA)

    with pytest.raises(InvalidToken, match="not known"):
        KEYS.read(stranger)


def test_a_token_of_another_key_with_the_same_id_is_refused() -> None:
    mine = base64.urlsafe_b64decode(KEYS.open(JOB, 0, "demo", ANA) + "=")[1]
    masters = (n.to_bytes(32, "big") for n in range(100_000))
    twin = next(m for m in masters if base64.urlsafe_b64decode(TokenKeys(m).open(JOB, 0, "demo", ANA) + "=")[1] == mine)

    with pytest.raises(InvalidToken, match="signature"):
        KEYS.read(TokenKeys(twin).open(JOB, 0, "demo", ANA))
    both = TokenKeys(twin, [MASTER])
    assert both.read(KEYS.open(JOB, 0, "demo", ANA)).job == JOB


def test_a_token_of_a_previous_key_is_accepted_and_new_ones_are_signed_with_the_current() -> None:
    old = KEYS.open(JOB, 3, "demo", ANA)
    rotated = TokenKeys(b"n" * 32, [b"o" * 32, MASTER])

    assert rotated.read(old) == Token("open", JOB, 3, "demo", mark=MARK)
    assert rotated.open(JOB, 3, "demo", ANA) == TokenKeys(b"n" * 32).open(JOB, 3, "demo", ANA)


@pytest.mark.parametrize(
    "destination",
    [
        "",
        "javascript:alert(1)",
        "//exemple.fr/",
        "/relative",
        "ftp://exemple.fr/",
        "mailto:a@exemple.fr",
        "https://",
        "https:///path",
        "https://exemple.fr/\r\nSet-Cookie: a=b",
        "https://exemple.fr/a b",
        "https://exemple.fr/\x00",
        "https://exemple.fr/\u2028",
        "https://exemple.fr/\udc80",
        "http://[::1/",
    ],
)
def test_a_click_leads_only_to_an_http_url_without_control_characters(destination: str) -> None:
    with pytest.raises(ValueError, match="http"):
        KEYS.click(JOB, 0, "demo", ANA, 0, destination)


def test_the_longest_destination_of_the_longest_tenant_can_be_read() -> None:
    longest = "https://exemple.fr/".ljust(tokens.MAX_DESTINATION_BYTES, "a")
    text = KEYS.click(JOB, 0, "t" * 255, ANA, 0, longest)

    assert len(text) == 5858
    assert KEYS.read(text).destination == longest
    for longer in (longest + "a", longest[:-1] + "é"):
        with pytest.raises(ValueError, match="http"):
            KEYS.click(JOB, 0, "demo", ANA, 0, longer)


def test_what_cannot_be_said_in_a_token_is_refused() -> None:
    for tenant in ("", "t" * 256):
        with pytest.raises(ValueError, match="tenant"):
            KEYS.open(JOB, 0, tenant, ANA)
    with pytest.raises(ValueError, match="position"):
        KEYS.click(JOB, 0, "demo", ANA, 65536, "https://exemple.fr/")
    with pytest.raises(ValueError, match="job id"):
        KEYS.open("nonsense", 0, "demo", ANA)


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("https://exemple.fr/?a=1&b=2#c", "https://exemple.fr/?a=1&b=2#c"),
        (" \n HTTPS://Exemple.fr/ ", "HTTPS://Exemple.fr/"),
        ("https://exemple.fr/a\n  b\tc", "https://exemple.fr/a%20%20bc"),
        ("http://exemple.fr/a b/é?q=à€", "http://exemple.fr/a%20b/%C3%A9?q=%C3%A0%E2%82%AC"),
        ("http://bücher.example:8080/", "http://xn--bcher-kva.example:8080/"),
        ("http://u@bücher.example", "http://u@xn--bcher-kva.example"),
        ("http://exemple.fr/%20%zz", "http://exemple.fr/%20%zz"),
        ("http://exemple.fr/\x01\u2028", "http://exemple.fr/%01%E2%80%A8"),
        ("http://exemple.fr/é?#", "http://exemple.fr/%C3%A9?#"),
        ("http://exemple.fr?é", "http://exemple.fr?%C3%A9"),
        ("http://a b/", None),
        ("http://\ud800.fr/", None),
        ("http://exemple.fr/\ud800", "http://exemple.fr/%3F"),
        ("mailto:a@b.fr", None),
        ("#a", None),
        ("", None),
        ("exemple.fr", None),
        ("java\nscript:alert(1)", None),
        ("http://[é", None),
    ],
)
def test_an_href_leads_where_browsers_take_it(href: str, url: str | None) -> None:
    assert tokens.destination(href) == url


@given(st.text(max_size=60).map("https://exemple.fr/".__add__))
def test_a_destination_is_ascii_and_stays_what_it_is(href: str) -> None:
    url = tokens.destination(href)

    assert url is not None
    assert url.isascii()
    assert tokens.is_destination(url)
    assert tokens.destination(url) == url


@given(st.text(max_size=60))
def test_any_text_leads_to_a_destination_or_nowhere(href: str) -> None:
    url = tokens.destination(href)

    assert url is None or tokens.is_destination(url)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("b5gAAQIDBAUGBwgJCgsAAAAHBGRlbW8oXfmPfRMznyC6pXM", Token("open", JOB, 7, "demo")),
        (
            "Y5gAAQIDBAUGBwgJCgsAAAAHAAIEZGVtb2h0dHBzOi8vZXhlbXBsZS5mci8_YT0xEoNCFxpgrBarbr8C",
            Token("click", JOB, 7, "demo", 2, "https://exemple.fr/?a=1"),
        ),
        ("dZgAAQIDBAUGBwgJCgsAAAAHBGRlbW8AeLlFsBj2sS9N5fA", Token("unsubscribe", JOB, 7, "demo")),
        ("T5gAAQIDBAUGBwgJCgsAAAAHDvjh3ncPBGRlbW8ceT_BR0x85Ou6zw4", Token("open", JOB, 7, "demo", mark=MARK)),
        (
            "Q5gAAQIDBAUGBwgJCgsAAAAHDvjh3ncPAAIEZGVtb2h0dHBzOi8vZXhlbXBsZS5mci8_YT0xA3rKSpmRKxjVIfeT",
            Token("click", JOB, 7, "demo", 2, "https://exemple.fr/?a=1", mark=MARK),
        ),
        (
            "dZgAAQIDBAUGBwgJCgsAAAAHBGRlbW9anW2NKyU0-SnCagouKSliD95IlmB4s1nLyQ",
            Token("unsubscribe", JOB, 7, "demo", address="ana@example.fr"),
        ),
        (
            "cJgAAQIDBAUGBwgJCgsAAAAHBGRlbW9anW2NKyU0-SnCagouKbf69ldYdJlnIeceRw",
            Token("preferences", JOB, 7, "demo", address="ana@example.fr"),
        ),
        (
            "YZgAAQIDBAUGBwgJCgsAAAAHBGRlbW9anW2NKyU0-SnCagouKeoi8hh7sgqtFsVuyw",
            Token("opt_in", JOB, 7, "demo", address="ana@example.fr"),
        ),
        (
            "dpgAAQIDBAUGBwgJCgsAAAAHBGRlbW9anW2NKyU0-SnCagouKe01S2Q4DbTDqjbBVw",
            Token("view", JOB, 7, "demo", address="ana@example.fr"),
        ),
        (
            "T5gAAQIDBAUGBwgJCgsAAAAHDvjh3ncPAAABBGRlbW-IfvT21QszYLnuqO8",
            Token("open", JOB, 7, "demo", mark=MARK),
        ),
        (
            "Q5gAAQIDBAUGBwgJCgsAAAAHDvjh3ncPAAIAAAEEZGVtb2h0dHBzOi8vZXhlbXBsZS5mci8_YT0xwZiwD4ULcyP7BKi3",
            Token("click", JOB, 7, "demo", 2, "https://exemple.fr/?a=1", mark=MARK),
        ),
        (
            "dZgAAQIDBAUGBwgJCgsAAAAHAAABBGRlbW--LBomkWz81uXN_tMQeNmHf9dsvgD6Kx61OA",
            Token("unsubscribe", JOB, 7, "demo", address="ana@example.fr"),
        ),
    ],
)
def test_a_token_of_today_is_readable_for_ever(text: str, token: Token) -> None:
    assert KEYS.read(text) == token
