"""What the documents name is there: commands, targets, paths, routes, settings, metrics, tests, words of the code."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from services import catalogue, settings
from services.console import settings_page
from services.console.console import main
from services.relay.files import SHAPING_FILE
from services.relay.traffic.egress import Egress
from services.relay.traffic.shaping import Shaping
from services.webhooks.endpoints import TYPES
from shared.process.routing import Asked, Routing
from shared.process.settings import FILE_VARIABLE
from shared.words.rates import parse_rate
from tests.routes import all_routes

ROOT = Path(__file__).resolve().parents[2]
#: What people read; made of it are the pages of `docs/` too.
DOCUMENTS = {
    str(file.relative_to(ROOT)): file.read_text("utf-8")
    for file in (*sorted(ROOT.glob("*.md")), ROOT / "loadtests/README.md", *sorted(ROOT.glob("docs/**/*.md")))
}
TEXT = "\n".join(DOCUMENTS.values())
FOLDERS = r"services|shared|proto|helm|systemd|loadtests|tests|docs|\.ci"
#: What a reader has, what only an example is called.
NOT_OURS = {"estafette.toml", "Dockerfile", "queue_ms"}
README_MAX_BYTES = 10_000


def code(text: str = TEXT) -> Iterator[str]:
    """What stands between backticks or in a fenced block, line by line."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    yield from (line for block in fenced for line in block.splitlines())
    yield from re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def found(pattern: str, text: str = TEXT) -> set[str]:
    return {name for line in code(text) for name in re.findall(pattern, line)}


def test_every_make_target_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    for target in found(r"(?:^|\d )make ([a-z-]+)"):
        bench = target.removeprefix("bench-").replace("-", "_")
        assert target in targets or (bench != target and (ROOT / f"loadtests/bench_{bench}.py").exists()), target


def test_every_path_is_there() -> None:
    named = found(rf"(?<![\w./-])((?:{FOLDERS})/[\w./<>-]*[\w>/]|[\w-]+\.(?:lock|toml|yaml)|Dockerfile)")
    named -= {"estafette.toml", "values.yaml"}  # the reader's own

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

    assert len(named) > 10
    assert named - offered == set()
    assert paths - {path for _, path in offered} == set()


def test_every_setting_is_one() -> None:
    known = {line.name for line in settings.explain({}, None)}
    variables = {f"ESTAFETTE_{name.replace('.', '_').upper()}" for name in known} | {FILE_VARIABLE}
    sections = {name.partition(".")[0] for name in known}

    named = found(r"\bESTAFETTE_[A-Z_]*[A-Z]\b")
    dotted = {name for name in found(r"^([a-z]+\.(?!py$|key$)[a-z_]+)$") if name.partition(".")[0] in sections}

    assert len(named) > 3
    assert len(dotted) > 30
    assert named - variables == set()
    assert dotted - known - set(TYPES) - {settings.Settings().bounces.domain} == set()


def blocks(name: str) -> list[str]:
    """The TOML that a document shows."""
    return re.findall(r"^```toml\n(.*?)^```", DOCUMENTS[name], re.MULTILINE | re.DOTALL)


def test_shaping_and_source_addresses_that_are_shown_are_taken() -> None:
    _, limits, addresses, routes = blocks("docs/sending.md")

    shaping = Shaping.parse(SHAPING_FILE.read_text("utf-8"), limits)
    egress = Egress.parse(addresses)

    assert shaping.of("gmail").source_connections == 5
    assert shaping.rule("mx.partner.example", 451, "4.7.1 come back after office hours", "rcpt") is not None
    assert [source.name for source in egress.pool("bulk", "acme").sources] == ["a1", "a2"]
    assert egress.pool("transactional", "acme").name == "codes"
    taken = Routing.parse(routes).route_for(Asked("gmail.com", "acme", "bulk", "news.acme.example"))
    assert taken is not None
    assert (taken.name, taken.rates) == ("ses", (parse_rate("14/s"),))


def test_settings_that_are_shown_are_taken(tmp_path: Path) -> None:
    shown = [blocks("docs/sending.md")[0], *blocks("docs/settings.md")]

    for block in shown:
        file = tmp_path / "estafette.toml"
        file.write_text(block, "utf-8")
        loaded = {line.name: line.value for line in settings.explain({}, file)}
        for section, fields in tomllib.loads(block).items():
            for field, value in fields.items():
                assert loaded[f"{section}.{field}"] == value


