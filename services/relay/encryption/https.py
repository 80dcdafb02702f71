"""Asks other domains' web servers: for their MTA-STS policy, and to take a TLS report.

Their names are resolved as mail hosts are, by our own resolver. Who may choose the name must not reach inside: private
addresses are asked only where the operator allows it.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from errno import EHOSTUNREACH
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from services.relay.words.tls import TlsFailure
from shared.net.dns import DnsUnavailable
from shared.net.inside import is_inside

#: RFC 8461 section 3.3 suggests a minute; the first mail of a domain waits for its policy.
TIMEOUT_S = 20.0
CONNECTIONS = 50


class Failed(Exception):
    """`failure` is the result type of RFC 8460 section 4.3.2.2."""

    def __init__(self, failure: TlsFailure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


class Resolver(Protocol):
    async def addresses(self, host: str) -> list[str] | DnsUnavailable: ...


class Https:
    """`ca_file` has authorities that are believed beside the system's. Make it inside the running loop."""

    def __init__(self, resolver: Resolver, *, ca_file: str = "", allow_private: bool = False) -> None:
        context = ssl.create_default_context()
        context.hostname_checks_common_name = False
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
        self._allow_private = allow_private
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(resolver, allow_private), ssl=context, limit=CONNECTIONS, use_dns_cache=False
            ),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "estafette"},
            auto_decompress=False,
        )

    async def get(self, url: str, media_type: str, max_bytes: int) -> bytes:
        """What is there, if it is there itself (200), of that type and no longer. Failed."""
        try:
            async with self._session.get(
                url, allow_redirects=False, headers={"Accept": media_type, "Accept-Encoding": "identity"}
            ) as response:
                if response.status != 200:
                    raise Failed("sts-policy-fetch-error", f"{url} answers {response.status}")
                if response.content_type != media_type:
                    raise Failed("sts-policy-invalid", f"{url} is {response.content_type:.100}, not {media_type}")
                body = b""
                while chunk := await response.content.read(max_bytes + 1 - len(body)):
                    body += chunk
                    if len(body) > max_bytes:
                        raise Failed("sts-policy-invalid", f"{url} has more than {max_bytes} bytes")
                return body
        except aiohttp.ClientConnectorCertificateError as error:
            raise Failed("sts-webpki-invalid", f"{url}: {error.certificate_error}") from None
        except TimeoutError:
            raise Failed("sts-policy-fetch-error", f"{url}: no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failed("sts-policy-fetch-error", f"{url}: {error}") from None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
        """Why it was not taken; None if it was (2xx)."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            return f"not an https URL: {url:.200}"
        if not self._allow_private and is_inside(parts.hostname):
            return f"{parts.hostname} is not outside"
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
