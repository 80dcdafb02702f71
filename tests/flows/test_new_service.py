"""A new, empty service that reads events and has one route is its own folder and one row of the catalogue."""

import shutil
from pathlib import Path

from tests.flows.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
ROW = """    Service(
        "echo",
        "services.echo",
        process="run",
        routes=True,
        stops="counts",
        reads=("events",),
        settings="Echo",
    ),
"""


def with_echo(code: Path) -> Path:
    """Our code with the service in it: the folder, and the row."""
    for folder in ("services", "shared"):
        shutil.copytree(ROOT / folder, code / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "data" / "new_service", code / "services" / "echo")
    catalogue = code / "services" / "catalogue.py"
    end_of_rows = "\n)\nBY_NAME"
    before, after = catalogue.read_text("utf-8").split(end_of_rows)
    catalogue.write_text(f"{before}\n{ROW.rstrip()}{end_of_rows}{after}", "utf-8")
    return code


async def test_a_new_service_is_its_own_folder_and_one_row(tmp_path: Path) -> None:
    code = with_echo(tmp_path / "code")
    environ = {"PYTHONPATH": str(code), "ESTAFETTE_ECHO_BATCH": "7"}

    async with Stack.running(tmp_path / "data", environ, code) as stack:
        await stack.done(await stack.send("ana@exemple.fr"))

        async def has_read() -> bool:
            metrics = next(
                line.split()[-1] for line in (tmp_path / "data" / "run.log").read_text().splitlines()
                if "metrics of echo" in line
            )  # fmt: skip
            _, page = await stack.call("GET", metrics)
            return any(line.startswith(b"estafette_echo_read_total ") for line in page.splitlines()) and (
                b"estafette_echo_read_total 0.0" not in page
            )

        await stack.until(has_read)
        assert await stack.call("GET", "/v1/echo/bonjour") == (200, {"said": "bonjour"})
        _, described = await stack.call("GET", "/v1/openapi.json")
        assert "/v1/echo/{word}" in described["paths"]
        assert stack.pid_of("echo")
        assert "echo.batch" in await stack.console("settings")
        assert "echo" in await stack.console("serve", "--help")
