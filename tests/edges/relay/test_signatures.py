"""Signatures made by processes beside the relay: they verify, and no mail waits for a process that is not there."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import dkim
import pytest
from prometheus_client import REGISTRY

from services.relay.signing import signatures as signatures_module
from services.relay.signing.dkim import (
    Draft,
    Signer,
    draft,
    sign,
)
from services.relay.signing.signatures import ASKED_AT_A_TIME, COMMAND, Signatures
from shared.mail import dkim_keys

FIELDS = [(b"From", b"a@exemple.fr"), (b"Subject", b"Bonjour")]
BODY = b"Bonjour\r\n"
NOW_S = 1_760_000_000


@cache
def signers() -> tuple[Signer, Signer]:
    rsa, ed25519 = (dkim_keys.make(algorithm) for algorithm in ("rsa-sha256", "ed25519-sha256"))
    return Signer("exemple.fr", "r", rsa), Signer("exemple.fr", "e", ed25519)


def drafted(number: int = 0, by: Sequence[Signer] | None = None) -> Draft:
    return draft(by or signers(), [*FIELDS, (b"Message-ID", b"<%d@exemple.fr>" % number)], BODY, NOW_S)


def here(number: int, by: Sequence[Signer] | None = None) -> bytes:
    return sign(by or signers(), [*FIELDS, (b"Message-ID", b"<%d@exemple.fr>" % number)], BODY, NOW_S)


def signed(where: str) -> float:
    return REGISTRY.get_sample_value("estafette_relay_signed_mails_total", {"where": where}) or 0.0


def pids(relay: int = 0) -> list[int]:
    """The processes that sign for this one, or for another."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            is_ours = int(status.read_text().rpartition(")")[2].split()[1]) == (relay or os.getpid())
            if is_ours and b"services.relay.signing.process" in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def _runs(pid: int) -> bool:
    """It is there, and not only because nobody has asked how it ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


async def until(call: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not call():  # noqa: ASYNC110  (what is waited for happens outside this process)
            await asyncio.sleep(0.01)


async def working(beside: Signatures, processes: int = 1) -> None:
    """Returns when they have signed: then they have started."""
    before = signed("process")
    while signed("process") < before + processes:
        await until(lambda: beside.processes == processes)
        await asyncio.gather(*(beside.fields(drafted()) for _ in range(processes)))


@asynccontextmanager
async def running(
    processes: int = 1, command: Sequence[str] = COMMAND, stuck_s: float = 30
) -> AsyncIterator[Signatures]:
    beside = Signatures(processes, time.monotonic, command, stuck_s)
    stopping = asyncio.Event()
    keeping = asyncio.create_task(beside.run(stopping))
    try:
        yield beside
    finally:
        stopping.set()
        await keeping
        assert pids() == []


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures_module, "RESTART_S", 0.01)
    monkeypatch.setattr(signatures_module, "LOOK_S", 0.05)


@pytest.mark.parametrize("processes", [1, 2])
async def test_mails_are_signed_beside_the_relay_as_they_would_be_here(processes: int) -> None:
    async with running(processes) as beside:
        await working(beside, processes)
        before = signed("process")

        found = await asyncio.gather(*(beside.fields(drafted(number)) for number in range(50)))

        assert found == [here(number) for number in range(50)]
        assert signed("process") == before + 50
    whole = b"%bFrom: a@exemple.fr\r\nSubject: Bonjour\r\nMessage-ID: <7@exemple.fr>\r\n\r\n%b" % (found[7], BODY)
    rsa, ed25519 = (dkim_keys.record(signer.pem).encode() for signer in signers())
    records = {b"r._domainkey.exemple.fr.": rsa, b"e._domainkey.exemple.fr.": ed25519}
    assert dkim.verify(whole, dnsfunc=lambda name, timeout=5: records[name])


async def test_without_a_process_the_relay_signs_itself() -> None:
    async with running(0) as beside:
        assert await beside.fields(drafted(1)) == here(1)
        assert pids() == []


async def test_what_a_killed_process_had_is_signed_here_and_another_takes_its_place() -> None:
    async with running() as beside:
        await working(beside)
        (pid,) = pids()
        os.kill(pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(beside.fields(drafted(number))) for number in range(20)]
        await asyncio.sleep(0)

        os.kill(pid, signal.SIGKILL)

        assert await asyncio.gather(*waiting) == [here(number) for number in range(20)]
        await until(lambda: pids() not in ([], [pid]))
        await working(beside)


async def test_a_process_that_says_nothing_is_killed_and_its_mails_are_signed_here() -> None:
    async with running(stuck_s=2) as beside:
        await working(beside)
        (pid,) = pids()

        os.kill(pid, signal.SIGSTOP)

        assert await beside.fields(drafted(1)) == here(1)
        await until(lambda: pids() not in ([], [pid]))


@pytest.mark.parametrize(
    "command",
    [
        ("/nonexistent/program",),
        (sys.executable, "-c", "raise SystemExit(3)"),
        (sys.executable, "-c", "import os; os.read(0, 9999); os.write(1, b'\\0\\0\\0\\3abc'); os.read(0, 9)"),
        (sys.executable, "-c", "import os; os.read(0, 9999); os.write(1, b'GET / HTTP/1.1'); os.read(0, 9)"),
    ],
)
async def test_no_mail_waits_for_a_program_that_does_not_work(command: tuple[str, ...]) -> None:
    async with running(command=command, stuck_s=0.3) as beside:
        found = await asyncio.gather(*(beside.fields(drafted(number)) for number in range(5)))

        assert found == [here(number) for number in range(5)]


async def test_what_people_wait_for_is_signed_before_the_bulk_that_came_first() -> None:
    done: list[int] = []

    async def signing(number: int, lane: int) -> None:
        assert await beside.fields(drafted(number), lane) == here(number)
        done.append(number)

    async with running() as beside:
        await working(beside)
        bulk = 3 * ASKED_AT_A_TIME
        waiting = [asyncio.create_task(signing(number, 1)) for number in range(bulk)]
        await asyncio.sleep(0)  # the first of them are asked for

        waiting.append(asyncio.create_task(signing(bulk, 0)))
        await asyncio.gather(*waiting)

    assert sorted(done) == list(range(bulk + 1))
    assert done.index(bulk) <= 2 * ASKED_AT_A_TIME
    assert [number for number in done if number != bulk] == list(range(bulk))


async def test_who_has_stopped_waiting_costs_nobody_a_signature() -> None:
    async with running() as beside:
        await working(beside)
        (pid,) = pids()
        os.kill(pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(beside.fields(drafted(number))) for number in range(2 * ASKED_AT_A_TIME)]
        await asyncio.sleep(0.05)
        before = signed("process")

        for one in waiting[1:-1]:
            one.cancel()
        await asyncio.wait(waiting[1:-1])
        os.kill(pid, signal.SIGCONT)

        assert [await waiting[0], await waiting[-1]] == [here(0), here(2 * ASKED_AT_A_TIME - 1)]
        assert signed("process") == before + 2


async def test_it_goes_on_signing_when_the_whole_service_is_told_to_stop() -> None:
    async with running() as beside:
        await working(beside)
        (pid,) = pids()

        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)

        before = signed("process")
        assert await beside.fields(drafted(1)) == here(1)
        assert signed("process") == before + 1
        assert pids() == [pid]


async def test_it_ends_with_its_relay_however_that_ends(tmp_path: Path) -> None:
    script = tmp_path / "relay.py"
    script.write_text(
        "import asyncio, time\n"
        "from services.relay.signing.signatures import Signatures\n"
        "asyncio.run(Signatures(1, time.monotonic).run(asyncio.Event()))\n"
    )
    relay = await asyncio.create_subprocess_exec(sys.executable, str(script), env={**os.environ, "PYTHONPATH": "."})
    await until(lambda: len(pids(relay.pid)) == 1)
    (child,) = pids(relay.pid)

    relay.kill()

    await relay.wait()
    await until(lambda: not _runs(child))


async def test_a_process_keeps_so_many_keys_and_gets_a_forgotten_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures_module, "KEYS_KEPT", 2)
    many = [Signer("exemple.fr", f"e{number}", dkim_keys.make("ed25519-sha256")) for number in range(5)]
    async with running() as beside:
        await working(beside)
        before = signed("process")

        for number in (0, 1, 2, 3, 4, 0, 0, 1):
            assert await beside.fields(drafted(number, [many[number]])) == here(number, [many[number]])
        both = await asyncio.gather(*(beside.fields(drafted(number, many)) for number in range(3)))

        assert both == [here(number, many) for number in range(3)]
        assert signed("process") == before + 11
