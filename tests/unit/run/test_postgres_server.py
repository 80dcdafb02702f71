"""Which PostgreSQL is started, and which is not."""

from pathlib import Path

import pytest

from services.local import postgres_server
from services.local.postgres_server import Found, NoPostgres


def programs(directory: Path, version: str) -> Path:
    """A folder of programs that only tell a version."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        file = directory / name
        file.write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version} (Debian {version}-0)"\n')
        file.chmod(0o755)
    return directory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One without any of them; `machine/on-path` is on PATH, `machine/debian` what Debian has."""
    monkeypatch.setenv("PATH", str(tmp_path / "on-path"))
    monkeypatch.setattr(postgres_server, "DEBIANS", tmp_path / "debian")
    monkeypatch.setattr(postgres_server, "find_spec", lambda _name: None)
    return tmp_path


def test_path_comes_before_debians_and_of_those_the_newest(machine: Path) -> None:
    programs(machine / "debian/15/bin", "15.14")
    programs(machine / "debian/17/bin", "17.2")
    assert postgres_server.find(machine / "data") == Found(machine / "debian/17/bin", 17)

    programs(machine / "on-path", "16.1")

    assert postgres_server.find(machine / "data") == Found(machine / "on-path", 16)


def test_one_that_is_too_old_is_passed_over(machine: Path) -> None:
    programs(machine / "on-path", "13.4")
    with pytest.raises(NoPostgres, match=r"\(13\): PostgreSQL 15 or newer is needed"):
        postgres_server.find(machine / "data")

    programs(machine / "debian/15/bin", "15.14")

    assert postgres_server.find(machine / "data").version == 15


def test_data_is_opened_by_the_major_version_that_wrote_it_alone(machine: Path) -> None:
    programs(machine / "debian/17/bin", "17.2")
    (machine / "data").mkdir()
    (machine / "data/PG_VERSION").write_text("15\n")
    with pytest.raises(NoPostgres, match="PostgreSQL 15, which wrote"):
        postgres_server.find(machine / "data")

    programs(machine / "debian/15/bin", "15.14")

    assert postgres_server.find(machine / "data").version == 15


def test_without_any_it_is_told_what_to_install(machine: Path) -> None:
    with pytest.raises(NoPostgres, match="apt-get install postgresql"):
        postgres_server.find(machine / "data")


def test_ours_keeps_what_it_acknowledges_and_listens_on_loopback_alone(tmp_path: Path) -> None:
    command = postgres_server.command(Found(tmp_path, 15), "/somewhere", 5433)

    assert command[:3] == [str(tmp_path / "postgres"), "-D", "/somewhere"]
    settings = dict(option.split("=", 1) for option in command[4::2])
    assert set(command[3::2]) == {"-c"}
    assert settings["port"] == "5433"
    assert settings["listen_addresses"] == "127.0.0.1"
    assert settings["unix_socket_directories"] == ""
    assert settings["fsync"] == settings["synchronous_commit"] == settings["full_page_writes"] == "on"


def test_programs_that_fail_say_why_and_leave_nothing_that_looks_made(tmp_path: Path) -> None:
    folder = programs(tmp_path / "bin", "15.14")
    (folder / "initdb").write_text("#!/bin/sh\necho 'initdb: error: no room' >&2\nexit 1\n")
    lent = postgres_server.account()
    folder.parent.chmod(0o755)

    with pytest.raises(NoPostgres, match=r"no room|cannot be run"):
        postgres_server.make(Found(folder, 15), tmp_path / "data", lent)

    assert postgres_server.written_by(tmp_path / "data") is None
