"""`proto/streams.toml` says what travels where, and the code does that: keys, writers, readers, retention."""

import ast
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from services import catalogue
from services.settings import Settings
from shared.redis import keys
from shared.words import events

ROOT = Path(__file__).parents[2]
REGISTRY: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "proto" / "streams.toml").read_text(encoding="utf-8"))
LIVE = {name: stream for name, stream in REGISTRY.items() if "of" not in stream}
DEAD = {name: stream for name, stream in REGISTRY.items() if "of" in stream}
SERVICES = {service.name: service for service in catalogue.SERVICES}


def names_of_messages(folder: Path) -> set[str]:
    """Messages that the files below the folder make: Python `events.Bounced(…)`, or `Bounced(…)` where imported; or by
    a changed copy, `msgspec.structs.replace(bounced, …)`; a script by `'XADD', …, 't', 'Bounced'`."""
    scripts = (path.read_text(encoding="utf-8") for path in folder.rglob("*.lua"))
    found = {name for script in scripts for name in re.findall(r"'XADD'.*'t', '(\w+)'", script)}
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            name.asname or name.name: name.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "shared.words.events"
            for name in node.names
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr="replace"), args=[ast.Name(id=copied), *_]):
                    found.add(copied.title())
                case ast.Call(func=ast.Attribute(value=ast.Name(id="events"), attr=made)):
                    found.add(made)
                case ast.Call(func=ast.Name(id=made)):
                    found.add(imported.get(made, ""))
    return found & set(events.MESSAGES)


def test_every_message_travels_on_one_stream() -> None:
    travelling = [message for stream in LIVE.values() for message in stream["writers"]]

    assert sorted(travelling) == sorted(events.MESSAGES)


def test_facts_travel_on_events_and_nothing_else_does() -> None:
    assert list(REGISTRY["events"]["writers"]) == list(events.FACTS)


@pytest.mark.parametrize("name", sorted(LIVE))
def test_every_live_stream_has_a_dead_one(name: str) -> None:
    dead = LIVE[name]["dead"]

    assert DEAD[dead]["of"] == name
    assert keys.dead(name) == dead
    assert len(DEAD) == len(LIVE)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_key_of_a_stream_is_spelled_by_the_function_named(name: str) -> None:
    stream = REGISTRY[name]
    function = getattr(keys, stream["key"])

    assert function.__doc__.startswith("stream")
    if name in LIVE:
        parameters = list(inspect.signature(function).parameters)
        assert parameters == ["p", *stream.get("per", [])]
        first, other = ([partition, *("x" for _ in parameters[1:])] for partition in (3, 4))
        channel = "x:" if "channel" in parameters else ""
        assert function(*first).startswith(f"est:{{p3}}:{channel}{name}")
        assert function(*other) != function(*first)


def test_a_service_reads_the_streams_that_its_row_says_in_a_group_of_its_name() -> None:
    for service in catalogue.SERVICES:
        main = ROOT / service.module.replace(".", "/") / "__main__.py"
        text = main.read_text("utf-8") if main.exists() else ""
        assert set(service.reads) <= set(LIVE), service.name
        assert {
            name for name in LIVE if f"keys.{name}" in text and ("bus.Consumer(" in text or "bus.register(" in text)
        } == set(service.reads)
    groups = {value for name, value in vars(keys).items() if re.fullmatch(r"GROUP_[A-Z]+", name)}
    assert groups <= {service.name for service in catalogue.SERVICES if service.reads}


@pytest.mark.parametrize("name", sorted(LIVE))
def test_who_writes_and_who_reads_are_services(name: str) -> None:
    stream = LIVE[name]
    grouped = [service.name for service in catalogue.SERVICES if name in service.reads]
    readers = [*grouped, *([stream["leased_by"]] if "leased_by" in stream else [])]
    writers = [service for services in stream["writers"].values() for service in services]

    assert readers
    assert {*readers, *writers} <= set(SERVICES)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_makes_the_messages_that_the_registry_says_it_writes(service: str) -> None:
    registered = {
        message for stream in LIVE.values() for message, services in stream["writers"].items() if service in services
    }

    assert names_of_messages(ROOT / SERVICES[service].module.replace(".", "/")) == registered


def test_events_are_kept_as_long_as_promised() -> None:
    assert Settings().events.retention_days >= REGISTRY["events"]["retention"]["days"] >= 7


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_registry_has_no_word_that_it_does_not_explain(name: str) -> None:
    text = (ROOT / "proto" / "streams.toml").read_text(encoding="utf-8")
    explained = set(re.findall(r"^#   (\w+) ", text, re.MULTILINE))

    assert set(REGISTRY[name]) <= explained
    assert set(REGISTRY[name]["retention"]) <= {"until", "days"}
