"""systemd reads the units in systemd/ and finds nothing wrong with them."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.servers import need

UNITS = Path(__file__).resolve().parents[2] / "systemd"


def verified(folder: Path) -> str:
    """What systemd says of the units there; `serve %i` is looked at as the relay's."""
    units = sorted(str(file) for file in folder.iterdir() if "@." not in file.name)
    ran = subprocess.run(
        [need("systemd-analyze"), "verify", "--man=no", *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, as on a machine on which the program is there."""
    for file in UNITS.iterdir():
        text = file.read_text("utf-8").replace("/opt/estafette/bin/estafette", "/bin/true")
        (tmp_path / file.name).write_text(text, "utf-8")
        if "@." in file.name:
            (tmp_path / file.name.replace("@.", "@relay.")).write_text(text, "utf-8")
    return tmp_path


def test_every_unit_is_taken_without_a_word(units: Path) -> None:
    assert verified(units) == ""


def test_a_word_that_systemd_does_not_know_would_be_seen(units: Path) -> None:
    unit = units / "estafette.service"
    unit.write_text(unit.read_text("utf-8").replace("LockPersonality=", "LockPersonalty="), "utf-8")

    assert "Unknown key 'LockPersonalty'" in verified(units)