def test_the_page_of_settings_is_made_from_them() -> None:
    assert DOCUMENTS["docs/settings.md"] == settings_page.page(), "estafette settings --markdown > docs/settings.md"


def test_the_readme_is_short() -> None:
    assert len(DOCUMENTS["README.md"].encode()) <= README_MAX_BYTES


def test_every_page_is_found_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            ahead += [(page.parent / target).resolve() for target, _ in links(page.read_text("utf-8")) if target]

    assert {str(page.relative_to(ROOT)) for page in seen} >= set(DOCUMENTS) - {"SECURITY.md"}


def test_decisions_have_numbers_dates_a_choice_what_was_rejected_and_why() -> None:
    pages = {name: text for name, text in DOCUMENTS.items() if re.match(r"docs/decisions/\d", name)}
    index = DOCUMENTS["docs/decisions/README.md"]

    assert [int(Path(name).name[:4]) for name in pages] == list(range(1, len(pages) + 1))
    for name, text in pages.items():
        found = re.match(r"# (\d{4})\. (.+)\n\n(20\d\d-\d\d-\d\d)\n\n\*\*Choice\.\*\* ", text)
        assert found, name
        number, title, date = found.groups()
        assert f"| [{number}]({Path(name).name}) | {date} | {title} |" in index, name
        assert re.search(r"^\*\*Rejected\.\*\* .*^\*\*Why\.\*\* ", text, re.MULTILINE | re.DOTALL), name


def test_what_services_write_is_what_the_registry_says() -> None:
    writers: dict[str, set[str]] = {}
    for stream in tomllib.loads((ROOT / "proto/streams.toml").read_text("utf-8")).values():
        for message, services in stream.get("writers", {}).items():
            for service in services:
                writers.setdefault(service, set()).add(message)
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \| .*? \|$", DOCUMENTS["docs/architecture.md"], re.MULTILINE)

    assert {service for service, _ in rows} >= set(writers)
    for service, told in rows:
        assert set(re.findall(r"\b[A-Z]\w+\b", told)) == writers.get(service, set()) - {"Intake", "Ready"}, service


def test_every_word_of_the_code_is_there() -> None:
    told = "\n".join(text for name, text in DOCUMENTS.items() if name not in ("CHANGELOG.md", "loadtests/README.md"))
    sources = "".join(
        file.read_text("utf-8")
        for folder in ("services", "shared", "proto", "tests", "loadtests")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".proto", ".toml", ".lua") and file.name != Path(__file__).name
    )
    words = set(re.findall(r"\w+", sources)) | {line.name.partition(".")[2] for line in settings.explain({}, None)}
    named = found(r"^([a-z]+(?:_[a-z0-9]+)+|[A-Z]{2,}(?:_[A-Z0-9]+)*|[A-Z][a-z]+)$", told) - NOT_OURS

    assert len(named) > 50
    assert named - words == set()


def test_a_name_that_is_said_to_be_in_a_file_is_in_it() -> None:
    named = re.findall(r"`(?:class |message )?(\w+)` in\s`(\w+/[\w/]+\.\w+)`", TEXT)

    assert len(named) > 5
    for name, file in named:
        assert re.search(rf"\b{name}\b", (ROOT / file).read_text("utf-8")), (name, file)


def test_every_command_of_the_console_is_there() -> None:
    for words in found(r"(?:^|bin/|\s)estafette ((?:[a-z]+(?:-[a-z]+)* ?)+)"):
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

    # The package of the client has a name of the same form.
    for name in found(r"\bestafette_(?!client\b)[a-z_]+[a-z]\b"):
        assert f'"{re.sub(r"_(?:bucket|sum|count)$", "", name)}"' in sources, name


def test_every_test_is_there() -> None:
    functions = {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert found(r"^(test_\w+[a-z])$") - functions == set()


def links(text: str) -> Iterator[tuple[str, str]]:
    """Path and fragment of each link that leads to another place of the documents."""
    for target in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```|`[^`]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    ):
        if not re.match(r"[a-z]+:", target):
            path, _, fragment = target.partition("#")
            yield path, fragment


def anchors(text: str) -> set[str]:
    """Of its headings, as they are made from them where such files are shown."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    for path, fragment in links(DOCUMENTS[name]):
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), f"{name}: {path}"
        if fragment:
            assert fragment in anchors(target.read_text("utf-8")), f"{name}: {path}#{fragment}"
