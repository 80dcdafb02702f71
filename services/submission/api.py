"""The API of this installation, as submission calls it: thin."""

import aiohttp

_JSON = {"Content-Type": "application/json"}


class Api:
    """See `submission.Api`. `base_url` is where it listens."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._url = f"{base_url.rstrip('/')}/v1/mails"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, key: str, body: bytes) -> tuple[int, bytes] | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, trust_env=False)
        headers = {**_JSON, "Authorization": f"Bearer {key}"}
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
