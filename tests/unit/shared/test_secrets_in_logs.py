"""The reader of logs finds what it looks for."""

from pathlib import Path

import pytest

from tests import secrets_in_logs


@pytest.mark.parametrize(
    "line",
    [
        b'{"said": "est_abcdefghij_ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"}',
        b"Authorization: Bearer abcdefghijklmnopqrstuv",
        b"GET /u/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        b"-----BEGIN PRIVATE KEY-----",
        b"redis://user:hunter2@10.0.0.1:6379/0",
        b"<html><body><p>Bonjour Ana</p>",
        b"the master secret is 00ff",
    ],
)
def test_a_secret_in_a_log_is_found_and_not_repeated(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "http.log").write_bytes(b"{}\n" + line + b"\n")

    places = secrets_in_logs.found(tmp_path, [b"00ff"])

    assert places
    assert all(place.startswith("http.log:2: ") for place in places)


def test_a_log_without_one_is_fine(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "http.log").write_bytes(
        b'{"event": "job_stored", "url": "redis://***@10.0.0.1", "path": "/u/***"}\n'
    )

    assert secrets_in_logs.found(tmp_path) == []
