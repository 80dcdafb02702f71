"""Lines as rows of the table `staged` (`statements.py`), in the text format of PostgreSQL's COPY. Pure.

In that format a row is a line, `\\N` is null, and a backslash, a tab and line ends are written with a backslash before
them. An array is `{…}`; its texts stand in quotes, in which a backslash and a quote have a backslash before them, once
more. Nearly no text has any of these, and to find that out once a row costs a tenth of what a library does that looks
at each element.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from services.contacts.imports.columns import Field
from services.contacts.imports.lines import Kept, Line, folded
from services.contacts.imports.statements import CHOSEN, COLUMNS

_NULL = "\\N"
_IN_ARRAY = str.maketrans({"\\": "\\\\", '"': '\\"'})
_IN_LINE = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SPECIAL = re.compile(r'[\\"\t\n\r]')


def copied(rows: Iterable[Sequence[str]]) -> bytes:
    """What COPY takes."""
    return "".join(["\t".join(row) + "\n" for row in rows]).encode()


def rows(
    lines: Sequence[tuple[int, Line]], fields: Sequence[Field], numbers: dict[str, int]
) -> Iterator[Sequence[str]]:
    """Lines with these fields as rows of `staged`. `numbers`: by key that of a contact that is new."""
    texts_of, numbers_of, dates_of = (_picker(fields, (kind,)) for kind in ("text", "number", "date"))
    chosen_of = _picker(fields, CHOSEN)
    place = {field.name: index for index, field in enumerate(fields) if field.name in COLUMNS}
    email, mobile, telephone = (place.get(name) for name in COLUMNS)
    for number, line in lines:
        values = line.values
        texts = texts_of(values)
        address = None if email is None else values[email]
        contact = numbers.get(line.key)
        yield (
            str(number),
            _cell(line.key),
            _NULL if contact is None else str(contact),
            _cell(address),
            _NULL if address is None else _cell(str(address).lower()),
            _NULL if mobile is None else _cell(values[mobile]),
            _NULL if telephone is None else _cell(values[telephone]),
            _texts(texts),
            _texts([text and folded(text) for text in texts]),
            _plain(numbers_of(values)),
            _plain(dates_of(values)),
            _plain(sorted(choice for chosen in chosen_of(values) for choice in chosen or ())),
            _NULL if line.opts_in is None else "t" if line.opts_in else "f",
            line.status or _NULL,
        )


def _picker(fields: Sequence[Field], kinds: Sequence[str]) -> Callable[[list[Kept]], Sequence[Any]]:
    """What takes the values of fields of these kinds out of a line, in the order of the shape."""
    places = [index for index, field in enumerate(fields) if field.kind in kinds]
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda values: (values[places[0]],)) if places else (lambda _values: ())


def _cell(value: Kept) -> str:
    if value is None:
        return _NULL
    text = str(value)
    return text.translate(_IN_LINE) if _SPECIAL.search(text) else text


def _texts(texts: Sequence[str | None]) -> str:
    """An array of texts."""
    if None in texts:
        quoted = ["NULL" if text is None else f'"{_quoted(text)}"' for text in texts]
        return f"{{{','.join(quoted)}}}"
    if not texts:
        return "{}"
    joined = "".join(texts)  # type: ignore[arg-type]  # none of them is None
    if _SPECIAL.search(joined):
        return '{"' + '","'.join([_quoted(text) for text in texts if text is not None]) + '"}'
    return '{"' + '","'.join(texts) + '"}'  # type: ignore[arg-type]


def _quoted(text: str) -> str:
    return text.translate(_IN_ARRAY).translate(_IN_LINE) if _SPECIAL.search(text) else text


def _plain(values: Sequence[float | int | str | None]) -> str:
    """An array of numbers or of dates: none has a sign of the format in it."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
