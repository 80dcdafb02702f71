"""Whether a webhook is genuine, and the events in it (Standard Webhooks 1.0). Pure.

    events = verified(secret, request.headers, await request.read(), time.time())

The signature is over the body as it came: whoever decodes the JSON and writes it anew has other bytes.
"""

import hmac
import json
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Mapping
from typing import Any

#: An older request is somebody's recording, one from the future somebody's clock.
TOLERANCE_S = 300


class NotGenuine(Exception):
    """It is not from the engine, or is too old: answer 401, and do nothing else."""


def verified(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> list[dict[str, Any]]:
    """The events of a request. `secret` as the endpoint was made with it (`whsec_…`). Names of headers may be in any
    case. A repeat has the same `webhook-id`: pass over what you have, and answer it 2xx. NotGenuine."""
    given = {name.lower(): value for name, value in headers.items()}
    number, at, signatures = (given.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (at.isascii() and at.isdigit()) or abs(now_s - int(at)) > TOLERANCE_S:
        raise NotGenuine("its time is not now")
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except (NoBase64, ValueError):
        raise ValueError("a secret is base64 behind whsec_") from None
    digest = hmac.digest(key, f"{number}.{at}.".encode() + body, "sha256")
    expected = b"v1," + b64encode(digest)
    # While a secret is changed there are two signatures.
    if not any(hmac.compare_digest(expected, one.encode()) for one in signatures.split(" ")):
        raise NotGenuine("its signature is another")
    told = json.loads(body)
    return list(told["data"]) if told["type"] == "events" else [told]
