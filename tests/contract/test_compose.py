"""`compose.yaml` starts every service with settings that are taken; its health is asked where the image serves it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.console.console import SERVICES
from shared.process import coherence, settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
#: Services without a container of their own, each with its reason.
NOT_THERE = {"tracking": "http has its routes", "mailbox": "delivers nothing: for trying there is make run"}
#: What an operator says, by the names that compose.yaml asks for.
SAID = {
    "HELO": "out1.acme.example",
    "BASE_URL": "https://links.acme.example",
    "BOUNCES_DOMAIN": "bounces.acme.example",
}


def environment(name: str) -> dict[str, str]:
    """Of that container: the image's, and what compose.yaml says over it."""
    of_image = dict(re.findall(r"(ESTAFETTE_\w+)=(\S+)", DOCKERFILE))
    asked = re.compile(r"\$\{(\w+):\?[^}]+\}")
    said = {
        key: asked.sub(lambda found: SAID[found[1]], value) for key, value in CONTAINERS[name]["environment"].items()
    }
    return {**of_image, **said, "ESTAFETTE_DATA_DIR": "data"}


def test_every_service_has_a_container() -> None:
    assert set(CONTAINERS) == {"redis", *SERVICES} - set(NOT_THERE)
    for name in set(CONTAINERS) - {"redis"}:
        assert CONTAINERS[name]["command"] == f"serve {name}"


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - {"redis"}))
def test_its_settings_are_taken_and_fit_together(name: str) -> None:
    loaded = settings.load(environment(name), None)

    coherence.refuse(loaded, name)
    assert coherence.doubts(loaded, name) == []
    assert loaded.relay.route == "mx"
    assert loaded.redis.url == "redis://redis:6379/0"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_health_is_asked_where_the_image_serves_it(name: str) -> None:
    loaded = settings.load(dict(re.findall(r"(ESTAFETTE_\w+)=(\S+)", DOCKERFILE)), None)
    asked = re.search(r"^HEALTHCHECK .*\n *CMD .*http://127\.0\.0\.1:(\d+)/healthz", DOCKERFILE, re.MULTILINE)

    assert asked
    assert getattr(loaded, name).metrics_port == int(asked[1])
    assert asked[1] in re.findall(r"\d+", next(line for line in DOCKERFILE.splitlines() if line.startswith("EXPOSE")))


def test_http_is_ready_when_all_are() -> None:
    urls = dict(part.split("=", 1) for part in environment("http")["ESTAFETTE_HTTP_READY_URLS"].split(","))

    assert urls == {name: f"http://{name}:9100/readyz" for name in set(CONTAINERS) - {"redis", "http"}}


def test_redis_keeps_what_it_acknowledged_and_forgets_nothing() -> None:
    command = CONTAINERS["redis"]["command"]

    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert option in command


def test_ports_lead_to_where_the_services_listen() -> None:
    http, bounces = settings.load(environment("http"), None).http, settings.load(environment("bounces"), None).bounces

    assert [port.rpartition(":")[2] for port in CONTAINERS["http"]["ports"]] == [str(http.port)]
    assert [port.rpartition(":")[2] for port in CONTAINERS["bounces"]["ports"]] == [str(bounces.port)]
    assert (http.host, bounces.host) == ("0.0.0.0", "0.0.0.0")


def test_what_is_stored_has_a_volume() -> None:
    named = {volume.partition(":")[0] for one in CONTAINERS.values() for volume in one["volumes"]}

    assert named == set(COMPOSE["volumes"])
    assert COMPOSE["x-estafette"]["stop_grace_period"] == "20s"
    assert settings.Settings().lifecycle.drain_seconds < 20
