"""Where files of drops go: folders that nobody leaves, and SFTP servers that fail in every way that they may."""

import asyncio
import contextlib
import os
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from services.reports.drops import folder, ssh_keys
from services.reports.drops.drop import Drop, Failed
from services.reports.drops.places import Places
from services.reports.drops.sftp import Sftp
from services.reports.drops.target import Server, parse
from shared.mail.dkim_keys import NONCE_BYTES, Vault
from shared.net.dns import DnsUnavailable
from shared.net.outside import Policy
from tests.fakes.sftp_server import USER, SftpServer, no_space

INSIDE = Policy.of("127.0.0.0/8", "")
PIECES = [b"a,b\r\n", b"1,2\r\n" * 100_000]


async def pieces(some: list[bytes] = PIECES) -> AsyncIterator[bytes]:
    for one in some:
        yield one


def why_of(place: Callable[[], Any]) -> Any:
    """Awaits it, and tells why it failed."""

    async def told() -> str:
        with pytest.raises(Failed) as failed:
            await place()
        return failed.value.why

    return told()


# Folders


async def test_a_file_is_whole_beside_its_place_and_then_in_it(tmp_path: Path) -> None:
    async with folder.opened(tmp_path, ("acme", "crm", "in")) as place:
        size = await place.write("a.csv.part", pieces())
        assert await place.has("a.csv.part")
        assert not await place.has("a.csv")
        await place.rename("a.csv.part", "a.csv")

    file = tmp_path / "acme" / "crm" / "in" / "a.csv"
    assert file.read_bytes() == b"".join(PIECES)
    assert size == file.stat().st_size
    assert [one.name for one in file.parent.iterdir()] == ["a.csv"]
    assert file.stat().st_mode & 0o777 == 0o640


async def test_what_was_left_beside_the_place_is_another_file(tmp_path: Path) -> None:
    async with folder.opened(tmp_path, ("acme",)) as place:
        left = tmp_path / "acme" / "a.part"
        left.write_bytes(b"half")
        with left.open("r+b") as of_another_process:
            await place.write("a.part", pieces([b"whole"]))
            of_another_process.write(b"HALF AND MORE")

    assert left.read_bytes() == b"whole"


async def test_what_lies_in_the_place_is_replaced(tmp_path: Path) -> None:
    async with folder.opened(tmp_path, ("acme",)) as place:
        for content in (b"old", b"new"):
            await place.write("a.part", pieces([content]))
            await place.rename("a.part", "a.csv")

    assert (tmp_path / "acme" / "a.csv").read_bytes() == b"new"


@pytest.mark.parametrize("at", [("acme",), ("acme", "crm")])
async def test_a_link_leads_nowhere(tmp_path: Path, at: tuple[str, ...]) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    root.joinpath(*at).parent.mkdir(parents=True, exist_ok=True)
    root.joinpath(*at).symlink_to(outside, target_is_directory=True)

    async def write() -> None:
        async with folder.opened(root, ("acme", "crm")) as place:
            await place.write("a.part", pieces())

    assert await why_of(write) == "no_folder"
    assert list(outside.iterdir()) == []


