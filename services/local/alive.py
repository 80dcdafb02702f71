"""Whether what runs here is alive, for a container's HEALTHCHECK: `python -m services.local.alive`.

Each service's /healthz is asked on its metrics port. Who does not listen is not here; alive is who says 200. Exit code
0 if one at least is here, and all that are say so; else 1, with the reason.
"""

import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException

from services import catalogue
from services.settings import read
from shared.process.settings import Settings, url_host

#: Less than a HEALTHCHECK waits, for one answer.
TIMEOUT_S = 3.0


def answers(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Of each service that is here: why it is not alive, or None."""
    host = url_host(settings.metrics.host)
    for name in catalogue.SERVED:
        port = getattr(settings, name).metrics_port
        if not port:
            continue
        connection = HTTPConnection(host.strip("[]"), port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            said = answer.read(500).decode("utf-8", "replace").strip()
            yield name, None if answer.status == 200 else said
        except ConnectionRefusedError:
            continue
        except (OSError, HTTPException) as error:
            yield name, f"no answer: {error}"
        finally:
            connection.close()


def verdict(found: dict[str, str | None]) -> str | None:
    """Why what is here is not alive; None if it is."""
    if not found:
        return "no process listens on a metrics port"
    return "; ".join(f"{name}: {reason}" for name, reason in found.items() if reason is not None) or None


if __name__ == "__main__":
    if reason := verdict(dict(answers(read()))):
        sys.stderr.write(f"{reason}\n")
        raise SystemExit(1)
