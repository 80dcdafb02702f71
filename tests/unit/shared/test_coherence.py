"""Settings that are right alone and wrong together are found before anything is started, each with what to set."""

from pathlib import Path

import pytest

from services import catalogue
from services.settings import load
from shared.process import coherence
from shared.process.settings import SettingsError

#: What mailing the world needs.
WORLD = {
    "relay_route": "mx",
    "tracking_base_url": "https://links.acme.example",
    "tracking_forwarded_hops": "1",
    "bounces_domain": "bounces.acme.example",
    "bounces_host": "0.0.0.0",
    "bounces_port": "25",
}
EVERY_PROCESS = catalogue.SERVED


def environ(given: dict[str, str]) -> dict[str, str]:
    return {f"ESTAFETTE_{name.upper()}": value for name, value in given.items()}


def faults(process: str | None = None, **given: str) -> list[str]:
    try:
        settings = load(environ(given), None)
        coherence.refuse(settings, process, {} if process else catalogue.ports(settings))
    except SettingsError as error:
        return error.faults
    return []


def doubts(process: str, **given: str) -> list[str]:
    return coherence.doubts(load(environ(given), None), process)


def names(texts: list[str]) -> list[str]:
    return [text.partition(" ")[0] for text in texts]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"relay_route": "smtp://127.0.0.1:2600"},
        {"relay_route": "smtp://localhost:2600"},
        {"relay_route": "smtp://[::1]:2600"},
        {"http_port": "0", "bounces_port": "0", "mailbox_port": "0"},
        WORLD,
        WORLD | {"tracking_base_url": "https://93.184.216.34/"},
        {"relay_route": "mx", "relay_private_networks": "true"},
    ],
    ids=str,
)
def test_what_fits_together_starts(given: dict[str, str]) -> None:
    assert faults(**given) == []


def test_trying_it_out_and_mailing_the_world_as_told_leave_no_doubt() -> None:
    for process in EVERY_PROCESS:
        assert doubts(process) == []
        assert doubts(process, **WORLD) == []
        assert doubts(process, relay_route="smtp://127.0.0.1:2600") == []


def test_the_route_to_the_world_alone_is_refused_and_each_cause_is_named() -> None:
    found = faults(relay_route="mx")

    assert names(found) == ["tracking.base_url", "tracking.base_url", "bounces.domain"]
    assert "http://127.0.0.1:8080" in found[0]
    assert "https" in found[1]
    assert "bounces.localhost" in found[2]
    assert all(f"(ESTAFETTE_{name})" in text for name, text in zip(
        ("TRACKING_BASE_URL", "TRACKING_BASE_URL", "BOUNCES_DOMAIN"), found, strict=True
    ))  # fmt: skip
    assert all("set it to" in text for text in found)


@pytest.mark.parametrize(
    ("process", "named"),
    [
        ("http", ["tracking.base_url", "tracking.base_url", "bounces.domain"]),
        ("relay", ["tracking.base_url", "tracking.base_url", "bounces.domain"]),
        ("bounces", ["bounces.domain"]),
        ("queueing", []),
        ("tracking", []),
        ("suppression", []),
        ("reports", []),
    ],
)
def test_a_process_is_refused_for_what_concerns_it(process: str, named: list[str]) -> None:
    assert names(faults(process, relay_route="mx")) == named


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost",
        "https://tracking.localhost",
        "https://127.1.2.3:8443",
        "https://[::1]",
        "https://0.0.0.0",
        "https://10.1.2.3",
        "https://192.168.0.9:8443",
        "https://[fd00::1]",
        "https://tracking",
        "https://links.internal",
        "https://links.local",
        "https://links_of_acme.example",
    ],
)
def test_links_that_lead_nobody_anywhere_are_refused(url: str) -> None:
    assert names(faults(**WORLD | {"tracking_base_url": url})) == ["tracking.base_url"]


def test_links_in_the_clear_are_refused() -> None:
    (fault,) = faults(**WORLD | {"tracking_base_url": "http://links.acme.example"})

    assert "https" in fault


@pytest.mark.parametrize(
    "domain",
    [
        "localhost", "bounces.localhost", "bounces", "bounces.internal", "acme.local", "93.184.216.34",
        "[93.184.216.34]", "two words.example", "a@bounces.example", "", "bounces..example", "bücher.example",
        "bounces.acme.example.",
    ],
)  # fmt: skip
def test_return_paths_that_come_back_to_nobody_are_refused(domain: str) -> None:
    assert names(faults(**WORLD | {"bounces_domain": domain})) == ["bounces.domain"]