async def test_a_link_beside_the_place_is_written_through_by_nobody(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    async with folder.opened(tmp_path, ("acme",)) as place:
        (tmp_path / "acme" / "a.part").symlink_to(secret)
        (tmp_path / "acme" / "a.csv").symlink_to(secret)
        await place.write("a.part", pieces([b"x"]))
        await place.rename("a.part", "a.csv")

    assert secret.read_bytes() == b"mine"
    assert (tmp_path / "acme" / "a.csv").read_bytes() == b"x"


async def test_a_root_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    async def write() -> None:
        async with folder.opened(tmp_path / "mount", ("acme",)):
            pass

    assert await why_of(write) == "no_folder"
    assert not (tmp_path / "mount").exists()


async def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    async with folder.opened(tmp_path, ("acme",)) as place:
        (tmp_path / "acme" / "a.csv").mkdir()
        await place.write("a.part", pieces())

        assert await why_of(lambda: place.rename("a.part", "a.csv")) == "refused"


async def test_a_disk_that_is_full_is_told() -> None:
    assert await why_of(_to_full) == "full"


async def _to_full() -> None:
    file = os.open("/dev/full", os.O_WRONLY)
    try:
        await folder._in_thread(lambda: folder._write(file, b"x"))
    finally:
        os.close(file)


async def test_a_file_that_is_too_large_leaves_nothing_behind(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with folder.opened(tmp_path, ("acme",)) as place:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            assert await why_of(lambda: place.write("a.part", pieces())) == "full"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not await place.has("a.part")


# SFTP


class Names:
    """A resolver that leads every name there."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        return self._addresses or DnsUnavailable(host, "no answer")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SftpServer]:
    (tmp_path / "in").mkdir()
    async with SftpServer(tmp_path).listening() as listening:
        yield listening


class Visit:
    """One visit to a server: a file written and placed."""

    def __init__(self, server: SftpServer, **options: Any) -> None:
        self.sftp = Sftp(
            options.get("names", Names("127.0.0.1")), options.get("policy", INSIDE), options.get("timeout_s", 5)
        )
        path = options.get("path", "in")
        target = parse(f"sftp://{USER}@sftp.exemple.fr:{options.get('port', server.port)}/{path}", INSIDE)
        assert isinstance(target, Server)
        self.target = target
        self.private_key = options.get("private_key", server.private_key)
        self.known = [options.get("known", server.known)]

    async def __call__(self) -> None:
        async with self.sftp.opened(self.target, self.private_key, self.known) as place:
            await place.write("a.csv.part", pieces())
            assert await place.has("a.csv.part")
            await place.rename("a.csv.part", "a.csv")


async def test_a_file_is_whole_on_the_server_before_it_has_its_name(server: SftpServer, tmp_path: Path) -> None:
    await Visit(server)()

    assert (tmp_path / "in" / "a.csv").read_bytes() == b"".join(PIECES)
    assert [one.name for one in (tmp_path / "in").iterdir()] == ["a.csv"]
    assert server.users == [USER]
    assert server.steps.index("close") < server.steps.index("posix_rename")


async def test_a_second_visit_replaces_what_lies_there(server: SftpServer, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.csv").write_bytes(b"old")
    (tmp_path / "in" / "a.csv.part").write_bytes(b"half" * 1_000_000)

    await Visit(server)()

    assert (tmp_path / "in" / "a.csv").read_bytes() == b"".join(PIECES)


async def test_a_server_without_the_extension_renames_as_sftp_has_it(server: SftpServer, tmp_path: Path) -> None:
    server.fails["posix_rename"] = asyncssh.SFTPOpUnsupported("no")
    (tmp_path / "in" / "a.csv").write_bytes(b"old")

    await Visit(server)()

    assert (tmp_path / "in" / "a.csv").read_bytes() == b"".join(PIECES)
    assert server.steps[-1] == "rename"


async def test_another_host_key_is_not_spoken_with(server: SftpServer) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()

    assert await why_of(Visit(server, known=other)) == "host_key"
    assert server.users == []


async def test_a_host_key_of_another_kind_is_not_spoken_with(server: SftpServer) -> None:
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode().strip()

    assert await why_of(Visit(server, known=other)) == "host_key"
    assert server.users == []


async def test_another_key_of_ours_is_not_taken(server: SftpServer) -> None:
    assert await why_of(Visit(server, private_key=ssh_keys.make())) == "auth"


async def test_nobody_there_is_unreachable(server: SftpServer, unused_tcp_port: int) -> None:
    assert await why_of(Visit(server, port=unused_tcp_port)) == "unreachable"


@asynccontextmanager
async def saying(text: bytes) -> AsyncIterator[int]:
    """A server that says that and nothing else; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()
        gone.set()

    gone = asyncio.Event()
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        await gone.wait()


async def test_who_answers_nothing_is_away() -> None:
    async with saying(b"") as port:
        assert await why_of(Visit(SftpServer(Path()), port=port, timeout_s=0.3)) == "timeout"


async def test_who_speaks_something_else_is_broken() -> None:
    async with saying(b"SSH-1.5-other\r\n") as port:
        assert await why_of(Visit(SftpServer(Path()), port=port)) == "broken"


async def test_a_name_that_leads_inside_reaches_nobody(server: SftpServer) -> None:
    refused = Visit(server, policy=Policy.of("", ""))

    assert await why_of(refused) == "inside"
    assert await why_of(Visit(server, policy=Policy.of("", ""), names=Names("169.254.169.254", "::1"))) == "inside"
    assert await why_of(Visit(server, names=Names())) == "unresolved"
    assert server.users == []


@pytest.mark.parametrize("step", ["open", "write", "close", "posix_rename"])
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (asyncssh.SFTPPermissionDenied("no"), "refused"),
        (no_space(), "failed"),
        (asyncssh.SFTPNoSuchFile("no"), "no_folder"),
        (2.0, "timeout"),
    ],
)
async def test_whatever_fails_is_told_in_a_word_and_nothing_has_the_name(
    server: SftpServer, tmp_path: Path, step: str, fault: BaseException | float, why: str
) -> None:
    server.fails[step] = fault

    assert await why_of(Visit(server, timeout_s=0.5)) == why

    assert not (tmp_path / "in" / "a.csv").exists()
    server.fails.clear()
    await Visit(server)()
    assert (tmp_path / "in" / "a.csv").read_bytes() == b"".join(PIECES)


async def test_a_folder_that_is_not_there_is_told(server: SftpServer) -> None:
    assert await why_of(Visit(server, path="elsewhere")) == "no_folder"


async def test_a_connection_that_breaks_is_told(server: SftpServer, tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"a,b\r\n"
        place._sftp.exit()
        await asyncio.sleep(0.1)
        yield b"1,2\r\n"

    visit = Visit(server)
    async with visit.sftp.opened(visit.target, visit.private_key, visit.known) as place:
        assert await why_of(lambda: place.write("a.part", breaking())) == "broken"
    assert not (tmp_path / "in" / "a.csv").exists()


# By the target


VAULT = Vault(bytes(32))


def a_drop(target: str, sealed: bytes = b"") -> Drop:
    return Drop("acme", "events", "events", target, "hourly", sealed=sealed, host_keys=("ssh-ed25519 AAAA",))


@pytest.mark.parametrize(
    ("drop", "why"),
    [
        (a_drop("crm"), "no_folder"),
        (a_drop("sftp://a@sftp.exemple.fr/in"), "not_installed"),
        (a_drop("sftp://a@127.0.0.1/in"), "inside"),
        (a_drop("../crm"), "inside"),
    ],
)
async def test_what_the_settings_do_not_allow_any_more_is_told(drop: Drop, why: str) -> None:
    async def visit() -> None:
        async with Places(None, None, Policy.of("", "22"), VAULT).opened(drop):
            pass

    assert await why_of(visit) == why


async def test_a_key_that_nothing_opens_is_told(server: SftpServer) -> None:
    sealed = Vault(b"o" * 32).seal(ssh_keys.make(), "acme/events", ssh_keys.SEALED_AS, os.urandom(NONCE_BYTES))
    sftp = Sftp(Names("127.0.0.1"), INSIDE, 5)

    async def visit() -> None:
        async with Places(None, sftp, INSIDE, VAULT).opened(a_drop("sftp://a@sftp.exemple.fr/in", sealed)):
            pass

    assert await why_of(visit) == "key"
