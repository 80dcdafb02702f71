"""What the chart renders is taken by Kubernetes and by our own settings, and is what an operator counts on."""

import json
from pathlib import Path

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml

from services import catalogue, settings
from shared.process import coherence
from shared.redis import redis
from tests.contract import custom_resources
from tests.contract.charts import (
    CHART,
    SETS,
    Manifest,
    container,
    environment,
    of_kind,
    pods,
    rendered,
    texts,
    values_of,
    with_files,
    workloads,
)

#: The newest that is known here, and the oldest that Chart.yaml lets in.
KUBERNETES = ("1.37", "1.27")
SECRETS = {
    "redis/password": "pass%40word",
    "sentinels/password": "guard%2Bed",
    "redis/url": "rediss://:pass@redis.data.svc:6380/0",
    "postgresql/url": "postgresql://estafette:pass@postgresql.data.svc/estafette",
}
#: What the chart knows of each process.
FACTS = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))["catalogue"]
PROCESSES = {service.name for service in catalogue.SERVICES if service.process is not None}
ALERTS = """groups:
  - name: waiting
    rules:
      - alert: OldestWaiting
        expr: estafette_oldest > 600
        for: 5m
        labels: {severity: page}
        annotations: {summary: "{{ $labels.provider }} waits"}
"""


def test_there_is_a_set_of_values_for_each_kind_of_redis() -> None:
    kinds = [values_of(name)["redis"].get("kind", "single") for name in SETS]

    assert set(kinds) == {"single", "cluster", "sentinel", "trial"}
    assert len(kinds) >= 5


@pytest.mark.parametrize("name", SETS)
def test_helm_lint_has_neither_an_error_nor_a_warning(name: str) -> None:
    report = helm_python.lint(CHART, values_of(name), strict=True)

    assert report["errors"] == []
    assert [said for said in report["messages"] if said["severity"] > 1] == []


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", SETS)
def test_every_manifest_is_one_of_its_kind_in_every_field(name: str, version: str) -> None:
    manifests = rendered(values_of(name))

    assert len(manifests) > 15
    for manifest in manifests:
        if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            custom_resources.refuse(manifest)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_what_is_no_field_of_its_kind_would_be_seen() -> None:
    manifests = rendered(values_of("tls"))
    deployment = of_kind(manifests, "Deployment")[0]
    deployment["spec"]["template"]["spec"]["readOnlyRootFileSystem"] = True
    monitor = of_kind(manifests, "ServiceMonitor")[0]
    monitor["spec"]["endpoints"][0]["intervall"] = "1m"

    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFileSystem"):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)
    with pytest.raises(jsonschema.ValidationError, match="intervall"):
        custom_resources.refuse(monitor)


@pytest.mark.parametrize("name", SETS)
def test_every_name_is_used_once_and_what_is_named_is_there(name: str) -> None:
    manifests = rendered(values_of(name))
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]

    assert len(names) == len(set(names))
    for hpa in of_kind(manifests, "HorizontalPodAutoscaler"):
        target = hpa["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in names
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert ("Service", path["backend"]["service"]["name"]) in names
    for _, pod in pods(manifests):
        mounted = {mount["name"] for mount in container(pod)["volumeMounts"]}
        assert mounted >= {volume["name"] for volume in pod.get("volumes", [])}
        for volume in pod.get("volumes", []):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names


@pytest.mark.parametrize("name", SETS)
def test_every_process_of_the_catalogue_runs(name: str) -> None:
    values = values_of(name)
    route = values["settings"]["relay"].get("route", "mx")

    found = workloads(rendered(values))

    wanted = {one.name for one in catalogue.SERVICES if one.process is not None and one.is_needed(route)}
    told = {*values["settings"], *(["contacts"] if "contacts" in values else [])}
    wanted -= {one.name for one in catalogue.SERVICES if one.only_with and one.name not in told}
    assert set(found) - {"redis"} == wanted
    for component in wanted:
        assert container(found[component]["spec"]["template"]["spec"])["args"] == ["serve", component]


@pytest.mark.parametrize("name", SETS)
def test_the_settings_of_each_process_are_taken_and_fit_together(name: str, tmp_path: Path) -> None:
    manifests = rendered(values_of(name))
    for component, pod in pods(manifests):
        if component == "redis":
            continue
        environ = {
            variable: value.replace("/etc/estafette", str(tmp_path))
            for variable, value in environment(manifests, pod, SECRETS).items()
        }
        for value in environ.values():
            for file in [Path(part) for part in value.split(",") if part.startswith(str(tmp_path))]:
                file.parent.mkdir(exist_ok=True)
                file.touch()

        loaded = settings.load({key: value for key, value in environ.items() if key.startswith("ESTAFETTE_")}, None)

        coherence.refuse(loaded, component)
        assert [said for said in coherence.doubts(loaded, component) if "mailbox" not in said] == []
        redis.connect(loaded.redis.url)
        fact = FACTS[component]
        ports = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}
        assert ports["metrics"] == getattr(loaded, component).metrics_port == fact["metricsPort"]
        assert loaded.metrics.host == "0.0.0.0"
        if "port" in fact:
            section = loaded.http if fact["protocol"] == "http" else getattr(loaded, component)
            assert (section.host, section.port) == ("0.0.0.0", ports[fact["protocol"]])


