"""The units in systemd/ start every service of the catalogue, give it time to end, and allow it what it needs alone."""

import re
from pathlib import Path

import pytest

from services import catalogue
from services.settings import Settings

UNITS = Path(__file__).resolve().parents[2] / "systemd"
ALL, ONE, TARGET = "estafette.service", "estafette@.service", "estafette.target"


def said(unit: str) -> dict[str, list[str]]:
    """Every value of each key, in order; a key belongs to one section."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text("utf-8").splitlines():
        if assigned := re.fullmatch(r"(\w+)=(.*)", line):
            found.setdefault(assigned[1], []).append(assigned[2])
    return found


def test_the_target_starts_a_process_for_each_service_that_an_instance_has() -> None:
    wanted = [unit.removeprefix("estafette@").removesuffix(".service") for unit in said(TARGET)["Wants"]]

    assert wanted == [service.name for service in catalogue.of_an_instance("mx")]
    assert said(ONE)["ExecStart"] == ["/opt/estafette/bin/estafette serve %i"]
    assert said(ONE)["PartOf"] == [TARGET]


def test_an_instance_and_its_processes_do_not_run_beside_each_other() -> None:
    assert said(ALL)["ExecStart"] == ["/opt/estafette/bin/estafette run"]
    assert said(ALL)["Conflicts"] == [TARGET]
    assert said(TARGET)["Conflicts"] == [ALL]


def test_what_is_stopped_has_time_to_end_in_order() -> None:
    lifecycle = Settings().lifecycle
    one_s = lifecycle.grace_seconds + lifecycle.drain_seconds

    assert int(said(ONE)["TimeoutStopSec"][0]) > one_s
    assert int(said(ALL)["TimeoutStopSec"][0]) > one_s * len(catalogue.STOPS)
    # Children are not told by systemd: the supervisor stops them against the flow.
    assert said(ALL)["KillMode"] == ["mixed"]


@pytest.mark.parametrize("unit", [ALL, ONE])
def test_a_reload_looks_at_the_files_before_anybody_is_told(unit: str) -> None:
    assert said(unit)["ExecReload"] == [
        "/opt/estafette/bin/estafette settings --check",
        "/bin/kill -HUP $MAINPID",
    ]


@pytest.mark.parametrize("unit", [ALL, ONE])
def test_what_only_an_operator_can_mend_is_not_tried_again(unit: str) -> None:
    assert said(unit)["RestartPreventExitStatus"] == ["2"]


@pytest.mark.parametrize("unit", [ALL, ONE])
def test_a_process_is_a_user_of_its_own_without_privileges_and_writes_its_data_alone(unit: str) -> None:
    found = said(unit)

    assert found["User"] == ["estafette"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["StateDirectoryMode"] == ["0700"]
    assert found["Environment"] == ["ESTAFETTE_DATA_DIR=/var/lib/estafette"]
    for key, value in {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes"}.items():
        assert found[key] == [value]
