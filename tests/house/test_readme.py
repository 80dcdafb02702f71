"""What the documents name is there: commands, targets, paths, routes, settings, metrics, tests."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from services import catalogue, settings
from services.console.console import main
from services.relay.__main__ import SHAPING_FILE
from services.relay.traffic.egress import Egress
from services.relay.traffic.shaping import Shaping
from shared.process.settings import FILE_VARIABLE
from tests.routes import all_routes

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = {name: (ROOT / name).read_text("utf-8") for name in ("README.md", "CHANGELOG.md", "loadtests/README.md")}
TEXT = "\n".join(DOCUMENTS.values())
FOLDERS = r"services|shared|proto|loadtests|tests|\.ci"


def code() -> Iterator[str]:
    """What stands between backticks or in a fenced block, line by line."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    yield from (line for block in fenced for line in block.splitlines())
    yield from re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL))


def found(pattern: str) -> set[str]:
    return {name for line in code() for name in re.findall(pattern, line)}


def test_every_make_target_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    for target in found(r"(?:^|\d )make ([a-z-]+)"):
        bench = target.removeprefix("bench-").replace("-", "_")
        assert target in targets or (bench != target and (ROOT / f"loadtests/bench_{bench}.py").exists()), target


def test_every_path_is_there() -> None:
    named = found(rf"(?<![\w./-])((?:{FOLDERS})/[\w./<>-]*[\w>/]|[\w-]+\.(?:lock|toml)|Dockerfile)") - {
        "estafette.toml"
    }

    assert len(named) > 30
    for name in named:
        for service in catalogue.SERVICES if "<name>" in name else [None]:
            path = name if service is None else name.replace("services/<name>", service.module.replace(".", "/"))
            assert (ROOT / path).exists(), path


def test_every_route_is_offered(tmp_path: Path) -> None:
    offered = {(route.method, route.path) for route in all_routes(tmp_path)}
    offered |= {("GET", "/v1/openapi.json")}
    of_the_console = {"/metrics"}  # on a port of its own

    named = {(method, path) for line in code() for method, path in re.findall(r"\b([A-Z]{3,6}) (/[\w./{}-]+)", line)}
    paths = found(r"^(/(?:v1|[ocu]|mailbox|healthz|readyz|metrics)[\w./{}-]*)$") - of_the_console

    assert len(named) > 20
    assert named - offered == set()
    assert paths - {path for _, path in offered} == set()


def test_every_setting_is_one() -> None:
    known = {line.name for line in settings.explain({}, None)}
    variables = {f"ESTAFETTE_{name.replace('.', '_').upper()}" for name in known} | {FILE_VARIABLE}
    sections = {name.partition(".")[0] for name in known}

    named = found(r"\bESTAFETTE_[A-Z_]*[A-Z]\b")
    dotted = {name for name in found(r"^([a-z_]+\.[a-z_]+)$") if name.partition(".")[0] in sections}

    assert len(named) > 15
    assert named - variables == set()
    assert dotted - known - {settings.Settings().bounces.domain} == set()


def test_every_service_is_in_the_table_in_the_words_of_the_catalogue() -> None:
    for service in catalogue.SERVICES:
        assert f"| `{service.name}` | {service.purpose} |" in TEXT.splitlines(), service.name


def blocks() -> list[str]:
    """The TOML that is shown: shaping, source addresses, settings."""
    return re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_shaping_and_source_addresses_that_are_shown_are_taken() -> None:
    limits, addresses, _ = blocks()

    shaping = Shaping.parse(SHAPING_FILE.read_text("utf-8"), limits)
    egress = Egress.parse(addresses)

    assert shaping.of("gmail").source_connections == 5
    assert shaping.rule("mx.partner.example", 451, "4.7.1 come back after office hours", "rcpt") is not None
    assert [source.name for source in egress.pool("bulk", "acme").sources] == ["a1", "a2"]
    assert egress.pool("transactional", "acme").name == "codes"


def test_settings_that_are_shown_are_taken(tmp_path: Path) -> None:
    *_, block = blocks()
    file = tmp_path / "estafette.toml"
    file.write_text(block, "utf-8")

    loaded = settings.load({}, file)

    assert tomllib.loads(block)["relay"]["route"] == loaded.relay.route == "mx"


def test_the_defaults_in_the_table_are_those() -> None:
    defaults = {f"ESTAFETTE_{line.name.replace('.', '_').upper()}": line.value for line in settings.explain({}, None)}
    rows = re.findall(r"^\| (`ESTAFETTE_.*?) \| (.*?) \|", TEXT, re.MULTILINE)

    for names, shown in rows:
        for name, value in zip(re.findall(r"`(\w+)`", names), shown.split(", "), strict=False):
            default = str(defaults[name]).lower() if isinstance(defaults[name], bool) else str(defaults[name])
            if default:  # empty has a meaning of its own, told in words
                assert value.strip("`") == default, name


def test_every_command_of_the_console_is_there() -> None:
    for words in found(r"(?:^|bin/|\s)estafette ((?:[a-z]+ ?)+)"):
        command: click.Command = main
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            assert word in command.commands, words
            command = command.commands[word]


def test_every_option_of_the_console_is_there() -> None:
    lines = [line for line in code() if "--" in line and re.search(r"(?:^|bin/|\s)estafette [a-z]", line)]
    assert len(lines) > 5
    for line in lines:
        words = re.split(r"(?:^|bin/|\s)estafette ", line, maxsplit=1)[1].partition("  ")[0].split()
        command: click.Command = main
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_every_metric_is_counted() -> None:
    sources = "".join(file.read_text("utf-8") for file in ROOT.glob("s*/**/*.py"))

    for name in found(r"\bestafette_[a-z_]+[a-z]\b"):
        assert f'"{name}"' in sources, name


def test_every_test_is_there() -> None:
    functions = {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert found(r"^(test_\w+[a-z])$") - functions == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_within_a_document_leads_somewhere(name: str) -> None:
    text = DOCUMENTS[name]
    headings = {
        heading.lower().replace(" ", "-").replace(",", "") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([^)]+)\)", text)) - headings == set()
