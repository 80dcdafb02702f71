"""`estafette run` comes up, says how to begin, keeps its processes alive, leaves none behind, keeps what it took."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import redis

from services import catalogue
from tests.flows.stack import Stack
from tests.servers import free_port, need

CHILDREN = ("redis", *(service.name for service in catalogue.of_an_instance("mailbox")))


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids(stack: Stack) -> dict[str, int]:
    return {name: stack.pid_of(name) for name in CHILDREN}


def printed(stack: Stack) -> str:
    return (stack.directory / "run.log").read_text()


async def ended(stack: Stack, *processes: int) -> None:
    async def are_gone() -> bool:
        return not any(is_alive(pid) for pid in processes)

    await stack.until(are_gone)


async def run_and_fail(environ: Mapping[str, str]) -> tuple[int | None, str]:
    """Exit code and output of an instance that shall not come up."""
    stack = Stack(Path(environ["ESTAFETTE_DATA_DIR"]), environ)
    process = stack._spawn()
    code = await asyncio.to_thread(process.wait, 60)
    return code, printed(stack)


async def test_a_first_start_prints_a_line_that_sends_a_mail_and_a_second_one_still_has_it(tmp_path: Path) -> None:
    need("curl")
    stack = Stack(tmp_path, {})
    try:
        await stack.start()
        [line] = re.findall(r"^curl .*", await stack.until(lambda: announced(stack)), re.MULTILINE)
        shell = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
        answer = json.loads((await shell.communicate())[0])
        mail = await stack.mail("ana@example.org")
        assert mail["subject"] == "Hello Ana"
        assert any("/c/" in link for link in mail["links"])
        assert any("/u/" in link for link in mail["links"])
        await stack.done(answer["id"])

        for private in ("demo.key", "secret.key"):
            assert (tmp_path / private).stat().st_mode & 0o777 == 0o600
        key, children = stack.key, pids(stack)
        assert await stack.stop() == 0
        assert [name for name, pid in children.items() if is_alive(pid)] == []
        assert not (tmp_path / "redis.url").exists()

        await stack.start()

        assert stack.key == key
        assert (await stack.mail("ana@example.org"))["id"] == mail["id"]
        assert (await stack.report(answer["id"]))["counts"]["delivered"] == 1
    finally:
        await stack.stop()


async def announced(stack: Stack) -> str:
    text = printed(stack)
    return text if re.search(r"^curl .*'\n", text, re.MULTILINE) else ""


async def test_what_dies_is_started_again_and_all_die_with_the_supervisor(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        await stack.until(lambda: announced(stack))
        for name in ("relay", "redis", "http"):
            await stack.killed_and_back(name)
            assert f"{name} was killed by SIGKILL" in printed(stack)
        await stack.send("after@example.org")
        await stack.mail("after@example.org")

        children = pids(stack)
        assert stack._process is not None
        os.kill(stack._process.pid, signal.SIGKILL)

        await ended(stack, *children.values())


async def test_a_command_at_the_console_finds_the_running_instance(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        key = await stack.new_key("acme", "send,read")
        assert (await stack.call("GET", "/v1/events", key=key))[0] == 200
        assert "acme" in await stack.console("tenants", "list")
        [key_id] = re.findall(r"^(\S+)  acme", await stack.console("keys", "list", "--tenant", "acme"), re.MULTILINE)
        assert "revoked" in await stack.console("keys", "revoke", key_id)
        assert "_domainkey.acme.example. TXT" in await stack.console(
            "domains", "add", "acme.example", "--tenant", "acme"
        )
        assert "acme.example" in await stack.console("domains", "list", "--tenant", "acme")
        assert (await stack.console("domains", "rotate", "acme.example")).count("; waiting") == 2
        assert "retiring" not in await stack.console("domains", "activate", "acme.example")  # DNS does not show them
        assert (await stack.console("domains", "activate", "acme.example", "--force")).count("; retiring until") == 2
        assert "there are no new keys" in await stack.console("domains", "activate", "acme.example", "--force")
        assert "nobody's sending domain" in await stack.console("domains", "check", "other.example")
        assert "bounces.localhost" in await stack.console("domains", "add", "bounces.localhost", "--installation")
        assert "anew: 0" in await stack.console("domains", "reencrypt")
        assert "ESTAFETTE_DATA_DIR" in await stack.console("settings")

        await stack.done(await stack.send("tail@example.org"))
        lines = (await stack.console("tail", "--from-start", "--no-follow", "--fact", "Delivered")).splitlines()

        [event] = [json.loads(line) for line in lines]
        assert (event["fact"], event["tenant"], event["email"]) == ("Delivered", "demo", "tail@example.org")


async def test_the_demo_ends_with_figures_that_add_up(tmp_path: Path) -> None:
    async with Stack.running(tmp_path, {"ESTAFETTE_RELAY_RETRY_SCHEDULE": "600"}) as stack:
        said = await stack.console("demo")

        assert "Every figure adds up" in said, said + stack.log()

    assert "nothing runs in" in await stack.console("demo")


async def test_two_instances_run_side_by_side_but_not_in_one_directory(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "a") as first, Stack.running(tmp_path / "b") as second:
        await first.send("first@example.org")
        await first.mail("first@example.org")
        assert await second.mails() == []

        code, said = await run_and_fail({"ESTAFETTE_DATA_DIR": str(tmp_path / "a")})

        assert (code, "another instance runs in" in said) == (2, True), said


async def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code, said = await run_and_fail({"ESTAFETTE_DATA_DIR": str(tmp_path), "ESTAFETTE_BOUNCES_PORT": str(port)})

    assert code == 2
    assert f"bounces.port (ESTAFETTE_BOUNCES_PORT): 127.0.0.1:{port} is in use" in said


async def test_a_port_for_metrics_in_use_is_named_too_and_that_0_takes_a_free_one(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environ = {"ESTAFETTE_DATA_DIR": str(tmp_path), "ESTAFETTE_RELAY_METRICS_PORT": str(port)}

        code, said = await run_and_fail(environ)

    assert code == 2
    named = f"relay.metrics_port (ESTAFETTE_RELAY_METRICS_PORT): 127.0.0.1:{port} is in use by another program"
    assert f"{named}; 0 takes a free one" in said


async def test_http_goes_on_serving_for_its_grace_after_readyz_says_503(tmp_path: Path) -> None:
    # Longer than any test: what ends it is the second signal, which is the supervisor's.
    async with Stack.running(tmp_path, {"ESTAFETTE_LIFECYCLE_GRACE_SECONDS": "3600"}) as stack:
        http = stack.pid_of("http")
        os.kill(http, signal.SIGTERM)

        async def is_draining() -> bool:
            return await stack.call("GET", "/readyz") == (503, b"draining\n")

        await stack.until(is_draining)
        job = await stack.send("ana@exemple.fr")

        assert (await stack.done(job))["counts"]["delivered"] == 1
        assert stack.pid_of("http") == http
        assert [said["grace_seconds"] for said in stack.logged("http", "leaving")] == [3600]
    assert not is_alive(http)


async def test_a_redis_of_the_settings_is_used_and_none_is_started(tmp_path: Path, redis_url: str) -> None:
    async with Stack.running(tmp_path, {"ESTAFETTE_REDIS_URL": redis_url}) as stack:
        await stack.send("mine@example.org")
        await stack.mail("mine@example.org")

        assert not (tmp_path / "appendonlydir").exists()
        with redis.Redis.from_url(redis_url) as client:
            assert client.dbsize() > 0


async def test_a_redis_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"

    code, said = await run_and_fail({"ESTAFETTE_DATA_DIR": str(tmp_path), "ESTAFETTE_REDIS_URL": nowhere})

    assert code == 2
    assert "Redis does not answer" in said


async def test_a_data_directory_that_others_could_read_is_ours_alone_afterwards(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o755)
    (directory / "logs").mkdir(mode=0o755)

    async with Stack.running(directory) as stack:
        await stack.done(await stack.send("ana@x.test"))
        files = [file for file in directory.rglob("*") if file.is_file()]
        modes = {file.name: file.stat().st_mode & 0o077 for file in files if file.name != "run.log"}  # the test's own

    assert directory.stat().st_mode & 0o777 == 0o700
    assert not any(modes.values()), modes


async def test_readyz_is_503_when_the_data_is_gone(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        with redis.Redis.from_url((stack.directory / "redis.url").read_text().strip()) as client:
            client.flushall()

        async def gone() -> bool:
            return not await stack.is_ready()

        await stack.until(gone)
        status, _ = await stack.call("GET", "/readyz")
        assert status == 503


async def test_the_mailbox_is_not_read_by_a_name_that_somebody_made_lead_here(tmp_path: Path) -> None:
    names = ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "EVIL.example.")
    async with Stack.running(tmp_path) as stack:
        refused = {(await stack.call("GET", "/mailbox", headers={"Host": name}))[0] for name in names}
        from_elsewhere = await stack.call("POST", "/mailbox/empty", headers={"Origin": "http://evil.example"})
        from_nowhere = await stack.call("DELETE", "/mailbox", headers={"Origin": "null"})
        without_origin = await stack.call("DELETE", "/mailbox", headers={"Sec-Fetch-Site": "cross-site"})
        own = await stack.call("GET", "/mailbox")

    assert (refused, from_elsewhere[0], from_nowhere[0], without_origin[0], own[0]) == ({403}, 403, 403, 403, 200)


async def test_what_cannot_be_ours_alone_is_refused_with_words(tmp_path: Path) -> None:
    for name in ("linked", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked" / "logs").symlink_to(tmp_path)
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o644)

    linked, said = await run_and_fail({"ESTAFETTE_DATA_DIR": str(tmp_path / "linked")})
    readable, why = await run_and_fail(
        {"ESTAFETTE_DATA_DIR": str(tmp_path / "run"), "ESTAFETTE_SECRET_KEY_FILE": str(tmp_path / "key")}
    )

    assert (linked, "logs is a link" in said) == (2, True), said
    assert (readable, "others can read it" in why) == (2, True), why
