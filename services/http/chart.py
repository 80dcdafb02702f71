"""What the Helm chart knows of the processes, made from the catalogue and the settings, and written into its folder.

    python -m services.http chart helm/estafette

In `values.yaml` that is all behind the mark: each process with its ports, paths and needs. In `values.schema.json` it
is what `settings`, `services` and `catalogue` take; the rest of that file is written by hand.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from services import catalogue
from services.catalogue import Service
from services.settings import Settings
from shared.process import settings as machinery

MARK = (
    "# --- made from services/catalogue.py by `python -m services.http chart helm/estafette`; never set by hand ---\n"
)
#: What the chart sets by itself: where processes listen, what is mounted, where Redis is.
SET_BY_THE_CHART = re.compile(
    r"(data|secret|metrics)\.\w+|\w+\.(host|port|metrics_port|\w+_files?)|redis\.(url|max_memory_bytes)"
    r"|http\.ready_urls|tls\.client_(certificate|key)|bounces\.(certificate|key|lmtp|maildir)"
    r"|submission\.(tls_port|api|certificate|key)"
)
#: What a port is called there, by the section of its setting; else `smtp`, where hosts bring mail.
_PROTOCOLS = {"http": "http", "submission": "submission"}
#: By service, the paths of its routes.
Paths = Mapping[str, Sequence[str]]


def facts(paths: Paths) -> dict[str, dict[str, Any]]:
    """What the chart knows of each process, by name."""
    paths = _by_process(paths)
    return {service.name: _facts(service, paths) for service in catalogue.SERVICES if service.process is not None}


def _facts(service: Service, paths: Paths) -> dict[str, Any]:
    found: dict[str, Any] = {"metricsPort": service.metrics_port}
    if service.listens is not None:
        section, _, field = service.listens.partition(".")
        found["port"] = getattr(getattr(Settings(), section), field)
        found["protocol"] = _PROTOCOLS.get(section, "smtp")
    if service.listens_too is not None:
        section, _, field = service.listens_too.partition(".")
        found["tlsPort"] = getattr(getattr(Settings(), section), field)
    if service.name in paths:
        found["paths"] = list(paths[service.name])
    if service.needs:
        found["needs"] = list(service.needs)
    if service.only_on is not None:
        found["onlyOn"] = service.only_on
    if service.only_with is not None:
        found["onlyWith"] = service.only_with.split(".")
    return found


def _by_process(paths: Paths) -> dict[str, list[str]]:
    """The first steps of all paths, by the process that answers them: one that listens for HTTP itself has its own, and
    `http` all others."""
    found: dict[str, set[str]] = {}
    for name, of_service in paths.items():
        process = name if catalogue.BY_NAME[name].listens == "http.port" else "http"
        found.setdefault(process, set()).update(f"/{path.split('/')[1]}" for path in of_service)
    return {name: sorted(steps) for name, steps in found.items()}


def settings_taken() -> dict[str, Any]:
    """JSON Schema of the settings that an installation may set, by section."""
    sections = {}
    for name, section in machinery.sections_of(Settings).items():
        fields = {
            field: msgspec.json.schema(kind)
            for field, kind in machinery.fields_of(section).items()
            if not SET_BY_THE_CHART.fullmatch(f"{name}.{field}")
        }
        if fields:
            sections[name] = _closed(fields)
    return _closed(sections)


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def with_facts(values: str, paths: Paths) -> str:
    """The text of `values.yaml`, made anew behind the mark. JSON is YAML."""
    by_hand, mark, _ = values.partition(MARK)
    if not mark:
        raise ValueError(f"values.yaml has no line {MARK.strip()!r}")
    rows = "".join(f"  {name}: {json.dumps(fact)}\n" for name, fact in facts(paths).items())
    return f"{by_hand}{mark}catalogue:\n{rows}"


def with_names(schema: str, paths: Paths) -> str:
    """The text of `values.schema.json`, with what is made of it made anew."""
    document = json.loads(schema)
    made, one = facts(paths), {"$ref": "#/$defs/process"}
    document["properties"]["settings"] = settings_taken()
    document["properties"]["services"] = _closed(dict.fromkeys(made, one))
    document["properties"]["catalogue"] = _closed({name: {"const": fact} for name, fact in made.items()})
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path, paths: Paths) -> None:
    for name, made in (("values.yaml", with_facts), ("values.schema.json", with_names)):
        file = folder / name
        file.write_text(made(file.read_text("utf-8"), paths), "utf-8")
