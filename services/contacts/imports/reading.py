"""A file of contacts, from its bytes to batches of lines: always the same ones, whoever reads it and how often.

All of a file is read before anything of it is written, because only then it is known which line of a key is the last
(E14), and whether it is a file of contacts at all. Lines are put aside by their key (`shared.tabular.last_lines`);
batches are made of them in the order of the parts, and a part is a hash of the key that the process does not choose.
So the number of a batch says what is in it, and a file that was left in the middle goes on with the first batch that
was not done.
"""

import tempfile
from collections.abc import Iterator
from zlib import crc32

import msgspec

from services.contacts.base.folding import folded
from services.contacts.imports.columns import Field, Fields
from services.contacts.imports.lines import Contacts, Form, Layout, Line
from services.contacts.imports.staging import Words
from services.contacts.imports.writing import Batch, Told, Written
from shared.tabular import signs
from shared.tabular.encodings import charset
from shared.tabular.last_lines import PARTS, LastLines
from shared.tabular.reader import MOST_BLANK_LINES, MOST_FAULTS, Reader
from shared.tabular.rows import Rows
from shared.words.errors import Fault

#: Lines of a batch: enough that a transaction costs little of it, and few enough that nobody waits for it long. Who
#: changes it, while files are half done, has their lines in other batches.
BATCH = 2000
#: Lines that are told in a report; the others are counted.
MOST_TOLD = 50_000
#: Of what is put aside before it goes to the disk, in bytes.
_IN_MEMORY_BYTES = 8_388_608


class Asked(msgspec.Struct, frozen=True):
    """How a file is to be read: as JSON or as a table, in an encoding and with a delimiter, "" where nobody said; by
    which fields, the key among them, as they were when the file came (one that goes on is read by the same); and which
    column is which of them, None if that is to be guessed."""

    key: str
    fields: list[Field]
    is_json: bool = False
    charset: str = ""
    delimiter: str = ""
    mapping: dict[str, str | None] | None = None


class NoContacts(ValueError):
    """What came cannot be read as a file of contacts at all; nothing was written. The faults say why."""

    def __init__(self, what: str, faults: list[Fault]) -> None:
        super().__init__(what)
        self.faults = faults


