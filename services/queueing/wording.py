"""What of a content differs from one language to another. Pure."""

import msgspec


class Wording(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """In one language; "" and null where there is none."""

    subject: str = ""
    preheader: str = ""
    html: str | None = None
    text: str | None = None
    mjml: str | None = None
    amp: str | None = None