@pytest.mark.parametrize("name", SETS)
def test_no_pod_may_more_than_it_must(name: str) -> None:
    for _, pod in pods(rendered(values_of(name))):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container(pod)["resources"]["limits"]["memory"]
        assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume]


@pytest.mark.parametrize("name", SETS)
def test_a_pod_has_longer_to_end_than_its_process_takes_and_than_a_lease(name: str) -> None:
    manifests = rendered(values_of(name))
    for component, pod in pods(manifests):
        if component == "redis":
            continue
        loaded = settings.load(environment_without_files(manifests, pod), None)
        lease_s = loaded.relay.lease_ms / 1000  # type: ignore[attr-defined] # of the relay's own section
        pre_stop = container(pod).get("lifecycle", {}).get("preStop", {"exec": {"command": ["sleep", "0"]}})
        drain_s, grace_s = loaded.lifecycle.drain_seconds, loaded.lifecycle.grace_seconds

        assert drain_s > lease_s
        assert pod["terminationGracePeriodSeconds"] > int(pre_stop["exec"]["command"][1]) + grace_s + drain_s


def environment_without_files(manifests: list[Manifest], pod: Manifest) -> dict[str, str]:
    found = environment(manifests, pod, SECRETS)
    return {name: value for name, value in found.items() if name.startswith("ESTAFETTE_")}


def test_probes_ask_what_each_process_serves_and_links_need_no_redis() -> None:
    probed = {name: container(pod) for name, pod in pods(rendered(values_of("single")))}

    for name, asked in probed.items():
        paths = [asked[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")]
        assert paths == ["/healthz", "/healthz", "/healthz" if name == "tracking" else "/readyz"]
        assert {asked[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")} == {
            "metrics"
        }


def test_what_must_outlive_a_pod_is_on_a_disk_and_a_consumer_keeps_its_name() -> None:
    found = workloads(rendered(values_of("single")))

    assert {name for name, one in found.items() if one["kind"] == "StatefulSet"} == {
        "tracking",
        "suppression",
        "reports",
    }
    assert [claim["metadata"]["name"] for claim in found["tracking"]["spec"]["volumeClaimTemplates"]] == ["data"]
    assert "volumeClaimTemplates" not in found["reports"]["spec"]
    assert workloads(rendered(values_of("trial")))["tracking"]["kind"] == "Deployment"  # storage.enabled: false


def test_only_who_needs_the_master_secret_has_it() -> None:
    manifests = rendered(values_of("tls"))
    holders = {name for name, pod in pods(manifests) if "secret" in [volume["name"] for volume in pod["volumes"]]}

    assert holders == {one.name for one in catalogue.SERVICES if "secret" in one.needs and one.only_with is None}
    assert not [text for text in texts(values_of("tls")).values() if "pass%40word" in text]
    for _, pod in pods(manifests):
        for volume in pod["volumes"]:
            if volume["name"] in ("secret", "tls"):
                assert volume["secret"]["defaultMode"] == 0o440


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("trial", "redis://demo-estafette-redis:6379/0"),
        ("single", "redis://:pass%40word@redis.data.svc:6379/0"),
        ("tls", "rediss://estafette:pass%40word@redis.data.svc:6380/2?ssl_ca_certs=/etc/estafette/redis/ca.crt"),
        (
            "cluster",
            "rediss+cluster://:pass%40word@redis-0.data.svc:6379,redis-1.data.svc:6379,redis-2.data.svc:6379"
            "?ssl_ca_certs=/etc/estafette/redis/ca.crt",
        ),
        (
            "sentinel",
            "redis+sentinel://:pass%40word@sentinel-0.data.svc:26379,sentinel-1.data.svc:26379,sentinel-2.data.svc:26379"
            "/main/0?sentinel_password=guard%2Bed",
        ),
        ("url", SECRETS["redis/url"]),
    ],
)
def test_redis_is_where_the_values_say(name: str, url: str) -> None:
    manifests = rendered(values_of(name))

    assert {
        environment(manifests, pod, SECRETS)["ESTAFETTE_REDIS_URL"]
        for component, pod in pods(manifests)
        if component != "redis"
    } == {url}


def test_contacts_and_the_api_alone_have_the_postgresql_of_the_values_and_reach_it() -> None:
    manifests = rendered(values_of("url"))
    told = {name: environment(manifests, pod, SECRETS).get("ESTAFETTE_CONTACTS_URL") for name, pod in pods(manifests)}
    reaching = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in of_kind(manifests, "NetworkPolicy")
        if any(port["port"] == 5432 for way in one["spec"]["egress"] for port in way["ports"])
    }

    assert {name for name, url in told.items() if url} == reaching == {"contacts", "http"}
    assert told["contacts"] == told["http"] == SECRETS["postgresql/url"]


