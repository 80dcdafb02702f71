"""The reader of logs finds what it looks for."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests import secrets_in_logs


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory whose logs are not read when the tests are over."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


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
        b"smtp://user:hunter2@mail.example:587",
        b'{"requirepass": "hunter2"}',
        b"p=MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKjMzEfYYjiWA4R4/M2",
        b"RCPT TO:<b-0123456789abcdefghijklmnopqrstuv0123456@bounces.example>",
        b'"said": "Subject: Bonjour"',
        b"550 5.1.1 <ana@exemple.fr>: no such user",
    ],
)
def test_a_secret_in_a_log_is_found_and_not_repeated(elsewhere: Path, line: bytes) -> None:
    (elsewhere / "logs").mkdir()
    (elsewhere / "logs" / "http.log").write_bytes(b"{}\n" + line + b"\n")

    places = secrets_in_logs.found(elsewhere, [b"00ff"])

    assert places
    assert all(place.startswith("logs/http.log:2: ") for place in places)


def test_a_log_without_one_is_fine(elsewhere: Path) -> None:
    (elsewhere / "logs").mkdir()
    (elsewhere / "logs" / "http.log").write_bytes(
        b'{"event": "job_stored", "url": "redis://***@10.0.0.1", "path": "/u/***"}\n'
    )

    assert secrets_in_logs.found(elsewhere) == []


@pytest.mark.parametrize("name", ["run.log", "logs/relay.log", "logs/relay.log.1", "log", "stderr", "deep/er/http.log"])
def test_every_log_below_a_directory_is_read(elsewhere: Path, name: str) -> None:
    (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
    (elsewhere / name).write_bytes(b"PRIVATE KEY")
    (elsewhere / "dkim.pem").write_bytes(b"PRIVATE KEY")

    assert secrets_in_logs.found(elsewhere) == [f"{name}:1: a private key"]


def test_what_a_test_has_sent_is_what_no_log_may_have() -> None:
    sent = {
        "from": "news@exemple.fr",
        "subject": "Soldes du soir",
        "recipients": [{"email": "x@y.z", "variables": {"code": "s3cr3t-code", "deep": {"er": ["another one"]}}}],
    }

    assert set(secrets_in_logs.canaries(sent)) == {b"Soldes du soir", b"s3cr3t-code", b"another one"}


def test_what_is_logged_in_a_test_is_read_as_a_process_would_write_it() -> None:
    reader = secrets_in_logs.InProcess()
    log = reader.structlog_wrapper()(structlog.ReturnLogger(), [], {})

    with structlog.testing.capture_logs():
        log.info("asked", said="est_abcdefghij_ABCDEFGHIJKLMNOPQRSTUVWXYZ012345")  # blanked by our own logs
        log.info("asked", said="<p>Bonjour")
    secrets_in_logs.OfLibraries(reader).handle(
        logging.LogRecord("lib", logging.ERROR, "x.py", 1, "of {{ name }} %s", ("Bonjour",), None)
    )

    assert reader.lines == 3
    assert [place.split(": ")[1].split(" in ")[0] for place in reader.places] == ["a body", "a body"]
