"""What every file says of itself, and what none may say: keys, hosts, metrics."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from shared.redis.jobs import FIELDS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    str(file.relative_to(ROOT)) for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.py")
)
SCRIPTS = sorted(
    str(file.relative_to(ROOT)) for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.lua")
)
TESTS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("*.py") if file.name != "__init__.py")

#: What a Redis key of ours looks like: its prefix, or a hash tag.
KEY = re.compile(r"^est:|\{(meta|mailbox|p\d+)\}|:\{p?$")
#: Hosts of registries, put together here so that this file names none.
REGISTRIES = [
    f"{name}.{top}"
    for name, top in (
        ("pypi", "org"), ("pythonhosted", "org"), ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io"),
        ("npmjs", "org"), ("crates", "io"), ("proxy.golang", "org"),
    )
]  # fmt: skip
#: A command of a script and the fields that it names, of whichever hash.
OF_A_HASH = re.compile(r"'H[A-Z]+', *KEYS\[[^]]+\], *'[^\n)]*")
METRIC = re.compile(r"estafette_[a-z]+_[a-z_]*[a-z]")
METRIC_KINDS = {"Counter", "Gauge", "Histogram", "Summary"}


@cache
def tree(source: str) -> ast.Module:
    return ast.parse((ROOT / source).read_text("utf-8"))


def texts(source: str) -> Iterator[str]:
    """Every string literal, parts of f-strings too, but for docstrings; a script as a whole, and its literals."""
    if source.endswith(".lua"):
        script = (ROOT / source).read_text("utf-8")
        yield from (script, *re.findall(r"'([^'\n]*)'", script))
        return
    module = tree(source)
    docstrings = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_the_rules_have_files_to_hold_for() -> None:
    assert len(SOURCES) > 100 < len(TESTS)
    assert len(SCRIPTS) > 40


def test_a_module_opens_with_what_it_is() -> None:
    assert [source for source in [*SOURCES, *TESTS] if not has_first_sentence(source)] == []


def test_fields_of_a_job_are_spelled_in_one_file() -> None:
    spelled = [
        f"{source}: {command[0]}"
        for source in [*SOURCES, *SCRIPTS]
        if source != "shared/redis/jobs.py"
        for text in texts(source)
        for command in OF_A_HASH.finditer(text)
        if FIELDS.keys() & set(re.findall(r"'(\w+)'", command[0])[1 : None if "GET" in command[0] else 2])
    ]
    asked = [
        f"{source}: {ast.unparse(node)}"
        for source in SOURCES
        if source != "shared/redis/jobs.py"
        for node in ast.walk(tree(source))
        if isinstance(node, ast.Assign | ast.Call) and asks_the_hash_of_a_job(node)
    ]

    assert spelled + asked == []


def asks_the_hash_of_a_job(node: ast.Assign | ast.Call) -> bool:
    """A command with the key of a job, or that key put aside for one. (A script gets it in a list.)"""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.value).startswith("keys.job(")
    return any(ast.unparse(one).startswith("keys.job(") for one in node.args) and ".h" in ast.unparse(node.func)


def has_first_sentence(source: str) -> bool:
    docstring = ast.get_docstring(tree(source)) or ""
    return docstring.split("\n\n")[0].rstrip().endswith((".", ":", "?", "…"))


def test_redis_keys_are_spelled_in_one_file() -> None:
    assert [
        f"{source}: {text}"
        for source in [*SOURCES, *SCRIPTS]
        if source != "shared/redis/keys.py"
        for text in texts(source)
        if KEY.search(text)
    ] == []


def test_no_client_of_redis_is_anything() -> None:
    """Its commands have types (`shared.redis.commands`). Of the console's modules some still do without."""
    assert [
        source
        for source in SOURCES
        if not source.startswith("services/console/")
        if re.search(r"client: Any\b|: Any = (self\._)?client\b", (ROOT / source).read_text("utf-8"))
    ] == []


def test_a_metric_is_named_after_its_part_and_explained() -> None:
    found = [(source, *metric) for source in SOURCES for metric in metrics(source)]

    assert len(found) > 50
    assert [
        f"{source}: {name}" for source, name, explanation in found if not (METRIC.fullmatch(name) and explanation)
    ] == []


def metrics(source: str) -> Iterator[tuple[str, str]]:
    """Name and help of each metric that a module declares."""
    module = tree(source)
    kinds = {
        alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        for alias in node.names
    } & METRIC_KINDS
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
            name, explanation = (ast.literal_eval(argument) for argument in node.args[:2])
            yield name, explanation


def files() -> Iterator[Path]:
    """What a fresh clone has, whatever else lies about."""
    skipped = {".audit", ".git", ".venv", ".run", "__pycache__", "build", "dist"}
    for folder in sorted(ROOT.iterdir()):
        if folder.name in skipped or folder.name.endswith("_cache") or folder.name.endswith(".egg-info"):
            continue
        yield from [folder] if folder.is_file() else (file for file in folder.rglob("*") if file.is_file())


def test_no_file_names_a_registry_so_that_everybody_uses_their_own() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {registry}"
        for file in files()
        if file.suffix != ".pyc"
        for registry in REGISTRIES
        if registry.encode() in file.read_bytes()
    ]

    assert found == []


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-archive.lock", "requirements-drop.lock", "requirements-test.lock"]
)
def test_a_lock_has_a_hash_for_each_version_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text("ascii")

    assert "://" not in text
    assert "--index" not in text
    for requirement in text.replace("\\\n", " ").splitlines():
        assert re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement[:100]


def test_what_runs_does_not_install_what_tests() -> None:
    runs, tests = (
        {line.split("==")[0] for line in (ROOT / name).read_text("ascii").splitlines() if "==" in line}
        for name in ("requirements.lock", "requirements-test.lock")
    )

    assert runs < tests
    assert not runs & {"pytest", "ruff", "mypy", "hypothesis"}


def test_a_person_is_they() -> None:
    said = re.compile(r"\b(he|his|him|himself|she|hers|herself)\b", re.IGNORECASE)
    written = [*(ROOT / "services").rglob("*.*"), *(ROOT / "shared").rglob("*.*"), *(ROOT / "proto").rglob("*.proto")]
    written += [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "loadtests").rglob("*.*")]
    written += (ROOT / "helm").rglob("*.md")

    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in sorted(written)
        if file.suffix != ".pyc"
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if said.search(line.replace('"he, ar"', ""))  # the code of a language
        if "if she has left" not in line  # Ana, of the README
    ]

    assert found == []
