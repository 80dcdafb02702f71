"""Whether a mail would be empty for its recipient: a subject, or a body, that shows nothing (`shared.mail.showing`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from shared.mail import templates
from shared.mail.showing import html_shows, shows
from shared.mail.templates import escaped
from shared.making.islands import Island, Piece, cut
from shared.making.layout import Marks
from shared.words import variables
from shared.words.content import (
    UNSUBSCRIBE_URL,
    CompiledContent,
    Link,
    Part,
    Subject,
)
from shared.words.way_out import FORMS, WAY_OUT

Reason = Literal["", "empty_subject", "empty_body"]


class Line:
    """A line that may depend on the recipient: the subject, or what a header field says. `name` is that of its
    template, if it holds logic."""

    def __init__(self, name: templates.Name, line: Subject) -> None:
        self._name = name
        self._line = line

    @property
    def static(self) -> str:
        """What it says to everybody."""
        return "".join(piece for piece in self._line.pieces if isinstance(piece, str))

    def text(self, values: Mapping[str, Any], texts: Mapping[templates.Name, str]) -> str:
        """For one recipient; `texts` are the parts of logic. templates.TemplateFailed."""
        if self._line.template:
            return texts[self._name]
        return "".join(
            piece if isinstance(piece, str) else templates.printed(variables.look_up(values, piece.path))
            for piece in self._line.pieces
        )


class Emptiness:
    """Of the mails of one job."""

    def __init__(self, compiled: CompiledContent, subject: Line, marks: Marks) -> None:
        self._subject_shows = shows(subject.static)
        self._marks = marks
        # What few programs show is no content.
        parts = [item for item in compiled.body if isinstance(item, Part) and item.kind != "amp"]
        self._cuts = {part.kind: cut(part.template).pieces for part in parts if part.template}
        self._needs = [path for part in parts for path in part.needs or ()]
        #: Blocks could hide the text around them, in a comment that one of them begins; nobody writes that.
        self._body_shows = (
            not parts
            or any(not part.template and part.needs == [] for part in parts)
            or any(_shows(kind, _joined(pieces, {})) for kind, pieces in self._cuts.items())
        )

    @property
    def is_possible(self) -> bool:
        """Whether it takes the recipient to know."""
        return not (self._subject_shows and self._body_shows)

    def reason(self, subject: str, values: Mapping[str, Any], texts: Mapping[templates.Name, str]) -> Reason:
        """What is empty for the recipient, whose mail has this subject. templates.TemplateFailed."""
        if not self._subject_shows and not shows(subject):
            return "empty_subject"
        if self._body_shows or any(shows(templates.printed(variables.look_up(values, path))) for path in self._needs):
            return ""
        for kind, pieces in self._cuts.items():
            numbers = [piece.number for piece in pieces if isinstance(piece, Island)]
            islands = self._marks.islands(texts[kind], len(numbers)) if numbers else []
            whole = _joined(pieces, dict(zip(numbers, islands, strict=True)))
            text = self._marks.replace(whole, lambda _, value: value, "")
            words = str(values.get(WAY_OUT, ""))
            words = escaped(words) if kind == "html" else words
            if _shows(kind, text, str(values.get(UNSUBSCRIBE_URL, "")), words):
                return ""
        return "empty_body"


def _shows(kind: str, text: str, url: str = "", words: str = "") -> bool:
    """But for the link to leave that is added to it: to there, with these words."""
    text = text.replace(FORMS[kind].format(url=url, words=words), "")
    return html_shows(text) if kind == "html" else shows(text)


def _joined(pieces: Sequence[Piece], islands: Mapping[int, str]) -> str:
    """The whole, with these islands, and none where there is none; the pixel shows nothing."""
    found: list[str] = []
    for piece in pieces:
        match piece:
            case str():
                found.append(piece)
            case Island(number):
                found.append(islands.get(number, ""))
            case Link(source=source):
                found += [one for one in source if isinstance(one, str)]
            case _:
                pass
    return "".join(found)
