"""Cells of a file that a spreadsheet opens and that are read back unchanged. Pure.

A cell that begins with one of `=+-@`, a tab or a line end would be a formula to whoever opens the file, or to a program
of theirs; such an address is easily made. It gets a `'` before it, and so does a cell that begins with `'`, so that
taking one away gives what there was. Line ends become `\\n` and `\\r`, and `\\` becomes `\\\\`: a row is a line.
"""

#: What makes a formula of a cell (OWASP, CSV Injection), in the wide form of East Asian keyboards, too; and our mark.
LEADS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")
_ESCAPED = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


def safe(text: str) -> str:
    """The cell for that text, without quotes."""
    if "\\" in text or "\n" in text or "\r" in text:
        text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{text}" if text.startswith(LEADS) else text


def read(cell: str) -> str:
    """The text of a cell that `safe` made."""
    text = cell.removeprefix("'")
    if "\\" not in text:
        return text
    at = 0
    found: list[str] = []
    while (end := text.find("\\", at)) >= 0:
        found += (text[at:end], _ESCAPED.get(text[end : end + 2], text[end : end + 2]))
        at = end + 2
    return "".join(found) + text[at:]


def quoted(text: str, delimiter: str) -> str:
    """The cell as it stands in a row, in quotes if it needs them."""
    text = safe(text)
    if '"' in text or delimiter in text:
        return '"' + text.replace('"', '""') + '"'
    return text
