"""Templates that mean harm kill the process that is there to be killed, and nobody waits for them."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from services.queueing.compile import Limits
from services.queueing.compiling import Compiler
from services.queueing.jobs import Draft
from shared.mail.templates import TemplateFailed
from shared.making.rendering import Asked, Job, Rendering
from shared.process.sandbox import (
    ASKED_AT_A_TIME,
    OWNER_DEATHS,
    OWNER_FORGIVEN_S,
    STRIKES,
    Killed,
    Penalised,
    Sandbox,
    Unavailable,
    _Question,
    program,
)
from shared.words.content import CompiledContent
from shared.words.errors import Problem
from tests.hostile_templates import BEHIND_A_CONDITION, BUSY, DEEP, generated
from tests.jobs import draft

COMPILING, RENDERING = program("services.queueing.compiling"), program("shared.making.rendering")


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(300):
            await test()

    asyncio.run(bounded())


@asynccontextmanager
async def running(
    command: tuple[str, ...], processes: int = 1, most_of_one: int | None = None, at_once: bool = True
) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(command, "test", processes, most_of_one=most_of_one, at_once=at_once)
    stopping = asyncio.Event()
    keeping = asyncio.create_task(sandbox.run(stopping))
    try:
        yield sandbox
    finally:
        stopping.set()
        await keeping


def asked(source: str, email: str = "ana@exemple.com", variables: Any = None) -> Asked:
    packed = msgspec.Raw(msgspec.msgpack.encode(variables or {}))
    job = Job({"text": source}, msgspec.Raw(b"\x80"))
    digest = blake2b(source.encode(), digest_size=16).digest()
    return Asked(digest, job, packed, email, "Ana", {"unsubscribe_url": "https://t.exemple.fr/u/x"})


def test_k24_a_test_is_compiled_with_what_shows_that_it_is_one() -> None:
    async def test() -> None:
        async with running(COMPILING) as sandbox:
            tested, sent = [
                await Compiler(sandbox).compile(draft(text="see https://a.fr/x", test=test), Limits())
                for test in (True, False)
            ]
            assert isinstance(tested, CompiledContent)
            assert isinstance(sent, CompiledContent)
            assert (tested.subject.pieces, sent.subject.pieces) == (("[Test] ", "Bonjour"), ("Bonjour",))
            assert tested.links == sent.links
            assert "0: a.fr/x" in str(tested.body)

    run(test)


def job(source: str, field: str = "text") -> Draft:
    fields: dict[str, Any] = {"text": "Bonjour"} | {field: source}
    return draft(**fields)


@pytest.mark.parametrize("field", ["subject", "text", "html"])
def test_what_nests_too_deeply_is_refused_with_its_place(field: str) -> None:
    async def test() -> None:
        async with running(COMPILING) as sandbox:
            for name, source in DEEP.items():
                faults = await Compiler(sandbox).compile(job(source, field), Limits(subject_chars=1_000_000))

                assert isinstance(faults, list), name
                assert faults[0].at == f"$.{field}"
                assert "line 1, column " in faults[0].what, (name, faults[0].what)

    run(test)


def test_what_is_too_busy_ends_in_the_trial_or_fails_alone() -> None:
    async def test() -> None:
        async with running(COMPILING) as sandbox:
            for name, source in BUSY.items():
                found = await Compiler(sandbox).compile(job(source), Limits())

                assert isinstance(found, list | CompiledContent), name
            honest = await Compiler(sandbox).compile(job("{% if email %}{{ email }}{% endif %}"), Limits())

        assert isinstance(honest, CompiledContent)

    run(test)


def test_what_is_behind_a_condition_fails_its_own_mail_and_no_other() -> None:
    async def test() -> None:
        async with running(RENDERING) as sandbox:
            rendering = Rendering(sandbox)
            honest = [asked("{% if name %}{{ email }}{% endif %}", f"u{n}@exemple.com") for n in range(100)]
            hostile = [asked(source) for source in BEHIND_A_CONDITION.values()]
            mixed = [one for pair in zip(honest, hostile * 10, strict=False) for one in pair]
            found = await asyncio.gather(*map(rendering.texts, mixed), return_exceptions=True)

        for one, answer in zip(mixed, found, strict=True):
            if one in honest:
                assert answer == {"text": one.email}
            else:
                assert isinstance(answer, TemplateFailed | dict)

    run(test)


def test_a_source_that_killed_three_times_is_not_tried_again() -> None:
    async def test() -> None:
        async with running(RENDERING) as sandbox:
            hostile = asked(BEHIND_A_CONDITION["join"])
            for _ in range(STRIKES):
                with pytest.raises(TemplateFailed, match="took more"):
                    await Rendering(sandbox).texts(hostile)

            with pytest.raises(TemplateFailed, match="not tried again"):
                await Rendering(sandbox).texts(hostile)

    run(test)


def test_a_job_is_sent_once_and_again_after_its_worker_died() -> None:
    async def test() -> None:
        async with running(RENDERING) as sandbox:
            rendering, honest = Rendering(sandbox), asked("{% if name %}{{ name }}{% endif %}")
            assert await rendering.texts(honest) == {"text": "Ana"}
            light = msgspec.structs.replace(honest, job=None)

            assert await rendering.texts(light) == {"text": "Ana"}
            with pytest.raises(TemplateFailed):
                await rendering.texts(asked(BEHIND_A_CONDITION["join"]))
            assert await rendering.texts(honest) == {"text": "Ana"}

    run(test)


def test_generated_templates_end_in_an_answer_and_honest_ones_are_answered_meanwhile() -> None:
    async def test() -> None:
        async with running(COMPILING, 2) as sandbox:
            compiler = Compiler(sandbox)
            for number, source in enumerate(generated(Random(7), 300)):
                found = await compiler.compile(job(source, ("text", "html")[number % 2]), Limits())

                assert isinstance(found, list | CompiledContent)
            assert isinstance(await compiler.compile(job("{% if a %}x{% endif %}"), Limits()), CompiledContent)

    run(test)


def test_who_asks_for_what_takes_longest_leaves_room_for_others() -> None:
    async def test() -> None:
        async with running(COMPILING, 2, most_of_one=1) as sandbox:
            compiler = Compiler(sandbox)
            hostile = [
                asyncio.create_task(compiler.compile(job(f"{BUSY['join']}{number}"), Limits(), "hostile"))
                for number in range(40)
            ]
            await asyncio.sleep(0)

            for number in range(3):
                honest = await compiler.compile(job(f"{{% if a %}}{number}{{% endif %}}"), Limits(), "honest")
                assert isinstance(honest, CompiledContent)

            assert sum(task.done() for task in hostile) < 40
            for task in hostile:
                task.cancel()
            await asyncio.gather(*hostile, return_exceptions=True)

    run(test)


def test_who_changes_one_byte_each_time_is_told_to_wait_and_nobody_else_is() -> None:
    async def test() -> None:
        now = [0.0]
        sandbox, stopping = Sandbox(RENDERING, "test", 1, lambda: now[0]), asyncio.Event()
        keeping = asyncio.create_task(sandbox.run(stopping))
        rendering, honest = Rendering(sandbox), asked("{% if name %}{{ email }}{% endif %}")
        try:
            for number in range(OWNER_DEATHS):
                with pytest.raises(TemplateFailed, match="took more"):
                    await rendering.texts(asked(f"{BEHIND_A_CONDITION['join']}{number}"), "hostile")

            with pytest.raises(Penalised) as penalised:
                await rendering.texts(honest, "hostile")
            assert await rendering.texts(honest, "neighbour") == {"text": "ana@exemple.com"}
            assert 0 < penalised.value.after_s <= OWNER_FORGIVEN_S

            now[0] += OWNER_FORGIVEN_S
            assert await rendering.texts(honest, "hostile") == {"text": "ana@exemple.com"}
            with pytest.raises(TemplateFailed, match="took more"):
                await rendering.texts(asked(BEHIND_A_CONDITION["join"] + "x"), "hostile")
            with pytest.raises(Penalised):
                await rendering.texts(honest, "hostile")
        finally:
            stopping.set()
            await keeping

    run(test)


def test_what_waits_when_a_penalty_begins_costs_no_worker() -> None:
    async def test() -> None:
        async with running(RENDERING) as sandbox:
            rendering = Rendering(sandbox)
            hostile = [asked(f"{BEHIND_A_CONDITION['join']}{number}") for number in range(4 * OWNER_DEATHS)]

            found = await asyncio.gather(*(rendering.texts(one, "hostile") for one in hostile), return_exceptions=True)

        ended = [one for one in found if isinstance(one, TemplateFailed)]
        # What is in the pipe of a worker is answered still.
        assert OWNER_DEATHS <= len(ended) <= OWNER_DEATHS + ASKED_AT_A_TIME
        assert all(isinstance(one, Penalised | TemplateFailed) for one in found)

    run(test)


def test_processes_may_wait_for_the_first_question() -> None:
    async def test() -> None:
        async with running(RENDERING, 2, at_once=False) as sandbox:
            await asyncio.sleep(0)
            before = len(sandbox._processes)

            texts = await Rendering(sandbox).texts(asked("{% if email %}{{ name }}{% endif %}"))

            assert before == 0
            assert texts == {"text": "Ana"}
            assert sandbox._processes

        async with running(RENDERING, at_once=False):
            pass  # ends though nobody asked

    run(test)


def test_who_is_penalised_is_told_when_to_come_again_and_sends_what_has_no_logic() -> None:
    async def test() -> None:
        async with running(COMPILING) as sandbox:
            for number in range(OWNER_DEATHS):
                sandbox.died(_Question(b"", None, b"%d" % number, asyncio.Future(), "hostile"), signal.SIGPROF)
            compiler = Compiler(sandbox)

            with pytest.raises(Problem) as caught:
                await compiler.compile(job("{% if a %}x{% endif %}"), Limits(), "hostile")
            plain = await compiler.compile(job("{{ a }}"), Limits(), "hostile")
            other = await compiler.compile(job("{% if a %}x{% endif %}"), Limits(), "neighbour")

        assert caught.value.status == 429
        assert 1 <= int(caught.value.headers["Retry-After"]) <= OWNER_FORGIVEN_S
        assert isinstance(plain, CompiledContent)
        assert isinstance(other, CompiledContent)

    run(test)


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGSEGV)", "os.abort()", "raise MemoryError"])
def test_a_worker_that_had_done_nothing_else_dies_once_over_a_question(tmp_path: Path, end: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, signal\nfrom shared.process import sandboxed\n"
        f"def work(question):\n    if question == b'bad':\n        {end}\n    return b'%d' % os.getpid()\n"
        "sandboxed.serve(work)\n"
    )

    async def test() -> None:
        async with running((sys.executable, str(program))) as sandbox:
            with pytest.raises(Killed):
                await sandbox.ask(b"bad", source=b"1", owner="hostile")
            assert sandbox._unforgiven("hostile") > 0.9
            assert sandbox._unforgiven("hostile") <= 1

            await sandbox.ask(b"good", source=b"2")
            with pytest.raises(Killed):  # not sure what the good one left behind
                await sandbox.ask(b"bad", source=b"3", owner="second")
            assert 1.9 < sandbox._unforgiven("second") <= 2

            await sandbox.ask(b"good", source=b"2")
            with pytest.raises(Killed):  # known by now
                await sandbox.ask(b"bad", source=b"3", owner="third")
            assert sandbox._unforgiven("third") <= 1

    run(test)


@pytest.mark.parametrize(("seconds", "expected"), [(0.05, "rendering"), (0, "1 s of processor time")])
def test_the_clocks_count_what_the_kernel_does_for_it(tmp_path: Path, seconds: float, expected: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os\nfrom shared.process import sandboxed\n"
        f"def work(question):\n    sandboxed.limit({seconds})\n    source = os.open('/dev/zero', os.O_RDONLY)\n"
        "    while True:\n        os.read(source, 1 << 22)\n"
        "sandboxed.serve(work)\n"
    )

    async def test() -> None:
        async with running((sys.executable, str(program))) as sandbox:
            with pytest.raises(Killed, match=expected):
                await sandbox.ask(b"x", source=b"x")

    run(test)


def test_a_process_sees_no_environment_and_no_descriptors_of_its_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESTAFETTE_SECRET_KEY_FILE", "/secret")

    async def test() -> None:
        async with running(RENDERING) as sandbox:
            await Rendering(sandbox).texts(asked("{% if name %}x{% endif %}"))
            (keeper,) = [one._transport.get_pid() for one in sandbox._processes]
            (worker,) = _children(keeper)
            seen = [_seen(pid) for pid in (keeper, int(worker))]

        for environment, descriptors, _ in seen:
            assert b"ESTAFETTE" not in environment
            assert descriptors <= {0, 1, 2, 3}
        assert "Max core file size        0 " in seen[1][2]
        assert "Max address space         unlimited" not in seen[1][2]
        while _lives(int(worker)):  # noqa: ASYNC110 - nobody tells of the end of another's child
            await asyncio.sleep(0.01)

    run(test)


def test_what_is_asked_while_it_stops_is_told_so() -> None:
    async def test() -> None:
        async with running(RENDERING) as sandbox:
            pass

        with pytest.raises((Unavailable, Killed)):
            await sandbox.ask(b"x", source=b"x")

    run(test)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _lives(pid: int) -> bool:
    """Whether it does; who has ended, and was not looked after, has no command."""
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and command.read_bytes() != b""


def _seen(pid: int) -> tuple[bytes, set[int], str]:
    """Its environment, its descriptors, its limits."""
    here = Path(f"/proc/{pid}")
    return (
        (here / "environ").read_bytes(),
        {int(fd.name) for fd in (here / "fd").iterdir()},
        (here / "limits").read_text(),
    )
