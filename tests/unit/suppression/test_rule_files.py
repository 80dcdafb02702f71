"""Files of rules: read as people write them, written so that they are read back unchanged."""

import csv
import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.suppression import rule_files
from services.suppression.rule_files import read_csv, read_text, write_csv, write_text
from shared.words import rules
from shared.words.errors import Fault
from shared.words.rules import CHANNELS, SCOPES, Named, Rule

NOW_MS = 1_700_000_000_123


def test_a_text_has_a_rule_on_each_line_and_comments() -> None:
    text = "\ufeff# ours\r\ncontact@*\r\n\r\n*@Competitor.com # they asked\r\n  \r\n+33612345678\r\n"

    assert read_text(text, NOW_MS) == (
        [
            Named("contact@*", Rule(NOW_MS)),
            Named("*@competitor.com", Rule(NOW_MS)),
            Named("+33612345678", Rule(NOW_MS, ("sms",))),
        ],
        [],
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_is_read_by_its_headings_whatever_stands_between(delimiter: str) -> None:
    rows = [
        ["Règle", "canaux", "x", "Scope", "note"],
        ["*@a.fr", "sms+email", "?", "Marketing", "é, ; \n\"b'"],
        ["b@*"],
    ]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)

    named, faults = read_csv("\ufeff" + file.getvalue(), NOW_MS)

    assert named == [
        Named("*@a.fr", Rule(NOW_MS, ("email", "sms"), "marketing", "é, ; \n\"b'")),
        Named("b@*", Rule(NOW_MS)),
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("read", "text", "at", "words"),
    [
        (read_text, "contact@*\n*@*\n", "line 2", "everybody"),
        (read_csv, "pattern\ncontact@*\nno*@x.fr\n", "line 3", "for no part of it"),
        (read_csv, "name,channels\n*@a.fr,email\n", "line 1", "'name', 'channels'"),
        (read_csv, "", "line 1", "nothing"),
        (read_csv, "pattern,channels\n*@a.fr,fax\n", "line 2", "'fax'"),
        (read_csv, "pattern,scope\n*@a.fr,some\n", "line 2", "'some'"),
        (read_csv, "pattern,since\n*@a.fr,yesterday\n", "line 2", "2026-01-31T09:05:00.123Z"),
        (read_csv, "pattern,since\n*@a.fr,2026-01-31T09:05:00\n", "line 2", "2026-01-31T09:05:00.123Z"),
        (read_csv, "pattern,channels\n+33612345678,email\n", "line 2", "sms alone"),
        (read_csv, f"pattern,note\n*@a.fr,{'x' * 201}\n", "line 2", "longer than 200"),
        (read_csv, 'pattern\n"*@a.fr\n', "line 2", "no CSV"),
        (read_csv, 'pattern\n"*@a.fr"x\n', "line 2", "no CSV"),
    ],
)
def test_what_is_wrong_is_told_by_its_line(
    read: Callable[[str, int], tuple[list[Named], list[Fault]]], text: str, at: str, words: str
) -> None:
    _, (fault,) = read(text, NOW_MS)

    assert fault.at == at
    assert words in fault.what


def test_all_that_is_wrong_is_told_up_to_a_hundred_lines() -> None:
    _, faults = read_text("x\n" * 3 + "a@*\n" + "y\n" * 200, NOW_MS)

    assert [fault.at for fault in faults[:4]] == ["line 1", "line 2", "line 3", "line 5"]
    assert len(faults) == 100


def test_a_file_with_more_rules_than_anybody_may_have_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_files, "MAX_READ", 10)

    named, faults = read_text("".join(f"a{at}@*\n" for at in range(1000)), NOW_MS)

    assert len(named) == 10
    assert [fault.at for fault in faults] == ["line 11"]


def test_of_a_rule_that_is_written_twice_the_last_line_holds() -> None:
    named, _ = read_csv("pattern,channels\n*@a.fr,email\n*@A.FR,sms\n", NOW_MS)

    assert named == [Named("*@a.fr", Rule(NOW_MS, ("sms",)))]


def test_no_cell_begins_a_formula_in_a_spreadsheet() -> None:
    notes = ["=1+1", "-1", "@x", "+1", "'=1", "plain", "\uff1d1+1", "\uff20x"]  # the wide ones are signs, too
    named = [Named(f"*@a{at}.fr", Rule(NOW_MS, note=note)) for at, note in enumerate(notes)]
    named.append(Named("+33612345678", Rule(NOW_MS, ("sms",))))

    written = write_csv(named)

    cells = [cell for row in csv.reader(io.StringIO(written)) for cell in row]
    assert [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\uff1d\uff20"))] == []
    assert read_csv(written, 0) == (named, [])


PATTERNS = st.one_of(
    st.from_regex(r"[a-z0-9]{1,8}@\*", fullmatch=True),
    st.from_regex(r"\*@(\*\.)?[a-z]{1,8}\.example", fullmatch=True),
    st.from_regex(r"[a-z=+'-]{1,8}@[a-z]{1,8}\.example", fullmatch=True),
    st.just('"a, b"@*'),
)
EVERY = st.dictionaries(
    PATTERNS,
    st.builds(
        lambda since_ms, channels, scope, note: Rule(
            since_ms, tuple(one for one in CHANNELS if one in channels), scope, note.strip()
        ),
        st.integers(0, 4_000_000_000_000),
        st.sets(st.sampled_from(CHANNELS), min_size=1),
        st.sampled_from(SCOPES),
        st.text(st.characters(codec="utf-8"), max_size=20) | st.text("='+-@\t\"\r\n ,;", max_size=6),
    ),
    max_size=6,
)


@given(known=EVERY)
def test_what_is_written_is_read_back_unchanged(known: dict[str, Rule]) -> None:
    named = [Named(rules.pattern_of(pattern), rule) for pattern, rule in known.items()]

    assert read_csv(write_csv(named), 0) == (named, [])
    assert [one.pattern for one in read_text(write_text(named), 0)[0]] == [one.pattern for one in named]
