"""Who may import what: the rules that keep services apart, and decisions apart from the world."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Third parties and the only modules that import them. A library that is not here is nobody's yet.
OWNERS: dict[str, tuple[str, ...]] = {
    "aiosmtplib": (
        "services/relay/delivery/client.py",
        "services/relay/delivery/dial.py",
        "services/relay/delivery/connection.py",
    ),
    "aiosmtpd": (
        "services/submission/smtp.py",
        "shared/net/lmtp_in.py",
        "shared/net/smtp_hooks.py",
        "shared/net/smtp_in.py",
    ),
    "click": ("services/local/demo.py", "services/local/run.py"),
    "asyncpg": ("services/contacts/base/database.py",),
    "asyncssh": ("services/reports/drops/sftp.py",),
    "css_inline": ("services/queueing/inlining.py",),
    "cryptography": (
        "services/pages/session_keys.py",
        "services/relay/encryption/certificates.py",
        "services/reports/drops/ssh_keys.py",
        "services/webhooks/signing.py",
        "shared/mail/dkim_keys.py",
        "shared/net/server_certificate.py",
    ),
    "dns": ("services/relay/encryption/dnssec.py",),
    "hiredis": ("shared/redis/direct.py", "shared/redis/kept.py", "shared/redis/redis.py"),
    "httptools": (
        "services/webhooks/sender.py",
        "shared/net/heads.py",
    ),
    "idna": ("shared/mail/addresses.py",),
    "opentelemetry": ("shared/process/tracing.py",),
    "pyarrow": (
        "services/archive/counts.py",
        "services/archive/forgetting.py",
        "services/archive/merging.py",
        "services/archive/tables.py",
        "shared/archive/counted.py",
        "shared/archive/schema.py",
        "shared/archive/search.py",
        "shared/archive/target.py",
    ),
    "babel": ("shared/mail/localized.py",),
    "duckdb": ("shared/archive/search.py",),
    "markdown_it": ("services/pages/documents.py",),
    "mrml": ("services/queueing/mjml.py",),
    "minijinja": ("services/pages/drawing.py", "shared/mail/templates.py"),
    "msgpack": ("services/console/tail.py",),
    "publicsuffixlist": ("shared/mail/domain_names.py",),
    "redis": ("shared/redis/direct.py", "shared/redis/kept.py", "shared/redis/redis.py"),
    "setproctitle": ("services/local/processes.py",),
    "textual": ("services/console/top_app.py",),
    "turbohtml": (
        "services/local/mailbox/message.py",
        "services/queueing/checks.py",
        "services/queueing/inlining.py",
        "services/queueing/links.py",
        "services/queueing/plain_text.py",
        "services/queueing/preheader.py",
        "services/queueing/rewrite.py",
    ),
    "uvloop": ("shared/process/lifecycle.py",),
}
#: What everybody may import: codecs, logs, counters.
EVERYWHERE = {"msgspec", "orjson", "prometheus_client", "structlog"}
#: aiohttp is imported by what serves it, and by the edges that ask others.
AIOHTTP = {
    "services/bounces/inbound.py",
    "shared/http/api.py",
    "shared/http/serving.py",
    "shared/http/route.py",
    "shared/http/traced.py",
    "shared/process/metrics.py",
    "shared/net/problems.py",
    "shared/net/quick.py",
    "shared/net/requests.py",
    "shared/net/server.py",
    "shared/net/web.py",
    "services/http/__main__.py",
    "services/local/demo.py",
    "services/client/client.py",
    "services/contacts/fields_http.py",
    "services/contacts/imports_http.py",
    "services/contacts/rank_http.py",
    "services/contacts/segments_http.py",
    "services/contacts/risk_http.py",
    "services/contacts/told_http.py",
    "services/contacts/timeline_http.py",
    "services/domains/http.py",
    "services/operator/letters.py",
    "services/operator/link_keys.py",
    "services/operator/sub_accounts.py",
    "services/operator/traces.py",
    "services/suppression/operators.py",
    "services/suppression/memberships_http.py",
    "services/suppression/rules_http.py",
    "services/suppression/escalation_http.py",
    "services/suppression/people_http.py",
    "services/suppression/retention_http.py",
    "services/suppression/consent_http.py",
    "services/suppression/look_http.py",
    "services/queueing/changing_http.py",
    "services/queueing/documents_http.py",
    "services/queueing/mails_http.py",
    "services/queueing/optins_http.py",
    "services/queueing/pressure_http.py",
    "services/queueing/preview_http.py",
    "services/queueing/templates_http.py",
    "services/queueing/seeds_http.py",
    "services/reports/feed/http.py",
    "services/reports/statistics_http.py",
    "services/reports/usage_http.py",
    "services/pages/api.py",
    "services/submission/api.py",
    "services/reports/report_links_http.py",
    "services/tracking/__main__.py",
    "services/tracking/view_http.py",
    "services/suppression/web_tracking_http.py",
    "services/tracking/visit_http.py",
    "services/reports/results_http.py",
}

#: What makes a module impure: the world, the clock, chance.
WORLD = {
    "aiohttp", "asyncio", "os", "random", "redis", "secrets", "shutil", "signal", "socket", "subprocess", "tempfile",
    "threading", "time", "uuid",
}  # fmt: skip
#: The modules that touch the world, with what they touch. Every other module is pure, and so is a new one.
EDGES: dict[str, set[str]] = {
    "services/client/client.py": {"aiohttp", "asyncio", "secrets"},
    "services/contacts/imports/importing.py": {"asyncio", "time"},
    "services/contacts/imports/reading.py": {"tempfile"},
    "services/contacts/rank/ranking.py": {"asyncio"},
    "services/contacts/stating.py": {"asyncio"},
    "services/contacts/targeting/targeting.py": {"asyncio"},
    "services/bounces/inbound.py": {"aiohttp"},
    "services/bounces/maildir.py": {"asyncio", "os"},
    "services/bounces/smtp.py": {"time"},
    "services/submission/__main__.py": {"asyncio"},
    "services/submission/api.py": {"aiohttp"},
    "services/submission/smtp.py": {"asyncio"},
    "services/submission/tls_first.py": {"asyncio", "socket"},
    "services/console/console.py": {"tempfile"},
    "services/console/domains.py": {"time"},
    "services/console/encryption.py": {"time"},
    "services/console/escalation.py": {"time"},
    "services/console/events.py": {"asyncio", "time"},
    "services/console/messages.py": {"time"},
    "services/console/people.py": {"secrets", "time"},
    "services/console/pressure.py": {"time"},
    "services/console/seeds.py": {"time"},
    "services/console/moving.py": {"secrets", "time"},
    "services/console/jobs.py": {"secrets"},
    "services/console/restore.py": {"secrets"},
    "services/console/route.py": {"asyncio", "time"},
    "services/console/lists.py": {"secrets"},
    "services/console/rules.py": {"secrets"},
    "services/console/session.py": {"asyncio"},
    "services/console/settings.py": {"os"},
    "services/console/stops.py": {"time"},
    "services/console/suppressions.py": {"secrets"},
    "services/console/templates.py": {"asyncio", "time"},
    "services/console/webhooks.py": {"secrets", "time"},
    "services/console/drops.py": {"secrets"},
    "services/console/word.py": {"socket"},
    "services/operator/letters.py": {"aiohttp"},
    "services/operator/link_keys.py": {"aiohttp"},
    "services/operator/sub_accounts.py": {"aiohttp"},
    "services/operator/traces.py": {"aiohttp"},
    "services/operator/operator.py": {"asyncio"},
    "services/suppression/operators.py": {"aiohttp"},
    "services/operator/rates.py": {"asyncio"},
    "services/operator/sites.py": {"asyncio"},
    "services/local/demo.py": {"aiohttp", "asyncio", "secrets"},
    "services/local/mailbox/http.py": {"aiohttp", "asyncio"},
    "services/local/mailbox/outbox.py": {"asyncio"},
    "services/pages/api.py": {"aiohttp"},
    "services/pages/mails.py": {"asyncio"},
    "services/pages/pages.py": {"asyncio"},
    "services/pages/segments.py": {"asyncio"},
    "services/reports/report_links_http.py": {"aiohttp"},
    "services/local/postgres_server.py": {"os", "shutil", "subprocess"},
    "services/local/ports.py": {"os", "socket"},
    "services/local/private.py": {"os"},
    "services/local/processes.py": {"os", "signal", "time"},
    "services/queueing/uploads.py": {"asyncio"},
    "services/queueing/selecting.py": {"asyncio"},
    "services/queueing/aside.py": {"asyncio"},
    "services/queueing/cancelling.py": {"asyncio"},
    "services/breakers/breakers.py": {"asyncio"},
    "services/queueing/compiling.py": {"secrets"},
    "services/domains/http.py": {"aiohttp"},
    "services/suppression/consent_http.py": {"aiohttp", "asyncio"},
    "services/suppression/look_http.py": {"aiohttp"},
    "services/queueing/changing_http.py": {"aiohttp"},
    "services/queueing/documents_http.py": {"aiohttp"},
    "services/queueing/mails_http.py": {"aiohttp"},
    "services/queueing/optins_http.py": {"aiohttp"},
    "services/queueing/pressure_http.py": {"aiohttp"},
    "services/queueing/preview_http.py": {"aiohttp"},
    "services/queueing/templates_http.py": {"aiohttp"},
    "services/queueing/seeds_http.py": {"aiohttp"},
    "services/tracking/abouts.py": {"asyncio"},
    "services/tracking/tracking.py": {"asyncio"},
    "services/tracking/view_http.py": {"aiohttp"},
    "services/suppression/web_tracking_http.py": {"aiohttp"},
    "services/tracking/visit_http.py": {"aiohttp"},
    "services/tracking/viewing.py": {"asyncio"},
    "shared/redis/untracked.py": {"asyncio"},
    "shared/redis/web_tracking.py": {"asyncio"},
    "shared/redis/recipients.py": {"asyncio"},
    "shared/redis/link_keys.py": {"asyncio"},
    "services/breakers/store.py": {"asyncio"},
    "services/queueing/queueing.py": {"asyncio"},
    "services/queueing/quotas.py": {"asyncio"},
    "services/queueing/store.py": {"asyncio"},
    "services/local/redis_server.py": {"os", "shutil", "subprocess"},
    "services/suppression/moving/importing.py": {"asyncio"},
    "services/suppression/moving/imports.py": {"asyncio"},
    "services/suppression/moving/spool.py": {"tempfile"},
    "services/relay/checks/admission.py": {"asyncio"},
    "services/relay/alone.py": {"asyncio", "os", "signal"},
    "services/relay/aside.py": {"asyncio"},
    "services/relay/cancelling.py": {"asyncio"},
    "services/relay/delivery/client.py": {"asyncio"},
    "services/relay/encryption/dnssec.py": {"asyncio"},
    "services/relay/wiring.py": {"time"},
    "services/relay/traffic/gate.py": {"asyncio"},
    "services/relay/making/mails.py": {"asyncio"},
    "services/relay/making/making.py": {"asyncio"},
    "services/relay/limits/paces.py": {"time"},
    "services/relay/limits/permits.py": {"asyncio", "time"},
    "services/relay/figures.py": {"asyncio"},
    "services/relay/held.py": {"asyncio"},
    "services/relay/lines.py": {"asyncio"},
    "services/relay/permission.py": {"asyncio"},
    "services/relay/recorder.py": {"asyncio"},
    "services/relay/relay.py": {"asyncio"},
    "services/relay/turns.py": {"asyncio"},
    "services/relay/workers.py": {"asyncio"},
    "services/relay/signing/signatures.py": {"asyncio"},
    "services/relay/signing/process.py": {"os", "signal"},
    "services/relay/limits/slots.py": {"asyncio", "time"},
    "services/relay/limits/tending.py": {"asyncio"},
    "services/relay/delivery/connection.py": {"asyncio"},
    "services/relay/delivery/dial.py": {"asyncio", "os", "socket"},
    "services/relay/delivery/overheard.py": {"asyncio"},
    "services/relay/checks/stops.py": {"asyncio"},
    "services/relay/encryption/sts_policies.py": {"asyncio"},
    "services/relay/reporting/tls_reports.py": {"asyncio"},
    "services/reports/drops/drops.py": {"asyncio"},
    "services/reports/drops/folder.py": {"asyncio", "os"},
    "services/reports/drops/sftp.py": {"asyncio"},
    "services/reports/feed/feed.py": {"asyncio"},
    "services/reports/feed/http.py": {"aiohttp"},
    "services/reports/feed/indexing.py": {"asyncio"},
    "services/reports/feed/live.py": {"asyncio"},
    "services/reports/finishing.py": {"asyncio"},
    "services/reports/folding.py": {"asyncio"},
    "services/archive/archive.py": {"asyncio"},
    "services/contacts/base/database.py": {"asyncio"},
    "services/contacts/fields_http.py": {"aiohttp"},
    "services/contacts/imports_http.py": {"aiohttp"},
    "services/contacts/rank_http.py": {"aiohttp"},
    "services/contacts/segments_http.py": {"aiohttp"},
    "services/contacts/told_http.py": {"aiohttp"},
    "services/contacts/risk_http.py": {"aiohttp"},
    "services/contacts/risk/looking.py": {"asyncio"},
    "services/contacts/outbox/telling.py": {"asyncio"},
    "services/contacts/timeline_http.py": {"aiohttp"},
    "services/archive/kinds.py": {"asyncio"},
    "services/archive/statistics.py": {"asyncio"},
    "shared/archive/counted.py": {"time"},
    "shared/archive/search.py": {"asyncio", "time"},
    "shared/archive/target.py": {"os", "secrets"},
    "services/archive/tending.py": {"asyncio"},
    "services/reports/job_list.py": {"asyncio"},
    "services/reports/message_list.py": {"asyncio"},
    "services/reports/reports.py": {"asyncio"},
    "services/reports/results_http.py": {"aiohttp"},
    "services/reports/retention.py": {"asyncio"},
    "services/reports/statistics.py": {"asyncio"},
    "services/reports/statistics_http.py": {"aiohttp"},
    "services/reports/usage_http.py": {"aiohttp"},
    "services/reports/metering.py": {"asyncio"},
    "services/http/calls.py": {"asyncio"},
    "shared/redis/usage.py": {"asyncio"},
    "services/reports/store.py": {"asyncio"},
    "services/reports/survey.py": {"asyncio"},
    "services/local/run.py": {"asyncio", "os", "secrets", "signal", "time"},
    "services/console/tail.py": {"asyncio"},
    "services/suppression/memberships_http.py": {"aiohttp"},
    "services/suppression/rules_http.py": {"aiohttp", "asyncio"},
    "services/suppression/counts.py": {"asyncio"},
    "services/suppression/interactions.py": {"asyncio"},
    "services/suppression/reactions.py": {"asyncio"},
    "services/suppression/erasing.py": {"asyncio"},
    "services/suppression/escalation_http.py": {"aiohttp"},
    "services/suppression/people_http.py": {"aiohttp"},
    "services/suppression/retaining.py": {"asyncio"},
    "services/suppression/retention_http.py": {"aiohttp"},
    "services/webhooks/book.py": {"asyncio"},
    "services/webhooks/delivering.py": {"asyncio"},
    "services/webhooks/replaying.py": {"asyncio"},
    "services/webhooks/sender.py": {"asyncio"},
    "services/webhooks/store.py": {"asyncio"},
    "services/tracking/recorder.py": {"asyncio"},
    "services/tracking/spool.py": {"os"},
    "shared/http/api.py": {"aiohttp", "asyncio"},
    "shared/http/route.py": {"aiohttp"},
    "shared/http/traced.py": {"aiohttp"},
    "shared/redis/bus.py": {"asyncio"},
    "shared/redis/cancels.py": {"asyncio"},
    "shared/redis/dialogues.py": {"secrets"},
    "shared/redis/direct.py": {"asyncio", "redis"},
    "shared/net/dns.py": {"asyncio"},
    "shared/net/lmtp_in.py": {"asyncio", "socket"},
    "shared/net/server_certificate.py": {"os"},
    "shared/redis/installation.py": {"asyncio", "os"},
    "shared/http/serving.py": {"aiohttp"},
    "shared/process/child.py": {"asyncio"},
    "shared/process/clock.py": {"time"},
    "shared/process/lifecycle.py": {"asyncio", "os", "signal"},
    "shared/process/logs.py": {"os"},
    "shared/process/master_secret.py": {"os", "secrets", "tempfile"},
    "shared/process/metrics.py": {"aiohttp"},
    "shared/net/name_servers.py": {"asyncio", "secrets"},
    "shared/process/priority.py": {"os"},
    "shared/process/reloading.py": {"asyncio"},
    "shared/process/tracing.py": {"asyncio"},
    "shared/net/problems.py": {"aiohttp"},
    "shared/net/quick.py": {"aiohttp", "asyncio"},
    "shared/net/requests.py": {"aiohttp"},
    "shared/redis/kept.py": {"redis"},
    "shared/redis/redis.py": {"asyncio", "redis"},
    "shared/net/remembered.py": {"asyncio"},
    "shared/process/sandbox.py": {"asyncio", "os", "signal", "time"},
    "shared/process/sandboxed.py": {"os", "signal", "time"},
    "shared/process/domain_keys.py": {"asyncio"},
    "shared/redis/suppression_file.py": {"asyncio"},
    "shared/redis/rules.py": {"asyncio"},
    "shared/redis/sending_domains.py": {"secrets", "time"},
    "shared/http/turns.py": {"asyncio", "time"},
    "shared/net/server.py": {"aiohttp", "asyncio", "secrets"},
    "shared/net/web.py": {"aiohttp", "asyncio", "socket"},
    "shared/process/settings.py": {"os"},
    "shared/redis/result_sets.py": {"asyncio"},
    "shared/redis/return_paths.py": {"asyncio"},
    "shared/redis/watch.py": {"asyncio"},
    "shared/process/together.py": {"asyncio"},
    "shared/redis/start.py": {"os", "secrets", "socket", "time"},
    "shared/net/smtp_in.py": {"asyncio", "time"},
    "shared/redis/tenants.py": {"secrets", "time"},
}

#: What stands over the services and may be imported by them: each imports none of them.
HOUSE = {"catalogue", "settings"}

NOT_NAMES = {"utils", "util", "common", "helpers", "base", "types", "misc"}


def sources() -> list[str]:
    found = sorted(
        str(file.relative_to(ROOT)) for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.py")
    )
    assert len(found) > 100, "a rule without files holds for nothing"
    return found


@cache
def tree(source: str) -> ast.Module:
    return ast.parse((ROOT / source).read_text("utf-8"))


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Each imported module and each name imported from it, as (module, module.name)."""
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, f"{node.module}.{alias.name}") for alias in node.names)


