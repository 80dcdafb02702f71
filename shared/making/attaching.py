"""Files of one recipient, put into their mail: the parts that a job's content does not have. Pure.

    multipart/mixed     they stand behind the job's own files
    any other body      multipart/mixed around it and them

A boundary begins with `=_`, which stands nowhere in what was encoded (RFC 2045 section 6.7), and goes on with a digest.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from shared.mail import attached
from shared.mail.attached import File
from shared.making.render import RenderedMail

#: What describes a body, and goes with it where it becomes a part.
_DESCRIBING = (b"content-type", b"content-transfer-encoding")
_MIXED = re.compile(rb'multipart/mixed;\s*boundary="([^"]+)"')


def attached_to(mail: RenderedMail, files: Sequence[File]) -> RenderedMail:
    """The mail with these files at its end; as it was, without any."""
    if not files:
        return mail
    described = {name.lower(): value for name, value in mail.headers if name.lower() in _DESCRIBING}
    content_type = described.get(b"content-type", b"text/plain")
    mixed = _MIXED.fullmatch(content_type)
    if mixed and mail.body.endswith(end := b"--%b--\r\n" % mixed[1]):
        parts = b"".join(_part(mixed[1], file) for file in files)
        return msgspec.structs.replace(mail, body=b"".join((mail.body.removesuffix(end), parts, end)))
    boundary = b"=_" + blake2b(content_type, digest_size=12, person=b"own files").hexdigest().encode("ascii")
    fields = b"".join(b"%b: %b\r\n" % field for field in mail.headers if field[0].lower() in _DESCRIBING)
    parts = b"".join(_part(boundary, file) for file in files)
    body = b"".join((b"--%b\r\n%b\r\n" % (boundary, fields), mail.body, parts, b"--%b--\r\n" % boundary))
    around = b'multipart/mixed;\r\n boundary="%b"' % boundary
    headers = [
        (name, around if name.lower() == b"content-type" else value)
        for name, value in mail.headers
        if name.lower() != b"content-transfer-encoding"
    ]
    return msgspec.structs.replace(mail, headers=headers, body=body)


def _part(boundary: bytes, file: File) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in attached.fields(file)).encode("ascii")
    return b"--%b\r\n%b\r\n%b" % (boundary, fields, attached.body(file.content))
