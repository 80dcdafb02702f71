"""Settings come from the file and the environment; what is wrong with them is said at once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from services.relay.settings import Relay
from services.settings import Settings, explain, joined, load
from shared.process import setting_checks
from shared.process import settings as machinery
from shared.process.settings import Http, InForce, Port, Process, Section, SettingsError


def test_nothing_given_is_the_defaults() -> None:
    settings = load({}, None)

    assert settings == Settings()
    assert (settings.http.port, settings.bounces.port, settings.relay.route) == (8080, 2525, "mailbox")


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "estafette.toml"
    file.write_text('[http]\nport = 9000\nhost = "10.0.0.1"\n[redis]\nrequire_durable = true\n')

    settings = load({"ESTAFETTE_HTTP_PORT": "9001", "PATH": "/bin"}, file)

    assert (settings.http.port, settings.http.host) == (9001, "10.0.0.1")
    assert settings.redis.require_durable is True


def test_each_setting_names_its_source(tmp_path: Path) -> None:
    file = tmp_path / "estafette.toml"
    file.write_text("[http]\nport = 9000\n")

    found = {line.name: line for line in explain({"ESTAFETTE_DATA_DIR": "here"}, file)}

    assert found["http.port"] == InForce("http.port", 9000, str(file))
    assert found["data.dir"] == InForce("data.dir", "here", "ESTAFETTE_DATA_DIR")
    assert found["relay.batch"].source == "default"


def test_all_faults_are_listed_at_once_and_by_name(tmp_path: Path) -> None:
    file = tmp_path / "estafette.toml"
    file.write_text('http = 1\n[redis]\npartitions = "eight"\nurll = ""\n[smtp]\nport = 25\n[mailbox]\nport = true\n')
    environ = {"ESTAFETTE_BOUNCES_PORT": "70000", "ESTAFETTE_RELAY_ROUTE": "somewhere", "ESTAFETTE_NOPE": "1"}

    with pytest.raises(SettingsError) as raised:
        load(environ, file)

    faults = "\n".join(raised.value.faults)
    for name in (
        "http is a section",
        "redis.partitions",
        "redis.urll",
        "[smtp]",
        "mailbox.port",
        "ESTAFETTE_BOUNCES_PORT",
        "ESTAFETTE_RELAY_ROUTE",
        "ESTAFETTE_NOPE",
    ):
        assert name in faults
    assert len(raised.value.faults) == 8


def test_a_file_that_is_not_toml_or_not_there_is_a_fault(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[http\n")

    for file in (broken, tmp_path / "missing.toml"):
        with pytest.raises(SettingsError, match=file.name):
            load({}, file)


def test_a_password_is_never_printed() -> None:
    settings = load({"ESTAFETTE_REDIS_URL": "redis://user:hunter2@redis.example:6379/0"}, None)

    assert settings.redis.url == "redis://user:hunter2@redis.example:6379/0"
    assert "hunter2" not in repr(settings)
    with pytest.raises(SettingsError) as raised:
        load({"ESTAFETTE_REDIS_URL": "http://user:hunter2@redis.example"}, None)
    assert "hunter2" not in str(raised.value)


def test_a_list_of_seconds_and_a_flag_are_checked() -> None:
    assert load({"ESTAFETTE_RELAY_RETRY_SCHEDULE": "60,300"}, None).of(Relay).retry_schedule == "60,300"
    assert load({"ESTAFETTE_REDIS_REQUIRE_DURABLE": "true"}, None).redis.require_durable is True
    for variable, value in (("RELAY_RETRY_SCHEDULE", "60,soon"), ("REDIS_REQUIRE_DURABLE", "perhaps")):
        with pytest.raises(SettingsError, match=variable):
            load({f"ESTAFETTE_{variable}": value}, None)


def test_links_begin_with_the_base_url_without_its_slash() -> None:
    assert load({}, None).base_url == "http://127.0.0.1:8080"
    assert load({"ESTAFETTE_HTTP_HOST": "::"}, None).base_url == "http://[::1]:8080"
    assert load({"ESTAFETTE_HTTP_HOST": "0.0.0.0"}, None).base_url == "http://127.0.0.1:8080"
    assert load({"ESTAFETTE_TRACKING_BASE_URL": "https://t.example/"}, None).base_url == "https://t.example"


def test_secret_files_are_in_the_data_directory_unless_named() -> None:
    assert load({"ESTAFETTE_DATA_DIR": "d"}, None).secret_file == Path("d/secret.key")
    named = load({"ESTAFETTE_SECRET_KEY_FILE": "/k", "ESTAFETTE_SECRET_PREVIOUS_KEY_FILES": "/a, /b"}, None)
    assert (named.secret_file, named.previous_secret_files) == (Path("/k"), (Path("/a"), Path("/b")))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("HTTP_PORT", "x", "expected a whole number from 0 to 65535, not 'x'"),
        ("RELAY_LEASE_MS", "5", "expected a whole number, 1000 or more, not '5'"),
        ("REDIS_REQUIRE_DURABLE", "perhaps", "expected true or false"),
        ("LOGS_LEVEL", "loud", "expected one of debug"),
        ("RELAY_ROUTE", "smtp://host", "expected mailbox, mx, or smtp://host:port"),
        ("RELAY_ROUTE", "smtp://host:99999", "expected a port from 1 to 65535"),
        ("RELAY_RETRY_SCHEDULE", "60, 300", "expected seconds with commas between and no blanks"),
        ("RELAY_SENDER_ID", "ab", "expected 5 to 15 of"),
        ("TRACKING_BASE_URL", "links.acme.example", "expected a web address without query"),
        ("TLS_REPORT_FROM", "nobody", "expected an address"),
        ("BOUNCES_FEEDBACK_LOOPS", "fbl.example", "expected networks or addresses"),
        ("BOUNCES_FEEDBACK_LOOPS", "192.0.2.0/24,192.0.2.999", "'192.0.2.999' is no network (CIDR) and no address"),
        ("DNS_SERVERS", "resolver.example", "expected an address, with or without a port"),
        ("DNS_SERVERS", "127.0.0.1:0", "expected an address, with or without a port"),
        ("TLS_DANE_RESOLVER", "[::1", "expected an address, with or without a port"),
        ("HTTP_READY_URLS", "http://127.0.0.1:1/readyz", "expected name=url"),
        ("REDIS_URL", "redis://host:port/0", "expected redis://host:port/database"),
        ("REDIS_URL", "redis://host:6379/zero", "expected the number of a database"),
        ("REDIS_URL", "redis+cluster://a:1,b", "expected redis+cluster://host:port"),
    ],
)
def test_a_fault_names_the_setting_and_what_it_takes(variable: str, value: str, expected: str) -> None:
    section, _, field = variable.lower().partition("_")

    with pytest.raises(SettingsError) as raised:
        load({f"ESTAFETTE_{variable}": value}, None)

    (fault,) = raised.value.faults
    assert fault.startswith(f"{section}.{field} (ESTAFETTE_{variable}): {expected}")


def test_no_setting_is_explained_by_a_regular_expression(tmp_path: Path) -> None:
    names = [line.name for line in explain({}, None)]
    file = tmp_path / "estafette.toml"

    for name in names:
        section, _, field = name.partition(".")
        file.write_text(f"[{section}]\n{field} = [1]\n")
        with pytest.raises(SettingsError) as raised:
            load({}, file)
        (fault,) = raised.value.faults
        assert fault.startswith(f"{name} ({file}): expected ")
        assert not set("^$\\") & set(fault.partition("expected")[2])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DNS_SERVERS", "127.0.0.1, [::1]:5353,2001:db8::1"),
        ("TLS_DANE_RESOLVER", "127.0.0.1:5353"),
        ("BOUNCES_FEEDBACK_LOOPS", "192.0.2.7, 2001:db8::/32"),
        ("RELAY_ROUTE", "smtp://[::1]:25"),
        ("REDIS_URL", "rediss://ana:s%40cret@redis.example:6380/3"),
        ("REDIS_URL", "redis://localhost"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("REDIS_URL", "redis+cluster://a:1,[::1]:2"),
        ("HTTP_READY_URLS", "relay=http://127.0.0.1:1/readyz, http=http://[::1]:2/readyz"),
    ],
)
def test_what_is_right_is_taken(variable: str, value: str) -> None:
    load({f"ESTAFETTE_{variable}": value}, None)


class WebTracking(Section, frozen=True, kw_only=True):
    CHECKS: ClassVar[Mapping[str, Callable[[str], None]]] = {"host": setting_checks.host}

    host: str = "here"
    port: Port = 1


def test_a_service_declares_its_section_which_may_have_an_underscore_in_its_name(tmp_path: Path) -> None:
    kind = joined({"web": Process, "web_tracking": WebTracking})
    file = tmp_path / "estafette.toml"
    file.write_text("[web_tracking]\nport = 9\n")
    environ = {"ESTAFETTE_WEB_TRACKING_HOST": "there", "ESTAFETTE_WEB_METRICS_PORT": "7"}

    settings = machinery.load(kind, environ, file)

    assert settings.of(WebTracking) == WebTracking(host="there", port=9)
    assert settings.of(Http) == Http()
    told = [line.name for line in machinery.explain(kind, environ, file)]
    assert told.index("http.port") < told.index("web.metrics_port") < told.index("web_tracking.host")
    assert told.index("web_tracking.port") < told.index("quotas.requests_per_second")


def test_what_is_wrong_in_a_section_of_a_service_is_said_by_its_name() -> None:
    kind = joined({"web": Process, "web_tracking": WebTracking})
    environ = {"ESTAFETTE_WEB_TRACKING_HOST": "a b", "ESTAFETTE_WEB_TRACKING_NOPE": "1", "ESTAFETTE_WEB_NOPE": "1"}

    with pytest.raises(SettingsError) as raised:
        machinery.load(kind, environ, None)

    assert [fault.partition(":")[0] for fault in raised.value.faults] == [
        "ESTAFETTE_WEB_TRACKING_NOPE",
        "ESTAFETTE_WEB_NOPE",
        "web_tracking.host (ESTAFETTE_WEB_TRACKING_HOST)",
    ]


def test_each_service_has_its_own_section_whole() -> None:
    settings = load({"ESTAFETTE_RELAY_LEASE_MS": "3000"}, None)

    assert settings.relay == settings.of(Relay)
    assert settings.of(Relay).patience_seconds == 6.0
