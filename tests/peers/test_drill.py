"""The drill in short: faults in a running instance are named by alert and panel within a minute, and mended."""

import json
from pathlib import Path

import pytest

from loadtests.drill.__main__ import FACTOR
from loadtests.drill.drill import drill
from loadtests.drill.faults import FAULTS
from loadtests.drill.rules import quick_rules
from loadtests.drill.stage import RULES
from tests.peers.prometheus import promtool

#: Of each kind one that does not take long; `make drill` tries all.
IN_SHORT = {"defers", "listed", "dead", "full", "frozen"}


def test_promtool_finds_no_fault_in_the_drills_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(json.dumps(quick_rules(RULES, FACTOR)), "utf-8")

    code, said = promtool("check", "rules", str(tmp_path / "rules.json"))

    assert code == 0, said


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.name))
def test_the_panel_that_shows_a_fault_is_in_a_dashboard(fault: object) -> None:
    assert fault.panel.expression()  # type: ignore[attr-defined]


async def test_each_fault_is_named_within_a_minute_and_mended_by_its_runbook_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    faults = [fault for fault in FAULTS if fault.name in IN_SHORT]

    results = await drill(faults, tmp_path, FACTOR)

    assert {one.fault.name: one.wrong for one in results if not one.held} == {}
    assert {one.fault.name for one in results} == IN_SHORT
