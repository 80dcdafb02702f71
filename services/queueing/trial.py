"""A content is tried before it is taken: with its first recipients, and as what a relay would make of it.

What cannot be rendered for any of them, or shows nothing to any of them, is refused; the first for whom all goes well
ends the trial. Without recipients, as in a job that is opened, only what fails whatever the variables are is found.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from services.queueing import raw_text
from shared.mail import addresses, templates
from shared.mail.showing import html_shows, shows
from shared.mail.template_scan import EXCERPT_CHARS, scan
from shared.words import variables
from shared.words.content import TRIED_PAGES
from shared.words.errors import Fault

#: Recipients that are tried at most: a fault of the template shows with the first, one of the data seldom stands in
#: ten rows after each other.
MAX_TRIED = 10
#: Faults reported of a trial: those of the first recipients are what the others' would be.
MAX_TOLD = 3
#: Variables that are named at most.
MAX_USES = 1_000
#: What undefined names are called that the engine defines.
_ENGINES = frozenset(("range", "dict", "namespace", "debug", "cycler", "joiner", "loop", "self", "super", "caller"))
#: Where the trial ends before its question's processor time does.
_MAX_RENDERINGS = 16


_PART_SHOWS: Mapping[templates.Name, Callable[[str], bool]] = {"text": shows, "html": html_shows}


class Tried(msgspec.Struct, frozen=True, array_like=True):
    """A recipient that a content is tried with. `own` is the msgpack map of their variables."""

    email: str
    name: str = ""
    own: msgspec.Raw = variables.NONE


class Trial:
    """Compiles one source after the other, and then tries them all. `limit` bounds the processor time, in seconds, of
    what follows; 0: no more. `language` is that of recipients who have none."""

    def __init__(
        self, defaults: msgspec.Raw, tried: Sequence[Tried], limit: Callable[[float], None], language: str = ""
    ) -> None:
        self._language = language
        self._defaults = defaults
        self._tried = tried[:MAX_TRIED]
        self._limit = limit
        self._compiled: dict[templates.Name, templates.Templates] = {}
        self._sources: dict[templates.Name, str] = {}
        self._at: dict[templates.Name, str] = {}
        self._uses: set[str] = set()
        self._body: list[templates.Name] = []
        self._addresses: set[templates.Name] = set()

    def compiles(
        self, name: templates.Name, source: str, faults: list[Fault], at: str = "", *, is_address: bool = False
    ) -> bool:
        """Whether it does; `at` is its place in the job, where that is not its name. `is_address`: what it renders has
        to be one, or empty."""
        at = at or f"$.{name}"
        try:
            compiled = templates.Templates({name: source}, located=True, language=self._language)
            if is_address:
                self._addresses.add(name)
            if is_address or not scan(source).plain:
                self._compiled[name], self._sources[name], self._at[name] = compiled, source, at
        except templates.InvalidTemplate as error:
            faults.append(Fault(at, raw_text.given_back(f"the template does not compile: {error}")))
            return False
        self._uses |= compiled.uses(name) - _ENGINES
        return True

    def uses_also(self, paths: Collection[str]) -> None:
        """What is put into the sources afterwards names these."""
        self._uses |= set(paths)

    @property
    def uses(self) -> list[str]:
        """Paths of the variables that the sources name, such as `order.total`."""
        return sorted(self._uses)[:MAX_USES]

    def faults(self, body: Sequence[templates.Name]) -> list[Fault]:
        """What refuses the content; to be asked once all compile. One of the parts of `body` has to show something; if
        there are none, something does already."""
        if not self._compiled:
            return []
        self._body = [name for name in body if name in self._compiled]
        if not self._tried:
            _, fault = self._failure(Tried("somebody@example.com", "Somebody"), for_nobody=True)
            return [fault] if fault is not None else []
        found: dict[Fault, None] = {}
        number = renderings = 0
        for one in self._tried:
            if renderings + len(self._compiled) > _MAX_RENDERINGS and renderings:
                break
            always, fault = self._failure(one)
            if fault is None:
                return []
            found[fault] = None
            number, renderings = number + 1, renderings + len(self._compiled)
            if always:
                return [fault]
        so = "for the recipient" if number == 1 else f"for each of the {number} recipients that were tried"
        return [Fault(fault.at, f"{fault.what} ({so})") for fault in list(found)[:MAX_TOLD]]

    def _failure(self, one: Tried, *, for_nobody: bool = False) -> tuple[bool, Fault | None]:
        """What goes wrong for a recipient, and whether it would for everybody. `for_nobody`: the variables are made
        up, and tell nothing else."""
        always: Fault | None = None
        other: Fault | None = None
        texts: dict[templates.Name, str] = {}
        for name, compiled in self._compiled.items():
            self._limit(templates.RENDER_CPU_S)
            try:
                # Fresh ones each time, as the relay has them.
                values = variables.of_recipient(self._defaults, one.own, one.email, one.name, TRIED_PAGES)
                texts[name] = compiled.render(name, values)
            except templates.TemplateFailed as error:
                fault = Fault(self._at[name], f"the template fails: {self._told(name, error)}")
                always, other = (always or fault, other) if error.always else (always, other or fault)
            except variables.TooDeep as error:
                other = other or Fault(self._at[name], str(error))
            finally:
                self._limit(0)
        if always is not None:
            return True, always
        return False, None if for_nobody else other or self._no_address(texts) or self._empty(texts)

    def _no_address(self, texts: Mapping[templates.Name, str]) -> Fault | None:
        for name in self._addresses:
            try:
                if shows(texts[name]):
                    addresses.parse(texts[name].strip())
            except addresses.InvalidAddress as error:
                return Fault(self._at[name], f"not an address when it is rendered: {error}")
        return None

    def _empty(self, texts: Mapping[templates.Name, str]) -> Fault | None:
        if "subject" in texts and not shows(texts["subject"]):
            return Fault("$.subject", "is empty when it is rendered")
        if self._body and not any(_PART_SHOWS[name](texts[name]) for name in self._body):
            return Fault(self._at[self._body[-1]], "the content is empty when it is rendered: no text, and no picture")
        return None

    def _told(self, name: templates.Name, error: templates.TemplateFailed) -> str:
        if error.offset < 0:
            return str(error)
        source = self._sources[name]
        line = source.count("\n", 0, error.offset) + 1
        column = error.offset - source.rfind("\n", 0, error.offset)
        excerpt = source[error.offset : error.offset + EXCERPT_CHARS].partition("\n")[0]
        return raw_text.given_back(f"line {line}, column {column}: {error}, at {excerpt!r}")