def packages(source: str) -> set[str]:
    """What it imports. `random.Random` alone is none: it is the type of chance that comes as an argument."""
    return {module.split(".")[0] for module, name in imports(source) if name != "random.Random"}


def is_root(source: str) -> bool:
    """Whether nothing but a start imports it: it puts parts together."""
    return source.endswith("__main__.py")


def test_services_never_import_each_other_and_shared_never_a_service() -> None:
    assert [fault for source in sources() for fault in strangers(source)] == []


def strangers(source: str) -> Iterator[str]:
    """What it imports of a place that is not its own."""
    place = source.split("/")
    for _, name in imports(source):
        parts = name.split(".")
        if parts[0] == "tests":
            yield f"{source} imports {name}: nobody imports tests"
        elif (
            parts[0] != "services"
            or source.startswith("services/console/")
            or (place[0] == "services" and parts[1] in HOUSE)
        ):
            continue
        elif place[0] != "services":
            yield f"{source} imports {name}: shared knows no service"
        elif len(place) == 2:
            if (ROOT / "services" / parts[1]).is_dir():
                yield f"{source} imports {name}: only __main__ puts together"
        elif parts[1] != place[1]:
            yield f"{source} imports {name}: services meet on streams"


def test_third_parties_are_imported_by_their_owners_alone() -> None:
    ours = set(sys.stdlib_module_names) | {"services", "shared"} | EVERYWHERE

    assert [
        f"{source} imports {package}"
        for source in sources()
        for package in sorted(packages(source) - ours)
        if not may_import(source, package)
    ] == []


