"""`compose.yaml` starts every service with settings that are taken, from an image that knows the catalogue's ports."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from services import catalogue, settings
from services.catalogue import SERVED as SERVICES
from services.contacts.base.database import OLDEST
from services.contacts.settings import Contacts
from services.local import alive
from services.submission.settings import Submission
from shared.process import coherence

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
#: The variables that it sets.
OF_IMAGE = dict(re.findall(r"(ESTAFETTE_\w+)=(\S+)", DOCKERFILE))
#: Containers that are no service of ours.
STORES = {"redis", "postgresql"}
#: Services without a container of their own, each with its reason.
NOT_THERE = {
    "tracking": "http has its routes",
    "mailbox": "delivers nothing: for trying there is make run",
    "drops": "has nothing to do until it is enabled: docs/drops.md has its container",
    "archive": "has nothing to do without a target: docs/archive.md has its container",
}
#: What an operator says, by the names that compose.yaml asks for.
SAID = {
    "HELO": "out1.acme.example",
    "BASE_URL": "https://links.acme.example",
    "BOUNCES_DOMAIN": "bounces.acme.example",
    "POSTGRES_PASSWORD": "0123456789abcdef",
}


def environment(name: str) -> dict[str, str]:
    """Of that container: the image's, and what compose.yaml says over it."""
    asked = re.compile(r"\$\{(\w+):\?[^}]+\}")
    said = {
        key: asked.sub(lambda found: SAID[found[1]], value) for key, value in CONTAINERS[name]["environment"].items()
    }
    return {**OF_IMAGE, **said, "ESTAFETTE_DATA_DIR": "data"}


def test_every_service_has_a_container() -> None:
    assert set(CONTAINERS) == {*STORES, *SERVICES} - set(NOT_THERE)
    for name in set(CONTAINERS) - STORES:
        assert CONTAINERS[name]["command"] == f"serve {name}"


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - STORES))
def test_its_settings_are_taken_and_fit_together(name: str) -> None:
    loaded = settings.load(environment(name), None)

    coherence.refuse(loaded, name)
    assert coherence.doubts(loaded, name) == []
    assert loaded.relay.route == "mx"
    assert loaded.redis.url == "redis://redis:6379/0"
    assert loaded.of(Contacts).url == "postgresql://estafette:0123456789abcdef@postgresql/estafette"


def test_the_image_opens_every_port_of_the_catalogue_and_no_other() -> None:
    exposed: set[int] = set()
    for word in re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[0].split():
        first, _, last = word.partition("-")
        exposed |= set(range(int(first), int(last or first) + 1))
    loaded = settings.load(OF_IMAGE, None)
    listened = {found for one in catalogue.SERVICES for found in (one.listens, one.listens_too) if found is not None}
    doors = {getattr(getattr(loaded, section), port) for section, _, port in (one.partition(".") for one in listened)}

    watched = {getattr(loaded, name).metrics_port for name in SERVICES}
    assert exposed == watched | doors
    assert {getattr(loaded, name).host for name in ("http", "bounces", "submission", "metrics")} == {"0.0.0.0"}


def test_the_image_is_asked_for_its_health_keeps_its_data_and_is_nobody_s_root() -> None:
    (asked,) = re.findall(r"^HEALTHCHECK .*\n +CMD (.*)$", DOCKERFILE, re.MULTILINE)
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)

    assert json.loads(asked) == ["python", "-m", alive.__name__]
    assert re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE) == [OF_IMAGE["ESTAFETTE_DATA_DIR"]]
    assert min(map(int, user)) > 0


def test_what_the_image_is_built_on_can_be_a_digest() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert re.search(r"^ARG BASE=\S+$", DOCKERFILE, re.MULTILINE)
    assert stages == ["${BASE}"] * 2
    assert "--require-hashes" in DOCKERFILE


def test_a_container_may_no_more_than_it_must() -> None:
    for name in set(CONTAINERS) - STORES:
        assert CONTAINERS[name]["read_only"] is True
        assert CONTAINERS[name]["cap_drop"] == ["ALL"]
        assert CONTAINERS[name]["security_opt"] == ["no-new-privileges:true"]
        assert CONTAINERS[name]["volumes"] == [f"data:{OF_IMAGE['ESTAFETTE_DATA_DIR']}"]


def test_http_is_ready_when_all_are_without_which_no_mail_goes() -> None:
    urls = dict(part.split("=", 1) for part in environment("http")["ESTAFETTE_HTTP_READY_URLS"].split(","))

    ports = {one.name: one.metrics_port for one in catalogue.SERVICES}
    assert urls == {
        name: f"http://{name}:{ports[name]}/readyz" for name in set(CONTAINERS) - {*STORES, "http", "contacts"}
    }


def test_redis_keeps_what_it_acknowledged_and_forgets_nothing() -> None:
    command = CONTAINERS["redis"]["command"]

    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert option in command


def test_postgresql_is_that_of_the_url_and_logs_nobody_s_rows() -> None:
    url = urlsplit(environment("contacts")["ESTAFETTE_CONTACTS_URL"])
    postgresql = CONTAINERS["postgresql"]

    assert (url.hostname, url.username, url.path) == (
        "postgresql",
        postgresql["environment"]["POSTGRES_USER"],
        "/estafette",
    )
    assert postgresql["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert int(postgresql["image"].rpartition(":")[2]) >= OLDEST
    for option in ("log_error_verbosity=terse", "log_min_error_statement=panic"):
        assert option in postgresql["command"]


def test_ports_lead_to_where_the_services_listen() -> None:
    http, bounces = settings.load(environment("http"), None).http, settings.load(environment("bounces"), None).bounces

    assert [port.rpartition(":")[2] for port in CONTAINERS["http"]["ports"]] == [str(http.port)]
    assert [port.rpartition(":")[2] for port in CONTAINERS["bounces"]["ports"]] == [str(bounces.port)]
    assert (http.host, bounces.host) == ("0.0.0.0", "0.0.0.0")
    door = settings.load(environment("submission"), None).of(Submission)
    ports = [port.rpartition(":")[2] for port in CONTAINERS["submission"]["ports"]]
    assert ports == [str(door.port), str(door.tls_port)]
    assert door.api == f"http://http:{http.port}"


def test_what_is_stored_has_a_volume() -> None:
    named = {volume.partition(":")[0] for one in CONTAINERS.values() for volume in one["volumes"]}

    assert named == set(COMPOSE["volumes"])
    lifecycle = settings.Settings().lifecycle
    assert (
        int(COMPOSE["x-estafette"]["stop_grace_period"].rstrip("s")) > lifecycle.grace_seconds + lifecycle.drain_seconds
    )
