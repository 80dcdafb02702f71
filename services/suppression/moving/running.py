"""An import while it runs: how far it is, told each second, and how it ends."""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from services.suppression.moving.dumps import Dump
from services.suppression.moving.forms import Asked, Form
from services.suppression.moving.importing import Book, Import, NotAList, SoftBounces
from services.suppression.moving.imports import TELL_S, Imports, Progress, State
from services.suppression.moving.wishes import Wish
from shared.process import logs
from shared.redis.redis import RedisAway
from shared.tabular.encodings import charset
from shared.tabular.reader import Reader
from shared.tabular.rows import Rows
from shared.words.errors import Fault

LINES = Counter("estafette_suppression_import_lines_total", "Lines of imports by what became of them", ["result"])
ENDED = Counter(
    "estafette_suppression_imports_total",
    "Imports by how they ended, dry runs too: done, refused, broken_off while the file came in (nothing was changed), "
    "interrupted while the list was changed",
    ["end"],
)
RUNNING = Gauge("estafette_suppression_imports_running", "Imports that this process reads or applies")
_ended = {end: ENDED.labels(end) for end in ("done", "refused", "broken_off", "interrupted")}

_log = logs.get_logger()


class Source(NamedTuple):
    """How the file comes: as JSON or as a table, in an encoding and with a delimiter, "" where nobody said."""

    is_json: bool = False
    charset: str = ""
    delimiter: str = ""

    def reader(self, form: Form) -> Reader[Wish]:
        """UnknownCharset."""
        said = charset(self.charset) if self.charset else None
        return Dump(form) if self.is_json else Rows(form, said, self.delimiter, finds=True)


class Runs:
    """What all imports are made from. `monotonic` is in seconds."""

    def __init__(
        self,
        book: Book,
        softs: SoftBounces,
        imports: Imports,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._book = book
        self._softs = softs
        self.imports = imports
        self.now_ms = now_ms
        self._monotonic = monotonic

    def new(self, tenant: str, name: str, asked: Asked, source: Source, *, dry_run: bool) -> "Run":
        """An import of that id. UnknownCharset."""
        form = Form(asked, self.now_ms())
        reader = source.reader(form)
        import_ = Import(form, reader, self._book, self._softs, tenant, name, dry_run=dry_run)
        return Run(self.imports, import_, tenant, name, self.now_ms, self._monotonic, dry_run=dry_run)


class Run:
    """One import of a tenant, and what is told of it."""

    def __init__(
        self,
        imports: Imports,
        import_: Import,
        tenant: str,
        name: str,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        *,
        dry_run: bool,
    ) -> None:
        self.import_ = import_
        self._imports = imports
        self._tenant = tenant
        self._name = name
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._dry_run = dry_run
        self._started_ms = now_ms()
        self._told_s = monotonic()
        self._state: State = "reading"
        self._detail = ""
        self._is_running = False

    @property
    def progress(self) -> Progress:
        reader, telling = self.import_.reader, self.import_.telling
        return Progress(
            id=self._name,
            state=self._state,
            dry_run=self._dry_run,
            format=self.import_.format,
            encoding=reader.encoding,
            started_ms=self._started_ms,
            updated_ms=self._now_ms(),
            lines=self.import_.lines,
            counts={str(word): count for word, count in telling.counts.items()},
            told=telling.told,
            warnings=self._warnings(),
            detail=self._detail,
        )

    def _warnings(self) -> list[Fault]:
        warnings = list(self.import_.reader.warnings)
        if self.import_.reader.was_found:
            what = "the body is not UTF-8 and was read as windows-1252; if it is another charset, say it: ?charset="
            warnings.append(Fault("body", what))
        if again := self.import_.telling.counts["reactivated"]:
            will = "would be" if self._dry_run else "are"
            warnings.append(Fault("body", f"{again} addresses {will} mailed again; the report names each of them"))
        return warnings

    async def read(self, received: bytes, *, last: bool = False) -> None:
        """A piece of the file. NotAList: it has ended, and nothing was changed. RedisAway."""
        try:
            await self.import_.read(received, last=last)
            await self.tell()
        except NotAList as fault:
            await self.end("refused", str(fault))
            raise

    async def begin(self) -> bool:
        """Whether it has begun: False if there is one of its id."""
        self._is_running = await self._imports.begin(self._tenant, self.progress)
        if self._is_running:
            RUNNING.inc()
        return self._is_running

    async def tell(self) -> None:
        """How far it is, where that was not told for a second."""
        if self._monotonic() - self._told_s >= TELL_S:
            self._told_s = self._monotonic()
            await self._imports.save(self._tenant, self.progress)

    async def apply(self) -> Progress:
        """What was read; the end of it is told. RedisAway."""
        self._state = "applying"
        try:
            await self._imports.save(self._tenant, self.progress)
            await self.import_.apply(self._now_ms(), self.tell)
            await self.end("done")
        except BaseException:
            await self.end("interrupted", "storage was away, or the process ended: send the file again")
            raise
        return self.progress

    async def end(self, state: State, detail: str = "") -> None:
        """The report is kept, and why it ended. A storage that is away leaves both untold: who looks finds that nothing
        was heard of it any more."""
        _ended["broken_off" if (self._state, state) == ("reading", "interrupted") else state].inc()
        self._state, self._detail = state, detail
        self.import_.close()
        counts = self.import_.telling.counts
        named = {"tenant": self._tenant, "import": self._name, "dry_run": self._dry_run}
        _log.info("suppressions_imported", **named, state=state, lines=self.import_.lines, **counts)
        if counts["reactivated"] and not self._dry_run:
            _log.warning("suppressions_reactivated", **named, addresses=counts["reactivated"])
        for word, count in counts.items():
            LINES.labels(word).inc(count)
        if self._is_running:
            self._is_running = False
            RUNNING.dec()
        try:
            await self._imports.save_report(self._tenant, self._name, self.import_.telling.rows())
            await self._imports.save(self._tenant, self.progress)
        except RedisAway:
            _log.warning("import_not_told", **named)
