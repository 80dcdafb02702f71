"""Where `{#` begins no comment of the template: inside of `<style>`, `<mj-style>` and `<script>`, as in
`@media (…){#main{…}}`.

There it is text, which `kept` marks, so that nothing that looks for comments finds it: its `#` becomes a noncharacter,
which no content may hold, so that all offsets stay what they are. `{{ … }}` and `{% … %}` are the template's there too.
The same goes for what stands in a comment of the HTML: mail programs read styles there (`<!--[if mso]><style>`).

A comment of the template that spans a tag of the HTML is refused: it begins more often by chance than on purpose, and
what would be gone is a piece of the mail.
"""

import re

from services.queueing.placeholders import end_of
from shared.mail.template_scan import fault_at

#: In place of `#`.
KEPT = "\ufdd5"
#: How the engine is told to print it. No character of it is escaped.
_PRINTED = "{{ '{#' }}"
_NEXT = re.compile(r"\{[{%#]|<!--|-->|<(?P<closes>/?)(?P<name>style|mj-style|script)(?=[\s/>])", re.IGNORECASE)
_REST_OF_TAG = re.compile(r"""(?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])))*+>""")
_TAG = re.compile(r"<[A-Za-z/!]")


def kept(source: str) -> str:
    """The source with the texts that look like comments marked. InvalidTemplate if a comment spans a tag."""
    if "{#" not in source:
        return source
    found: list[int] = []
    at = 0
    inside = ""
    in_comment = began_in_comment = False
    while (opening := _NEXT.search(source, at)) is not None:
        sign, start, at = opening[0], opening.start(), opening.end()
        if sign == "{#" and inside:
            found.append(start + 1)
        elif sign[0] == "{":
            end = end_of(source, start)
            if end < 0:
                break  # the scan says what is wrong
            if sign == "{#" and (tag := _TAG.search(source, start, end)) is not None:
                what = f"a comment of the template that spans a tag, {source[tag.start() : tag.start() + 20]!r}"
                raise fault_at(source, start, f"{what}: `{{% if false %}}` leaves out what is meant to be left out")
            at = end
        elif sign == "<!--":
            in_comment = in_comment or not inside
        elif sign == "-->":
            in_comment = False
            inside = "" if began_in_comment else inside
        elif inside:
            inside = "" if opening["closes"] and opening["name"].lower() == inside else inside
        elif not opening["closes"]:
            rest = _REST_OF_TAG.match(source, at)
            if rest is None:
                break
            inside, began_in_comment, at = opening["name"].lower(), in_comment, rest.end()
    pieces: list[str] = []
    at = 0
    for sign_at in found:
        pieces += (source[at:sign_at], KEPT)
        at = sign_at + 1
    return "".join([*pieces, source[at:]])


def given_back(text: str) -> str:
    """What was marked, as it stood there."""
    return text.replace(KEPT, "#")


def for_engine(source: str) -> str:
    """A template in which the engine takes what was marked for text."""
    return source.replace("{" + KEPT, _PRINTED)
