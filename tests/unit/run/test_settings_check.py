"""`estafette settings --check` tells what a start or a SIGHUP would refuse, and changes nothing."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.console.console import main
from tests.fakes.certificates import Authority


def checked(folder: Path, monkeypatch: pytest.MonkeyPatch, **environ: str) -> Result:
    monkeypatch.chdir(folder)
    return CliRunner().invoke(main, ["settings", "--check"], env=environ)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"estafette.toml": "[logs]\nlevel =\n"}, ["estafette.toml", "line 2"]),
        ({"estafette.toml": "[logs]\nlevle = 'info'\n"}, ["estafette.toml", "logs.levle"]),
        ({"estafette.toml": "[relay]\nshaping_file = 'mine.toml'\n"}, ["relay.shaping_file", "mine.toml", "no such"]),
        (
            {
                "estafette.toml": "[relay]\nshaping_file = 'mine.toml'\n",
                "mine.toml": "[provider.gmail]\nratee = '1/s'\n",
            },
            ["relay.shaping_file: mine.toml", "[provider.gmail]", "ratee", "did you mean rate"],
        ),
        (
            {"estafette.toml": "[relay]\negress_file = 'mine.toml'\n", "mine.toml": "[source.a1]\n\naddress = 1 2\n"},
            ["relay.egress_file: mine.toml", "line 3"],
        ),
    ],
)
def test_each_fault_is_a_line_with_its_file_and_the_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], named: list[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")

    result = checked(tmp_path, monkeypatch)

    assert result.exit_code == 1
    assert any(all(word in line for word in named) for line in result.output.lower().splitlines()), result.output


def test_faults_of_both_files_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("[sauce]\n", "utf-8")
    both = {"ESTAFETTE_RELAY_SHAPING_FILE": "mine.toml", "ESTAFETTE_RELAY_EGRESS_FILE": "mine.toml"}

    result = checked(tmp_path, monkeypatch, **both)

    assert result.exit_code == 1
    assert {line.partition(":")[0] for line in result.output.splitlines()} == {
        "relay.shaping_file", "relay.egress_file",
    }  # fmt: skip


def test_what_is_right_is_named_and_the_code_is_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "estafette.toml").write_text("[relay]\nshaping_file = 'mine.toml'\n", "utf-8")
    (tmp_path / "mine.toml").write_text("[default]\nconnections = 3\n", "utf-8")

    result = checked(tmp_path, monkeypatch)

    assert (result.exit_code, result.output) == (0, "right: estafette.toml, mine.toml\n")


def test_the_certificates_that_servers_show_are_looked_at_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    for section in ("bounces", "submission"):
        (tmp_path / section).mkdir()
        authority.issue(f"{section}.example").write(tmp_path / section)
    named = "[{0}]\ncertificate = '{0}/certificate.pem'\nkey = '{0}/key.pem'\n"
    (tmp_path / "estafette.toml").write_text("".join(map(named.format, ("bounces", "submission"))), "utf-8")

    right = checked(tmp_path, monkeypatch)
    (tmp_path / "submission/certificate.pem").write_text("", "utf-8")
    wrong = checked(tmp_path, monkeypatch)

    assert right.exit_code == 0
    assert "bounces/key.pem, submission/certificate.pem, submission/key.pem" in right.output
    assert wrong.exit_code == 1
    assert wrong.output.startswith("submission.certificate: ")
