"""Drops onto a real OpenSSH server: whole files under their names, and each way in which such a server refuses."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from services.reports.drops import ssh_keys
from services.reports.drops.drop import Drop, Failed
from services.reports.drops.places import Places
from services.reports.drops.sftp import Sftp
from shared.mail.dkim_keys import NONCE_BYTES, Vault
from shared.net.outside import Policy
from tests.edges.test_drop_places import INSIDE, PIECES, Names, pieces, why_of
from tests.peers.openssh import USER, OpenSsh, running
from tests.servers import free_port

VAULT = Vault(bytes(32))
KEY, HOST_KEY = ssh_keys.make(), ssh_keys.make()


@pytest.fixture(scope="module")
def server() -> Iterator[OpenSsh]:
    with running(free_port(), HOST_KEY, [ssh_keys.public(KEY)]) as listening:
        yield listening


def places(policy: Policy = INSIDE) -> Places:
    return Places(None, Sftp(Names("127.0.0.1"), policy, 10), policy, VAULT)


def drop(server: OpenSsh, path: str = "in", key: str = KEY, known: str = HOST_KEY, user: str = USER) -> Drop:
    sealed = VAULT.seal(key, "acme/events", ssh_keys.SEALED_AS, os.urandom(NONCE_BYTES))
    target = f"sftp://{user}@sftp.exemple.fr:{server.port}/{path}"
    host_keys = ssh_keys.host_keys(ssh_keys.public(known))
    return Drop("acme", "events", "events", target, "hourly", sealed=sealed, host_keys=host_keys)


async def placed(to: Drop, name: str = "a.csv", some: list[bytes] = PIECES) -> None:
    async with places().opened(to) as place:
        await place.write(f"{name}.part", pieces(some))
        assert await place.has(f"{name}.part")
        await place.rename(f"{name}.part", name)
        assert not await place.has(f"{name}.part")


async def test_a_file_is_whole_under_its_name_and_replaces_what_lay_there(server: OpenSsh) -> None:
    for content in ([b"old"], PIECES):
        await placed(drop(server), some=content)

    assert (server.folder / "a.csv").read_bytes() == b"".join(PIECES)
    assert not (server.folder / "a.csv.part").exists()


async def test_a_part_that_was_left_is_written_anew(server: OpenSsh) -> None:
    async with places().opened(drop(server)) as place:
        await place.write("b.csv.part", pieces([b"half" * 100_000]))

    await placed(drop(server), "b.csv", [b"whole"])

    assert (server.folder / "b.csv").read_bytes() == b"whole"


@pytest.mark.parametrize("path", ["none", "~/none", "in/a/b"])
async def test_a_folder_that_is_not_there_is_told(server: OpenSsh, path: str) -> None:
    assert await why_of(lambda: placed(drop(server, path))) == "no_folder"


async def test_a_folder_that_is_not_ours_is_told(server: OpenSsh) -> None:
    assert await why_of(lambda: placed(drop(server, "etc"))) == "refused"


async def test_a_key_that_the_server_does_not_know_is_told(server: OpenSsh) -> None:
    assert await why_of(lambda: placed(drop(server, key=ssh_keys.make()))) == "auth"
    assert await why_of(lambda: placed(drop(server, user="nobody"))) == "auth"


async def test_a_server_whose_key_has_changed_is_not_spoken_with_until_the_new_one_is_known(server: OpenSsh) -> None:
    changed = ssh_keys.make()
    server.stop()
    server.start(changed)
    try:
        assert await why_of(lambda: placed(drop(server))) == "host_key"
        assert "Accepted" not in server.jail.log()
        await placed(drop(server, known=changed), "c.csv")
    finally:
        server.stop()
        server.start()


async def test_a_server_that_dies_while_a_file_is_written_is_told_and_the_file_has_no_name(server: OpenSsh) -> None:
    async def dying() -> AsyncIterator[bytes]:
        yield PIECES[1]
        server.stop()
        for _ in range(100):
            yield PIECES[1]

    async def visit() -> None:
        async with places().opened(drop(server)) as place:
            await place.write("d.csv.part", dying())

    try:
        assert await why_of(visit) == "broken"
        assert await why_of(lambda: placed(drop(server))) == "unreachable"
    finally:
        server.start()
    assert not (server.folder / "d.csv").exists()
    await placed(drop(server), "d.csv")
    assert (server.folder / "d.csv").read_bytes() == b"".join(PIECES)


async def test_the_server_is_not_reached_unless_the_operator_allows_it(server: OpenSsh) -> None:
    async def visit() -> None:
        async with places(Policy.of("", "")).opened(drop(server)):
            pass

    with pytest.raises(Failed, match="no address outside"):
        await visit()
