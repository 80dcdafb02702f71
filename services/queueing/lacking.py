"""What recipients lack: the variables without which a mail shows nothing, and those that nobody has."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.queueing.placeholders import Placeholder
from shared.mail import templates
from shared.mail.showing import piece_shows, pieces, shows
from shared.redis.recipients import Waiting
from shared.words import content, variables
from shared.words.content import CompiledContent, Part, Variable
from shared.words.languages import fitting

Path = tuple[str, ...]

#: Variables of which one has to show something. Empty: something shows in any case. None: nothing ever does.
Needs = list[Path] | None

EMPTY_SUBJECT, EMPTY_BODY = "empty_subject", "empty_body"


def needs_of_text(source: str, found: Sequence[Placeholder]) -> Needs:
    """Of a text or a subject."""
    if shows(_masked(source, found, " ")):
        return []
    return _some([_paths(found)] if shows(_masked(source, found, "x")) else [])


def needs_of_html(source: str, found: Sequence[Placeholder]) -> Needs:
    """Of an HTML."""
    printed, blank = _masked(source, found, "x"), _masked(source, found, " ")
    needs: list[list[Path]] = []
    for piece in pieces(printed):
        if piece_shows(printed, piece):
            if piece_shows(blank, piece):
                return []
            needs.append(_paths([one for one in found if piece.start <= one.start < piece.end]))
    return _some(needs)


def _some(needs: Sequence[Sequence[Path]]) -> Needs:
    """Of pieces of which each shows something if one of its variables does; without one it does in any case."""
    if not needs:
        return None
    all_of_them = list(dict.fromkeys(path for one in needs for path in one))
    return [] if any((page,) in all_of_them for page in content.PAGES) or not all(needs) else all_of_them


def _paths(found: Sequence[Placeholder]) -> list[Path]:
    return [one.path for one in found if one.kind == "variable"]


def _masked(source: str, found: Sequence[Placeholder], letter: str) -> str:
    """With this letter in place of what prints."""
    cut: list[str] = []
    at = 0
    for one in found:
        prints = one.kind in ("variable", "expression")
        cut += (source[at : one.start], (letter if prints else " ") * (one.end - one.start))
        at = one.end
    return "".join([*cut, source[at:]])


class Lacks:
    """Asked of one recipient after the other."""

    def __init__(self, compiled: CompiledContent, defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults
        subject = compiled.subject
        static = "".join(piece for piece in subject.pieces if isinstance(piece, str))
        is_open = not subject.template and not shows(static)
        self._subject = [piece.path for piece in subject.pieces if isinstance(piece, Variable)] if is_open else []
        parts = [item for item in compiled.body if isinstance(item, Part) and item.kind != "amp"]
        is_open = not any(part.template or part.needs == [] for part in parts)
        self._body = [path for part in parts for path in part.needs or ()] if is_open else []
        self._unseen = {path: ".".join(path) for path in (tuple(one.split(".")) for one in compiled.uses)}

    def reason(self, waiting: Waiting) -> str | None:
        """Why the recipient would get an empty mail, in one word; None if not, as far as can be told without
        the engine."""
        if not self._subject and not self._body and not self._unseen:
            return None
        values = self._values(waiting)
        for path in [path for path in self._unseen if has(values, path)]:
            del self._unseen[path]
        if self._subject and not _one_shows(values, self._subject):
            return EMPTY_SUBJECT
        return EMPTY_BODY if self._body and not _one_shows(values, self._body) else None

    def unseen(self) -> list[str]:
        """Paths of the variables that nobody had of whom was asked."""
        return list(self._unseen.values())

    def _values(self, waiting: Waiting) -> dict[str, Any]:
        values = {**self._defaults, "email": waiting.email}
        if waiting.name:
            values["name"] = waiting.name
        values.update(variables.decoded(waiting.variables))
        values |= content.TRIED_PAGES
        return values


class LacksByLanguage:
    """The same of a content with translations: each recipient is asked of that in their language."""

    def __init__(self, compiled: CompiledContent, defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults
        self._default = Lacks(compiled, defaults)
        self._translated = {
            language: Lacks(content.in_language(compiled, language), defaults) for language in compiled.variants
        }

    def reason(self, waiting: Waiting) -> str | None:
        lacks = self._default
        if self._translated:
            language = fitting(variables.language(self._defaults, waiting.variables), self._translated)
            lacks = self._translated.get(language, lacks)
        return lacks.reason(waiting)

    def unseen(self) -> list[str]:
        every = [one.unseen() for one in self._translated.values()]
        return [path for path in self._default.unseen() if all(path in one for one in every)]


def _one_shows(values: Mapping[str, Any], paths: Sequence[Path]) -> bool:
    try:
        return any(shows(templates.printed(variables.look_up(values, path))) for path in paths)
    except templates.TemplateFailed:
        return True  # the rendering says what is wrong


def without_default(compiled: CompiledContent) -> list[str]:
    """Paths of the variables that the content names, and a recipient has to bring: neither the job's defaults nor the
    engine have them."""
    values = {**variables.decoded(compiled.variables), "email": "somebody@example.com", **content.TRIED_PAGES}
    return [path for path in compiled.uses if not has(values, tuple(path.split(".")))]


def has(values: Mapping[str, Any], path: Path) -> bool:
    """Whether the name is defined; of a name inside of something that is not a dict, that is not said here."""
    value: Any = values
    for name in path:
        if not isinstance(value, dict):
            return True
        if value.get(name) is None:
            return False
        value = value[name]
    return True
