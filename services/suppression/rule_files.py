"""Rules as a file, read and written: text with a pattern on each line, or CSV with all that is known of each. Pure.

What is written is read back as it was. A cell with which a formula could begin in a spreadsheet gets an apostrophe
before it, which reading takes away again; so `+33…` is a number there, too, and stays one.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from shared.tabular.cells import LEADS
from shared.words import rules
from shared.words.errors import Fault
from shared.words.rules import Channel, InvalidRule, Named, Rule, Scope
from shared.words.times import rfc3339

#: The columns of a file that we write.
COLUMNS = ("pattern", "channels", "scope", "note", "since")
#: What people call them, in lower case.
_HEADINGS = {
    "pattern": ("pattern", "rule", "address", "email", "règle", "regle", "motif", "adresse", "adresse email"),
    "channels": ("channels", "channel", "canaux", "canal"),
    "scope": ("scope", "portée", "portee"),
    "note": ("note", "comment", "commentaire"),
    "since": ("since", "depuis"),
}
_COLUMN_OF = {heading: column for column, headings in _HEADINGS.items() for heading in headings}
_DELIMITERS = ",;\t"
#: More faults than this are of no use to anybody.
MAX_FAULTS = 100
#: No tenant can have more: the most that the quota `rules` may be set to.
MAX_READ = 100_000


class Written(NamedTuple):
    """A rule as somebody wrote it; what they left out is None."""

    pattern: str
    channels: Sequence[str] | None = None
    scope: str | None = None
    note: str = ""
    since_ms: int | None = None


def read_text(text: str, now_ms: int) -> tuple[list[Named], list[Fault]]:
    """One pattern on each line; what follows a `#` at its beginning or behind white space is a comment."""
    lines = (line.partition(" #")[0].strip() for line in text.removeprefix("\ufeff").splitlines())
    written = ((at, Written(line)) for at, line in enumerate(lines, 1) if line and not line.startswith("#"))
    return _fitting(written, now_ms)


def read_csv(text: str, now_ms: int) -> tuple[list[Named], list[Fault]]:
    """The first line names the columns, with `,`, `;` or tab between; `pattern` has to be among them."""
    text = text.removeprefix("\ufeff")
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        columns = [_COLUMN_OF.get(name, "") for name in names]
        if "pattern" not in columns:
            found = ", ".join(repr(name[:40]) for name in names[:10]) or "nothing"
            return [], [Fault("line 1", f"no column is called pattern; there is {found}")]
        written = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        return [], [Fault(f"line {rows.line_num}", f"no CSV: {error}")]
    faults: list[Fault] = []
    return _fitting(_rows(columns, written, faults), now_ms, faults)


def _rows(
    columns: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]], faults: list[Fault]
) -> Iterator[tuple[int, Written]]:
    for at, row in rows:
        cells = {name: _unguarded(cell.strip()) for name, cell in zip(columns, row, strict=False) if name}
        since_ms = None
        if since := cells.get("since", ""):
            since_ms = _ms(since)
            if since_ms is None:
                faults.append(Fault(f"line {at}", "since is no time such as 2026-01-31T09:05:00.123Z"))
                continue
        channels = cells.get("channels", "").lower().replace("+", " ").replace(",", " ").split()
        scope = cells.get("scope", "").lower()
        yield at, Written(cells.get("pattern", ""), channels or None, scope or None, cells.get("note", ""), since_ms)


def _ms(text: str) -> int | None:
    """None if it is no time with its zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(0, round(at.timestamp() * 1000)) if at.tzinfo is not None else None


def _fitting(
    written: Iterable[tuple[int, Written]], now_ms: int, faults: list[Fault] | None = None
) -> tuple[list[Named], list[Fault]]:
    """The rules, each pattern once (its last line holds), and what is wrong with the others, by line."""
    faults = [] if faults is None else faults
    found: dict[str, Rule] = {}
    for at, one in written:
        if len(found) + len(faults) >= MAX_READ:
            faults.insert(0, Fault(f"line {at}", f"no installation takes more than {MAX_READ:,} rules"))
            break
        try:
            pattern, rule = fit(one, now_ms)
        except InvalidRule as fault:
            faults.append(Fault(f"line {at}", f"{one.pattern[:60]!r} is no rule: {fault}"))
        else:
            found[pattern] = rule
    return [Named(pattern, rule) for pattern, rule in found.items()], faults[:MAX_FAULTS]


def fit(written: Written, now_ms: int) -> Named:
    """The rule that was meant, with what holds where nothing is said: by e-mail, or by SMS for a telephone number, and
    for everything. InvalidRule."""
    pattern = rules.pattern_of(written.pattern)
    is_number = "@" not in pattern
    default: tuple[Channel, ...] = ("sms",) if is_number else ("email",)
    given = default if written.channels is None else written.channels
    channels = tuple(channel for channel in rules.CHANNELS if channel in given)
    if unknown := [one for one in given if one not in rules.CHANNELS]:
        raise InvalidRule(f"there is no channel {unknown[0][:20]!r}; there are {', '.join(rules.CHANNELS)}")
    if fault := rules.channels_fault(pattern, channels):
        raise InvalidRule(fault)
    scope: Scope | None = next((one for one in rules.SCOPES if one == (written.scope or "all")), None)
    if scope is None:
        raise InvalidRule(f"there is no scope {(written.scope or '')[:20]!r}; there are {', '.join(rules.SCOPES)}")
    note = written.note.strip()
    if len(note) > rules.MAX_NOTE_CHARS:
        raise InvalidRule(f"its note is longer than {rules.MAX_NOTE_CHARS} characters")
    since_ms = now_ms if written.since_ms is None else written.since_ms
    return Named(pattern, Rule(since_ms, channels, scope, note))


def write_text(named: Iterable[Named]) -> str:
    """One pattern on each line."""
    return "".join(f"{pattern}\n" for pattern, _ in named)


def write_csv(named: Iterable[Named]) -> str:
    """All that is known of each, as RFC 4180 has it."""
    file = io.StringIO(newline="")
    rows = csv.writer(file, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for pattern, rule in named:
        cells = (pattern, " ".join(rule.channels), rule.scope, rule.note, rfc3339(rule.since_ms))
        rows.writerow([_guarded(cell) for cell in cells])
    return file.getvalue()


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(LEADS) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(LEADS) else cell
