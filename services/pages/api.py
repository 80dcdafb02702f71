"""Asks the instance's own API, as any client of it does, with the key of whoever looks at a page."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import aiohttp
import msgspec

#: For a whole answer: longer than the API waits for Redis.
TIMEOUT_S = 20.0
#: Nothing is answered while a file comes, as slowly as whoever sends it has it.
UPLOAD_TIMEOUT_S = 3600.0
#: At a time; what comes beyond waits.
CONNECTIONS = 50

#: A document of the API, as it describes it.
Json = Any


class Refused(Exception):
    """What the API answers instead: its status, the word of the problem, its sentence, and what is wrong."""

    def __init__(self, status: int, word: str, detail: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(f"{status} {word}")
        self.status = status
        self.word = word
        self.detail = detail
        self.faults = faults


class BrokeOff(Exception):
    """An answer that had begun has no end."""


class Body(Protocol):
    """An answer as it comes. BrokeOff while it is read."""

    def pieces(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class Api(Protocol):
    """The API, as a page asks it with one key."""

    async def stream(self, path: str, query: Mapping[str, str]) -> Body:
        """The answer to a GET, which may be long, to be closed. Refused."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """The answer. Refused."""

    async def send(self, method: str, path: str, body: Json = None, query: Mapping[str, str] | None = None) -> Json:
        """The answer, None where there is none. Refused."""

    async def upload(self, path: str, query: Mapping[str, str], media: str, body: AsyncIterator[bytes]) -> Json:
        """The answer to a POST of a file of that type, which may be long. Refused."""


class Loopback:
    """The connections to the API at `url`, between `start` and `close`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._opened: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._opened = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "estafette-pages"},
        )

    def of(self, key: str) -> "OfKey":
        """With that key; with none if it is empty."""
        return OfKey(self, key)

    async def ask(
        self, method: str, path: str, key: str, body: Json = None, query: Mapping[str, str] | None = None
    ) -> Json:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = msgspec.json.encode(body) if body is not None else None
        if self._opened is None:
            raise Refused(503, "unavailable", "the pages are not ready yet")
        try:
            async with self._opened.request(
                method, self._url + path, data=data, params=query, headers=headers, allow_redirects=False
            ) as answer:
                return _read(answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(503, "unavailable", "the API does not answer") from error

    async def stream(self, path: str, key: str, query: Mapping[str, str]) -> "Streamed":
        if self._opened is None:
            raise Refused(503, "unavailable", "the pages are not ready yet")
        try:
            answer = await self._opened.get(
                self._url + path,
                params=query,
                headers={"Authorization": f"Bearer {key}"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S),
            )
            if answer.status >= 400:
                async with answer:
                    _read(answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(503, "unavailable", "the API does not answer") from error
        return Streamed(answer)

    async def upload(
        self, path: str, key: str, query: Mapping[str, str], media: str, body: AsyncIterator[bytes]
    ) -> Json:
        if self._opened is None:
            raise Refused(503, "unavailable", "the pages are not ready yet")
        try:
            async with self._opened.post(
                self._url + path,
                data=body,
                params=query,
                headers={"Authorization": f"Bearer {key}", "Content-Type": media},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=UPLOAD_TIMEOUT_S),
            ) as answer:
                return _read(answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(503, "unavailable", "the API does not answer") from error

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()


class Streamed:
    """See `Body`."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._answer.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BrokeOff from error

    def close(self) -> None:
        self._answer.close()


class OfKey:
    """See `Api`."""

    def __init__(self, loopback: Loopback, key: str) -> None:
        self._loopback = loopback
        self._key = key

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        return await self._loopback.ask("GET", path, self._key, None, query)

    async def stream(self, path: str, query: Mapping[str, str]) -> Body:
        return await self._loopback.stream(path, self._key, query)

    async def send(self, method: str, path: str, body: Json = None, query: Mapping[str, str] | None = None) -> Json:
        return await self._loopback.ask(method, path, self._key, body, query)

    async def upload(self, path: str, query: Mapping[str, str], media: str, body: AsyncIterator[bytes]) -> Json:
        return await self._loopback.upload(path, self._key, query, media, body)


def _read(status: int, body: bytes) -> Json:
    try:
        found = msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        raise Refused(503, "unavailable", "the API answers what is no JSON") from None
    if status < 400:
        return found
    problem = found if isinstance(found, dict) else {}
    word = str(problem.get("type", "")).rpartition(":")[2]
    faults = tuple(f"{one.get('at', '')}: {one.get('what', '')}" for one in problem.get("faults") or ())
    raise Refused(status, word, str(problem.get("detail", "")), faults)
