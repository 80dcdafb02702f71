"""What a file means: by its heading, by what the request says, line by line."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.suppression.moving import formats
from services.suppression.moving.forms import MAX_COLUMNS, OWN, Asked, Form
from services.suppression.moving.wishes import RESUBSCRIBE, VALID, Act, Wish
from shared.tabular.rows import Rows
from shared.words.errors import Fault

NOW_MS = 1_800_000_000_000


def read(body: bytes, *, cut: int = 10_000, charset: str | None = None, delimiter: str = "", **asked: Any) -> list[Any]:
    """What each line is that is something."""
    rows = rows_of(charset, delimiter, **asked)
    found = [one for at in range(0, len(body), cut) for one in rows.feed(body[at : at + cut])]
    return [row for _, row in [*found, *rows.feed(b"", last=True)] if row is not None]


def rows_of(charset: str | None = None, delimiter: str = "", **asked: Any) -> Rows[Wish]:
    return Rows(Form(Asked(**asked), NOW_MS), charset, delimiter, finds=True)


def left(address: str = "ana@exemple.fr") -> Wish:
    return Wish(address, formats.UNSUBSCRIBED)


@pytest.mark.parametrize("heading", ["Adresse Email;Opt-In Email", "Email;Opt-In", "E-mail address;Subscribed"])
@pytest.mark.parametrize(
    ("word", "acts"),
    [
        ("Non", formats.UNSUBSCRIBED),
        ("0", formats.UNSUBSCRIBED),
        ("", formats.UNSUBSCRIBED),
        (" non ", formats.UNSUBSCRIBED),
        ("No", formats.UNSUBSCRIBED),
        ("FALSE", formats.UNSUBSCRIBED),
        ("Oui", (RESUBSCRIBE,)),
        ("1", (RESUBSCRIBE,)),
        ("yes", (RESUBSCRIBE,)),
    ],
)
def test_who_has_opted_out_has_left_and_who_has_opted_in_is_back(
    heading: str, word: str, acts: tuple[Act, ...]
) -> None:
    assert read(f"{heading}\r\nAna@Exemple.fr;{word}\r\n".encode()) == [Wish("ana@exemple.fr", acts)]


@pytest.mark.parametrize("heading", ["Adresse Email;Statut Email", "Email;Statut Email", "Email;Email Status"])
@pytest.mark.parametrize(
    ("word", "acts"),
    [
        ("Hard", formats.HARD),
        ("hard bounce", formats.HARD),
        ("Soft", formats.COUNTED),
        ("SOFT", formats.COUNTED),
        ("Valide", (VALID,)),
        ("valid", (VALID,)),
    ],
)
def test_a_status_is_hard_soft_or_valid(heading: str, word: str, acts: tuple[Act, ...]) -> None:
    assert read(f"{heading}\nana@exemple.fr;{word}\n".encode()) == [Wish("ana@exemple.fr", acts)]


def test_a_line_may_say_both() -> None:
    found = read(b"Email,Opt-In Email,Statut Email\na@x.fr,Non,Hard\nb@x.fr,Oui,\nc@x.fr,,Valide\n")

    assert found == [
        Wish("a@x.fr", formats.HARD + formats.UNSUBSCRIBED),
        Wish("b@x.fr", (RESUBSCRIBE,)),
        Wish("c@x.fr", (VALID, *formats.UNSUBSCRIBED)),
    ]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"Email,Statut Email\na@x.fr,Gone\n", Fault("line 2.Statut Email", "not Hard, Soft or Valide: 'Gone'")),
        (b"Email,Statut Email\na@x.fr,\n", Fault("line 2.Statut Email", "not Hard, Soft or Valide: ''")),
        (b"Email,Opt-In Email\na@x.fr,perhaps\n", Fault("line 2.Opt-In Email", "neither Oui nor Non: 'perhaps'")),
        (b"Email,Opt-In Email\nana,Non\n", Fault("line 2", "not an address: it has no @: 'ana'")),
        (b"Email,Opt-In Email\na@x.fr\n", Fault("line 2", "1 fields, but the heading has 2: 'a@x.fr'")),
    ],
)
def test_another_word_refuses_its_line_and_no_other(body: bytes, fault: Fault) -> None:
    assert read(body + b"ana@exemple.fr,0\n" * (b"Opt" in body)) == [fault] + [left()] * (b"Opt" in body)


def test_other_headings_are_mapped() -> None:
    mapping = {"email": "Mél", "optin": "Newsletter ?"}

    assert read("Mél;Newsletter ?\nana@exemple.fr;non\n".encode(), mapping=mapping) == [left()]
    assert read("X;mel;MÉL;newsletter\n;;ana@exemple.fr;non\n".encode(), mapping=mapping) == [left()]


def test_a_column_that_is_mapped_and_not_there_is_told() -> None:
    (fault,) = read(b"Email,Opt-In\na@x.fr,0\n", mapping={"status": "Etat"})

    assert fault == Fault("line 1", "the heading has no column 'Etat'; it has 'Email', 'Opt-In'")


def test_where_all_lines_mean_the_same_the_request_says_what() -> None:
    assert read(b"Email\nana@exemple.fr\n", reason="unsubscribed") == [left()]
    assert read(b"Name,Email\nAna,ana@exemple.fr\n", reason="hard_bounce") == [Wish("ana@exemple.fr", formats.HARD)]


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        (b"Email\na@x.fr\n", "no column says what the addresses are"),
        (b"Nom;Prenom\nx;y\n", "no column of the address, such as 'Adresse Email'; it has 'Nom', 'Prenom'"),
        (b"a@x.fr;Non\nb@x.fr;Oui\n", "The first line has to name the columns"),
        (b"Email,E-mail,Opt-In\n", "'Email', 'E-mail' are 'email'"),
        (b"\x00\x01\x02\x03\n", "no column of the address"),
        (b"x" * 70_000, "longer than 65536 bytes"),
        (b"sep=,\nEmail" + b"," * MAX_COLUMNS + b"\n", f"more than {MAX_COLUMNS} fields"),
    ],
)
def test_a_heading_that_says_nothing_is_told_and_nothing_behind_it_is_read(body: bytes, quoted: str) -> None:
    (fault,) = read(body + b"\na@x.fr,0\n")

    assert quoted in fault.what


SAVED = {
    "semicolons": "Adresse Email;Opt-In Email;Nom\nana@exemple.fr;Non;Évry\n".encode(),
    "commas": "Adresse Email,Opt-In Email,Nom\nana@exemple.fr,Non,Évry\n".encode(),
    "tabs": "Adresse Email\tOpt-In Email\tNom\nana@exemple.fr\tNon\tÉvry\n".encode(),
    "sep=": "sep=^\nAdresse Email^Opt-In Email^Nom\nana@exemple.fr^Non^Évry\n".encode(),
    "quotes": '"Adresse Email";"Opt-In Email";"Nom"\n"ana@exemple.fr";"Non";"É;v""r\ny"\n'.encode(),
    "mark": "\ufeffAdresse Email;Opt-In Email;Nom\r\nana@exemple.fr;Non;Évry\r\n".encode(),
    "UTF-16": "Adresse Email\tOpt-In Email\tNom\r\nana@exemple.fr\tNon\tÉvry\r\n".encode("utf-16"),
    "UTF-16, no mark": "Adresse Email;Opt-In Email;Nom\nana@exemple.fr;Non;Évry".encode("utf-16-le"),
    "windows-1252": "Adresse Email;Opt-In Email;Nom\nana@exemple.fr;Non;Évry\n".encode("cp1252"),
    "windows-1252 in the heading": "Prénom;Adresse Email;Opt-In Email\nÉ;ana@exemple.fr;Non\n".encode("cp1252"),
}


@pytest.mark.parametrize("body", SAVED.values(), ids=SAVED)
@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_however_a_list_was_saved_it_says_the_same(body: bytes, cut: int) -> None:
    assert read(body, cut=cut) == [left()]


@pytest.mark.parametrize(
    ("body", "charset", "encoding", "was_found"),
    [
        (b"Email,Opt-In\na@x.fr,Non\n", None, "utf-8", False),
        ("Email,Opt-In,É\na@x.fr,Non,é\n".encode(), None, "utf-8", False),
        ("Email,Opt-In,É\na@x.fr,Non,é\n".encode("cp1252"), None, "cp1252", True),
        ("Email,Opt-In,É\na@x.fr,Non,é\n".encode("cp1252"), "cp1252", "cp1252", False),
        ("Email,Opt-In,É\na@x.fr,Non,é\n".encode("utf-16"), None, "utf-16-le", False),
    ],
)
def test_the_encoding_that_was_found_is_said(body: bytes, charset: str | None, encoding: str, was_found: bool) -> None:
    rows = rows_of(charset)
    found = [*rows.feed(body), *rows.feed(b"", last=True)]

    assert [row for _, row in found if row is not None] == [left("a@x.fr")]
    assert (rows.encoding, rows.was_found) == (encoding, was_found)


def test_the_first_line_that_is_not_ascii_says_which_encoding_all_have() -> None:
    utf8_first = read("Email,Opt-In,X\na@x.fr,0,é\n".encode() + b"b@x.fr,0,\xe9\nc@x.fr,0,x\n")
    other_first = read(b"Email,Opt-In,X\na@x.fr,0,\xe9\nb@x.fr,0,\x81\nc@x.fr,0,x\n")
    named = read(b"Email,Opt-In,X\na@x.fr,0,\xe9\nc@x.fr,0,x\n", charset="utf-8")

    assert utf8_first == [left("a@x.fr"), Fault("line 3", "not UTF-8: byte 0xE9 at 9"), left("c@x.fr")]
    assert other_first == [left("a@x.fr"), Fault("line 3", "not windows-1252: byte 0x81 at 9"), left("c@x.fr")]
    assert named == [Fault("line 2", "not UTF-8: byte 0xE9 at 9"), left("c@x.fr")]


@pytest.mark.parametrize("bad", [b'b@x.fr,0,"A\n', b'"b@x.fr,0,A\n', b'b@x.fr,0,"A" x\n', b'"\n'])
def test_a_stray_quote_costs_its_own_row_and_no_other(bad: bytes) -> None:
    good = b"".join(b'"u%d@x.fr",0,"N%d"\n' % (n, n) for n in range(300))

    found = read(b"Email,Opt-In,Name\n" + good + bad + good)

    assert sum(isinstance(one, Fault) for one in found) == 1
    assert len(found) == 601


def test_our_own_export_is_known_by_its_heading() -> None:
    row = "'+ana@exemple.fr,email,list:news,unsubscribed,event,'=1+1\\n,2026-01-31T09:05:00.123Z,,"

    (wish,) = read(f"{','.join(OWN)}\r\n{row}\r\n".encode())

    assert wish == Wish(
        "+ana@exemple.fr",
        (Act("list", "unsubscribed", "list:news", "email", "=1+1\n", 1_769_850_300_123, 0, 0, "event"),),
        "email list:news",
    )


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"channel": "fax"}, "not a word of the list: 'fax'"),
        ({"scope": "everything"}, "not a word of the list: 'everything'"),
        ({"reason": "compliance"}, "only an operator sets it"),
        ({"reason": "erased"}, "not a word of the list: 'erased'"),
        ({"source": "me"}, "not a word of the list: 'me'"),
        ({"since": "yesterday"}, "not a time such as"),
        ({"since": "2026-01-31"}, "not a time such as"),
    ],
)
def test_a_word_that_is_none_of_ours_refuses_its_line(changed: Mapping[str, str], what: str) -> None:
    good = {"address": "a@x.fr", "channel": "email", "scope": "all", "reason": "manual", "source": "api"}
    cells = [{**good, **changed}.get(name, "") for name in OWN]

    (fault,) = read(f"{','.join(OWN)}\n{','.join(cells)}\n".encode())

    assert what in fault.what


@given(st.binary(max_size=300))
def test_nothing_that_comes_raises(body: bytes) -> None:
    read(body)
    read(b"Email,Opt-In\n" + body)
    read(",".join(OWN).encode() + b"\n" + body)
