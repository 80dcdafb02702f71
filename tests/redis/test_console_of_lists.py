"""What an operator does to lists at the console: it holds, it can be read back, and it is told."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.console import console as cli
from shared.process import settings
from tests.servers import ANY_METRICS_PORT

SECRET = "0123456789abcdef" * 4
Console = Callable[..., Result]


@pytest.fixture
def console(tmp_path: Path, redis_url: str) -> Console:
    """The console of an installation with one tenant, acme."""
    (tmp_path / "secret.key").write_text(SECRET)
    (tmp_path / "secret.key").chmod(0o600)
    environ: Mapping[str, str | None] = {
        **{name: None for name in os.environ if name.startswith(settings.PREFIX)},
        **ANY_METRICS_PORT,
        "ESTAFETTE_DATA_DIR": str(tmp_path),
        "ESTAFETTE_DNS_SERVERS": "127.0.0.1:1",
        "ESTAFETTE_REDIS_URL": redis_url,
    }

    def typed(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli.main, list(words), env=environ)
        assert result.exit_code == code, (words, result.output, result.exception)
        return result

    typed("tenants", "add", "acme")
    return typed


def shown(result: Result) -> Any:
    return json.loads(result.stdout)


def test_an_address_that_was_added_is_shown_and_gone_once_it_is_removed(console: Console) -> None:
    added = shown(
        console(
            "suppressions", "add", "acme", "Ana@Exemple.FR", "--reason", "unsubscribed", "--scope", "list:news",
            "--note", "by telephone", "--until", "30d", "--json",
        )
    )  # fmt: skip

    (entry,) = added["entries"]
    assert (added["address"], entry["list"]) == ("ana@exemple.fr", "acme")
    assert (entry["scope"], entry["reason"], entry["source"]) == ("list:news", "unsubscribed", "operator")
    assert entry["diagnostic"] == "by telephone"
    assert entry["expires_ms"] > entry["since_ms"]
    assert shown(console("suppressions", "show", "acme", "ana@exemple.fr", "--json")) == added
    assert "ana@exemple.fr" in console("suppressions", "list", "acme").stdout

    removed = shown(console("suppressions", "remove", "acme", "ana@exemple.fr", "--json"))

    assert removed["removed"] == [{"channel": "email", "scope": "list:news", "reason": "unsubscribed"}]
    console("suppressions", "show", "acme", "ana@exemple.fr", code=1)


def test_a_removal_may_be_of_one_scope_alone(console: Console) -> None:
    for scope in ("list:news", "list:offers"):
        console("suppressions", "add", "acme", "ana@exemple.fr", "--reason", "unsubscribed", "--scope", scope)

    console("suppressions", "remove", "acme", "ana@exemple.fr", "--scope", "list:news")

    left = shown(console("suppressions", "show", "acme", "ana@exemple.fr", "--json"))["entries"]
    assert [entry["scope"] for entry in left] == ["list:offers"]


def test_what_is_listed_for_everybody_holds_for_each_tenant_and_is_not_on_theirs(console: Console) -> None:
    console("suppressions", "add", "ana@exemple.fr", "--everybody", "--note", "court order 4711")

    (entry,) = shown(console("suppressions", "show", "acme", "ana@exemple.fr", "--json"))["entries"]
    assert (entry["list"], entry["reason"], entry["scope"]) == ("(all)", "compliance", "all")
    assert console("suppressions", "list", "acme").stdout == ""
    assert [one["address"] for one in shown(console("suppressions", "list", "--everybody", "--json"))] == [
        "ana@exemple.fr"
    ]
    console("suppressions", "remove", "acme", "ana@exemple.fr", code=2)
    console("suppressions", "remove", "ana@exemple.fr", "--everybody")
    console("suppressions", "show", "acme", "ana@exemple.fr", code=1)


def test_what_is_done_at_the_console_is_an_event(console: Console) -> None:
    console("suppressions", "add", "ana@exemple.fr", "--everybody", "--note", "court order 4711")
    console("suppressions", "remove", "ana@exemple.fr", "--everybody")

    acted = [
        json.loads(line)
        for line in console("tail", "--fact", "Acted", "--from-start", "--no-follow").stdout.splitlines()
    ]

    assert [(one["action"], one["target"], one["why"]) for one in acted] == [
        ("suppress", "address:ana@exemple.fr", "court order 4711"),
        ("reactivate", "address:ana@exemple.fr", ""),
    ]


def test_rules_of_escalation_are_set_read_back_and_reset(console: Console) -> None:
    before = shown(console("escalation", "show", "acme", "--json"))

    set_ = shown(console("escalation", "set", "acme", "--soft-bounces", "3/10", "--mailbox-full", "0/0/0", "--json"))

    assert before["own"] is False
    assert set_["soft_bounces"] == {"bounces": 3, "days": 10, "expires_after_days": 0}
    assert set_["mailbox_full"]["bounces"] == 0
    assert set_["inactive"] == before["inactive"]
    assert shown(console("escalation", "show", "acme", "--json")) == {**set_, "own": True}
    assert "off" in console("escalation", "show", "acme").stdout
    console("escalation", "reset", "acme")
    assert shown(console("escalation", "show", "acme", "--json")) == before


def test_domains_are_shown_as_json_and_a_check_that_does_not_hold_has_exit_code_1(console: Console) -> None:
    console("domains", "add", "acme.example", "--tenant", "acme")
    console("domains", "returns", "acme.example", "bounces.acme.example")

    (listed,) = shown(console("domains", "list", "--json"))
    checked = shown(console("domains", "check", "acme.example", "--json", code=1))

    assert (listed["domain"], listed["tenant"], listed["return_path"]) == (
        "acme.example", "acme", "bounces.acme.example",
    )  # fmt: skip
    assert "bounces.acme.example" in {record["name"] for record in checked["records"]}
    assert {record["dns"] for record in checked["records"]} != {"published"}


def test_who_joins_a_list_is_told_as_json(console: Console) -> None:
    joined = shown(console("lists", "join", "acme", "news", "ana@exemple.fr", "--json"))

    assert joined == [{"address": "ana@exemple.fr", "what": "joined", "had_left": False, "stopped": None}]
