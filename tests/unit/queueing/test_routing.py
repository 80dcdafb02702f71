"""Queueing chooses the named route of a mail by its job and its recipient, and follows the file."""

from pathlib import Path

import pytest

from services.queueing.routing import KnownRoutes, from_domain
from services.queueing.store import Head
from services.settings import load
from shared.process.settings import Settings, SettingsError

FILE = """
[route.out]
host = "smtp.example.net"

[[rule]]
route = "out"
tenant = "acme"
from = "acme.example"
"""


def settings(folder: Path, toml: str) -> Settings:
    file = folder / "routes.toml"
    file.write_text(toml, "utf-8")
    return load({"ESTAFETTE_RELAY_ROUTES_FILE": str(file)}, None)


def head(tenant: str = "acme", sender: str = "Acme <news@ACME.example>") -> Head:
    return Head(tenant, "bulk", 0, sender=sender)


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("ana@acme.example", "acme.example"),
        ("Ana <ana@Acme.Example>", "acme.example"),
        ('"a <b@c.example>" <ana@acme.example>', "acme.example"),
        ("Ana <ana@exämple.net>", "xn--exmple-cua.net"),
        ("nobody", ""),
        ("", ""),
    ],
)
def test_the_domain_of_a_from_is_as_addresses_have_it(sender: str, domain: str) -> None:
    assert from_domain(sender) == domain


def test_a_mail_goes_by_the_route_of_the_first_rule_that_fits(tmp_path: Path) -> None:
    routes = KnownRoutes(settings(tmp_path, FILE))

    assert routes.site_of(head(), "gmail.com") == "route:out"
    assert routes.site_of(head("chouette"), "gmail.com") is None
    assert routes.site_of(head(sender="x@other.example"), "gmail.com") is None
    assert KnownRoutes(settings(tmp_path, "")).site_of(head(), "gmail.com") is None


async def test_the_file_is_read_again_whole_or_not_at_all(tmp_path: Path) -> None:
    routes = KnownRoutes(settings(tmp_path, FILE))

    with pytest.raises(SettingsError, match="names the route"):
        routes.prepare(settings(tmp_path, FILE.replace('route = "out"', 'route = "in"')))
    assert routes.site_of(head(), "gmail.com") == "route:out"

    prepared = routes.prepare(settings(tmp_path, FILE.replace('"acme"', '"chouette"')))
    assert routes.site_of(head(), "gmail.com") == "route:out"
    await prepared.apply()
    assert prepared.changes == ["route 1: tenant chouette; from acme.example: out"]
    assert routes.site_of(head("chouette"), "gmail.com") == "route:out"
