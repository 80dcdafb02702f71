"""Dashboards are what their table says, and JSON that the Grafana named in them reads."""

import re
from pathlib import Path
from typing import Any

import pytest

from helm.dashboards import COLUMNS, DASHBOARDS, FOLDER, SCHEMA_VERSION, Dashboard, made, text

ROOT = Path(__file__).resolve().parents[3]
DECLARED = set(
    re.findall(
        r'"(estafette_[a-z_]+)"',
        "\n".join(
            file.read_text("utf-8") for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.py")
        ),
    )
)
of_each = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: str(one.name))


def test_the_files_are_those_of_the_table() -> None:
    assert {file.name: file.read_text("utf-8") for file in FOLDER.glob("*.json")} == {
        f"{dashboard.name}.json": text(dashboard) for dashboard in DASHBOARDS
    }


@of_each
def test_each_panel_says_which_question_it_answers(dashboard: Dashboard) -> None:
    assert [panel.title for panel in dashboard.panels if not panel.question.endswith("?")] == []
    assert len({panel.title for panel in dashboard.panels}) == len(dashboard.panels)


@of_each
def test_each_metric_in_it_is_declared_by_a_process(dashboard: Dashboard) -> None:
    named = {name for panel in dashboard.panels for name in re.findall(r"estafette_[a-z_]+", panel.expression)}

    assert {name for name in named if re.sub(r"_bucket$", "", name) not in DECLARED} == set()


@of_each
def test_it_has_what_grafana_needs_and_nothing_overlaps(dashboard: Dashboard) -> None:
    json = made(dashboard)
    panels: list[dict[str, Any]] = json["panels"]

    assert json["schemaVersion"] == SCHEMA_VERSION
    assert re.fullmatch(r"[a-z-]{1,40}", json["uid"])
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= COLUMNS
        assert not cells & taken
        taken |= cells
        assert all(
            target["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for target in panel["targets"]
        )
        assert all({"refId", "expr", "legendFormat"} <= target.keys() for target in panel["targets"])


@of_each
def test_a_dashboard_uses_the_variables_that_it_has(dashboard: Dashboard) -> None:
    has = {variable["name"] for variable in made(dashboard)["templating"]["list"]}
    used = {name for panel in dashboard.panels for name in re.findall(r"\$(\w+)", panel.expression)}

    assert used | {"datasource"} == has
