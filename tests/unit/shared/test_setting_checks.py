"""Whatever a setting is given that it cannot be, the fault is one line that names it, and no traceback."""

from typing import Any

import msgspec
import pytest

from services import settings as module
from services.settings import load
from shared.process.settings import SettingsError, defaults

#: Values that no process can work with, by setting.
WRONG = {
    "data.dir": ["a\0b"],
    "redis.url": [
        *("localhost:6379", "redis://", "redis://h:port", "redis://h:99999/0", "redis://h/zero", "http://h"),
        *("redis+cluster://h", "redis+cluster://h:1,h:x", "redis+cluster://:1", "redis://[::1/0"),
        *(
            "redis+sentinel://h:1",
            "redis+sentinel://h:1/m/x",
            "rediss+cluster://h:1?tls=no",
            "redis+sentinel+x://h:1/m",
        ),
    ],
    "tracing.url": ["127.0.0.1:4318", "http://", "grpc://h:4317", "http://h/v1 /traces"],
    "redis.installation": ["Not An Id", "../x", "a" * 65],
    "redis.require_durable": ["perhaps"],
    "redis.wait_aof": ["perhaps"],
    "http.host": ["a b", "http://h", "h:80", "1.2.3.4/8", "-"],
    "http.ready_urls": ["x", "relay=", "relay=ftp://h", "relay=http://h:99999/", "=http://h"],
    "http.reuse_port": ["maybe", "2"],
    "relay.route": ["smtp://h", "smtp://h:0", "smtp://h:99999", "mail", "smtp://u:p@h:25"],
    "relay.helo": ["a b", "a\r\nQUIT"],
    "relay.shaping_file": ["a\0b"],
    "relay.egress_file": ["a\0b"],
    "relay.routes_file": ["a\0b"],
    "relay.retry_schedule": ["1,,2", "soon", "-1", "9" * 400],
    "relay.sender_id": ["abc", "a b c d e"],
    "relay.private_networks": ["2"],
    "relay.dkim": ["2"],
    "tracking.base_url": ["ftp://h", "http://h:99999", "http://[::1", "https://h/?a"],
    "tracking.networks_file": ["a\0b"],
    "bounces.host": ["a b"],
    "bounces.domain": ["", "a b", "a..b", "x@y", "a" * 64, "-\r\n"],
    "bounces.feedback_loops": ["1.2.3", "1.2.3.4/33", "::::", "300.1.1.1", "10.0.0.0/8,fe80::/129", "example.com"],
    "bounces.certificate": ["a\0b"],
    "bounces.key": ["a\0b"],
    "bounces.lmtp": ["2424", "127.0.0.1", "h:99999", "unix:lmtp", "unix:/a\0b", "unix:/" + "x" * 200],
    "bounces.maildir": ["a\0b"],
    "bounces.maildir_keep": ["perhaps"],
    "submission.host": ["a b"],
    "submission.hostname": ["", "a b", "a..b"],
    "submission.api": ["ftp://h", "http://h:99999", "http://[::1"],
    "submission.certificate": ["a\0b"],
    "submission.key": ["a\0b"],
    "submission.plain_on_loopback": ["2"],
    "mailbox.host": ["a b"],
    "dns.servers": ["ns.example", "1.1.1.1:0", "1.1.1.1:99999", "1.1.1.1;8.8.8.8", "[::1]:x"],
    "tls.client_certificate": ["a\0b"],
    "tls.client_key": ["a\0b"],
    "tls.ca_file": ["a\0b"],
    "tls.dane_resolver": ["localhost", "127.0.0.1:x", "127.0.0.1:0"],
    "tls.mta_sts": ["2"],
    "tls.private_networks": ["2"],
    "tls.report_from": ["nobody", "a@b c"],
    "tls.organization": ["a\r\nBcc: x"],
    "tls.contact": ["a\nb"],
    "secret.key_file": ["a\0b"],
    "secret.previous_key_files": ["a,b\0c"],
    "pages.api_url": ["ftp://h", "http://h:99999", "http://[::1"],
    "pages.public_url": ["ftp://h", "http://h:99999", "http://[::1"],
    "webhooks.networks": ["1.2.3", "1.2.3.4/33", "::::", "example.com"],
    "webhooks.plain_http": ["2"],
    "webhooks.ports": ["x", "443,", "99999", "0", "443, 8443"],
    "contacts.url": ["mysql://h/x", "postgresql://", "postgresql://h/a b"],
    "contacts.private": ["2"],
    "drops.enabled": ["2"],
    "drops.folder": ["a\0b"],
    "drops.networks": ["1.2.3", "1.2.3.4/33", "::::", "example.com"],
    "drops.ports": ["x", "22,", "99999", "0", "22, 2222"],
    "archive.target": ["ftp://h/x", "s3://", "s3:///", "a\0b"],
    "archive.s3_endpoint": ["minio:9000", "http://h:99999"],
    "archive.s3_region": ["eu west", "../x"],
    "metrics.host": ["a b"],
    "logs.level": ["loud"],
}
#: Of every number.
NO_NUMBERS = ["", "x", "-1", "1.5", "9" * 30, "0x10", "1 2"]
FIELDS: dict[str, Any] = dict(defaults(module.Settings))
NUMBERS = {name for name, default in FIELDS.items() if type(default) is int}


