"""Files that are sent as a list and are no text, by how they begin: a table. Pure."""

#: What they are, whatever they are called, and what to do.
_BINARY = (
    (b"PK\x03\x04", "a workbook (.xlsx, .ods) or a ZIP: save the sheet as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "a workbook (.xls): save the sheet as CSV"),
    (b"\x1f\x8b", "compressed (gzip): unpack it"),
    (b"BZh", "compressed (bzip2): unpack it"),
    (b"\xfd7zXZ\x00", "compressed (xz): unpack it"),
    (b"%PDF", "a PDF"),
)
#: Bytes that have to be there to tell.
SIGN_BYTES = 6


def kind_of(first: bytes) -> str:
    """What a file that begins so is, "" if it may be text."""
    return next((what for sign, what in _BINARY if first.startswith(sign)), "")
