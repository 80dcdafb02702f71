"""Writes helm/estafette/dashboards/*.json: a table of panels, each the question that it answers and one expression.

    python -m helm.dashboards

Edit the tables here, not the files: a test compares them. The JSON is that of Grafana 11 (`SCHEMA_VERSION`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parent / "estafette" / "dashboards"
#: Of dashboards as Grafana 11.0 to 11.6 write them; newer versions read it.
SCHEMA_VERSION = 39
#: Two panels a row, of the 24 columns that Grafana has.
WIDTH, HEIGHT, COLUMNS = 12, 8, 24

Kind = Literal["timeseries", "stat", "table"]


@dataclass(frozen=True, slots=True)
class Panel:
    """`unit` as Grafana calls it; `legend` with labels in braces, as it writes them."""

    title: str
    question: str
    expression: str
    legend: str = ""
    unit: str = "short"
    kind: Kind = "timeseries"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`by_provider`: it has a field to choose `$provider`."""

    name: str
    title: str
    panels: Sequence[Panel]
    by_provider: bool = False


_OUTCOMES = "estafette_relay_outcomes_total"


def _part(outcome: str) -> str:
    by_provider = f"sum by (provider) (rate({_OUTCOMES}"
    return f'{by_provider}{{outcome="{outcome}"}}[5m])) / {by_provider}[5m]))'


_MINE = 'provider=~"$provider"'


def _quantile(metric: str, by: str = "", window: str = "5m") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile(0.95, sum by ({labels}) (rate({metric}_bucket[{window}])))"


