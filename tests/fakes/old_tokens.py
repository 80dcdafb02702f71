"""Tokens of openings and clicks as they were made before links had marks."""

import hmac
from base64 import urlsafe_b64encode

from shared.words import ids


def unmarked(
    kind: bytes, master: bytes, job: str, ordinal: int, tenant: str, link: tuple[int, str] | None = None
) -> str:
    """`kind` is b"o" or b"c"; of a click, `link` is its position and destination."""
    secret = hmac.digest(master, b"estafette/tokens", "sha256")
    key_id = hmac.digest(secret, b"key id", "sha256")[:1]
    position, destination = (b"", b"") if link is None else (link[0].to_bytes(2, "big"), link[1].encode())
    name = tenant.encode()
    signed = kind + key_id + ids.job_bytes(job) + ordinal.to_bytes(4, "big") + position
    signed += bytes((len(name),)) + name + destination
    return urlsafe_b64encode(signed + hmac.digest(secret, signed, "sha256")[:12]).decode().rstrip("=")
