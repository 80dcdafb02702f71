"""What custom resources of the Prometheus operator take, of what the chart uses.

Written by hand, after the reference of monitoring.coreos.com/v1: no source of their definitions that can be had offline
is fit for a test. Narrower than they are: what is not here is refused, and then belongs here.
"""

from typing import Any

import jsonschema

LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
#: Go's time.Duration as Prometheus reads it.
DURATION = {
    "type": "string",
    "pattern": r"^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$",
}


def closed(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


ENDPOINT = closed(
    (),
    port={"type": "string"},
    path={"type": "string"},
    interval=DURATION,
    scrapeTimeout=DURATION,
    scheme={"enum": ["http", "https"]},
)
SERVICE_MONITOR = closed(
    ("endpoints", "selector"),
    jobLabel={"type": "string"},
    selector=closed((), matchLabels=LABELS),
    endpoints={"type": "array", "minItems": 1, "items": ENDPOINT},
)
RULE = {
    "oneOf": [
        closed(
            ("alert", "expr"),
            alert={"type": "string", "minLength": 1},
            expr={"type": "string", "minLength": 1},
            labels=LABELS,
            annotations=LABELS,
            keep_firing_for=DURATION,
            **{"for": DURATION},
        ),
        closed(
            ("record", "expr"),
            record={"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"},
            expr={"type": "string", "minLength": 1},
            labels=LABELS,
        ),
    ]
}
GROUP = closed(
    ("name", "rules"),
    name={"type": "string", "minLength": 1},
    interval=DURATION,
    limit={"type": "integer"},
    labels=LABELS,
    rules={"type": "array", "items": RULE},
)
PROMETHEUS_RULE = closed(("groups",), groups={"type": "array", "minItems": 1, "items": GROUP})
SPECS = {"ServiceMonitor": SERVICE_MONITOR, "PrometheusRule": PROMETHEUS_RULE}
METADATA = closed(("name",), name={"type": "string", "maxLength": 63}, labels=LABELS, annotations=LABELS)


def refuse(manifest: dict[str, Any]) -> None:
    """jsonschema.ValidationError names what is none of its fields."""
    schema = closed(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "monitoring.coreos.com/v1"},
        kind={"const": manifest["kind"]},
        metadata=METADATA,
        spec=SPECS[manifest["kind"]],
    )
    jsonschema.validate(manifest, schema)
