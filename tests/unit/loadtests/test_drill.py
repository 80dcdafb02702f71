"""The drill's time: rules are shortened by one factor and otherwise left alone; runbooks are read as people do."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadtests.drill.__main__ import summary
from loadtests.drill.drill import Result, faults_of, in_sets
from loadtests.drill.faults import FAULTS
from loadtests.drill.rules import LEAST_S, quick_expression, quick_rule, quick_rules, seconds
from loadtests.drill.runbooks import commands, filled
from loadtests.drill.scene import Account
from loadtests.drill.stage import Alert, Panel

CHART = Path(__file__).resolve().parents[3] / "helm" / "estafette"
RULES: dict[str, Any] = yaml.safe_load((CHART / "alerts" / "estafette.yaml").read_text("utf-8"))

RUNBOOK = """# A thing

## Look

```sh
estafette sites list
```

## Mend

- Do this:

```sh
estafette sites suspend SITE --why "it defers all"
redis-cli CONFIG SET maxmemory BYTES
```

and then:

```sh
estafette sites resume SITE --why "it relented"
```
"""


def test_what_a_rule_waits_for_is_divided() -> None:
    assert quick_rule({"alert": "A", "expr": "up == 0", "for": "10m"}, 60)["for"] == "10000ms"


def test_ranges_are_divided_down_to_what_a_rate_needs() -> None:
    assert quick_expression("rate(a[6h]) / rate(b[2m]) + rate(c[5s])", 60) == (
        f"rate(a[360000ms]) / rate(b[{round(LEAST_S * 1000)}ms]) + rate(c[5000ms])"
    )


def test_ages_of_what_waits_are_divided_and_other_numbers_are_not() -> None:
    age = 'max by (provider) (estafette_queue_oldest_seconds{where="ready", lane="bulk"}) > 14400'
    lag = "max by (stream, group) (estafette_stream_lag_seconds) > 120"
    others = "sum(increase(estafette_log_lines_lost_total[5m])) > 200 or time() - max(estafette_secret_seconds) > 86400"

    assert quick_expression(age, 60) == age.replace("14400", "240")
    assert quick_expression(lag, 60) == lag.replace("120", "10")
    assert quick_expression(others, 60) == others.replace("5m", "10000ms")


@given(st.floats(1, 1000))
def test_nothing_but_times_differs_in_a_quick_rule(factor: float) -> None:
    quick = quick_rules(RULES, factor)

    for group, was in zip(quick["groups"], RULES["groups"], strict=True):
        for rule, before in zip(group["rules"], was["rules"], strict=True):
            assert {**rule, "expr": "", "for": ""} == {**before, "expr": "", "for": ""}
            assert ("for" in rule) == ("for" in before)
            assert _without_numbers(rule["expr"]) == _without_numbers(before["expr"])


def test_a_factor_of_one_changes_nothing_that_is_measured() -> None:
    for group, was in zip(quick_rules(RULES, 1)["groups"], RULES["groups"], strict=True):
        for rule, before in zip(group["rules"], was["rules"], strict=True):
            assert seconds(rule.get("for", "0s")) == seconds(before.get("for", "0s"))
            assert quick_expression(before["expr"], 1) == rule["expr"]


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172_800)])
def test_durations_are_read_as_prometheus_writes_them(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5x", "5m "])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


def test_the_commands_of_a_section_are_the_lines_of_its_blocks() -> None:
    assert commands(RUNBOOK, "Look") == ["estafette sites list"]
    assert commands(RUNBOOK) == [
        'estafette sites suspend SITE --why "it defers all"',
        "redis-cli CONFIG SET maxmemory BYTES",
        'estafette sites resume SITE --why "it relented"',
    ]
    with pytest.raises(LookupError, match="Cook"):
        commands(RUNBOOK, "Cook")


def test_words_in_capitals_are_filled_in_where_they_are_known() -> None:
    facts = {"SITE": "orange", "BYTES": "1000"}

    assert filled("redis-cli CONFIG SET maxmemory BYTES", facts) == "redis-cli CONFIG SET maxmemory 1000"
    assert filled('estafette sites suspend SITE --why "x"', facts) == 'estafette sites suspend orange --why "x"'


def test_the_page_for_operators_lists_the_faults() -> None:
    page = (CHART.parents[1] / "docs" / "operations.md").read_text("utf-8")

    for fault in FAULTS:
        assert f"| `{fault.name}`: {fault.words} | `{fault.alert.name}` | {fault.panel} |" in page


def test_faults_that_do_not_touch_each_other_are_put_in_together() -> None:
    sets = [[fault.name for fault in some] for some in in_sets(FAULTS)]

    assert len(sets[0]) > 1
    assert {len(some) for some in sets[1:]} == {1}
    assert [name for some in sets for name in some] == [fault.name for fault in FAULTS]


def test_a_panel_names_a_fault_by_a_series_with_its_labels_and_a_number_that_is_meant() -> None:
    panel = Panel("redis", "Away", {"why": "full"}, above=0.05)
    down = Panel("overview", "Up", {"job": "relay"}, below=1)

    assert panel.names([series(0.1, why="full", job="relay")])
    assert not panel.names([series(0.01, why="full"), series(1, why="disk"), series(float("nan"), why="full")])
    assert down.names([series(1, job="http"), series(0, job="relay")])
    assert not down.names([series(1, job="relay"), series(0, job="http")])


def test_a_panel_that_is_in_no_dashboard_is_a_fault() -> None:
    with pytest.raises(LookupError, match="no panel redis: Nothing"):
        Panel("redis", "Nothing", {}).expression()


def test_an_alert_is_asked_for_with_its_labels() -> None:
    asked = Alert("EstafetteDown", {"job": "relay"}).expression()

    assert asked == 'ALERTS{alertname="EstafetteDown", alertstate="firing", job="relay"}'


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (Account(60, 0, 0), []),
        (Account(0, 0, 0), ["no mail met the fault"]),
        (Account(60, 2, 0), ["2 of 60 recipients are lost"]),
        (Account(60, 0, 20), []),
        (Account(60, 1, 21), ["1 of 60 recipients are lost", "21 mails came twice, where 20 may"]),
    ],
)
def test_what_is_lost_or_comes_twice_more_often_than_it_may_is_told(account: Account, expected: list[str]) -> None:
    frozen = next(fault for fault in FAULTS if fault.name == "frozen")

    assert faults_of(frozen, account) == expected


def test_a_drill_holds_when_all_was_tried_and_nothing_was_wrong() -> None:
    well = Result(FAULTS[0], 5.0, 7.0, 9.0, Account(60, 0, 1))
    missed = Result(FAULTS[1], None, 7.0, None, Account(60, 3, 0), ["it did not fire"])

    assert (well.held, missed.held, Result(FAULTS[2], tried=False).held) == (True, False, False)
    assert summary([well, missed]) == {
        "bench": "drill", "faults": 2, "held": 1, "seen_s_most": 7.0, "mended_s_most": 9.0, "lost": 3, "twice": 1,
    }  # fmt: skip


def test_there_are_twelve_faults_and_more_each_with_a_name_of_its_own() -> None:
    assert len(FAULTS) >= 12
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.name))
def test_a_fault_is_mended_by_lines_of_the_runbook_that_its_alert_names(fault: Any) -> None:
    (rule,) = [rule for group in RULES["groups"] for rule in group["rules"] if rule["alert"] == fault.alert.name]
    runbook = rule["annotations"]["runbook"]
    known = commands((CHART / "runbooks" / runbook).read_text("utf-8"))

    used = [step for step in fault.mends if isinstance(step, str)]
    assert used
    assert [line for line in used if line not in known] == []


def series(value: float, **labels: str) -> dict[str, Any]:
    """As Prometheus answers."""
    return {"metric": labels, "value": [0, str(value)]}


def _without_numbers(expression: str) -> str:
    return "".join(" " if sign.isdigit() or sign in ".msh" else sign for sign in expression).replace(" ", "")