DASHBOARDS = (
    Dashboard(
        "overview",
        "Estafette: overview",
        (
            Panel(
                "Delivered",
                "How many messages arrive, a second?",
                f'sum(rate({_OUTCOMES}{{outcome="delivered"}}[5m]))',
                "delivered",
                "ops",
            ),
            Panel(
                "Outcomes",
                "What becomes of attempts?",
                f"sum by (outcome) (rate({_OUTCOMES}[5m]))",
                "{{outcome}}",
                "ops",
            ),
            Panel(
                "Waiting",
                "How much waits, and where?",
                "sum by (where, lane) (max by (where, lane, provider) (estafette_queue_messages))",
                "{{lane}}, {{where}}",
            ),
            Panel(
                "Oldest that is due",
                "How old is the oldest message that could go now?",
                'max by (lane) (estafette_queue_oldest_seconds{where="ready"})',
                "{{lane}}",
                "s",
            ),
            Panel(
                "Jobs",
                "In which state are jobs that are not queued yet?",
                "max by (state) (estafette_jobs_unfinished)",
                "{{state}}",
            ),
            Panel(
                "Stopped",
                "Which jobs and tenants are stopped, and why?",
                "max by (what, reason) (estafette_jobs_stops)",
                "{{what}}: {{reason}}",
            ),
            Panel(
                "Redis takes writes",
                "Which process cannot write to Redis?",
                "min by (job) (estafette_redis_usable)",
                "{{job}}",
                kind="stat",
            ),
            Panel("Up", "Which processes answer?", "min by (job) (up)", "{{job}}", kind="stat"),
            Panel(
                "First attempt",
                "How long does a message take to its first attempt (95 of 100)?",
                _quantile("estafette_relay_first_attempt_seconds"),
                "p95",
                "s",
            ),
            Panel(
                "Started again",
                "What did the supervisor start again?",
                "max by (job) (estafette_process_restarts)",
                "{{job}}",
            ),
            Panel(
                "Settings refused",
                "Which process found its settings wrong when it read them again?",
                "max by (job) (estafette_reload_failed)",
                "{{job}}",
                kind="stat",
            ),
            Panel(
                "Refused for their secret",
                "Which processes have another master secret than the others?",
                "max by (process) (estafette_secret_refused)",
                "{{process}}",
            ),
            Panel(
                "Log lines lost",
                "Whose log cannot be written, because its disk is full?",
                "sum by (job) (rate(estafette_log_lines_lost_total[5m]))",
                "{{job}}",
                "ops",
            ),
        ),
    ),
    Dashboard(
        "delivery",
        "Estafette: delivery by provider",
        (
            Panel(
                "Waiting",
                "Which provider has mail that waits?",
                "sum by (provider) (max by (where, lane, provider) (estafette_queue_messages))",
                "{{provider}}",
            ),
            Panel(
                "Oldest",
                "Where has the oldest message waited, and for how long?",
                "max by (provider, where) (estafette_queue_oldest_seconds)",
                "{{provider}}, {{where}}",
                "s",
            ),
            Panel(
                "Delivered",
                "To whom does mail arrive?",
                f'sum by (provider) (rate({_OUTCOMES}{{outcome="delivered"}}[5m]))',
                "{{provider}}",
                "ops",
            ),
            Panel(
                "Deferred, part",
                "Which provider defers?",
                _part("deferred"),
                "{{provider}}",
                "percentunit",
            ),
            Panel(
                "Refused because of us, part",
                "Which provider blocks us?",
                _part("block"),
                "{{provider}}",
                "percentunit",
            ),
            Panel(
                "Connections",
                "How many connections are open?",
                "sum by (provider) (estafette_relay_provider_connections)",
                "{{provider}}",
            ),
            Panel(
                "Pace",
                "Which pace was found?",
                "max by (provider) (estafette_relay_pace_messages_per_second)",
                "{{provider}}",
                "ops",
            ),
            Panel(
                "Rests",
                "What rests because a provider asked for it?",
                "max by (provider, why) (estafette_relay_rests)",
                "{{provider}}, {{why}}",
            ),
            Panel(
                "Routes that refuse us",
                "By which named routes are no connections had, and where does it end?",
                "sum by (route, phase) (increase(estafette_relay_route_failures_total[10m]))",
                "{{route}}, {{phase}}",
            ),
            Panel(
                "Limits that made mail wait",
                "Which limits make messages wait?",
                "sum by (limit) (rate(estafette_relay_limited_total[5m]))",
                "{{limit}}",
                "ops",
            ),
            Panel(
                "Tried again",
                "Why are messages tried again?",
                "sum by (reason) (rate(estafette_relay_retries_total[5m]))",
                "{{reason}}",
                "ops",
            ),
        ),
    ),
    Dashboard(
        "provider",
        "Estafette: one provider",
        (
            Panel(
                "Outcomes",
                "What becomes of attempts there?",
                f"sum by (outcome) (rate({_OUTCOMES}{{{_MINE}}}[5m]))",
                "{{outcome}}",
                "ops",
            ),
            Panel(
                "Replies",
                "What does it answer, and where in the dialogue?",
                f"sum by (phase, class) (rate(estafette_relay_replies_total{{{_MINE}}}[5m]))",
                "{{phase}} {{class}}",
                "ops",
            ),
            Panel(
                "Waiting",
                "How much waits for it?",
                f"max by (where, lane) (estafette_queue_messages{{{_MINE}}})",
                "{{lane}}, {{where}}",
            ),
            Panel(
                "Oldest",
                "For how long has the oldest waited?",
                f"max by (where, lane) (estafette_queue_oldest_seconds{{{_MINE}}})",
                "{{lane}}, {{where}}",
                "s",
            ),
            Panel(
                "Connections",
                "How many connections are open?",
                f"sum(estafette_relay_provider_connections{{{_MINE}}})",
                "open",
            ),
            Panel(
                "Connections that may be",
                "How many may be, to one of its sites?",
                f"max(estafette_relay_limit_connections{{{_MINE}}})",
                "limit",
            ),
            Panel(
                "Pace found",
                "How much was it found to take?",
                f"max(estafette_relay_pace_messages_per_second{{{_MINE}}})",
                "pace",
                "ops",
            ),
            Panel(
                "Rests until",
                "Until when does it get less, and why?",
                f"max by (why) (estafette_relay_rests_until_timestamp_seconds{{{_MINE}}}) - time()",
                "{{why}}",
                "s",
            ),
            Panel(
                "Held until",
                "Until when is nothing handed out?",
                f"max by (what) (estafette_queue_held_until_timestamp_seconds{{{_MINE}}}) - time()",
                "{{what}}",
                "s",
            ),
        ),
        by_provider=True,
    ),
    Dashboard(
        "tracking",
        "Estafette: tracking",
        (
            Panel(
                "Facts",
                "What do recipients do, and what do machines?",
                "sum by (fact, machine) (rate(estafette_tracking_facts_total[5m]))",
                "{{fact}}, machine {{machine}}",
                "ops",
            ),
            Panel(
                "Not recorded",
                "Of whom is nothing recorded, for they withdrew their consent?",
                "sum by (kind) (rate(estafette_tracking_untracked_total[5m]))",
                "{{kind}}",
                "ops",
            ),
            Panel(
                "Answers",
                "What are they answered?",
                "sum by (kind, status) (rate(estafette_tracking_answers_total[5m]))",
                "{{kind}} {{status}}",
                "ops",
            ),
            Panel(
                "Until it is recorded",
                "How long does a click wait until it is durable (95 of 100)?",
                _quantile("estafette_tracking_record_seconds", "where"),
                "{{where}}",
                "s",
            ),
            Panel(
                "Spool",
                "Are clicks in the spool, because Redis is away?",
                "max by (job) (estafette_tracking_spool_bytes)",
                "{{job}}",
                "bytes",
            ),
            Panel(
                "Replayed",
                "Does the spool empty itself?",
                "sum(rate(estafette_tracking_replayed_facts_total[5m]))",
                "replayed",
                "ops",
            ),
            Panel(
                "Unsubscriptions in force",
                "How long does an unsubscription take to be in force (95 of 100)?",
                _quantile("estafette_suppression_effect_seconds", window="1h"),
                "p95",
                "s",
            ),
        ),
    ),
    Dashboard(
        "bounces",
        "Estafette: bounces and suppression",
        (
            Panel(
                "Hard bounces, part",
                "Which part of mail bounces for good?",
                f'sum(rate({_OUTCOMES}{{outcome="hard"}}[1h])) / sum(rate({_OUTCOMES}[1h]))',
                "hard",
                "percentunit",
            ),
            Panel(
                "Listed",
                "Which addresses enter the list, and why?",
                "sum by (reason) (rate(estafette_suppression_listed_total[5m]))",
                "{{reason}}",
                "ops",
            ),
            Panel(
                "Left out",
                "Who is not mailed when a job is queued, and why?",
                "sum by (reason) (rate(estafette_queueing_left_out_total[5m]))",
                "{{reason}}",
                "ops",
            ),
            Panel(
                "Stopped by rules",
                "Whom do rules stop, those of tenants and those of the operator?",
                "sum by (whose) (rate(estafette_rules_matched_total[5m]))",
                "{{whose}}",
                "ops",
            ),
            Panel(
                "Soft bounces counted",
                "Which soft bounces count for their address?",
                "sum by (rule) (rate(estafette_suppression_soft_bounces_total[5m]))",
                "{{rule}}",
                "ops",
            ),
            Panel(
                "Escalated",
                "Whom do soft bounces in a row put on the list, by which rule?",
                "sum by (rule) (increase(estafette_suppression_escalated_total[1h]))",
                "{{rule}}",
            ),
            Panel(
                "Revived",
                "Whom does a sign of life take off it again?",
                "sum(increase(estafette_suppression_revived_total[1h]))",
                "revived",
            ),
            Panel(
                "Imports running",
                "How many files are being read or applied?",
                "sum(estafette_suppression_imports_running)",
                "running",
            ),
            Panel(
                "Imports ended",
                "How do imports end?",
                "sum by (end) (increase(estafette_suppression_imports_total[1h]))",
                "{{end}}",
            ),
            Panel(
                "Lines imported",
                "What becomes of lines of files?",
                "sum by (result) (increase(estafette_suppression_import_lines_total[1h]))",
                "{{result}}",
            ),
            Panel(
                "Consents",
                "What do people say about consent, and where?",
                "sum by (by) (rate(estafette_suppression_consents_total[5m]))",
                "{{by}}",
                "ops",
            ),
            Panel(
                "Erasures",
                "How many addresses are being erased?",
                "max(estafette_suppression_erasing_addresses)",
                "waiting",
            ),
            Panel(
                "Oldest erasure",
                "For how long has the oldest of them waited?",
                "time() - (max(estafette_suppression_erasing_oldest_timestamp_seconds) > 0)",
                "waits",
                "s",
            ),
            Panel(
                "Mail received",
                "What comes to the return path, and how is it answered?",
                "sum by (code) (rate(estafette_bounces_mails_total[5m]))",
                "{{code}}",
                "ops",
            ),
            Panel(
                "Ways in",
                "By which way does mail come back, and is it stored?",
                "sum by (way, outcome) (rate(estafette_bounces_received_total[5m]))",
                "{{way}} {{outcome}}",
                "ops",
            ),
            Panel(
                "Found in it",
                "What was found in received mail?",
                "sum by (fact, reason) (rate(estafette_bounces_facts_total[5m]))",
                "{{fact}} {{reason}}",
                "ops",
            ),
            Panel(
                "Kept",
                "What was not understood, and is kept?",
                "sum by (reason) (rate(estafette_bounces_kept_mail_total[5m]))",
                "{{reason}}",
                "ops",
            ),
            Panel(
                "Understood, part",
                "Which part of incoming mail is not kept, because it was understood?",
                "1 - sum(rate(estafette_bounces_kept_mail_total[1h]))"
                ' / sum(rate(estafette_bounces_received_total{outcome="stored"}[1h]))',
                "understood",
                "percentunit",
            ),
            Panel(
                "Maildir",
                "How much waits in the Maildir?",
                "max(estafette_bounces_maildir_waiting)",
                "waiting",
            ),
            Panel(
                "Certificate",
                "For how long is the certificate good that we show to hosts that bring mail?",
                "min(estafette_bounces_certificate_until_timestamp_seconds > 0) - time()",
                "good for",
                "s",
                "stat",
            ),
            Panel(
                "Breakers",
                "What did breakers stop?",
                "sum by (reason) (increase(estafette_breakers_stopped_total[1h]))",
                "{{reason}}",
            ),
        ),
    ),
    Dashboard(
        "webhooks",
        "Estafette: webhooks",
        (
            Panel(
                "Events taken",
                "How many events a second do endpoints take?",
                "sum(rate(estafette_webhooks_delivered_total[2m]))",
                "taken",
            ),
            Panel(
                "Requests",
                "What becomes of the requests to endpoints?",
                "sum by (result) (rate(estafette_webhooks_requests_total[2m]))",
                "{{result}}",
            ),
            Panel(
                "Lost to endpoints",
                "How many events were given up, dropped, or missed by who is disabled?",
                'label_replace(sum(increase(estafette_webhooks_given_up_total[1h])), "what", "given up", "", "")'
                ' or label_replace(sum(increase(estafette_webhooks_dropped_total[1h])), "what", "dropped", "", "")'
                ' or label_replace(sum(increase(estafette_webhooks_missed_total[1h])), "what", "missed", "", "")',
                "{{what}}",
            ),
            Panel(
                "Disabled",
                "Which endpoints were disabled, and why?",
                "sum by (why) (increase(estafette_webhooks_disabled_total[1h]))",
                "{{why}}",
            ),
            Panel(
                "Behind",
                "How old is an event when it is queued for its endpoints?",
                "max(estafette_webhooks_age_seconds)",
                "oldest",
                "s",
            ),
            Panel(
                "Until taken",
                "How long does an event wait for its endpoint to take it?",
                _quantile("estafette_webhooks_wait_seconds"),
                "{{quantile}}",
                "s",
            ),
        ),
    ),
    Dashboard(
        "drops",
        "Estafette: drops",
        (
            Panel(
                "Files",
                "How many files were placed?",
                "sum by (kind) (increase(estafette_drops_files_total[1h]))",
                "{{kind}}",
            ),
            Panel(
                "Rows",
                "How many rows a second go into files?",
                "sum by (kind) (rate(estafette_drops_rows_total[5m]))",
                "{{kind}}",
            ),
            Panel(
                "Late",
                "For how long should the oldest file be there that is not?",
                "max(estafette_drops_late_seconds)",
                "late",
                "s",
            ),
            Panel(
                "Failures",
                "Why could files not be written?",
                "sum by (why) (increase(estafette_drops_failed_total[1h]))",
                "{{why}}",
            ),
            Panel(
                "Failing and missed",
                "How many drops fail, and how many periods have no file?",
                'label_replace(max(estafette_drops_failing), "what", "failing", "", "")'
                ' or label_replace(sum(increase(estafette_drops_missed_total[1d])), "what", "missed in a day", "", "")',
                "{{what}}",
            ),
            Panel(
                "Time of a file",
                "How long does it take to write and place a file?",
                _quantile("estafette_drops_file_seconds"),
                "{{quantile}}",
                "s",
            ),
        ),
    ),
    Dashboard(
        "redis",
        "Estafette: Redis and streams",
        (
            Panel("Memory used", "How much does Redis use?", "max(estafette_redis_memory_bytes)", "used", "bytes"),
            Panel(
                "Memory, part",
                "How full is it?",
                "max(estafette_redis_memory_bytes) / (max(estafette_redis_memory_max_bytes) > 0)",
                "used",
                "percentunit",
            ),
            Panel(
                "Away",
                "For which part of the time could a process not write, and why?",
                "sum by (job, why) (rate(estafette_redis_away_seconds_total[2m]))",
                "{{job}}: {{why}}",
                "percentunit",
            ),
            Panel(
                "Keeps its word",
                "May Redis forget what it acknowledged?",
                "min by (job) (estafette_redis_durable)",
                "{{job}}",
                kind="stat",
            ),
            Panel(
                "Unread",
                "What has a reader not read yet?",
                "max by (stream, group) (estafette_stream_unread_entries)",
                "{{group}} of {{stream}}",
            ),
            Panel(
                "Pending",
                "What has it read and not finished?",
                "max by (stream, group) (estafette_stream_pending_entries)",
                "{{group}} of {{stream}}",
            ),
            Panel(
                "Lag",
                "By how much is it behind?",
                "max by (stream, group) (estafette_stream_lag_seconds)",
                "{{group}} of {{stream}}",
                "s",
            ),
            Panel(
                "Dead", "What could not be handled?", "max by (stream) (estafette_stream_dead_entries)", "{{stream}}"
            ),
            Panel(
                "Feed",
                "By how much is the feed of events behind?",
                "max(estafette_reports_feed_lag_seconds)",
                "behind",
                "s",
            ),
            Panel(
                "Feed pages",
                "How long does a page of events take (95 of 100)?",
                _quantile("estafette_reports_feed_page_seconds", "job"),
                "{{job}}",
                "s",
            ),
            Panel(
                "Live streams",
                "How many follow the events live?",
                "sum(estafette_reports_live_streams)",
                "open",
            ),
            Panel(
                "Statistics",
                "How many batches of facts wait to be put away in statistics?",
                "max(estafette_reports_waiting_batches)",
                "waiting",
            ),
            Panel(
                "Metering",
                "For how long have calls of tenants not been added to their usage?",
                "max(estafette_http_uncounted_calls_seconds)",
                "calls",
                "s",
            ),
            Panel(
                "Archive",
                "How old is the oldest event that is in no file of the archive?",
                "max(estafette_archive_lag_seconds)",
                "outside",
                "s",
            ),
            Panel(
                "Archived",
                "How many events a second go into files?",
                "sum(rate(estafette_archive_events_total[5m]))",
                "events",
                "ops",
            ),
            Panel(
                "Statistics outside",
                "How many days of statistics that are over are in no file of the archive?",
                "max(estafette_archive_statistics_waiting_days)",
                "days",
            ),
            Panel(
                "Searches of the archive",
                "How many searches of the archive are there, and how do they end?",
                "sum by (outcome) (rate(estafette_archive_searches_total[5m]))",
                "{{outcome}}",
                "ops",
            ),
            Panel(
                "Time of searches",
                "How long do 95 of 100 searches of the archive take?",
                "histogram_quantile(0.95, sum by (le) (rate(estafette_archive_search_seconds_bucket[5m])))",
                "p95",
                "s",
            ),
            Panel(
                "Contacts written",
                "How many contacts a second are written, and what comes of them?",
                "sum by (result) (rate(estafette_contacts_written_total[5m]))",
                "{{result}}",
                "ops",
            ),
            Panel(
                "Contacts followed",
                "For how many facts a second are contacts looked up?",
                "sum by (fact) (rate(estafette_contacts_facts_total[5m]))",
                "{{fact}}",
                "ops",
            ),
            Panel(
                "Behaviours noted",
                "What happens to contacts, and what do they do?",
                "sum by (kind) (rate(estafette_contacts_behaviours_total[5m]))",
                "{{kind}}",
                "ops",
            ),
            Panel(
                "Clicks judged later",
                "How many clicks are found out to be a machine's once they were noted?",
                "sum(rate(estafette_contacts_clicks_judged_total[5m]))",
                "clicks",
                "ops",
            ),
            Panel(
                "Contacts handed over",
                "How many contacts a second are handed over to jobs, and why are some excluded?",
                "sum by (why) (rate(estafette_contacts_handed_total[5m]))",
                "{{why}}",
                "ops",
            ),
            Panel(
                "Contacts' database",
                "Which statements does PostgreSQL not answer?",
                "sum by (why) (rate(estafette_contacts_database_away_total[5m]))",
                "{{why}}",
                "ops",
            ),
            Panel(
                "Imports of contacts",
                "How many lines of imports a second are done, and what comes of them?",
                "sum by (result) (rate(estafette_contacts_import_lines_total[5m]))",
                "{{result}}",
                "ops",
            ),
            Panel(
                "Imports that stand",
                "For how long was nothing done for imports of contacts that have not ended?",
                "time() - (max(estafette_contacts_import_moved_timestamp_seconds) > 0)",
                "stands",
                "s",
            ),
            Panel(
                "Lists by contacts",
                "What do contacts say of their addresses that changes the suppression list?",
                "sum by (what) (rate(estafette_suppression_stated_total[5m]))",
                "{{what}}",
                "ops",
            ),
            Panel(
                "Not told to suppression",
                "For how long has something that contacts say of an address not been told to suppression?",
                "time() - (max(estafette_contacts_unstated_timestamp_seconds) > 0)",
                "waits",
                "s",
            ),
            Panel(
                "Rank overdue",
                "For how long has the activity rank of a tenant been due?",
                "max(estafette_contacts_rank_overdue_seconds)",
                "overdue",
                "s",
            ),
            Panel(
                "Looks for contacts at risk overdue",
                "For how long has the look for contacts at risk of a tenant been due?",
                "max(estafette_contacts_risk_overdue_seconds)",
                "overdue",
                "s",
            ),
            Panel(
                "Looks for contacts at risk",
                "How many tenants' contacts are looked at for who is at risk?",
                "sum(rate(estafette_contacts_risk_looks_total[5m]))",
                "looks",
                "ops",
            ),
            Panel(
                "Events of contacts",
                "How many events of contacts go to the streams?",
                "sum by (fact) (rate(estafette_contacts_told_total[5m]))",
                "{{fact}}",
                "ops",
            ),
            Panel(
                "Events of contacts that wait",
                "How many events of contacts are still to go to the streams?",
                "max(estafette_contacts_untold_rows)",
                "wait",
            ),
            Panel(
                "Events of contacts behind",
                "For how long has the oldest of them waited?",
                "max(estafette_contacts_untold_seconds)",
                "behind",
                "s",
            ),
            Panel(
                "Overdue jobs",
                "For how long should ended jobs be gone by now?",
                "max(estafette_reports_overdue_job_seconds)",
                "overdue",
                "s",
            ),
            Panel(
                "Publishing",
                "How long does it take to store facts (95 of 100)?",
                _quantile("estafette_bus_publish_seconds", "job"),
                "{{job}}",
                "s",
            ),
            Panel(
                "Looked at",
                "When was all this looked at last?",
                "time() - max(estafette_survey_last_timestamp_seconds)",
                "ago",
                "s",
                "stat",
            ),
        ),
    ),
    Dashboard(
        "api",
        "Estafette: API",
        (
            Panel(
                "Requests",
                "What is asked for?",
                "sum by (route) (rate(estafette_http_requests_total[5m]))",
                "{{route}}",
                "ops",
            ),
            Panel(
                "By status",
                "What is answered?",
                "sum by (status) (rate(estafette_http_requests_total[5m]))",
                "{{status}}",
                "ops",
            ),
            Panel(
                "Time",
                "How long does an answer take (95 of 100)?",
                _quantile("estafette_http_request_seconds", "route"),
                "{{route}}",
                "s",
            ),
            Panel(
                "Jobs taken",
                "What becomes of jobs that are handed in?",
                "sum by (result) (rate(estafette_queueing_jobs_total[5m]))",
                "{{result}}",
                "ops",
            ),
            Panel(
                "Files of single recipients",
                "How many bytes of attachments come that only one recipient gets?",
                "sum(rate(estafette_queueing_recipient_file_bytes_total[5m]))",
                "bytes",
                "Bps",
            ),
            Panel(
                "Templates changed",
                "How often are stored templates put and removed, and how often refused?",
                "sum by (result) (rate(estafette_queueing_template_changes_total[5m]))",
                "{{result}}",
                "ops",
            ),
            Panel(
                "Previews",
                "How often is a mail looked at before it is sent (failed: it cannot be made for that recipient)?",
                "sum by (result) (rate(estafette_queueing_previews_total[5m]))",
                "{{result}}",
                "ops",
            ),
            Panel(
                "Mails handed over by SMTP",
                "What is said to mails that programs hand over by SMTP (250: stored; 4xx: they bring it again)?",
                "sum by (code) (rate(estafette_submission_mails_total[5m]))",
                "{{code}}",
                "ops",
            ),
            Panel(
                "Logins by SMTP",
                "How do programs that hand over mail by SMTP show their keys?",
                "sum by (outcome) (rate(estafette_submission_logins_total[5m]))",
                "{{outcome}}",
                "ops",
            ),
            Panel(
                "Sessions by SMTP",
                "How many of them are connected, and by which port?",
                "sum by (port) (estafette_submission_sessions)",
                "{{port}}",
            ),
            Panel(
                "Recipients taken from sets",
                "How fast do jobs get recipients out of sets (known: passed over, after another process died)?",
                "sum by (result) (rate(estafette_queueing_selected_total[5m]))",
                "{{result}}",
                "ops",
            ),
            Panel(
                "Rows of result sets",
                "How fast are result sets sent?",
                "sum by (route) (rate(estafette_reports_result_rows_total[5m]))",
                "{{route}}",
                "ops",
            ),
            Panel(
                "Recipients decided",
                "How fast are jobs queued?",
                "sum by (fact) (rate(estafette_queueing_recipients_total[5m]))",
                "{{fact}}",
                "ops",
            ),
            Panel(
                "Sign-ins",
                "Who tries to get into the console, and what comes of it?",
                "sum by (end) (rate(estafette_pages_sign_ins_total[5m]))",
                "{{end}}",
                "ops",
            ),
            Panel(
                "Pages",
                "What are people shown?",
                "sum by (status) (rate(estafette_pages_shown_total[5m]))",
                "{{status}}",
                "ops",
            ),
            Panel(
                "Held steps",
                "Does one tenant keep the process busy?",
                "sum(rate(estafette_http_steps_held_total[5m]))",
                "held",
                "ops",
            ),
            Panel(
                "Closed connections",
                "Which connections did we end, and why?",
                "sum by (why) (rate(estafette_http_closed_connections_total[5m]))",
                "{{why}}",
                "ops",
            ),
        ),
    ),
)


def made(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    ]
    if dashboard.by_provider:
        variables.append(
            {
                "name": "provider",
                "label": "Provider",
                "type": "query",
                "datasource": _source(),
                "query": "label_values(estafette_relay_limit_connections, provider)",
                "refresh": 2,
                "sort": 1,
            }
        )
    return {
        "uid": f"estafette-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["estafette"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables},
        "annotations": {"list": []},
        "links": [
            {"type": "dashboards", "title": "Estafette", "tags": ["estafette"], "asDropdown": True, "keepTime": True}
        ],
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS // WIDTH)
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.question,
        "datasource": _source(),
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
        "targets": [{"refId": "A", "datasource": _source(), "expr": panel.expression, "legendFormat": panel.legend}],
    }


def _source() -> Mapping[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


def text(dashboard: Dashboard) -> str:
    return json.dumps(made(dashboard), indent=1, sort_keys=True) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.name}.json").write_text(text(dashboard), "utf-8")


if __name__ == "__main__":
    main()