def test_a_password_in_the_address_of_links_is_refused_and_not_shown() -> None:
    found = faults(tracking_base_url="https://operator:hunter2@links.acme.example")

    assert names(found) == ["tracking.base_url"]
    assert "hunter2" not in str(found)


def test_mail_for_a_network_of_ones_own_is_doubted_only() -> None:
    given = {"relay_route": "mx", "relay_private_networks": "true"}

    assert names(doubts("relay", **given)) == ["tracking.base_url", "tracking.base_url", "bounces.domain"]
    assert names(doubts("relay", relay_route="smtp://smart.example:25")) == names(doubts("relay", **given))


def test_one_name_for_links_and_return_paths_is_doubted() -> None:
    given = WORLD | {"bounces_domain": "Links.acme.example"}

    assert faults(**given) == []
    assert names(doubts("relay", **given)) == ["bounces.domain"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"bounces_host": "127.0.0.1"}, "bounces.host"),
        ({"bounces_host": "localhost"}, "bounces.host"),
        ({"bounces_port": "0"}, "bounces.port"),
    ],
    ids=str,
)
def test_a_domain_of_return_paths_without_a_listener_is_doubted(given: dict[str, str], named: str) -> None:
    assert names(doubts("bounces", **WORLD | given)) == [named]


@pytest.mark.parametrize("process", ["http", "tracking"])
def test_a_word_of_proxies_that_cannot_be_there_is_doubted_and_a_proxy_whose_word_is_not_taken(process: str) -> None:
    assert names(doubts(process, tracking_forwarded_hops="1")) == ["tracking.forwarded_hops"]
    assert names(doubts(process, **WORLD | {"tracking_forwarded_hops": "0"})) == ["tracking.forwarded_hops"]


def test_a_mailbox_that_others_can_read_is_doubted() -> None:
    assert names(doubts("http", http_host="0.0.0.0")) == ["relay.route"]


@pytest.mark.parametrize(
    "name",
    [
        "tls.client_certificate", "tls.ca_file", "relay.shaping_file", "relay.egress_file", "relay.routes_file",
        "secret.key_file", "secret.previous_key_files",
    ],
)  # fmt: skip
def test_files_that_are_not_there_are_named(tmp_path: Path, name: str) -> None:
    variable = name.replace(".", "_")
    missing, folder, there = tmp_path / "missing", tmp_path, tmp_path / "there"
    there.touch()

    assert faults(**{variable: str(there)}) == []
    for file in (missing, folder):
        (fault,) = faults(**{variable: str(file)})
        assert fault.startswith(f"{name} (ESTAFETTE_{variable.upper()}): {file}: ")


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()

    assert names(faults("relay", tls_client_key=str(key))) == ["tls.client_certificate"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"dns_servers": "ns.acme.example"}, "dns.servers"),
        ({"dns_servers": "127.0.0.1,127.0.0.1:99999"}, "dns.servers"),
        ({"tls_dane_resolver": "unbound"}, "tls.dane_resolver"),
        ({"bounces_feedback_loops": "192.0.2.0/40"}, "bounces.feedback_loops"),
        ({"http_ready_urls": "relay"}, "http.ready_urls"),
        ({"relay_route": "smtp://host.example:0"}, "relay.route"),
        ({"relay_route": "smtp://host.example:99999"}, "relay.route"),
        ({"relay_route": "smtp://127.0.0.1:2525"}, "relay.route"),
        ({"relay_route": "smtp://host?name:25"}, "relay.route"),
        ({"relay_helo": "two words"}, "relay.helo"),
        (WORLD | {"tls_report_from": "tls@acme.local"}, "tls.report_from"),
        ({"http_port": "2525"}, "bounces.port"),
        ({"mailbox_port": "8080"}, "mailbox.port"),
        ({"relay_metrics_port": "8080"}, "relay.metrics_port"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(given: dict[str, str], named: str) -> None:
    assert names(faults(**given)) == [named]


@pytest.mark.parametrize(
    ("process", "given", "named"),
    [
        ("relay", {"tls_contact": "tls@acme.example"}, "tls.report_from"),
        ("relay", WORLD | {"relay_mx_port": "2600"}, "relay.mx_port"),
    ],
    ids=str,
)
def test_what_changes_nothing_or_hardly_can_be_meant_is_doubted(
    process: str, given: dict[str, str], named: str
) -> None:
    assert (names(faults(**given)), names(doubts(process, **given))) == ([], [named])
