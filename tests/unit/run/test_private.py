"""What becomes of a data directory that somebody else could have had their hands on."""

import os
import socket
from pathlib import Path

import pytest

from services.local import private


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o7777


@pytest.mark.parametrize("open_to", [0o755, 0o777, 0o1777, 0o750, 0o770, 0o701, 0o2775, 0o700])
def test_whatever_its_mode_was_it_is_ours_alone_afterwards(tmp_path: Path, open_to: int) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(open_to)

    private.own(directory)

    assert mode(directory) == 0o700


def test_one_that_is_missing_is_made(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "run"

    private.own(directory)

    assert mode(directory) == 0o700


@pytest.mark.parametrize(
    "name",
    [
        "secret.key", "demo.key", "redis.url", "http.url", "lock", "dump.rdb", "appendonly.aof", "logs/http.log",
        "spool/1.spool", "appendonlydir/appendonly.aof.1.incr.aof", "logs/older/http.log",
    ],
)  # fmt: skip
@pytest.mark.parametrize("open_to", [0o644, 0o666, 0o777, 0o640, 0o604, 0o4755])
def test_what_is_kept_in_it_is_closed_to_others(tmp_path: Path, name: str, open_to: int) -> None:
    file = tmp_path / "run" / name
    file.parent.mkdir(parents=True)
    file.parent.chmod(0o777)
    file.write_text("x")
    file.chmod(open_to)

    private.own(tmp_path / "run")

    assert mode(file) & 0o7077 == 0
    assert mode(file.parent) == 0o700
    assert file.read_text() == "x"


def test_what_is_not_ours_to_keep_stays_as_it_is(tmp_path: Path) -> None:
    for name in ("notes.txt", "project/main.py", "project/secret.key"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
        file.chmod(0o644)

    private.own(tmp_path)

    assert [mode(tmp_path / name) for name in ("notes.txt", "project/main.py", "project/secret.key")] == [0o644] * 3


def test_that_of_another_user_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    with pytest.raises(private.NotPrivate, match=f"belongs to another user \\(uid {os.getuid()}\\)"):
        private.own(tmp_path, uid=os.getuid() + 1)
    assert mode(tmp_path) == 0o755


@pytest.mark.skipif(os.getuid() != 0, reason="gives files away")
@pytest.mark.parametrize("name", ["secret.key", "lock", "logs", "logs/http.log", "appendonlydir", "spool/1.spool"])
def test_what_another_user_has_left_in_it_is_refused(tmp_path: Path, name: str) -> None:
    entry = tmp_path / name
    entry.parent.mkdir(exist_ok=True)
    if name in private.FOLDERS:
        entry.mkdir()
    else:
        entry.write_text("aa" * 32)
    os.chown(entry, 12345, 12345)

    with pytest.raises(private.NotPrivate, match=f"{name} belongs to another user \\(uid 12345\\)"):
        private.own(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="gives files away")
def test_a_directory_that_was_given_away_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    os.chown(directory, 12345, 12345)

    with pytest.raises(private.NotPrivate, match="name a directory of your own"):
        private.own(directory)


def test_a_link_of_ours_is_followed_and_what_it_leads_to_is_closed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o777)
    (tmp_path / "disk").chmod(0o777)
    (tmp_path / "run").symlink_to("disk")

    private.own(tmp_path / "run")

    assert mode(tmp_path / "disk") == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="gives links away")
def test_a_link_that_another_user_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to("disk")
    os.chown(tmp_path / "run", 12345, 12345, follow_symlinks=False)

    with pytest.raises(private.NotPrivate, match="a link that another user made"):
        private.own(tmp_path / "run")


def test_a_link_that_others_can_exchange_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "run").symlink_to(tmp_path / "disk")

    with pytest.raises(private.NotPrivate, match="a link that others can exchange"):
        private.own(tmp_path / "open" / "run")
    (tmp_path / "open").chmod(0o1777)
    private.own(tmp_path / "open" / "run")


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to("nowhere")

    with pytest.raises(private.NotPrivate, match="leads nowhere"):
        private.own(tmp_path / "run")


@pytest.mark.parametrize("name", ["secret.key", "lock", "demo.key", "logs", "spool", "logs/http.log"])
def test_a_link_inside_of_it_is_refused_and_what_it_leads_to_is_left_alone(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x")
    elsewhere.chmod(0o644)
    link = tmp_path / "run" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)

    with pytest.raises(private.NotPrivate, match=f"{name} is a link"):
        private.own(tmp_path / "run")
    assert mode(elsewhere) == 0o644


def test_a_file_instead_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    (tmp_path / "link").symlink_to("run")

    for name in ("run", "link"):
        with pytest.raises(private.NotPrivate, match=f"{name} is no directory"):
            private.own(tmp_path / name)


def test_a_file_above_it_is_refused_by_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(OSError, match="file"):
        private.own(tmp_path / "file" / "run")


def test_what_is_of_another_kind_inside_of_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")

    with pytest.raises(private.NotPrivate, match="logs is no directory"):
        private.own(tmp_path)


@pytest.mark.parametrize("kind", ["directory", "pipe", "socket"])
def test_a_key_that_is_no_file_is_refused_and_nobody_waits_for_it(tmp_path: Path, kind: str) -> None:
    entry = tmp_path / "s.key"
    if kind == "directory":
        entry.mkdir()
    elif kind == "pipe":
        os.mkfifo(entry)
    else:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(entry))

    with pytest.raises(private.NotPrivate, match=r"s\.key is no file"):
        private.own(tmp_path)
