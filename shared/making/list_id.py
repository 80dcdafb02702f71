"""List-ID: which list a marketing mail is of, so that readers and providers can sort and count by it (RFC 2919).

    List-ID: <newsletter.acme.exemple.fr>
              the list   tenant, domain of From

The same for all mails of a list, whatever the campaign. A name that is no label of a domain is written as one, with a
digest behind it, for two names may be written alike.
"""

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b

#: Of the label (RFC 1035, 2.3.4, allows 63); of the whole RFC 2919 allows 255, and a domain has at most 253.
_LABEL_CHARS = 40
_MOST_CHARS = 255
_LABEL = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{_LABEL_CHARS - 2}}}[a-z0-9])?")
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_DIGEST_BYTES = 4


@lru_cache(256)
def list_id(name: str, tenant: str, from_domain: str) -> bytes:
    """The value of the field; b"" where it would be too long. `name` is that of the list, `from_domain` in ASCII."""
    value = f"<{_label(name)}.{tenant}.{from_domain.lower()}>"
    return value.encode("ascii") if len(value) - 2 <= _MOST_CHARS else b""


def _label(name: str) -> str:
    if _LABEL.fullmatch(name):
        return name
    letters = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    plain = _NOT_PLAIN.sub("-", letters).strip("-")[: _LABEL_CHARS - len(digest) - 1].strip("-")
    return f"{plain}-{digest}" if plain else digest
