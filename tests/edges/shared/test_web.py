"""Other domains' web servers, as good and as bad as they are, on real sockets."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from shared.net.dns import DnsUnavailable
from shared.net.web import TIMEOUT_S, Failed, Https, Why
from tests.fakes.certificates import DAY, Authority, Issued
from tests.fakes.web_server import Answer, WebServer

AUTHORITY = Authority()
HOST = "mta-sts.example.net"
GOOD = AUTHORITY.issue(HOST)
PATH = "/.well-known/mta-sts.txt"


class Names:
    """Every name is on this machine, but those that are said to be elsewhere."""

    def __init__(self, **elsewhere: list[str] | DnsUnavailable) -> None:
        self.elsewhere = elsewhere

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        return self.elsewhere.get(host.replace(".", "_").replace("-", "_"), ["127.0.0.1"])


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return AUTHORITY.write(tmp_path_factory.mktemp("ca"))


@asynccontextmanager
async def asking(
    ca_file: str,
    issued: Issued = GOOD,
    names: Names | None = None,
    *,
    allow_private: bool = True,
    timeout_s: float = TIMEOUT_S,
) -> AsyncIterator[tuple[Https, WebServer, str]]:
    async with WebServer(issued.server_context()) as server:
        web = Https(names or Names(), ca_file=ca_file, allow_private=allow_private, timeout_s=timeout_s)
        try:
            yield web, server, f"https://{HOST}:{server.port}{PATH}"
        finally:
            await web.close()


async def failure(web: Https, url: str) -> Failed:
    with pytest.raises(Failed) as failed:
        await web.get(url, "text/plain", 100)
    assert str(failed.value)
    return failed.value


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain; charset=utf-8", "Text/Plain"])
async def test_what_is_there_is_read(content_type: str, ca_file: str) -> None:
    async with asking(ca_file) as (web, server, url):
        server.answers[PATH] = Answer(b"x" * 100, content_type=content_type)

        assert await web.get(url, "text/plain", 100) == b"x" * 100
        assert server.requests[0].host == f"{HOST}:{server.port}"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(status=404), "status"),
        (Answer(status=500), "status"),
        (Answer(status=204), "status"),
        (Answer(status=301, headers={"Location": "/elsewhere"}), "status"),
        (Answer(status=302, headers={"Location": "https://elsewhere.example/"}), "status"),
        (Answer(b"x" * 101), "too_long"),
        (Answer(b"x" * 1_000_000), "too_long"),
        (Answer(b"x", content_type="text/html"), "media_type"),
    ],
)
async def test_what_is_not_there_as_it_has_to_be_is_not_read(answer: Answer, why: Why, ca_file: str) -> None:
    async with asking(ca_file) as (web, server, url):
        server.answers[PATH] = answer
        server.answers["/elsewhere"] = Answer(b"never asked")

        assert (await failure(web, url)).why == why
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "issued",
    [
        AUTHORITY.issue("example.net"),
        AUTHORITY.issue(common_name=HOST),
        AUTHORITY.issue(HOST, valid=(-10 * DAY, -timedelta(minutes=1))),
        Authority().issue(HOST),
    ],
    ids=["another name", "common name", "expired", "unknown authority"],
)
async def test_a_server_that_does_not_prove_itself_is_not_read(issued: Issued, ca_file: str) -> None:
    async with asking(ca_file, issued) as (web, server, url):
        server.answers[PATH] = Answer(b"x")

        assert (await failure(web, url)).why == "unproven"
        assert server.requests == []


async def test_a_server_that_takes_its_time_is_not_waited_for(ca_file: str) -> None:
    async with asking(ca_file, timeout_s=0.3) as (web, server, url):
        server.answers[PATH] = Answer(b"x", delay_s=5)

        failed = await failure(web, url)
        assert failed.why == "unreachable"
        assert "in time" in str(failed)


@pytest.mark.parametrize("addresses", [[], DnsUnavailable(HOST, "Timeout")])
async def test_a_name_without_an_address_is_a_failure(addresses: list[str] | DnsUnavailable, ca_file: str) -> None:
    async with asking(ca_file, names=Names(mta_sts_example_net=addresses)) as (web, _, url):
        assert (await failure(web, url)).why == "unreachable"


async def test_nobody_is_asked_in_clear_or_at_an_old_version(ca_file: str) -> None:
    context = GOOD.server_context()
    async with WebServer(context) as server:
        web = Https(Names(), ca_file=ca_file, allow_private=True)
        assert await web.post(f"http://{HOST}:{server.port}/", b"x", {}) is not None
        with pytest.raises(Failed, match="not an https URL"):
            await web.get(f"http://{HOST}:{server.port}/", "text/plain", 100)
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2 or context.minimum_version < 0
        await web.close()


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
async def test_promise_7_nobody_reaches_inside_by_a_name_or_an_address(inside: str, ca_file: str) -> None:
    names = Names(mta_sts_example_net=[inside])
    async with asking(ca_file, names=names, allow_private=False) as (web, server, url):
        assert "has no address outside" in str(await failure(web, url))
        host = f"[{inside}]" if ":" in inside else inside
        assert await web.post(f"https://{host}:{server.port}/", b"x", {}) == f"{inside} is not outside"
        assert "is not outside" in str(await failure(web, f"https://{host}:{server.port}{PATH}"))
        assert "outside" in str(await web.post(url, b"x", {}))
        assert server.requests == []


async def test_a_report_is_posted(ca_file: str) -> None:
    async with asking(ca_file) as (web, server, url):
        server.answers[PATH] = Answer(status=201)

        assert await web.post(url, b"report", {"Content-Type": "application/tlsrpt+gzip"}) is None
        assert server.requests[0].body == b"report"
        assert server.requests[0].headers["Content-Type"] == "application/tlsrpt+gzip"
        server.answers[PATH] = Answer(status=302, headers={"Location": "/elsewhere"})
        assert await web.post(url, b"report", {}) == "it answers 302"
        assert len(server.requests) == 2
