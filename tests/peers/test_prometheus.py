"""Each question on call is answered by a real Prometheus that scraped a running instance under some load."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.flows.stack import Stack
from tests.peers.prometheus import Prometheus, places_of, scraping
from tests.peers.test_alerts import ALERTS, RULES

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS: dict[str, str] = dict(
    re.findall(r"^\| (.*\?) \| `(.*)` \|$", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.M)
)
#: Metrics that a healthy instance on the route `mailbox` has no series of, and why.
NOTHING = {
    "estafette_relay_pace_messages_per_second": "no provider has asked us to slow down",
    "estafette_relay_route_failures_total": "there is no named route",
    "estafette_relay_rests": "no provider has asked for rest",
    "estafette_relay_rests_until_timestamp_seconds": "no provider has asked for rest",
    "estafette_queue_held_until_timestamp_seconds": "nothing is held back",
    "estafette_redis_away_seconds_total": "Redis was never away",
    "estafette_relay_certificate_until_timestamp_seconds": "there is no certificate to show",
    "estafette_relay_mta_sts_oldest_timestamp_seconds": "the one host of the route is no recipient domain's",
    "estafette_relay_limited_total": "no limit was met",
    "estafette_dkim_oldest_key_timestamp_seconds": "keys are looked at every ten minutes, and at the start were none",
    "estafette_http_closed_connections_total": "no connection had to be ended",
    "estafette_bounces_mails_total": "no mail came to the return path",
    "estafette_bounces_received_total": "no mail came to the return path",
    "estafette_bounces_starttls_total": "no mail came to the return path",
    "estafette_bounces_maildir_bad_total": "there is no Maildir",
    "estafette_bounces_certificate_until_timestamp_seconds": "it is one that was made at the start",
    "estafette_bounces_facts_total": "no mail came to the return path",
    "estafette_bounces_kept_mail_total": "no mail came to the return path",
    "estafette_submission_mails_total": "nobody handed over mail by SMTP",
    "estafette_submission_logins_total": "nobody handed over mail by SMTP",
    "estafette_submission_tls_total": "nobody handed over mail by SMTP",
    "estafette_submission_recipients_total": "nobody handed over mail by SMTP",
    "estafette_submission_certificate_until_timestamp_seconds": "it is one that was made at the start",
    "estafette_breakers_stopped_total": "no breaker had a reason",
    "estafette_queueing_template_changes_total": "nobody put a template",
    "estafette_queueing_previews_total": "nobody asked for a preview",
    "estafette_queueing_left_out_total": "nobody was left out",
    "estafette_suppression_escalated_total": "nobody had soft bounces enough",
    "estafette_suppression_import_lines_total": "no file came",
    "estafette_suppression_consents_total": "nobody said anything about consent",
    "estafette_suppression_erasing_oldest_timestamp_seconds": "nobody was to be erased",
    "estafette_tracking_untracked_total": "nobody withdrew a consent",
    "estafette_archive_lag_seconds": "nothing is archived, which a process of its own does",
    "estafette_archive_events_total": "nothing is archived",
    "estafette_archive_erasing_oldest_timestamp_seconds": "nothing is archived",
    "estafette_archive_statistics_waiting_days": "nothing is archived",
    "estafette_archive_searches_total": "nobody asked for what is older than the streams",
    "estafette_archive_search_seconds": "nobody asked for what is older than the streams",
    "estafette_contacts_clicks_judged_total": "nobody clicked",
    "estafette_contacts_database_away_total": "PostgreSQL was never away",
    "estafette_contacts_import_lines_total": "no file of contacts came",
    "estafette_contacts_import_moved_timestamp_seconds": "no import runs",
    "estafette_contacts_unstated_timestamp_seconds": "nothing waits to be told",
    "estafette_suppression_stated_total": "no contact said that they left",
    "estafette_contacts_told_total": "no contact came",
    "estafette_webhooks_disabled_total": "no endpoint failed",
    "estafette_drops_files_total": "no files are written, which a process of its own does",
    "estafette_drops_rows_total": "no files are written",
    "estafette_drops_late_seconds": "no files are written",
    "estafette_drops_failed_total": "no files are written",
    "estafette_drops_failing": "no files are written",
    "estafette_drops_missed_total": "no files are written",
    "estafette_drops_file_seconds": "no files are written",
}


@dataclass(frozen=True)
class Scraped:
    """What the tests of this module share."""

    stack: Stack
    prometheus: Prometheus


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scraped]:
    """An instance with a campaign in which some are tried again for as long as the tests run, and some have left."""
    directory = tmp_path_factory.mktemp("scraped")
    async with Stack.running(directory / "instance", {"ESTAFETTE_CONTACTS_PRIVATE": "true"}) as stack:
        found = await stack.until(lambda: told(stack))
        with scraping(directory / "prometheus", found, [RULES]) as prometheus:
            await stack.until(lambda: asyncio.to_thread(prometheus.is_ready))
            await load(stack)
            await stack.until(lambda: asyncio.to_thread(prometheus.targets_up), 60)
            try:
                async with asyncio.timeout(40):
                    while await asyncio.to_thread(missing, prometheus):  # noqa: ASYNC110 - there is no event
                        await asyncio.sleep(0.2)
            except TimeoutError:
                pytest.fail(f"was not scraped: {missing(prometheus)}")
            yield Scraped(stack, prometheus)


async def told(stack: Stack) -> dict[str, str]:
    return places_of(stack.directory)


def missing(prometheus: Prometheus) -> list[str]:
    """What the load leads to and was not yet scraped, more than once."""
    return [one for one in LEADS_TO if not prometheus.query(f"{one} > 0")]


#: To what the load leads, for as long as the tests run.
LEADS_TO = (
    'sum(rate(estafette_relay_outcomes_total{outcome="deferred"}[5m]))',
    "max(estafette_queue_messages)",
    "max(estafette_jobs_stops)",
    'sum(rate(estafette_pages_sign_ins_total{end="signed_in"}[5m]))',
    'sum(rate(estafette_pages_shown_total{status="200"}[5m]))',
    'sum(rate(estafette_queueing_selected_total{result="taken"}[5m]))',
    "sum(rate(estafette_reports_result_rows_total[5m]))",
)


async def load(stack: Stack) -> None:
    content = {"subject": "Bonjour", "html": '<a href="{{ unsubscribe_url }}">out</a>', "from": "news@chouette.example"}
    await keep(stack, "ana0")
    trouble = [f"{kind}{n}@example.org" for n in range(6) for kind in ("full", "greylist")]
    sent = await send(
        stack,
        content,
        *(f"ana{n}@example.org" for n in range(60)),
        *trouble,
        "unknown1@example.org",
        "blocked1@example.org",
    )
    slow = {**content, "rate": "1/m"}
    await send(stack, slow, *(f"slow{n}@example.org" for n in range(300)))
    stopped = await send(stack, slow, *(f"stopped{n}@example.org" for n in range(300)))
    status, _ = await stack.call("POST", f"/v1/jobs/{stopped}/pause")
    assert status == 200
    await visit(stack)
    await select(stack, content, sent)
    await target(stack, content)
    await leave(stack)
    await visit(stack)  # a rate needs samples that differ
    await keep(stack, "ana1")
    await target(stack, content)
    await select(stack, content, sent)


async def visit(stack: Stack) -> None:
    """Somebody looks at the pages, signs in at the console and sees their jobs; another has no key."""
    assert (await stack.call("GET", "/"))[0] == 200
    for key, page in (("est_nobody", "Sign in"), (stack.key, "Jobs")):
        async with aiohttp.ClientSession(stack.base, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get("/console") as answer:
                form = re.findall(r'name="form" value="(\w+)"', await answer.text())[0]
            async with browser.post("/console", data={"form": form, "key": key}) as answer:
                assert f"<h1>{page}</h1>" in await answer.text()


async def keep(stack: Stack, name: str) -> None:
    """Somebody is in the base of contacts."""
    known = {"fields": {"town": "Lille"}, "channels": {"email": {"optin": True}}}
    assert (await stack.call("PUT", f"/v1/contacts/{name}@example.org", known))[0] == 201


async def target(stack: Stack, content: dict[str, str]) -> None:
    """Everybody in a town is sent to."""
    criteria = {"kind": "field", "field": "town", "test": "equals", "value": "Lille"}
    job = {**content, "recipients_from": {"criteria": criteria}}
    status, answer = await stack.call("POST", "/v1/jobs", job)
    assert status == 202, answer


async def select(stack: Stack, content: dict[str, str], job: str) -> None:
    """Somebody asks who was in a job, and sends to them again."""
    selected = {"job": job, "state": "selected"}
    status, rows = await stack.call("POST", "/v1/results?format=csv", selected)
    assert (status, rows.count(b"@example.org")) == (200, 74)
    status, answer = await stack.call("POST", "/v1/jobs", {**content, "recipients_from": selected})
    assert status == 202, answer


async def send(stack: Stack, job: dict[str, str], *addresses: str) -> str:
    status, answer = await stack.call("POST", "/v1/jobs", recipients(job, *addresses))
    assert status == 202, answer
    return str(answer["id"])


def recipients(job: dict[str, str], *addresses: str) -> dict[str, object]:
    return {**job, "recipients": [{"email": address} for address in addresses]}


async def leave(stack: Stack) -> None:
    """Two leave by the link in the header of their mail, one after the other: a rate needs samples that differ."""
    for name in ("ana0", "ana1"):
        mail = await stack.mail(f"{name}@example.org")
        status, _ = await stack.call("POST", mail["one_click"], data={"List-Unsubscribe": "One-Click"})
        assert status == 200
        await asyncio.sleep(3)


pytestmark = pytest.mark.asyncio(loop_scope="module")


def metrics_of(expression: str) -> set[str]:
    found = re.findall(r"estafette_[a-z_]+", expression)
    return {re.sub(r"_bucket$", "", name) for name in found}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_question_on_call_is_answered_by_one_expression(scraped: Scraped, question: str) -> None:
    expression = QUESTIONS[question]

    answer = await asyncio.to_thread(scraped.prometheus.query, expression)

    assert answer or metrics_of(expression) & set(NOTHING), expression


async def test_there_are_questions(scraped: Scraped) -> None:
    assert len(QUESTIONS) > 25


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
async def test_the_metrics_of_an_alert_exist_in_a_running_instance(scraped: Scraped, rule: dict[str, str]) -> None:
    for name in metrics_of(rule["expr"]) - set(NOTHING):
        series = f'{{__name__=~"{name}(_bucket)?"}}'  # of a histogram there is nothing under its own name
        assert await asyncio.to_thread(scraped.prometheus.query, series), name


async def test_a_healthy_instance_pages_nobody(scraped: Scraped) -> None:
    firing = 'ALERTS{alertstate="firing", severity="page"}'

    assert await asyncio.to_thread(scraped.prometheus.query, firing) == []


PANELS = [
    (file.stem, panel["title"], panel["targets"][0]["expr"])
    for file in sorted((ROOT / "helm" / "estafette" / "dashboards").glob("*.json"))
    for panel in json.loads(file.read_text("utf-8"))["panels"]
]


@pytest.mark.parametrize(("dashboard", "title", "expression"), PANELS, ids=lambda one: str(one)[:40])
async def test_a_panel_has_data_or_a_reason_for_none(
    scraped: Scraped, dashboard: str, title: str, expression: str
) -> None:
    answer = await asyncio.to_thread(scraped.prometheus.query, expression.replace("$provider", ".*"))

    assert answer or metrics_of(expression) & set(NOTHING), f"{dashboard}, {title}: {expression}"