class Reading:
    """One file. `read` it piece by piece, then take its `batches`; `close` it."""

    def __init__(self, asked: Asked, parts: int = PARTS, batch: int = BATCH) -> None:
        """UnknownCharset."""
        form = Form(Fields(asked.fields, asked.key), asked.mapping)
        said = charset(asked.charset) if asked.charset else None
        self._rows = None if asked.is_json else Rows(form, said, asked.delimiter, finds=True)
        self._contacts = Contacts(form) if asked.is_json else None
        self._reader: Reader[Line] = self._rows or self._contacts  # type: ignore[assignment]  # one of them is
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  (it lives as long as this does)
        self._last = LastLines(
            Line, lambda line: line.key, lambda line: crc32(line.key.encode()) % parts, parts, self._file
        )
        self._batch = batch
        #: By the number of a field words that it does not have yet, by how they are compared.
        self.new_words: dict[int, dict[str, str]] = {}
        self._open = [field for field in asked.fields if field.is_open]
        self._known_words = {(one.number, folded(word)): at for one in self._open for word, at in one.choices.items()}
        self._first: bytes | None = b""
        self._blank_lines = 0
        self._faults: list[Fault] = []
        self.lines = 0
        self.refused = 0
        #: Refused lines, as many as are told.
        self.told: list[Told] = []

    @property
    def encoding(self) -> str:
        return self._reader.encoding

    def warnings(self) -> list[Fault]:
        found = list(self._reader.warnings)
        if self._reader.was_found:
            what = "the file is not UTF-8 and was read as windows-1252; if it is another charset, say it: ?charset="
            found.append(Fault("file", what))
        return found

    def read(self, received: bytes, *, last: bool = False) -> Iterator[None]:
        """A piece of the file; whoever reads may do something else after each line. NoContacts."""
        if self._first is not None:
            self._first += received
            if len(self._first) < signs.SIGN_BYTES and not last:
                return
            received, self._first = self._first, None
            if kind := signs.kind_of(received):
                raise NoContacts(f"the file is {kind}", [])
        for number, line in self._reader.feed(received, last=last):
            self._take(number, line)
            yield
        self._check(last=last)

    def _take(self, number: int, line: Line | Fault | None) -> None:
        if line is None:
            self._blank_lines += 1
            return
        self.lines += 1
        if isinstance(line, Fault):
            self.refused += 1
            if len(self.told) < MOST_TOLD:
                self.told.append(Told(number, "", "refused", f"{line.at}: {line.what}"))
            if len(self._faults) < 100:
                self._faults.append(line)
        else:
            self._last.add(number, line)
            if self._open:
                self._learn(line)

    def _learn(self, line: Line) -> None:
        for value, field in zip(line.values, self._layouts()[line.layout].fields, strict=True):
            if field.is_open and isinstance(value, list):
                new = {folded(str(word)): str(word) for word in value}
                for key, word in new.items():
                    if (field.number, key) not in self._known_words:
                        self.new_words.setdefault(field.number, {}).setdefault(key, word)

    def _check(self, *, last: bool) -> None:
        if self.refused == self.lines and (last or self._reader.is_over):
            first = (
                f"{self._faults[0].at}: {self._faults[0].what}" if self._faults else "the file has no line of a contact"
            )
            raise NoContacts(first, self._faults)
        if self.refused >= MOST_FAULTS and 2 * self.refused > self.lines:
            raise NoContacts(
                f"{self.refused} of the first {self.lines} lines cannot be read; {self._faults[0].what}", self._faults
            )
        if self._blank_lines >= MOST_BLANK_LINES:
            raise NoContacts(f"{self._blank_lines} lines have nothing in them", [])

    def batches(
        self,
        tenant: int,
        import_: int,
        *,
        dry_run: bool = False,
        only_new: bool = False,
        learned: Words | None = None,
    ) -> Iterator[Batch]:
        """All of them, from the first one on. `learned`: the numbers of the new words; None where they were not given
        any, because nothing is written."""
        words = {**self._known_words, **(self._provisional() if learned is None else learned)}
        room = MOST_TOLD - len(self.told)
        layouts = self._layouts()
        replaced: list[Told] = []
        count = 0

        def replace(line: int, one: Line, by: int) -> None:
            nonlocal count, room
            count += 1
            if room > 0:
                room -= 1
                replaced.append(Told(line, one.key, "replaced", f"line {by} is about the same contact"))

        waiting: list[tuple[int, Line]] = []
        number = 0
        for part in self._last.of_each(replace):
            waiting += part
            while len(waiting) >= self._batch:
                lines, waiting = waiting[: self._batch], waiting[self._batch :]
                yield Batch(tenant, import_, number, lines, layouts, count, tuple(replaced), dry_run, only_new, words)
                number, count = number + 1, 0
                replaced.clear()
        if waiting:
            yield Batch(tenant, import_, number, waiting, layouts, count, tuple(replaced), dry_run, only_new, words)

    def _provisional(self) -> Words:
        """Numbers that no word has: those of a field are given from 0 on."""
        return {
            (field, key): (field << 16) + 65_535 - place
            for field, words in self.new_words.items()
            for place, key in enumerate(words)
        }

    def _layouts(self) -> list[Written]:
        table = self._rows.table if self._rows is not None else None
        found = [table] if table is not None else self._contacts.layouts if self._contacts is not None else []
        return [_written(layout) for layout in found if isinstance(layout, Layout)]

    def close(self) -> None:
        self._file.close()


def _written(layout: Layout) -> Written:
    return Written(layout.fields, layout.columns.opt_in is not None, layout.columns.status is not None)
