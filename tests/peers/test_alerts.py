"""Each alert fires when it shall and not before, says promtool; and each has a runbook whose commands exist."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from services.console.console import main
from tests.peers.prometheus import promtool

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "estafette"
RULES = CHART / "alerts" / "estafette.yaml"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]
]
RUNBOOKS = sorted((CHART / "runbooks").glob("*.md"))

OUTCOMES = "estafette_relay_outcomes_total"
REPLIES = "estafette_relay_replies_total"
PUBLISHED = "estafette_bus_publish_seconds_bucket"
DAY = 86_400

#: Of each alert: series that make it fire, series that are as near as may be and do not (series → values, one a
#: minute, of very old things one a day), and after how many minutes to look.
CASES: dict[str, tuple[dict[str, str], dict[str, str], int]] = {
    "EstafetteTransactionalMailWaits": (
        {'estafette_queue_oldest_seconds{where="ready",lane="transactional",provider="gmail"}': "0 90x9"},
        {
            'estafette_queue_oldest_seconds{where="ready",lane="transactional",provider="gmail"}': "60x9",
            'estafette_queue_oldest_seconds{where="later",lane="transactional",provider="gmail"}': "900x9",
            'estafette_queue_oldest_seconds{where="ready",lane="bulk",provider="gmail"}': "900x9",
        },
        8,
    ),
    "EstafetteWebhookDisabled": (
        {'estafette_webhooks_disabled_total{why="failing"}': "0 1x90"},
        {'estafette_webhooks_disabled_total{why="failing"}': "3x90"},
        30,
    ),
    "EstafetteWebhooksDrop": (
        {"estafette_webhooks_dropped_total": "0+10x60"},
        {"estafette_webhooks_dropped_total": "5000x60", "estafette_webhooks_missed_total": "0+10x60"},
        20,
    ),
    "EstafetteWebhooksBehind": (
        {"estafette_webhooks_age_seconds": "400x60"},
        {"estafette_webhooks_age_seconds": "200x60"},
        20,
    ),
    "EstafetteDropsLate": (
        {
            'estafette_drops_late_seconds{instance="one"}': "7000+60x60",
            'estafette_drops_late_seconds{instance="two"}': "0x60",
        },
        {
            'estafette_drops_late_seconds{instance="one"}': "7100x60",
            'estafette_drops_late_seconds{instance="two"}': "0x60",
        },
        30,
    ),
    "EstafetteDropsMissed": (
        {"estafette_drops_missed_total": "0 1x90"},
        {"estafette_drops_missed_total": "3x90"},
        30,
    ),
    "EstafettePagesFail": (
        {
            'estafette_pages_shown_total{page="jobs",status="503"}': "0+6x60",
            'estafette_pages_shown_total{page="jobs",status="200"}': "0+60x60",
        },
        {
            'estafette_pages_shown_total{page="jobs",status="503"}': "0+2x60",
            'estafette_pages_shown_total{page="jobs",status="404"}': "0+30x60",
            'estafette_pages_shown_total{page="jobs",status="200"}': "0+60x60",
        },
        30,
    ),
    "EstafetteBulkMailWaits": (
        {'estafette_queue_oldest_seconds{where="ready",lane="bulk",provider="gmail"}': "15000x30"},
        {'estafette_queue_oldest_seconds{where="ready",lane="bulk",provider="gmail"}': "14000x30"},
        20,
    ),
    "EstafetteProviderDefers": (
        {
            f'{OUTCOMES}{{outcome="deferred",provider="gmail"}}': "0+60x30",
            f'{OUTCOMES}{{outcome="delivered",provider="gmail"}}': "0+20x30",
        },
        {  # half, and elsewhere all of a few
            f'{OUTCOMES}{{outcome="deferred",provider="gmail"}}': "0+60x30",
            f'{OUTCOMES}{{outcome="delivered",provider="gmail"}}': "0+60x30",
            f'{OUTCOMES}{{outcome="deferred",provider="free"}}': "0+1x30",
        },
        20,
    ),
    "EstafetteProviderAway": (  # a host that is away is dialled every five minutes in the end
        {
            f'{REPLIES}{{class="failed",phase="connect",provider="gmail"}}': "0 1x4 2x4 3x4 4x4",
            f'{REPLIES}{{class="2xx",phase="dot",provider="free"}}': "0+60x30",
        },
        {
            f'{REPLIES}{{class="failed",phase="connect",provider="gmail"}}': "0+60x30",
            f'{REPLIES}{{class="4xx",phase="rcpt",provider="gmail"}}': "0+1x30",
            f'{REPLIES}{{class="failed",phase="connect",provider="other"}}': "0+60x30",
        },
        18,
    ),
    "EstafetteProviderBlocks": (
        {
            f'{OUTCOMES}{{outcome="block",provider="orange"}}': "0+20x30",
            f'{OUTCOMES}{{outcome="delivered",provider="orange"}}': "0+60x30",
        },
        {
            f'{OUTCOMES}{{outcome="block",provider="orange"}}': "0+5x30",
            f'{OUTCOMES}{{outcome="hard",provider="orange"}}': "0+60x30",
        },
        20,
    ),
    "EstafetteProviderRests": (
        {'estafette_relay_rests{provider="sfr",why="rest_source"}': "1x20"},
        {'estafette_relay_rests{provider="sfr",why="one_connection"}': "1x20"},
        15,
    ),
    "EstafetteRouteRefusesUs": (  # a host whose login is refused is dialled every five minutes in the end
        {'estafette_relay_route_failures_total{route="ses",phase="auth"}': "0+1x30"},
        {
            'estafette_relay_route_failures_total{route="ses",phase="auth"}': "7x30",
            'estafette_relay_route_failures_total{route="ses",phase="greeting"}': "0+60x30",
        },
        20,
    ),
    "EstafetteHardBounces": (
        {
            f'{OUTCOMES}{{outcome="hard",provider="gmail"}}': "0+10x90",
            f'{OUTCOMES}{{outcome="delivered",provider="gmail"}}': "0+90x90",
        },
        {
            f'{OUTCOMES}{{outcome="hard",provider="gmail"}}': "0+4x90",
            f'{OUTCOMES}{{outcome="delivered",provider="gmail"}}': "0+96x90",
        },
        80,
    ),
    "EstafetteComplaints": (
        {
            'estafette_suppression_facts_total{reason="complaint"}': "0+1x400",
            f'{OUTCOMES}{{outcome="delivered",provider="gmail"}}': "0+500x400",
        },
        {
            'estafette_suppression_facts_total{reason="complaint"}': "0+1x400",
            f'{OUTCOMES}{{outcome="delivered",provider="gmail"}}': "0+2000x400",
        },
        380,
    ),
    "EstafetteBreakerStopped": (
        {'estafette_jobs_stops{what="job",reason="invalid_rate"}': "1x9"},
        {
            'estafette_jobs_stops{what="job",reason="paused"}': "5x9",
            'estafette_jobs_stops{what="site",reason="suspended"}': "5x9",
        },
        5,
    ),
    "EstafetteImportsInterrupted": (
        {'estafette_suppression_imports_total{end="interrupted",job="http"}': "0 1x90"},
        {
            'estafette_suppression_imports_total{end="broken_off",job="http"}': "0 5x90",
            'estafette_suppression_imports_total{end="interrupted",job="http"}': "3x90",
        },
        30,
    ),
    "EstafetteErasureWaits": (  # the tests' clock begins at 0: one that was asked for before, one later, and none
        {"estafette_suppression_erasing_oldest_timestamp_seconds": "1x20"},
        {
            'estafette_suppression_erasing_oldest_timestamp_seconds{instance="one"}': f"{3 * DAY}x20",
            'estafette_suppression_erasing_oldest_timestamp_seconds{instance="none"}': "0x20",
        },
        16 * 1440,
    ),
    "EstafetteReportsNotUnderstood": (
        {
            'estafette_bounces_kept_mail_total{reason="unreadable_report"}': "0+6x400",
            'estafette_bounces_received_total{way="smtp",outcome="stored"}': "0+10x400",
        },
        {  # what comes to postmaster is no report
            'estafette_bounces_kept_mail_total{reason="to_fixed_address"}': "0+9x400",
            'estafette_bounces_kept_mail_total{reason="no_name"}': "0+1x400",
            'estafette_bounces_received_total{way="smtp",outcome="stored"}': "0+10x400",
        },
        390,
    ),
    "EstafetteInboundMailFails": (
        {'estafette_bounces_received_total{way="lmtp",outcome="failed"}': "0 1x9"},
        {
            'estafette_bounces_received_total{way="lmtp",outcome="failed"}': "1x9",
            'estafette_bounces_received_total{way="lmtp",outcome="deferred"}': "0+5x9",
        },
        5,
    ),
    "EstafetteMaildirUnreadable": (
        {'estafette_bounces_maildir_unreadable{job="bounces",instance="one"}': "0 1x9"},
        {'estafette_bounces_maildir_unreadable{job="bounces",instance="one"}': "0 1 0x9"},
        8,
    ),
    "EstafetteSubmissionPutsOff": (
        {
            'estafette_submission_mails_total{code="451"}': "0+2x60",
            'estafette_submission_mails_total{code="250"}': "0+10x60",
        },
        {  # a quota that is used up is the tenant's
            'estafette_submission_mails_total{code="452"}': "0+20x60",
            'estafette_submission_mails_total{code="250"}': "0+10x60",
        },
        40,
    ),
    "EstafetteSubmissionWrongKeys": (
        {'estafette_submission_logins_total{outcome="wrong"}': "0+20x90"},
        {
            'estafette_submission_logins_total{outcome="wrong"}': "0+1x90",
            'estafette_submission_logins_total{outcome="done"}': "0+1000x90",
        },
        70,
    ),
    "EstafetteDeadEntries": (
        {'estafette_stream_dead_entries{stream="events"}': "0 1x9"},
        {'estafette_stream_dead_entries{stream="events"}': "0x9"},
        5,
    ),
    "EstafetteReaderBehind": (
        {'estafette_stream_lag_seconds{stream="events",group="suppression"}': "130x9"},
        {'estafette_stream_lag_seconds{stream="events",group="suppression"}': "110x9"},
        5,
    ),
    "EstafetteArchiveBehind": (
        {'estafette_archive_lag_seconds{instance="one"}': "11000x29"},
        {
            'estafette_archive_lag_seconds{instance="one"}': "3700x29",
            'estafette_stream_lag_seconds{stream="events",group="archive"}': "3700x29",
        },
        15,
    ),
    "EstafetteArchiveErasureWaits": (
        {"estafette_archive_erasing_oldest_timestamp_seconds": "1x1500"},
        {
            'estafette_archive_erasing_oldest_timestamp_seconds{instance="one"}': f"{DAY}x1500",
            'estafette_archive_erasing_oldest_timestamp_seconds{instance="none"}': "0x1500",
        },
        1440 + 20,
    ),
    "EstafetteArchiveSearchFails": (
        {
            'estafette_archive_searches_total{outcome="done"}': "0+9x39",
            'estafette_archive_searches_total{outcome="failed"}': "0+1x39",
        },
        {
            'estafette_archive_searches_total{outcome="done"}': "0+99x39",
            'estafette_archive_searches_total{outcome="slow"}': "0+1x39",
        },
        25,
    ),
    "EstafetteContactsAway": (
        {"estafette_contacts_database_answers": "1 1 0x9"},
        {"estafette_contacts_database_answers": "1 0 1x9"},
        6,
    ),
    "EstafetteContactImportStands": (
        {"estafette_contacts_import_moved_timestamp_seconds": "60x29"},
        {"estafette_contacts_import_moved_timestamp_seconds": "0x9 600+60x19"},
        20,
    ),
    "EstafetteContactsUntold": (
        {"estafette_contacts_unstated_timestamp_seconds": "60x29"},
        {"estafette_contacts_unstated_timestamp_seconds": "0x9 600+60x19"},
        8,
    ),
    "EstafetteContactsRankOverdue": (
        {"estafette_contacts_rank_overdue_seconds": "3600+60x29"},
        {"estafette_contacts_rank_overdue_seconds": "0+60x29"},
        20,
    ),
    "EstafetteContactsRiskOverdue": (
        {"estafette_contacts_risk_overdue_seconds": "3600+60x29"},
        {"estafette_contacts_risk_overdue_seconds": "0+60x29"},
        20,
    ),
    "EstafetteContactEventsBehind": (
        {"estafette_contacts_untold_seconds": "240+60x29"},
        {"estafette_contacts_untold_seconds": "0 400 0x9 299x19"},
        20,
    ),
    "EstafetteNotSurveyed": (
        {"estafette_survey_last_timestamp_seconds": "0x9"},
        {
            'estafette_survey_last_timestamp_seconds{instance="one"}': "0+60x9",
            'estafette_survey_last_timestamp_seconds{instance="other"}': "0x9",
        },
        8,
    ),
    "EstafetteSpoolInUse": (
        {'estafette_tracking_spool_bytes{job="http",instance="one"}': "4000x9"},
        {'estafette_tracking_spool_bytes{job="http",instance="one"}': "0 4000 0x9"},
        5,
    ),
    "EstafetteRedisNearlyFull": (
        {"estafette_redis_memory_bytes": "85x20", "estafette_redis_memory_max_bytes": "100x20"},
        {"estafette_redis_memory_bytes": "85x20", "estafette_redis_memory_max_bytes": "0x20"},
        15,
    ),
    "EstafetteJobsNotRemoved": (
        {"estafette_reports_overdue_job_seconds": "90000x90"},
        {"estafette_reports_overdue_job_seconds": "80000x90"},
        80,
    ),
    "EstafetteSelectionsWait": (
        {"estafette_queueing_selecting_jobs": "2x40", 'estafette_queueing_selected_total{result="taken"}': "500x40"},
        {"estafette_queueing_selecting_jobs": "2x40", 'estafette_queueing_selected_total{result="taken"}': "0+500x40"},
        35,
    ),
    "EstafetteFeedBehind": (  # one partition of several; a flood that is caught up
        {
            'estafette_reports_feed_lag_seconds{p="0"}': "0x9",
            'estafette_reports_feed_lag_seconds{p="1"}': "130+60x9",
        },
        {'estafette_reports_feed_lag_seconds{p="0"}': "0 300 130 60 20 0x9"},
        5,
    ),
    "EstafetteStatisticsBehind": (  # a few that nobody puts away; a few, of many that somebody does
        {"estafette_reports_waiting_batches": "3x40", "estafette_reports_folded_batches_total": "500x40"},
        {"estafette_reports_waiting_batches": "300x40", "estafette_reports_folded_batches_total": "0+500x40"},
        35,
    ),
    "EstafetteUsageBehind": (  # reports stands still; it goes on, and calls are told late, but not so late
        {"estafette_reports_metered_timestamp_seconds": "600x60", "estafette_http_uncounted_calls_seconds": "0x60"},
        {"estafette_reports_metered_timestamp_seconds": "0+60x60", "estafette_http_uncounted_calls_seconds": "200x60"},
        50,
    ),
    "EstafetteRedisTakesNothing": (
        {'estafette_redis_usable{job="relay"}': "1 0x9", 'estafette_redis_usable{job="http"}': "1x9"},
        {'estafette_redis_usable{job="relay"}': "1x9"},
        5,
    ),
    "EstafetteRedisFull": (
        {'estafette_redis_away_seconds_total{job="relay",why="full"}': "0+20x9"},
        {'estafette_redis_away_seconds_total{job="relay",why="no_answer"}': "0+60x9"},
        5,
    ),
    "EstafetteDiskOfRedis": (
        {'estafette_redis_away_seconds_total{job="relay",why="disk"}': "0+60x9"},
        {'estafette_redis_away_seconds_total{job="relay",why="disk"}': "40x9"},
        5,
    ),
    "EstafetteRedisSlow": (  # a fifth takes up to a second; two of a hundred, and nothing at all
        {
            f'{PUBLISHED}{{job="relay",le="0.5"}}': "0+80x20",
            f'{PUBLISHED}{{job="relay",le="1"}}': "0+100x20",
            f'{PUBLISHED}{{job="relay",le="+Inf"}}': "0+100x20",
        },
        {
            f'{PUBLISHED}{{job="relay",le="0.5"}}': "0+98x20",
            f'{PUBLISHED}{{job="relay",le="1"}}': "0+99x20",
            f'{PUBLISHED}{{job="relay",le="+Inf"}}': "0+100x20",
            f'{PUBLISHED}{{job="http",le="0.5"}}': "0x20",
            f'{PUBLISHED}{{job="http",le="+Inf"}}': "0x20",
        },
        15,
    ),
    "EstafetteRedisMayForget": (
        {'estafette_redis_durable{job="relay"}': "0x20"},
        {'estafette_redis_durable{job="relay"}': "1x20"},
        10,
    ),
    "EstafetteLogLinesLost": (
        {'estafette_log_lines_lost_total{job="relay"}': "0+3x9"},
        {'estafette_log_lines_lost_total{job="relay"}': "7x9"},
        5,
    ),
    "EstafetteRestarts": (
        {'estafette_process_restarts{job="relay"}': "0 1 2 3 3x9"},
        {'estafette_process_restarts{job="relay"}': "0 1 1 1 1x9"},
        8,
    ),
    "EstafetteReloadRefused": (
        {'estafette_reload_failed{job="relay",instance="one"}': "0 1x9"},
        {'estafette_reload_failed{job="relay",instance="one"}': "1 0x9", 'estafette_reload_failed{job="http"}': "0x9"},
        5,
    ),
    "EstafetteDown": (
        {'up{job="estafette-relay",instance="one"}': "1 0x9"},
        {'up{job="estafette-relay",instance="one"}': "1x9", 'up{job="node",instance="one"}': "0x9"},
        5,
    ),
    "EstafetteTwoSecrets": (
        {'estafette_secret_refused{process="relay"}': "0 1x9"},
        {'estafette_secret_refused{process="relay"}': "0x9"},
        5,
    ),
    "EstafetteDkimKeyOld": (
        {'estafette_dkim_oldest_key_timestamp_seconds{state="signing"}': f"-{401 * DAY}x90"},
        {
            'estafette_dkim_oldest_key_timestamp_seconds{state="signing"}': f"-{399 * DAY}x90",
            'estafette_dkim_oldest_key_timestamp_seconds{state="waiting"}': f"-{500 * DAY}x90",
        },
        80,
    ),
    "EstafetteSecretOld": (  # the tests' clock begins at 0, and a secret is of after that
        {"estafette_secret_since_timestamp_seconds": "1x803"},
        {"estafette_secret_since_timestamp_seconds": f"{4 * DAY}x803"},
        802 * 1440,
    ),
    "EstafetteCertificateEnds": (
        {
            "estafette_relay_certificate_until_timestamp_seconds": f"{90 * DAY}x90",
            "estafette_bounces_certificate_until_timestamp_seconds": f"{10 * DAY}x90",
        },
        {
            'estafette_relay_certificate_until_timestamp_seconds{instance="one"}': f"{20 * DAY}x90",
            'estafette_relay_certificate_until_timestamp_seconds{instance="none"}': "0x90",
        },
        80,
    ),
}


def test_promtool_finds_no_fault_in_the_rules() -> None:
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))

    assert code == 0, said


def test_each_alert_is_tried_and_has_a_severity_a_summary_and_a_runbook() -> None:
    assert sorted(CASES) == sorted(rule["alert"] for rule in ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
    assert {rule["annotations"]["runbook"] for rule in ALERTS} == {file.name for file in RUNBOOKS}


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_alert_fires_when_it_shall_and_not_before(name: str, tmp_path: Path) -> None:
    fires, quiet, minutes = CASES[name]
    interval = "1d" if minutes > 10_000 else "1m"
    firing = f'(count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)) > bool 0'
    (tmp_path / "test.json").write_text(
        json.dumps(
            {
                "rule_files": [str(RULES)],
                "evaluation_interval": interval,
                "tests": [
                    {
                        "name": "fires" if value else "does not",
                        "interval": interval,
                        "input_series": [{"series": one, "values": values} for one, values in series.items()],
                        "promql_expr_test": [
                            {
                                "expr": firing,
                                "eval_time": f"{minutes}m",
                                "exp_samples": [{"labels": "{}", "value": value}],
                            }
                        ],
                    }
                    for series, value in ((fires, 1), (quiet, 0))
                ],
            }
        )
    )

    code, said = promtool("test", "rules", str(tmp_path / "test.json"))

    assert code == 0, said


def test_each_command_in_a_runbook_exists() -> None:
    named = [
        (file.name, command.split())
        for file in RUNBOOKS
        for command in re.findall(r"^estafette ([^|<>\n]*)", file.read_text("utf-8"), re.M)
    ]

    assert len(named) >= len(RUNBOOKS)
    assert [(file, " ".join(words)) for file, words in named if not exists(words)] == []


def exists(words: list[str]) -> bool:
    command: click.Command | None = main
    for word in words:
        if not isinstance(command, click.Group):
            break
        if (command := command.commands.get(word)) is None:
            return False
    options = {"--help"} | {option for one in (command.params if command else ()) for option in one.opts}
    return all(word.split("=")[0] in options for word in words if word.startswith("--"))


def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do() -> None:
    for file in RUNBOOKS:
        text = file.read_text("utf-8")
        assert re.findall(r"^## (.*)$", text, re.M) == ["What it means", "Look", "Mend"], file.name
        assert re.search(r"^# \w", text), file.name
