"""What may be said to the chart: what is not in its schema is refused by name, and its made parts are those of now."""

import json
import os
from typing import Any

import helm_python
import pytest
import yaml

from services.http import chart as made
from services.http.__main__ import paths
from services.relay.settings import Relay
from services.settings import Settings
from shared.process.settings import defaults
from tests.contract.charts import CHART, laid_over, rendered, values_of

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
COMMAND = "python -m services.http chart helm/estafette"


def test_the_made_parts_are_those_of_the_catalogue_and_the_settings() -> None:
    for name, remade in (("values.yaml", made.with_facts), ("values.schema.json", made.with_names)):
        text = (CHART / name).read_text("utf-8")
        assert remade(text, paths(os.devnull)) == text, COMMAND


def test_values_without_the_mark_are_left_alone() -> None:
    with pytest.raises(ValueError, match="has no line"):
        made.with_facts("image: {}\n", {})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"replicas": 3}, "replicas"),
        ({"image": {"tagg": "1"}}, "tagg"),
        ({"settings": {"relais": {}}}, "relais"),
        ({"settings": {"relay": {"in_flihgt": 1}}}, "in_flihgt"),
        ({"settings": {"relay": {"in_flight": 0}}}, "in_flight"),
        ({"settings": {"relay": {"in_flight": "many"}}}, "in_flight"),
        ({"settings": {"relay": {"route": "smtp"}}}, "route"),
        ({"settings": {"redis": {"url": "redis://elsewhere:6379/0"}}}, "url"),
        ({"settings": {"http": {"port": 80}}}, "port"),
        ({"settings": {"secret": {"key_file": "/tmp/key"}}}, "secret"),
        ({"settings": {"relay": {"shaping_file": "/tmp/shaping.toml"}}}, "shaping_file"),
        ({"services": {"relais": {"replicas": 3}}}, "relais"),
        ({"services": {"relay": {"replica": 3}}}, "replica"),
        ({"services": {"relay": {"replicas": -1}}}, "replicas"),
        ({"services": {"relay": {"resources": {"limits": {"memory": "lots"}}}}}, "memory"),
        ({"services": {"relay": {"resources": {"limits": {"cpus": "1"}}}}}, "cpus"),
        ({"services": {"bounces": {"service": {"type": "ExternalName"}}}}, "type"),
        ({"catalogue": {"relay": {"metricsPort": 9999}}}, "catalogue"),
        ({"redis": {"kind": "many"}}, "kind"),
        ({"redis": {"hosts": ["redis"]}}, "hosts"),
        ({"redis": {"password": "secret"}}, "password"),
        ({"secret": {"value": "00"}}, "value"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"ingress": {"links": [{"tlsSecret": "links"}]}}, "host"),
        ({"monitoring": {"alerts": True}}, "alerts"),
    ],
)
def test_what_is_not_in_the_schema_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    values = laid_over(values_of("single"), change)

    with pytest.raises(helm_python.HelmError, match=named):
        rendered(values)
    assert any(named in said["error"] for said in helm_python.lint(CHART, values)["messages"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"secret": {"name": ""}}, "secret.name: name the Secret"),
        ({"redis": {"hosts": []}}, "redis.hosts: say where Redis is"),
        ({"redis": {"hosts": ["a:1", "b:2"]}}, "redis.hosts: one for redis.kind single"),
        ({"redis": {"kind": "trial"}}, "redis.kind: trial brings its own"),
        ({"redis": {"kind": "sentinel"}}, "redis.master: the name by which"),
        ({"redis": {"kind": "cluster", "database": 1}}, "redis.database: a cluster has 0 alone"),
        ({"redis": {"caSecret": {"name": "ca"}}}, "redis.caSecret: it is for redis.tls"),
        ({"redis": {"sentinelPasswordSecret": {"name": "s"}}}, "they are for redis.kind sentinel"),
        ({"settings": {"lifecycle": {"drain_seconds": 15}}}, "settings.lifecycle.drain_seconds: longer than"),
        ({"settings": {"relay": {"lease_ms": 20_000}}}, "settings.lifecycle.drain_seconds: longer than"),
        ({"ingress": {"enabled": True}}, "ingress: it is enabled, and neither"),
        ({"services": {"reports": {"autoscaling": {"enabled": True}}}}, "services.reports.autoscaling: it is enabled"),
        ({"services": {"http": {"autoscaling": {"enabled": True, "minReplicas": 9}}}}, "minReplicas is more than"),
    ],
)
def test_what_cannot_work_is_said_by_name_and_nothing_is_made(change: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError) as raised:
        rendered(laid_over(values_of("single"), change))

    assert said in str(raised.value)


def test_no_object_of_the_schema_is_open_but_those_that_are_kubernetes_own() -> None:
    found: list[str] = []

    def look(node: Any, path: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and "additionalProperties" not in node:
                found.append(path)
            for key, below in node.items():
                if key != "const":
                    look(below, f"{path}/{key}")

    look(SCHEMA, "")
    assert [path.rpartition("/properties/")[2] for path in found] == [
        "fromIngress/items",
        "fromPrometheus/items",
        "fromSubmission/items",
        "fromLmtp/items",
        "toRedis/items",
        "toPostgresql/items",
        "global",
        "tolerations/items",
        "affinity",
    ]


def test_every_default_of_the_chart_is_in_its_schema_and_every_place_of_the_schema_has_a_default() -> None:
    assert set(VALUES) | {"global"} == set(SCHEMA["properties"])
    assert set(VALUES["defaults"]) == set(SCHEMA["$defs"]["process"]["properties"])
    assert set(VALUES["services"]) <= set(VALUES["catalogue"])


def test_the_lease_that_the_chart_counts_with_is_that_of_the_relay() -> None:
    assert VALUES["settings"]["relay"]["lease_ms"] == Relay().lease_ms


def test_every_setting_may_be_set_or_is_set_by_the_chart() -> None:
    taken = {
        f"{section}.{field}"
        for section, fields in SCHEMA["properties"]["settings"]["properties"].items()
        for field in fields["properties"]
    }

    known = {name for name, _ in defaults(Settings)}
    assert taken == {name for name in known if not made.SET_BY_THE_CHART.fullmatch(name)}
    assert known - taken >= {"redis.url", "data.dir", "secret.key_file", "relay.metrics_port", "relay.egress_file"}