def variable(name: str) -> str:
    return "ESTAFETTE_" + name.upper().replace(".", "_", 1)


def faults(name: str, value: str) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load({variable(name): value}, None)
    return error.value.faults


@pytest.mark.parametrize("name", FIELDS)
def test_a_wrong_value_is_one_line_that_names_its_setting(name: str) -> None:
    for value in NO_NUMBERS if name in NUMBERS else WRONG[name]:
        [fault] = faults(name, value)

        assert fault.startswith(f"{name} ({variable(name)}): ")
        assert "\n" not in fault
        assert len(fault) < 300


def test_every_setting_is_tried() -> None:
    assert set(FIELDS) == set(WRONG) | NUMBERS


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_of_another_shape_in_the_file_is_a_fault_that_names_its_setting(name: str, tmp_path: Any) -> None:
    section, _, field = name.partition(".")
    file = tmp_path / "estafette.toml"
    for value in ("[1]", "{a = 1}", "1979-05-27", "1.5", "[]"):
        file.write_text(f"[{section}]\n{field} = {value}\n")

        with pytest.raises(SettingsError) as error:
            load({}, file)

        [fault] = error.value.faults
        assert fault.startswith(f"{name} ({file}): ")


def test_the_defaults_fit_their_own_checks() -> None:
    defaults = {variable(name): value for name, value in FIELDS.items()}

    assert load({name: str(value).lower() if value is True or value is False else str(value)
                 for name, value in defaults.items()}, None) == module.Settings()  # fmt: skip


@pytest.mark.parametrize("value", ["rediss//:hunter2@host", "redis://u:hun/ter2@h:x", "u:hunter2@h"])
def test_no_fault_shows_a_password(value: str) -> None:
    assert "ter2" not in str(faults("redis.url", value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis.url", "rediss://user:p%40ss@h.example:6380/2"), ("redis.url", "redis+cluster://a:1,[::1]:2"),
        ("redis.url", "rediss+cluster://:p@a:1?ssl_ca_certs=/ca"), ("redis.url", "redis+sentinel://a:1,b:2/main"),
        ("redis.url", "unix:///run/redis.sock"), ("http.host", "::"), ("http.host", "0.0.0.0"), ("http.host", ""),
        ("dns.servers", "1.1.1.1, [::1]:53,::1"), ("bounces.feedback_loops", "10.0.0.0/8, fe80::1"),
        ("tracking.base_url", "https://t.example:8443/x"), ("relay.route", "smtp://h:25"),
        ("relay.route", "smtp://[::1]:25"),
    ],
)  # fmt: skip
def test_what_is_right_is_taken(name: str, value: str) -> None:
    assert msgspec.to_builtins(load({variable(name): value}, None))
