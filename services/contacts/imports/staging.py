"""Lines as rows of the table `staged` (`statements.py`), in the text format of PostgreSQL's COPY. Pure.

In that format a row is a line, `\\N` is null, and a backslash, a tab and line ends are written with a backslash before
them. An array is `{…}`; its texts stand in quotes, in which a backslash and a quote have a backslash before them, once
more. Nearly no text has any of these, and to find that out once a row costs a tenth of what a library does that looks
at each element.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from services.contacts.base.folding import folded
from services.contacts.imports.columns import Field
from services.contacts.imports.lines import Kept, Line
from services.contacts.imports.statements import CHOSEN, COLUMNS, in_slots

#: By the number of a field and a word as it is compared: the word's number.
Words = Mapping[tuple[int, str], int]

_NULL = "\\N"
_IN_ARRAY = str.maketrans({"\\": "\\\\", '"': '\\"'})
_IN_LINE = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SPECIAL = re.compile(r'[\\"\t\n\r]')


def copied(rows: Iterable[Sequence[str]]) -> bytes:
    """What COPY takes."""
    return "".join(["\t".join(row) + "\n" for row in rows]).encode()


def rows(
    lines: Sequence[tuple[int, Line]], fields: Sequence[Field], numbers: Mapping[str, int], words: Words
) -> Iterator[Sequence[str]]:
    """Lines with these fields as rows of `staged`. `numbers`: by key that of a contact that is new; `words`: the number
    of each word of a field that takes new ones."""
    texts_of, numbers_of, dates_of = (_picker(in_slots(fields, kind), fields) for kind in ("text", "number", "date"))
    chosen_of = _picker([one for one in fields if one.kind in CHOSEN and not one.is_open], fields)
    open_fields = [(index, field.number) for index, field in enumerate(fields) if field.is_open]
    place = {field.name: index for index, field in enumerate(fields) if field.name in COLUMNS}
    email, mobile, telephone = (place.get(name) for name in COLUMNS)
    for number, line in lines:
        values = line.values
        chosen = [choice for some in chosen_of(values) if some for choice in some]
        if open_fields:
            chosen += _new(values, open_fields, words)
        texts = _texts(texts_of(values))
        address = _NULL if email is None else _cell(values[email])
        contact = numbers.get(line.key)
        yield (
            str(number),
            _cell(line.key),
            _NULL if contact is None else str(contact),
            address,
            address if address is _NULL else address.lower(),
            _NULL if mobile is None else _cell(values[mobile]),
            _NULL if telephone is None else _cell(values[telephone]),
            texts,
            folded(texts),  # nothing that stands between them folds with them, and NULL may be written as null
            _numbers(numbers_of(values)),
            f"{{{','.join([date or 'NULL' for date in dates_of(values)])}}}",
            _numbers(sorted(chosen)),
            _NULL if line.opts_in is None else "t" if line.opts_in else "f",
            line.status or _NULL,
        )


def _new(values: Sequence[Kept], places: Iterable[tuple[int, int]], words: Words) -> Iterator[int]:
    """Those of the words of fields that take new ones."""
    for place, field in places:
        chosen = values[place]
        if isinstance(chosen, list):
            yield from {words[field, folded(str(word))] for word in chosen}


def _picker(wanted: Sequence[Field], fields: Sequence[Field]) -> Callable[[list[Kept]], Sequence[Any]]:
    """What takes the values of the wanted fields, in their order, out of a line with these."""
    places = [fields.index(field) for field in wanted]
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda values: (values[places[0]],)) if places else (lambda _values: ())


def _cell(value: Kept) -> str:
    if value is None:
        return _NULL
    text = str(value)
    return text.translate(_IN_LINE) if _SPECIAL.search(text) else text


def _texts(texts: Sequence[str | None]) -> str:
    """An array of texts. None of them has a control character but line ends and tabs in it."""
    if not texts:
        return "{}"
    joined = "\0".join(["\1" if text is None else text for text in texts])
    if _SPECIAL.search(joined):
        return "{" + ",".join(["NULL" if text is None else f'"{_quoted(text)}"' for text in texts]) + "}"
    return ('{"' + joined.replace("\0", '","') + '"}').replace('"\1"', "NULL")


def _quoted(text: str) -> str:
    return text.translate(_IN_ARRAY).translate(_IN_LINE) if _SPECIAL.search(text) else text


def _numbers(values: Sequence[float | int | None]) -> str:
    """An array of numbers, which none has a sign of the format in it."""
    return f"{{{','.join(map(str, values)).replace('None', 'NULL')}}}"