def may_import(source: str, package: str) -> bool:
    if package == "aiohttp":
        return source in AIOHTTP or source.endswith("/http.py")
    if package == "click" and source.startswith("services/console/"):
        return True  # each noun is a module
    return source in OWNERS.get(package, ())


def test_only_edges_touch_the_world_the_clock_and_chance() -> None:
    touched = {source: packages(source) & WORLD - allowed(source) for source in sources() if not is_root(source)}

    assert {source: more for source, more in touched.items() if more} == {}


def allowed(source: str) -> set[str]:
    return {"aiohttp", "asyncio"} if source.endswith("/http.py") else EDGES.get(source, set())


def test_a_main_is_imported_by_nobody() -> None:
    assert [
        f"{source} imports {name}"
        for source in sources()
        for module, name in imports(source)
        if module.endswith("__main__") or name.endswith(".__main__")
    ] == []


def test_imports_are_absolute() -> None:
    # But for the client: where it is installed it is `estafette_client`.
    assert [
        f"{source}: from {'.' * node.level}{node.module or ''}"
        for source in sources()
        for node in ast.walk(tree(source))
        if isinstance(node, ast.ImportFrom) and node.level and not source.startswith("services/client/")
    ] == []


def test_the_tables_name_only_what_is_there() -> None:
    named = {file for owners in OWNERS.values() for file in owners} | AIOHTTP | set(EDGES)

    assert named - set(sources()) == set()
    assert {source: packages(source) & WORLD for source in EDGES} == EDGES


def test_no_module_is_named_after_nothing() -> None:
    assert [source for source in sources() if Path(source).stem in NOT_NAMES] == []