def test_relays_are_scaled_by_the_oldest_that_waits_and_trackers_by_the_processor() -> None:
    scaled = {
        one["spec"]["scaleTargetRef"]["name"].removeprefix("demo-estafette-"): one["spec"]
        for one in of_kind(rendered(values_of("tls")), "HorizontalPodAutoscaler")
    }

    (oldest,) = scaled["relay"]["metrics"]
    (processor,) = scaled["tracking"]["metrics"]
    assert oldest["type"] == "External"
    assert oldest["external"]["target"] == {"type": "Value", "value": "60"}
    assert processor["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    assert scaled["tracking"]["minReplicas"] == 3
    for name in scaled:
        assert "replicas" not in workloads(rendered(values_of("tls")))[name]["spec"]


def test_paths_lead_to_who_answers_them_and_a_host_of_links_has_nothing_else() -> None:
    (ingress,) = of_kind(rendered(values_of("tls")), "Ingress")
    led = {
        rule["host"]: {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
        for rule in ingress["spec"]["rules"]
    }

    links = dict.fromkeys(("/a", "/c", "/d", "/o", "/p", "/u", "/v", "/w", "/w.js"), "demo-estafette-tracking")
    assert led == {
        "api.acme.example": {
            **dict.fromkeys(("/", "/assets", "/console", "/docs", "/r", "/v1"), "demo-estafette-http"),
            **links,
        },
        "links.acme.example": links,
        "klick.kunde.example": links,
    }
    assert {
        path["path"]
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
        if path["pathType"] == "Exact"
    } == {"/"}, "what begins with / is everything"
    assert [tls["secretName"] for tls in ingress["spec"]["tls"]] == ["api-tls", "links-tls"]


def test_only_relays_go_out_into_the_world_and_only_mail_comes_from_it() -> None:
    policies = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]
        for one in of_kind(rendered(values_of("tls")), "NetworkPolicy")
    }

    assert set(policies) == PROCESSES - {"mailbox", "archive", "contacts", "drops"}
    to_anywhere = {
        name: {port["port"] for way in spec["egress"] if "to" not in way for port in way["ports"]}
        for name, spec in policies.items()
    }
    assert to_anywhere.pop("relay") == {53, 25, 443, 587, 465}
    assert to_anywhere.pop("webhooks") == {53, 443, 8443}
    assert all(ports == {53} for ports in to_anywhere.values())
    from_anywhere = {name for name, spec in policies.items() if any("from" not in way for way in spec["ingress"])}
    assert from_anywhere == {"bounces", "submission"}
    smtp, lmtp = (way for way in policies["bounces"]["ingress"] if way["ports"][0]["port"] in ("smtp", "lmtp"))
    assert "from" not in smtp
    assert lmtp["from"] == [{"podSelector": {}}]


