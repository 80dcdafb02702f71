"""Asks web servers that others name, over HTTPS alone: what is there, and to take something.

Their names are resolved as mail hosts are, by our own resolver. Who may choose the name must not reach inside: private
addresses are asked only where the operator allows it, whether a name leads to them or the URL says them, and nobody is
followed elsewhere.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from errno import EHOSTUNREACH
from typing import Literal, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.net.dns import DnsUnavailable
from shared.net.inside import is_inside

#: For a whole request. RFC 8461 section 3.3 suggests a minute for a policy; the first mail of a domain waits for it.
TIMEOUT_S = 20.0
CONNECTIONS = 50

#: What was wrong: there is no such server, or it did not answer in time; it did not prove its name; its answer has
#: another status, another media type, or more bytes than were asked for.
Why = Literal["unreachable", "unproven", "status", "media_type", "too_long"]


class Failed(Exception):
    """There is nothing to read: `why` in a word, and the text of it for people."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class Resolver(Protocol):
    async def addresses(self, host: str) -> list[str] | DnsUnavailable: ...


class Https:
    """`ca_file` has authorities that are believed beside the system's; `timeout_s` is for a whole request. Make it
    inside the running loop."""

    def __init__(
        self, resolver: Resolver, *, ca_file: str = "", allow_private: bool = False, timeout_s: float = TIMEOUT_S
    ) -> None:
        context = ssl.create_default_context()
        context.hostname_checks_common_name = False
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
        self._allow_private = allow_private
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(resolver, allow_private), ssl=context, limit=CONNECTIONS, use_dns_cache=False
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "estafette"},
            auto_decompress=False,
        )

    async def get(self, url: str, media_type: str, max_bytes: int) -> bytes:
        """What is there, if it is there itself (200), of that type and no longer. Failed."""
        if refused := self._refused(url):
            raise Failed("unreachable", refused)
        try:
            async with self._session.get(
                url, allow_redirects=False, headers={"Accept": media_type, "Accept-Encoding": "identity"}
            ) as response:
                if response.status != 200:
                    raise Failed("status", f"{url} answers {response.status}")
                if response.content_type != media_type:
                    raise Failed("media_type", f"{url} is {response.content_type:.100}, not {media_type}")
                body = b""
                while chunk := await response.content.read(max_bytes + 1 - len(body)):
                    body += chunk
                    if len(body) > max_bytes:
                        raise Failed("too_long", f"{url} has more than {max_bytes} bytes")
                return body
        except aiohttp.ClientConnectorCertificateError as error:
            raise Failed("unproven", f"{url}: {error.certificate_error}") from None
        except TimeoutError:
            raise Failed("unreachable", f"{url}: no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failed("unreachable", f"{url}: {error}") from None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
        """Why it was not taken; None if it was (2xx)."""
        if refused := self._refused(url):
            return refused
        try:
            async with self._session.post(url, data=body, allow_redirects=False, headers=headers) as response:
                return None if 200 <= response.status < 300 else f"it answers {response.status}"
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return str(error)[:300] or type(error).__name__

    async def close(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)

    def _refused(self, url: str) -> str | None:
        """Why nobody is asked there. A name that leads inside is refused when it is resolved; an address never is."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            return f"not a URL: {error}"
        if parts.scheme != "https" or not parts.hostname:
            return f"not an https URL: {url:.200}"
        if not self._allow_private and is_inside(parts.hostname):
            return f"{parts.hostname} is not outside"
        return None


class _Resolver(AbstractResolver):
    def __init__(self, resolver: Resolver, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._resolver.addresses(host)
        if isinstance(found, DnsUnavailable):
            raise OSError(EHOSTUNREACH, f"{host}: {found.detail}")
        usable = [address for address in found if self._allow_private or not is_inside(address)]
        if not usable:
            raise OSError(EHOSTUNREACH, f"{host} has no address" + (" outside" if found else ""))
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in usable
        ]

    async def close(self) -> None:
        pass
