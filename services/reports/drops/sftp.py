"""An SFTP server as the place of a drop: one connection for each visit, to an address that was judged just before.

The server is the one whose host key is known, or none is spoken with. We show one key for one user; nothing of this
machine, its agents, settings and other keys, is in the way. Each step has its time: a server that is silent is away.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import asyncssh

from services.reports.drops.drop import Failed
from services.reports.drops.target import Server
from shared.net.dns import DnsUnavailable
from shared.net.outside import Policy, Refused, usable

T = TypeVar("T")
#: Of one step: as much as goes to a server in a second over a slow line.
_PIECE_BYTES = 256 * 1024
#: The more special first.
_WHY: tuple[tuple[type[BaseException], str], ...] = (
    (asyncssh.SFTPNoSpaceOnFilesystem, "full"), (asyncssh.SFTPQuotaExceeded, "full"),
    (asyncssh.SFTPWriteProtect, "read_only"), (asyncssh.SFTPPermissionDenied, "refused"),
    (asyncssh.SFTPNoSuchFile, "no_folder"), (asyncssh.SFTPNoSuchPath, "no_folder"),
    (asyncssh.SFTPNotADirectory, "no_folder"), (asyncssh.SFTPNoConnection, "broken"),
    (asyncssh.SFTPConnectionLost, "broken"), (asyncssh.SFTPBadMessage, "broken"),
    (asyncssh.SFTPOpUnsupported, "unsupported"), (asyncssh.SFTPError, "failed"),
    (asyncssh.HostKeyNotVerifiable, "host_key"), (asyncssh.PermissionDenied, "auth"), (asyncssh.Error, "broken"),
    (TimeoutError, "timeout"), (ConnectionResetError, "broken"), (BrokenPipeError, "broken"), (OSError, "unreachable"),
)  # fmt: skip

asyncssh.set_log_level("ERROR")


class Resolver(Protocol):
    async def addresses(self, host: str) -> list[str] | DnsUnavailable: ...


class Sftp:
    """Opens connections. `timeout_s` is for the start of one, and for each step."""

    def __init__(self, resolver: Resolver, policy: Policy, timeout_s: float) -> None:
        self._resolver = resolver
        self._policy = policy
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def opened(self, server: Server, private_key: str, host_keys: Sequence[str]) -> AsyncIterator["SftpPlace"]:
        """The folder on that server. Failed."""
        connection, sftp = await self._connected(server, private_key, host_keys)
        try:
            yield SftpPlace(sftp, server, self._timeout_s)
        finally:
            connection.abort()

    async def _connected(
        self, server: Server, private_key: str, host_keys: Sequence[str]
    ) -> tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]:
        addresses = await self._addresses(server)
        fault = Failed("unreachable", "nobody answers there")
        for address in addresses:
            try:
                return await _within(self._timeout_s, self._connect(address, server, private_key, host_keys))
            except Failed as failed:
                fault = failed
                if failed.why not in ("unreachable", "timeout"):
                    break
        raise fault

    async def _connect(
        self, address: str, server: Server, private_key: str, host_keys: Sequence[str]
    ) -> tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]:
        known = [asyncssh.import_public_key(one) for one in host_keys]
        connection = await asyncssh.connect(
            address,  # nothing is resolved there
            server.port,
            config=None,
            username=server.user,
            client_keys=[asyncssh.import_private_key(private_key)],
            known_hosts=(known, [], []),
            agent_path=None,
            preferred_auth="publickey",
            gss_host=None,
            x509_trusted_certs=None,
            client_version="estafette",
            keepalive_interval=self._timeout_s,
            login_timeout=self._timeout_s,
        )
        try:
            return connection, await connection.start_sftp_client()
        except BaseException:
            connection.abort()
            raise

    async def _addresses(self, server: Server) -> list[str]:
        name = server.host.name
        found = [name] if server.host.literal else await self._resolver.addresses(name)
        if isinstance(found, DnsUnavailable):
            raise Failed("unresolved", f"{name}: {found.detail}")
        if not found:
            raise Failed("unresolved", f"{name} has no address")
        try:
            return usable(name, server.port, found, self._policy)
        except Refused as refused:
            raise Failed("inside", str(refused)) from None


class SftpPlace:
    """Every method raises Failed."""

    def __init__(self, sftp: asyncssh.SFTPClient, server: Server, timeout_s: float) -> None:
        self._sftp = sftp
        self._server = server
        self._timeout_s = timeout_s

    async def has(self, name: str) -> bool:
        return await self._do(self._sftp.lexists(self._server.path_of(name)))

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """A file of that name, anew: whole when it returns, and durable where the server can say so. How many bytes."""
        path, written = self._server.path_of(name), 0
        if await self.has(name):
            await self._do(self._sftp.remove(path))
        file = await self._do(self._sftp.open(path, "xb"))
        try:
            async for piece in pieces:
                for at in range(0, len(piece), _PIECE_BYTES):
                    await self._do(file.write(piece[at : at + _PIECE_BYTES]))
                written += len(piece)
            await self._known(file.fsync())
            await self._do(file.close())
        except Failed as failed:
            # A half of a file on a full disk would keep it full.
            if failed.why in ("full", "failed"):
                with contextlib.suppress(Failed):
                    await self._do(self._sftp.remove(path))
            raise
        return written

    async def rename(self, name: str, to: str) -> None:
        """Over what is there under that name."""
        before, after = self._server.path_of(name), self._server.path_of(to)
        if not await self._known(self._sftp.posix_rename(before, after)):
            # As SFTP has it: not over what is there.
            if await self.has(to):
                await self._do(self._sftp.remove(after))
            await self._do(self._sftp.rename(before, after))

    async def _known(self, step: Awaitable[object]) -> bool:
        """Whether the server can do that at all."""
        try:
            await self._do(step)
        except Failed as failed:
            if failed.why == "unsupported":
                return False
            raise
        return True

    async def _do(self, step: Awaitable[T]) -> T:
        return await _within(self._timeout_s, step)


async def _within(timeout_s: float, step: Awaitable[T]) -> T:
    """Failed."""
    try:
        async with asyncio.timeout(timeout_s):
            return await step
    except (asyncssh.Error, OSError) as fault:
        why = next(word for kind, word in _WHY if isinstance(fault, kind))
        if isinstance(fault, asyncssh.KeyExchangeFailed) and "host key" in str(fault):
            why = "host_key"  # it has none of the kind that is known
        text = "no answer in time" if why == "timeout" else str(getattr(fault, "reason", "") or fault)
        raise Failed(why, text or type(fault).__name__) from None
