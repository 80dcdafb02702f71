"""The file of named routes: which mail goes by which, and what is wrong with a file."""

import pytest

from shared.process.routing import Asked, Routing, differences
from shared.words.rates import parse_rate

FILE = """
[route.ses]
host = "email-smtp.eu-west-1.amazonaws.com:587"
tls = "required"
username = "AKIAEXAMPLE"
password_file = "/etc/estafette/ses.password"
dkim = false
connections = 10
rate = "14/s"
messages_per_connection = 100

[route.inside]
host = "[fd00::25]"
tls = "never"

[route.partner]
host = "smtp.partner.example"
tls = "implicit"

[[rule]]
route = "default"
domain = "direct.example.net"

[[rule]]
route = "partner"
domain = ["Partner.example", "*.example.net", "exämple.net"]

[[rule]]
route = "ses"
tenant = ["acme", "chouette"]
stream = "bulk"
from = "*.news.acme.example"

[[rule]]
route = "inside"
tenant = "staff"
"""


def route(domain: str, tenant: str = "", stream: str = "bulk", sender: str = "") -> str:
    found = Routing.parse(FILE).route_for(Asked(domain, tenant, stream, sender))
    return found.name if found is not None else ""


def test_a_route_has_a_host_a_login_and_limits() -> None:
    ses = Routing.parse(FILE).routes["ses"]

    assert (ses.host, ses.port, ses.tls) == ("email-smtp.eu-west-1.amazonaws.com", 587, "required")
    assert (ses.username, ses.password_file, ses.dkim) == ("AKIAEXAMPLE", "/etc/estafette/ses.password", False)
    assert (ses.connections, ses.rates, ses.messages_per_connection) == (10, (parse_rate("14/s"),), 100)
    assert ses.site == "route:ses"


def test_without_a_port_it_is_that_of_its_encryption() -> None:
    routes = Routing.parse(FILE).routes

    assert routes["partner"].place == "smtp.partner.example:465"
    assert routes["inside"].place == "[fd00::25]:25"
    assert Routing.parse('[route.a]\nhost = "h.example"').routes["a"].port == 587


@pytest.mark.parametrize(
    ("domain", "tenant", "stream", "sender", "chosen"),
    [
        ("partner.example", "acme", "bulk", "", "partner"),
        ("mx.example.net", "", "bulk", "", "partner"),
        ("xn--exmple-cua.net", "", "bulk", "", "partner"),
        ("example.net", "", "bulk", "", ""),
        ("notexample.net", "", "bulk", "", ""),
        ("direct.example.net", "staff", "bulk", "", ""),
        ("gmail.com", "acme", "bulk", "fr.news.acme.example", "ses"),
        ("gmail.com", "chouette", "bulk", "fr.news.acme.example", "ses"),
        ("gmail.com", "acme", "transactional", "fr.news.acme.example", ""),
        ("gmail.com", "acme", "bulk", "news.acme.example", ""),
        ("gmail.com", "acme", "bulk", "", ""),
        ("gmail.com", "staff", "one_to_one", "", "inside"),
        ("gmail.com", "other", "bulk", "", ""),
    ],
)
def test_the_first_rule_all_of_which_holds_chooses(
    domain: str, tenant: str, stream: str, sender: str, chosen: str
) -> None:
    assert route(domain, tenant, stream, sender) == chosen


def test_a_rule_without_conditions_takes_the_rest() -> None:
    routing = Routing.parse('[route.a]\nhost = "h.example"\n[[rule]]\nroute = "a"')

    assert routing.rule_for(Asked("x.example")) == (1, routing.rules[0])
    assert routing.rules[0].words == "any mail"


def test_without_a_file_there_is_no_route() -> None:
    assert Routing.parse("").route_for(Asked("x.example", "acme")) is None


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ("[route.a]", 'host is missing, as in "smtp.example.net:587"'),
        ('[route.default]\nhost = "h"', "and not default"),
        ('[route."A b"]\nhost = "h"', "small letters"),
        ('[route.a]\nhost = "h:0"', "is a host"),
        ('[route.a]\nhost = "h:x"', "is a host"),
        ('[route.a]\nhost = "smtp://h"', "is a host"),
        ('[route.a]\nhost = "h"\ntls = "maybe"', "tls is one of required, implicit, opportunistic, never"),
        ('[route.a]\nhost = "h"\nusername = "u"', "username and password_file"),
        ('[route.a]\nhost = "h"\npassword = "secret"', "did you mean password_file?"),
        ('[route.a]\nhost = "h"\nusername = "u\\n"\npassword_file = "f"', "username is one line"),
        ('[route.a]\nhost = "h"\ntls = "never"\nusername = "u"\npassword_file = "f"', "has proved its name"),
        ('[route.a]\nhost = "h"\ntls = "opportunistic"\nusername = "u"\npassword_file = "f"', "has proved its name"),
        ('[route.a]\nhost = "h"\nrate = "often"', "rate is a rate or a list of them"),
        ('[route.a]\nhost = "h"\nconnections = -1', "connections is a whole number"),
        ('[[rule]]\nroute = "b"', "names the route 'b'; known are default"),
        ('[[rule]]\ndomain = "x.example"', "route is missing"),
        ('[[rule]]\nroute = "default"\ndomain = "a b"', "is domains, as example.net or *.example.net"),
        ('[[rule]]\nroute = "default"\ndomain = "*"', "is domains"),
        ('[[rule]]\nroute = "default"\nstream = "sms"', "stream is one of"),
        ('[[rule]]\nroute = "default"\ndomains = "x.example"', "did you mean domain?"),
        ("[route", "this is not TOML"),
    ],
)
def test_what_is_wrong_is_named(toml: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as wrong:
        Routing.parse(toml)

    assert fault in str(wrong.value)


def test_every_fault_is_listed_and_no_password_is_shown() -> None:
    with pytest.raises(ValueError, match=r"\S") as wrong:
        Routing.parse('[route.a]\nhost = "u:hunter2@h:25"\nx = 1\n[[rule]]\nroute = "b"')

    assert len(str(wrong.value).splitlines()) == 3
    assert "hunter2" not in str(wrong.value)


def test_other_rules_are_told_in_words() -> None:
    before, after = Routing.parse(FILE), Routing.parse(FILE.replace('tenant = "staff"', 'tenant = "crew"'))

    assert differences(before, before) == []
    assert differences(before, after)[-1] == "route 4: tenant crew: inside"
    assert differences(after, Routing()) == ["there are no rules of routes any more"]
