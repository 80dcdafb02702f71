"""What `estafette run` prints and checks before anything is started."""

import json
import shlex
import signal
import socket
import sys
from pathlib import Path

import pytest

from services.local import ports, run
from services.local.processes import Child
from services.local.run import Instance
from services.settings import Settings, load
from shared.redis import redis
from tests.servers import free_port


def test_the_first_mail_is_one_shell_line_with_a_valid_job() -> None:
    line = run.first_mail("http://127.0.0.1:8080", "est_key")

    words = shlex.split(line)
    job = json.loads(words[-1])
    assert "\n" not in line
    assert words[:2] == ["curl", "-sS"]
    assert "Authorization: Bearer est_key" in words
    assert "{{ unsubscribe_url }}" in job["html"]
    assert '<a href="https://' in job["html"]


def test_a_port_that_is_taken_or_cannot_be_bound_is_told_apart() -> None:
    port = free_port()  # none of those that the kernel gives to whoever connects next
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()

        assert ports.why_not_free("127.0.0.1", port) == "is in use by another program"
    assert ports.why_not_free("127.0.0.1", port) is None
    assert "cannot be used" in str(ports.why_not_free("192.0.2.1", 2525))


def test_ports_are_given_out_once() -> None:
    found = ports.free_ports("127.0.0.1")

    given = [next(found) for _ in range(20)]

    assert len(set(given)) == 20
    assert all(21_000 <= port < 32_000 for port in given)


def test_one_answer_that_takes_too_long_is_no_redis_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "OTHERS_REDIS_SECONDS", 0.0)
    instance = run.Instance(load({"ESTAFETTE_REDIS_URL": "redis://127.0.0.1:1/0"}, None))
    late = iter((True, True, False))

    async def ask(_client: redis.Client) -> str:
        if next(late):
            raise redis.RedisAway("Timeout reading from 127.0.0.1:1")
        return "an answer"

    assert instance.asked(ask) == "an answer"


def test_a_redis_that_never_answers_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "OTHERS_REDIS_SECONDS", 0.0)
    instance = run.Instance(load({"ESTAFETTE_REDIS_URL": "redis://127.0.0.1:1/0"}, None))

    async def ask(_client: redis.Client) -> str:
        raise redis.RedisAway("Timeout reading from 127.0.0.1:1")

    with pytest.raises(run.CannotRun, match=r"ESTAFETTE_REDIS_URL.*does not answer: Timeout reading"):
        instance.asked(ask)


def test_the_mailbox_port_matters_only_where_mail_goes_to_the_mailbox() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        free = {f"ESTAFETTE_{name}_PORT": "0" for name in ("HTTP", "BOUNCES", "SUBMISSION", "SUBMISSION_TLS")}
        environ = {**free, "ESTAFETTE_MAILBOX_PORT": port}

        with pytest.raises(run.CannotRun, match="ESTAFETTE_MAILBOX_PORT"):
            run.Instance(load(environ, None)).check_ports()
        run.Instance(load({**environ, "ESTAFETTE_RELAY_ROUTE": "mx"}, None)).check_ports()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b'{"at":"t","level":"info","process":"relay","event":"ready"}', None),
        (
            b'{"at":"t","level":"warning","process":"relay","event":"deferred","site":"a.org"}',
            "relay       | warning: deferred site=a.org",
        ),
        (
            b'{"at":"t","level":"error","process":"relay","event":"crashed","exception":"Traceback\\nOSError: y"}',
            "relay       | error: crashed  OSError: y",
        ),
        (b"Traceback (most recent call last):", "relay       | Traceback (most recent call last):"),
        (b"", None),
    ],
)
def test_warnings_and_what_is_no_log_line_are_shown_on_the_console(line: bytes, shown: str | None) -> None:
    assert run.worth_showing("relay", line) == shown


class Signalled(Child):
    """A child that is none."""

    def __init__(self, name: str) -> None:
        super().__init__(name, sys.exit, Path("none.log"))
        self.signals: list[signal.Signals] = []

    def signal(self, wanted: signal.Signals) -> None:
        self.signals.append(wanted)


def test_a_hangup_is_passed_on_once_to_every_service_and_not_to_redis() -> None:
    instance = Instance(Settings())
    children = {name: Signalled(name) for name in ("redis", "relay", "http")}
    instance._children.update(children)

    instance._pass_hangup_on()
    before = [child.signals for child in children.values()]
    assert before == [[], [], []]
    instance._hung_up(signal.SIGHUP, None)
    instance._pass_hangup_on()
    instance._pass_hangup_on()

    assert {name: child.signals for name, child in children.items()} == {
        "redis": [], "relay": [signal.SIGHUP], "http": [signal.SIGHUP],
    }  # fmt: skip


def test_what_redis_says_stays_in_its_file() -> None:
    assert run.worth_showing("redis", b"# WARNING overcommit_memory is set to 0!") is None