def test_queueing_and_relays_read_named_routes_and_relays_alone_their_passwords() -> None:
    found = {component: container(pod) for component, pod in pods(rendered(values_of("tls")))}

    reading = {
        component
        for component, one in found.items()
        if {"name": "ESTAFETTE_RELAY_ROUTES_FILE", "value": "/etc/estafette/files/routes.toml"} in one["env"]
    }
    assert reading == {"queueing", "relay"}
    knowing = {
        component
        for component, one in found.items()
        if any(mount["mountPath"] == "/etc/estafette/routes" for mount in one["volumeMounts"])
    }
    assert knowing == {"relay"}


def test_mail_comes_in_by_every_way_that_the_values_name_and_lmtp_from_nowhere_outside() -> None:
    manifests = rendered(values_of("tls"))

    [pod] = [one for one in of_kind(manifests, "Deployment") if one["metadata"]["name"] == "demo-estafette-bounces"]
    [container] = pod["spec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["spec"]["template"]["spec"]["volumes"]}
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind(manifests, "Service")}
    assert environment["ESTAFETTE_BOUNCES_CERTIFICATE"].startswith(mounted["server"])
    assert environment["ESTAFETTE_BOUNCES_MAILDIR"] == mounted["maildir"]
    assert environment["ESTAFETTE_BOUNCES_LMTP"] == "0.0.0.0:2424"
    assert volumes["server"]["secret"]["secretName"] == "server"
    assert volumes["maildir"]["persistentVolumeClaim"] == {"claimName": "returned"}
    assert [port["name"] for port in services["demo-estafette-bounces"]["ports"]] == ["smtp"]
    assert [port["name"] for port in services["demo-estafette-bounces-metrics"]["ports"]] == ["metrics", "lmtp"]
    assert not any("BOUNCES_LMTP" in str(one) for one in of_kind(rendered(values_of("single")), "Deployment"))


def test_mail_is_handed_over_at_both_ports_under_the_certificate_of_its_secret_and_goes_to_the_api() -> None:
    manifests = rendered(values_of("tls"))

    [pod] = [one for one in of_kind(manifests, "Deployment") if one["metadata"]["name"] == "demo-estafette-submission"]
    [container] = pod["spec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["spec"]["template"]["spec"]["volumes"]}
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind(manifests, "Service")}
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert environment["ESTAFETTE_SUBMISSION_CERTIFICATE"].startswith(mounted["submission"])
    assert volumes["submission"]["secret"]["secretName"] == "door"
    assert environment["ESTAFETTE_SUBMISSION_PORT"] == ports["submission"]
    assert environment["ESTAFETTE_SUBMISSION_TLS_PORT"] == ports["submissions"]
    assert {port["name"]: port["port"] for port in services["demo-estafette-submission"]["ports"]} == {
        "submission": 587, "submissions": 465, "metrics": 9114,
    }  # fmt: skip
    assert environment["ESTAFETTE_SUBMISSION_API"] == "http://demo-estafette-http"
    assert {port["name"]: port["port"] for port in services["demo-estafette-http"]["ports"]}["http"] == 80


def test_alerts_and_dashboards_are_taken_from_their_folders_as_they_stand(tmp_path: Path) -> None:
    files = {
        "alerts/waiting.yaml": ALERTS,
        "alerts/waiting_test.yaml": "rule_files: [waiting.yaml]\ntests: []\n",
        "dashboards/one_provider.json": '{"title": "{{ provider }}"}\n',
    }
    chart = with_files(tmp_path, files)

    manifests = rendered(values_of("tls"), chart)

    rule = next(
        one for one in of_kind(manifests, "PrometheusRule") if one["metadata"]["name"] == "demo-estafette-waiting"
    )
    assert rule["spec"] == yaml.safe_load(ALERTS)
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert "demo-estafette-waiting-test" not in [one["metadata"]["name"] for one in manifests]
    custom_resources.refuse(rule)
    shown = next(
        one
        for one in of_kind(manifests, "ConfigMap")
        if one["metadata"]["name"] == "demo-estafette-dashboard-one-provider"
    )
    assert json.loads(shown["data"]["one_provider.json"]) == {"title": "{{ provider }}"}
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_what_is_off_is_not_there() -> None:
    kinds = {one["kind"] for one in rendered(values_of("cluster"))}

    assert not kinds & {"NetworkPolicy", "PodDisruptionBudget", "Ingress", "ServiceMonitor", "HorizontalPodAutoscaler"}
