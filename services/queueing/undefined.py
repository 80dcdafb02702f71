"""Variables that nobody has, and where the content names them: what a job refuses that says `"undefined": "refuse"`.

A name is refused where it is printed, compared or looped over. A content that asks whether it is there (`is defined`),
or says what stands in its place (`|default("vous")`), has thought of it: there it is no mistake.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from services.queueing import personal, raw_text
from services.queueing.placeholders import placeholders
from shared.mail.template_scan import EXCERPT_CHARS
from shared.words.errors import Fault

#: A string, which names nothing; or a name with what is looked up in it, and whether the content thought of its being
#: absent.
_NAMED = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"
    |(?<![\w.])(?P<path>[^\W\d]\w*(?:\s*\.\s*[^\W\d]\w*)*)
     (?P<thought_of>\s*(?:\|\s*(?:default|d)\b|is\s+(?:not\s+)?(?:defined|undefined|none)\b))?""",
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"\s+")
_WHAT = "no recipient has the variable `{}`, and the job has no default for it"


def sources(
    texts: Mapping[str, str | None],
    htmls: Mapping[str, str | None],
    from_: str,
    reply_to: str | None,
    headers: Mapping[str, str],
) -> list[tuple[str, str]]:
    """The templates of a job, each with its place in it. `texts` and `htmls` are its fields by name."""
    own = personal.sources(from_, reply_to or "", headers)
    found = [(personal.place(name), source) for name, source in own.items()]
    found += [(f"$.{name}", source or "") for name, source in texts.items()]
    found += [(f"$.{name}", raw_text.kept(source or "")) for name, source in htmls.items()]
    return [(at, source) for at, source in found if source]


def faults(templates: Sequence[tuple[str, str]], paths: Sequence[str]) -> dict[str, Fault]:
    """What is wrong if nobody has them, by path (`order.total`), with the line, the column and an excerpt of the first
    place that names it. `templates` are those of `sources`, which compile."""
    first, thought_of = _first(templates, paths)
    return {
        path: _fault(*first[path], path) if path in first else Fault("$", _WHAT.format(path))
        for path in paths
        if path not in thought_of
    }


def lines(templates: Sequence[tuple[str, str]], paths: Sequence[str]) -> dict[str, tuple[str, int | None]]:
    """The same as places alone, each with its line."""
    first, thought_of = _first(templates, paths)
    found: dict[str, tuple[str, int | None]] = {}
    for path in paths:
        if path not in thought_of:
            at, source, start = first.get(path, ("$", "", 0))
            found[path] = (at, source.count("\n", 0, start) + 1 if source else None)
    return found


def _first(
    templates: Sequence[tuple[str, str]], paths: Sequence[str]
) -> tuple[dict[str, tuple[str, str, int]], set[str]]:
    """Where each path is named first: the place, its template, and where in that; and those that the content thought
    of as absent."""
    wanted = set(paths)
    first: dict[str, tuple[str, str, int]] = {}
    thought_of: set[str] = set()
    for at, source in templates:
        for path, start, is_thought_of in _named(source):
            for name in _beginnings(path):
                if name in wanted:
                    if is_thought_of:
                        thought_of.add(name)
                    first.setdefault(name, (at, source, start))
    return first, thought_of


def packed(wanted: Mapping[str, Fault]) -> bytes:
    """As an open job keeps it, for its start."""
    return msgspec.json.encode(wanted)


def of_open_job(stored: bytes) -> dict[str, Fault]:
    """What `packed` wrote."""
    return msgspec.json.decode(stored, type=dict[str, Fault]) if stored else {}


def _named(source: str) -> Iterator[tuple[str, int, bool]]:
    """Every path that a tag names, where it stands, and whether the content thought of its being absent."""
    for one in placeholders(source):
        if one.kind == "comment":
            continue
        for found in _NAMED.finditer(source, one.start + 2, one.end - 2):
            if found["path"]:
                yield _BLANK.sub("", found["path"]), found.start("path"), bool(found["thought_of"])


def _beginnings(path: str) -> Iterator[str]:
    """`a.b.c`, `a.b`, `a`."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def _fault(at: str, source: str, start: int, path: str) -> Fault:
    line = source.count("\n", 0, start) + 1
    column = start - source.rfind("\n", 0, start)
    excerpt = source[start : start + EXCERPT_CHARS].partition("\n")[0]
    return Fault(at, raw_text.given_back(f"line {line}, column {column}: {_WHAT.format(path)}, at {excerpt!r}"))
