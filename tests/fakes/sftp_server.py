"""An SFTP server that can be told to fail: asyncssh's own, in a folder, with one user and one key."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

USER = "estafette"


class SftpServer:
    """`fails`: the name of a step (`open`, `write`, `close`, `posix_rename`, `rename`) → what is raised there, or a
    number of seconds for which nothing happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")
        self.fails: dict[str, BaseException | float] = {}
        self.steps: list[str] = []
        self.port = 0
        self.users: list[str] = []
        self.opened: list[Any] = []

    @property
    def known(self) -> str:
        return self.host_key.export_public_key().decode().strip()

    @property
    def private_key(self) -> str:
        return self.user_key.export_private_key().decode()

    async def comes_to(self, step: str) -> None:
        self.steps.append(step)
        what = self.fails.get(step)
        if isinstance(what, BaseException):
            raise what
        if what is not None:
            await asyncio.sleep(what)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["SftpServer"]:
        authorized = asyncssh.import_authorized_keys(self.user_key.export_public_key().decode())
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[self.host_key], authorized_client_keys=authorized,
            server_factory=lambda: _Server(self), sftp_factory=lambda channel: _Sftp(channel, self), config=None,
        )  # fmt: skip
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()
            for file in self.opened:  # what nobody closes, where a step was broken off
                file.close()


class _Server(asyncssh.SSHServer):
    def __init__(self, owner: SftpServer) -> None:
        self._owner = owner

    def begin_auth(self, username: str) -> bool:
        self._owner.users.append(username)
        return True


class _Sftp(asyncssh.SFTPServer):
    def __init__(self, channel: Any, owner: SftpServer) -> None:
        super().__init__(channel, chroot=str(owner.folder).encode())
        self._owner = owner

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        await self._owner.comes_to("open")
        file = super().open(path, pflags, attrs)
        self._owner.opened.append(file)
        return file

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        await self._owner.comes_to("write")
        return super().write(file_obj, offset, data)  # type: ignore[return-value]

    async def close(self, file_obj: object) -> None:
        await self._owner.comes_to("close")
        super().close(file_obj)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._owner.comes_to("posix_rename")
        super().posix_rename(oldpath, newpath)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._owner.comes_to("rename")
        super().rename(oldpath, newpath)


def no_space() -> OSError:
    """As a full disk says it. A server of SFTP 3 passes it on as a failure without a name."""
    return OSError(errno.ENOSPC, "No space left on device")
