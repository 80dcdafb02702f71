"""Every service is in the catalogue, what its row promises is there, and nothing else lists services."""

import ast
import subprocess
import sys
from pathlib import Path

from services import catalogue
from services.settings import Settings
from shared.process import coherence

ROOT = Path(__file__).resolve().parents[2]
NAMES = set(catalogue.BY_NAME)
#: What is no service: the command line, what one machine needs, and what runs where nothing else of ours is.
NO_SERVICES = {"client", "console", "local"}
#: Words of a registry that is held to the catalogue by `tests/contract`.
REGISTRIES = {"services/catalogue.py"}


def sources() -> list[Path]:
    return [file for folder in ("services", "shared", "loadtests") for file in sorted((ROOT / folder).rglob("*.py"))]


def named(node: ast.AST) -> set[str]:
    """Names of services among the texts of a literal."""
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and one.value in NAMES}


def test_every_folder_of_a_service_is_in_the_catalogue_once() -> None:
    folders = {file.parent.name for file in (ROOT / "services").glob("*/__init__.py")} - NO_SERVICES
    modules = [service.module for service in catalogue.SERVICES]

    assert {f"services.{folder}" for folder in folders} == {module for module in modules if module.count(".") == 1}
    assert len(modules) == len(set(modules)) == len(NAMES)


def test_what_a_row_promises_is_there() -> None:
    for service in catalogue.SERVICES:
        folder = ROOT / service.module.replace(".", "/")
        assert (folder / "__main__.py").exists() is (service.process is not None), service.name
        assert (folder / "routes.py").exists() is service.routes, service.name
        assert (service.process == "run") is (service.stops is not None), service.name


def test_the_table_of_services_has_each_of_them() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = page[page.index("## Services") : page.index("## Streams")]

    assert {row.split("`")[1] for row in table.splitlines() if row.startswith("| `")} == NAMES - {"http"}


def test_a_process_has_settings_of_its_name() -> None:
    settings = Settings()

    for service in catalogue.SERVICES:
        if service.process is not None:
            assert getattr(settings, service.name).metrics_port == service.metrics_port, service.name
        if service.listens is not None:
            section, _, field = service.listens.partition(".")
            assert getattr(getattr(settings, section), field) > 0, service.name
        folder = ROOT / service.module.replace(".", "/")
        assert (folder / "settings.py").exists() is (service.settings is not None), service.name


def test_a_process_is_watched_on_a_port_of_its_own() -> None:
    ports = [service.metrics_port for service in catalogue.SERVICES if service.process is not None]

    assert min(ports) == 9101
    assert len(set(ports)) == len(ports)
    assert not [service.name for service in catalogue.SERVICES if service.process is None and service.metrics_port]


def test_who_needs_the_master_secret_is_told_where_it_cannot_be_read() -> None:
    assert {service.name for service in catalogue.SERVICES if "secret" in service.needs} == coherence.SECRETS


def test_all_processes_of_an_instance_stop_in_some_order() -> None:
    ordered = [name for group in catalogue.stop_order(catalogue.SERVICES) for name in group]

    assert sorted(ordered) == sorted(service.name for service in catalogue.of_an_instance("mailbox"))
    assert ordered[0] == "http"


def test_nothing_else_lists_services() -> None:
    """More than half of them in one literal is a list of them, and so are imports of more than half."""
    most = len(NAMES) // 2
    found = []
    for file in sources():
        source = str(file.relative_to(ROOT))
        tree = ast.parse(file.read_text("utf-8"))
        literals = [node for node in ast.walk(tree) if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict)]
        if source not in REGISTRIES and any(len(named(node)) > most for node in literals):
            found.append(source)
        imported = {
            node.module.split(".")[1]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("services.")
        }
        if len(imported & NAMES) > most:
            found.append(source)

    assert found == []


def test_reading_the_catalogue_imports_no_service() -> None:
    script = "import sys, services.catalogue; print(*(m for m in sys.modules if m.startswith(('services.', 'shared'))))"

    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, text=True)

    assert ran.stdout.split() == ["services.catalogue"]
