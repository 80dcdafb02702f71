"""Named routes in the relay: their limits, what an answer of their host means, and what another file changes."""

from pathlib import Path

import pytest

from services.relay import files
from services.relay.making.making import Making
from services.relay.message.line import Line
from services.relay.message.mail import Mail
from services.relay.message.outcome import Bounce, Defer, outcome
from services.relay.traffic import smarthosts
from services.relay.traffic.egress import Egress, Source
from services.relay.traffic.hosts import Hosts
from services.relay.traffic.rules import Opened, Rules, differences
from services.relay.traffic.shaping import Shaping
from services.relay.traffic.smarthosts import Smarthost
from services.relay.words.outlet import Outlet
from services.relay.words.reply import ConnectFailed, Reply, Stage
from services.settings import load
from shared.process.routing import Routing
from shared.process.settings import SettingsError
from shared.redis.ready import Lease
from shared.words import events

ROUTE = '[route.out]\nhost = "smtp.example.net"\nusername = "ana"\npassword_file = "f"\n'
SITE = "route:out"


def rules(toml: str = ROUTE, password: str = "one", shaping: str = "") -> Rules:
    routes = Routing.parse(toml).routes.values()
    return Rules(Shaping.parse(shaping), Egress.parse(""), {route.site: Smarthost(route, password) for route in routes})


def test_a_route_has_limits_of_its_own_over_those_of_shaping() -> None:
    shaping = '[site."route:out"]\nconnections = 3\nmessages_per_connection = 5\nidle = "9s"'

    shape = rules(ROUTE + "connections = 2\nrate = '14/s'", shaping=shaping).shaping.of(SITE)

    assert (shape.connections, shape.messages_per_connection, shape.idle_s) == (2, 5, 9)
    assert [str(rate) for rate in shape.rates] == ["14/s"]
    assert rules(shaping=shaping).shaping.of(SITE).connections == 3
    assert rules(ROUTE + "connections = 2", shaping='[route]\nidle = "9s"').shaping.of(SITE).idle_s == 9


@pytest.mark.parametrize(("tls", "level", "implicit"), [
    ("required", "verified", False), ("implicit", "verified", True), ("opportunistic", "opportunistic", False),
    ("never", "never", False),
])  # fmt: skip
def test_its_host_is_encrypted_to_as_the_file_says(tls: str, level: str, implicit: bool) -> None:
    (route,) = Routing.parse(f'[route.out]\nhost = "h.example"\ntls = "{tls}"').routes.values()

    hop = Smarthost(route).hop

    assert (hop.tls.level, hop.implicit, hop.route) == (level, implicit, "out")
    assert Smarthost(route).login is None


@pytest.mark.parametrize("code", [530, 534, 535, 538])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_route_that_wants_another_login_has_the_mail_wait(code: int, stage: Stage) -> None:
    reply = Reply(code, "5.7.0", "Authentication required", stage, "smtp.example.net")

    assert outcome(reply, by_route=True) == Defer("authentication")
    assert isinstance(outcome(reply), Bounce)


@pytest.mark.parametrize("code", [454, 535])
def test_a_login_that_is_refused_has_the_mail_wait(code: int) -> None:
    reply = Reply(code, "5.7.8", "Authentication credentials invalid", "auth", "smtp.example.net")

    assert outcome(ConnectFailed("auth", "smtp.example.net", reply.line, reply), by_route=True).reason == (  # type: ignore[union-attr]
        "authentication"
    )


def test_a_recipient_that_the_host_does_not_take_bounces() -> None:
    reply = Reply(550, "5.1.1", "User unknown", "rcpt", "smtp.example.net")

    assert outcome(reply, by_route=True) == Bounce("hard", "unknown_user")


@pytest.mark.parametrize(
    ("after", "password", "said"),
    [
        (ROUTE, "one", []),
        (ROUTE, "two", ["route:out: the password is another"]),
        ("", "", ["route:out is gone"]),
        (ROUTE.replace("ana", "bob"), "one", ["route:out: username ana is now bob"]),
        (ROUTE + "dkim = false", "one", ["route:out: mail signed here is now not signed here"]),
        (ROUTE + "connections = 2", "one", ["route:out is new: connections 2, tls opportunistic"]),
        (
            ROUTE + '[route.b]\nhost = "b.example"',
            "one",
            ["route:b is new: host b.example:587, tls required, mail signed here"],
        ),
    ],
)
def test_what_is_another_is_told_without_a_password(after: str, password: str, said: list[str]) -> None:
    assert differences(rules(), rules(after, password)) == said


@pytest.mark.parametrize(
    ("after", "password", "stays"),
    [
        (ROUTE, "one", True),
        (ROUTE + "dkim = false", "one", True),
        (ROUTE, "two", False),
        (ROUTE.replace("smtp.", "mx."), "one", False),
        (ROUTE + 'tls = "implicit"', "one", False),
        ("", "", False),
    ],
)
def test_a_connection_stays_while_its_route_and_login_do(after: str, password: str, stays: bool) -> None:
    opened = Opened(rules(), SITE, "default", "", Source("default"))

    assert opened.may_stay(rules(after, password)) == stays
    assert smarthosts.changed(rules().smarthosts, rules(after, password).smarthosts) == ([] if stays else ["out"])


def test_a_route_by_another_login_is_tried_at_once() -> None:
    hosts, hop = Hosts(lambda: 1000.0), rules().smarthosts[SITE].hop
    hosts.dialling(hop, "a1")
    hosts.failed(hop, "a1", ConnectFailed("auth", hop.host, "535 no"))

    hosts.forgive(["other"])
    assert hosts.shut(hop, "a1") is not None
    hosts.forgive(["out"])
    assert hosts.shut(hop, "a1") is None


class Mails:
    def __init__(self) -> None:
        self.signed: list[bool] = []

    async def make(self, ready: events.Ready, *, signed: bool = True) -> None:
        self.signed.append(signed)


async def test_what_the_host_signs_is_not_signed_here() -> None:
    mails, signs = Mails(), rules(ROUTE + "dkim = false").signs
    making = Making(mails, lambda: 0.0, signs)  # type: ignore[arg-type]
    line: Line[int] = Line(SITE, Outlet("default"))

    for number, site in enumerate((SITE, "gmail")):
        ready = events.Ready(tenant="acme", job="06dndml801in6t31cpig", ordinal=number, email="ana@a.test")
        line.put(mail := Mail(Lease(0, number, site, b"", 1, "acme"), ready))
        await making.made(mail)

    assert mails.signed == [False, True]


# The file and its passwords


def settings_of(folder: Path, toml: str) -> dict[str, str]:
    (folder / "routes.toml").write_text(toml, "utf-8")
    return {"ESTAFETTE_RELAY_ROUTES_FILE": str(folder / "routes.toml")}


def test_the_password_is_the_line_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2 \n", "utf-8")
    toml = ROUTE.replace('"f"', f'"{tmp_path / "password"}"')

    found = files.read(load(settings_of(tmp_path, toml), None)).smarthosts

    assert found[SITE].login == ("ana", "hunter2 ")
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("written", [None, b"", b"\n", b"two\nlines", b"\xff\xfe"])
def test_a_password_that_is_none_is_named_and_not_shown(tmp_path: Path, written: bytes | None) -> None:
    file = tmp_path / "password"
    if written is not None:
        file.write_bytes(written)
    given = settings_of(tmp_path, ROUTE.replace('"f"', f'"{file}"'))

    with pytest.raises(SettingsError) as wrong:
        files.read(load(given, None))

    (fault,) = wrong.value.faults
    assert f"[route.out]: password_file: {file}" in fault
    assert "lines" not in fault
