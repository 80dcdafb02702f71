"""No command of the console ends in a traceback: what is wrong is said in a sentence that names it."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from redis import Redis as RedisClient

from services.console import console as cli
from services.console import tenants
from services.queueing.store import JobStore
from shared.process import settings
from shared.process.clock import now_ms
from shared.redis import keys, redis
from shared.redis.installation import SCHEMA
from shared.redis.once import Mark, Once
from shared.words import ids
from shared.words import once as operations
from shared.words.times import rfc3339
from tests.jobs import new_job
from tests.servers import ANY_METRICS_PORT, RedisServer, free_port, stop

SECRET = "0123456789abcdef" * 4
NOBODY = "redis://127.0.0.1:1/0"

JOB = "06dndml801in6t31cpig"
#: A cursor of events of another installation.
OF_TWO_PARTITIONS = "lc8AAAGcE0xm2wAAAAE"
RULES = Path(__file__).parents[1] / "data/rules.txt"
EXPRESSION = Path(__file__).parents[1] / "data/expression.json"
#: Stored templates: one that compiles, and one that does not.
TEMPLATE = Path(__file__).parents[1] / "data/template.json"
BROKEN_TEMPLATE = Path(__file__).parents[1] / "data/template-broken.json"
#: Lists that other engines export.
SUPPRESSIONS = Path(__file__).parents[1] / "data/suppressions"

#: Every command, in words that it takes.
COMMANDS: Mapping[str, Sequence[str]] = {
    "run": (),
    "serve": ("http",),
    "settings": (),
    "demo": (),
    "tail": ("--no-follow",),
    "tenants add": ("acme",),
    "tenants list": (),
    "tenants show": ("acme",),
    "tenants quota": ("acme", "open_jobs", "5"),
    "keys create": ("--tenant", "acme", "--scope", "send"),
    "keys list": (),
    "keys revoke": ("x",),
    "domains add": ("acme.example", "--tenant", "acme"),
    "domains list": (),
    "domains give": ("acme.example", "--tenant", "acme"),
    "domains take": ("acme.example",),
    "domains check": ("acme.example",),
    "domains returns": ("acme.example", "bounces.acme.example"),
    "domains links": ("acme.example", "https://links.acme.example"),
    "domains rotate": ("acme.example",),
    "domains activate": ("acme.example",),
    "domains reencrypt": (),
    "installation show": (),
    "installation accept": (),
    "restore": ("--before", "2026-01-01T00:00:00Z"),
    "secret accept": (),
    "stops list": (),
    "stops consent": ("job:x",),
    "tenants suspend": ("acme", "--why", "spam"),
    "tenants resume": ("acme", "--why", "mended"),
    "links show": ("acme",),
    "links rotate": ("acme", "--why", "every year"),
    "links revoke": ("acme", "1", "--why", "stolen"),
    "links honour": ("acme", "1", "--why", "found again"),
    "tenants cancel": ("acme", "--why", "spam"),
    "queue list": (),
    "queue cancel": ("gmail", "--why", "spam"),
    "queue bounce": ("gmail", "--why", "gone"),
    "queue move": ("gmail", "reserve", "--why", "blocked"),
    "jobs list": (),
    "jobs cancel": (JOB, "--why", "spam"),
    "jobs suspend": (JOB, "--why", "spam"),
    "jobs resume": (JOB, "--why", "mended"),
    "jobs messages": (JOB,),
    "jobs results": ("acme", str(EXPRESSION)),
    "report": (JOB,),
    "report-links list": (JOB,),
    "report-links revoke": (JOB, "9f86d081884c7d65"),
    "events": ("acme",),
    "messages": ("acme",),
    "statistics job": (JOB,),
    "statistics tenant": ("acme",),
    "usage": ("acme",),
    "webhooks list": (),
    "webhooks enable": ("wh_8f2c0a61d94be735",),
    "webhooks log": ("wh_8f2c0a61d94be735",),
    "drops list": (),
    "drops run": ("acme/events",),
    "message": (f"{JOB}.0",),
    "dead list": (),
    "dead show": ("events.0.1-0",),
    "dead replay": ("events.0.1-0", "--why", "mended"),
    "dead drop": ("events.0.1-0", "--why", "no use"),
    "suppressions list": ("acme",),
    "suppressions import": ("acme", str(SUPPRESSIONS / "postmark.csv")),
    "suppressions export": ("acme",),
    "suppressions show": ("acme", "ana@exemple.fr"),
    "suppressions add": ("acme", "ana@exemple.fr"),
    "suppressions remove": ("ana@exemple.fr", "--everybody"),
    "escalation show": ("acme",),
    "escalation set": ("acme", "--soft-bounces", "3/15"),
    "escalation reset": ("acme",),
    "lists list": ("acme",),
    "lists show": ("acme", "ana@exemple.fr"),
    "lists members": ("acme", "news"),
    "lists join": ("acme", "news", "ana@exemple.fr"),
    "lists leave": ("acme", "news", "ana@exemple.fr"),
    "rules list": ("--tenant", "acme"),
    "rules put": ("*@exemple.fr", "--tenant", "acme"),
    "rules delete": ("*@exemple.fr", "--everybody"),
    "rules import": (str(RULES), "--tenant", "acme"),
    "rules export": ("--everybody",),
    "rules test": ("ana@exemple.fr", "--tenant", "acme"),
    "people show": ("acme", "ana@exemple.fr"),
    "people erase": ("acme", "ana@exemple.fr", "--yes"),
    "templates list": ("acme",),
    "templates show": ("acme", "welcome"),
    "templates put": ("acme", "welcome", str(TEMPLATE)),
    "pressure show": ("acme",),
    "pressure set": ("acme", "2/1", "5/7"),
    "pressure off": ("acme",),
    "once list": ("acme",),
    "once show": ("acme", "autumn-2026"),
    "once find": ("acme", "autumn-2026", "ana@exemple.fr"),
    "seeds list": ("acme",),
    "seeds set": ("acme", "check@seeds.example", "two@seeds.example"),
    "seeds off": ("acme",),
    "retention show": ("acme",),
    "archive show": (),
    "archive remove": ("acme", "--yes"),
    "consents show": ("acme", "ana@exemple.fr"),
    "consents log": ("acme", "ana@exemple.fr"),
    "consents rules": ("acme",),
    "contacts search": ("acme",),
    "contacts show": ("acme", "ana@exemple.fr"),
    "contacts timeline": ("acme", "ana@exemple.fr"),
    "contacts erase": ("acme", "ana@exemple.fr", "--yes"),
    "segments list": ("acme",),
    "segments show": ("acme", "3"),
    "segments count": ("acme", "3"),
    "segments sample": ("acme", "3"),
    "contact-imports list": ("acme",),
    "contact-imports show": ("acme", "12"),
    "contact-imports start": ("acme", str(SUPPRESSIONS / "postmark.csv")),
    "activity show": ("acme",),
    "activity run": ("acme",),
    "at-risk show": ("acme",),
    "at-risk set": ("acme", "90"),
    "contact-events show": ("acme",),
    "contact-events set": ("acme", "imports", "on"),
    "route": ("ana@exemple.fr",),
    "doctor": (),
    "trace": ("--site", "gmail", "--for", "10s"),
    "top": ("--once",),
    "reply": ("421 4.7.0 Try again later",),
    "classify": ("--text", "550 5.1.1 User unknown"),
    "rewrite": ("-",),
    "sites list": (),
    "sites show": ("gmail",),
    "sites suspend": ("gmail", "--why", "ticket 4711"),
    "sites resume": ("gmail", "--why", "mended"),
    "sites lift": ("gmail", "--why", "mended"),
    "sites requeue": ("gmail", "--why", "mended"),
}
#: Those that ask Redis and end.
ASKING = [name for name in COMMANDS if name not in ("run", "serve", "settings", "demo", "reply", "rewrite", "classify")]

#: What somebody may type, and what the answer has to name.
WRONG: Sequence[tuple[Sequence[str], str]] = [
    (("serve", "smtp"), "smtp"),
    (("tail", "--partition", "99", "--no-follow"), "partition 99"),
    (("tail", "--partition", "-1", "--no-follow"), "partition -1"),
    (("tail", "--partition", "x"), "--partition"),
    (("tail", "--fact", "Teleported", "--no-follow"), "Teleported"),
    (("tenants", "add", "Ac me"), "Ac me"),
    (("tenants", "add", "a" * 33), "32"),
    (("tenants", "add", "there"), "there is a tenant there already"),
    (("tenants", "add", "\udcff"), "name"),
    (("tenants", "show", "nobody"), "nobody"),
    (("tenants", "quota", "nobody", "open_jobs", "5"), "nobody"),
    (("tenants", "quota", "there", "fun", "5"), "fun"),
    (("tenants", "quota", "there", "open_jobs", "-5"), "-5"),
    (("tenants", "quota", "there", "open_jobs", "9" * 30), "quota"),
    (("keys", "create", "--tenant", "nobody", "--scope", "send"), "nobody"),
    (("keys", "create", "--tenant", "there", "--scope", "fly"), "fly"),
    (("keys", "create", "--tenant", "there", "--scope", ","), "scope"),
    (("keys", "revoke", "x\ny"), "no key"),
    (("domains", "add", "theirs.example", "--tenant", "there"), "theirs.example"),
    (("domains", "add", "com", "--tenant", "there"), "com"),
    (("domains", "add", "not a domain", "--tenant", "there"), "not a domain"),
    (("domains", "add", "\u0000", "--tenant", "there"), "domain"),
    (("domains", "add", "a" * 300 + ".example", "--tenant", "there"), "domain"),
    (("domains", "add", "x.example"), "--tenant"),
    (("domains", "add", "x.example", "--tenant", "nobody"), "nobody"),
    (("domains", "add", "bounces.localhost", "--tenant", "there"), "bounces.localhost"),
    (("domains", "give", "com", "--tenant", "there"), "com"),
    (("domains", "give", "x.example", "--tenant", "nobody"), "nobody"),
    (("domains", "links", "free.example", "https://links.free.example"), "free.example"),
    (("domains", "take", "free.example"), "free.example"),
    (("domains", "take", "not a domain"), "not a domain"),
    (("domains", "check", "free.example"), "free.example"),
    (("domains", "check", "theirs.example", "--tenant", "there"), "theirs.example"),
    (("domains", "check", "."), "."),
    (("domains", "rotate", "free.example"), "free.example"),
    (("domains", "rotate", "not a domain"), "not a domain"),
    (("domains", "activate", "free.example"), "free.example"),
    (("domains", "activate", "theirs.example"), "rotate first"),
    (("domains", "activate", "theirs.example", "--force"), "rotate first"),
    (("classify",), "--text"),
    (("classify", "-", "--text", "550 no"), "--text"),
    (("stops", "consent", "job:none"), "job:none"),
    (("stops", "consent", "\x00"), "nothing of the name"),
    (("installation", "accept", "not an id"), "not an id"),
    (("restore",), "--before"),
    (("restore", "--before", "yesterday"), "yesterday"),
    (("restore", "--before", "2026-01-01T00:00:00"), "2026-01-01T00:00:00"),
    (("restore", "--before", "2098-01-01T00:00:00Z"), "has passed"),
    (("restore", "--before", "2026-01-01T00:00:00Z", "--why", " "), "--why"),
    (("sites", "show", "nowhere.example"), "nowhere.example"),
    (("tenants", "suspend", "nobody", "--why", "x"), "nobody"),
    (("tenants", "resume", "there", "--why", "x"), "no operator suspended it"),
    (("tenants", "cancel", "nobody", "--why", "x"), "nobody"),
    (("queue", "cancel", "gmail", "--tenant", "nobody", "--why", "x"), "nobody"),
    (("queue", "move", "gmail", "reserve", "--why", "x"), "reserve"),
    (("queue", "move", "gmail", "usual", "--why", "x"), "leaves by the usual pool"),
    (("jobs", "cancel", JOB, "--why", "x"), "no such job"),
    (("jobs", "suspend", "nonsense", "--why", "x"), "no such job"),
    (("jobs", "list", "--state", "lost"), "lost"),
    (("report", JOB), JOB),
    (("jobs", "messages", JOB), JOB),
    (("jobs", "results", "there", "/nowhere.json"), "/nowhere.json"),
    (("jobs", "results", "there", str(EXPRESSION)), JOB),
    (("statistics", "job", JOB), JOB),
    (("statistics", "job", "nonsense"), "nonsense"),
    (("statistics", "tenant", "nobody"), "nobody"),
    (("statistics", "tenant", "there", "--by", "moon"), "moon"),
    (("statistics", "tenant", "there", "--from", "2026-02-01", "--to", "2026-01-01"), "from"),
    (("report-links", "list", JOB), JOB),
    (("report-links", "list", "nonsense"), "nonsense"),
    (("report-links", "revoke", JOB, "9f86d081884c7d65"), JOB),
    (("events", "nobody"), "nobody"),
    (("events", "there", "--type", "message.lost"), "message.lost"),
    (("events", "there", "--job", "nonsense"), "nonsense"),
    (("events", "there", "--recipient", "nonsense"), "not an address"),
    (("events", "there", "--stream", "fax"), "fax"),
    (("events", "there", "--since", "yesterday"), "--since takes 30m"),
    (("events", "there", "--until", "2026-01-31T10:00:00"), "--until takes 30m"),
    (("events", "there", "--after", "nonsense"), "not a cursor"),
    (("events", "there", "--after", OF_TWO_PARTITIONS), "not a cursor"),
    (("events", "there", "--limit", "0"), "--limit"),
    (("events", "there", "--follow", "--until", "1h"), "--until"),
    (("events", "there", "--follow", "--oldest-first"), "--oldest-first"),
    (("messages", "nobody"), "nobody"),
    (("messages", "there", "--state", "lost"), "lost"),
    (("messages", "there", "--job", "nonsense"), "nonsense"),
    (("messages", "there", "--recipient", "nonsense"), "not an address"),
    (("messages", "there", "--metadata", "crm_id"), "--metadata: "),
    (("messages", "there", "--metadata", "crm_id=17"), "send recipient, job or since"),
    (("messages", "there", "--since", "yesterday"), "--since takes 30m"),
    (("messages", "there", "--after", "nonsense"), "not a cursor"),
    (("webhooks", "enable", "wh_none"), "wh_none"),
    (("webhooks", "log", "wh_none"), "wh_none"),
    (("drops", "run", "acme/none"), "acme/none"),
    (("drops", "run", "nonsense"), "nonsense"),
    (("message", "nonsense"), "nonsense"),
    (("message", f"{JOB}.0"), f"{JOB}.0"),
    (("dead", "show", "events.0.1-0"), "events.0.1-0"),
    (("dead", "replay", "nonsense", "--why", "x"), "nonsense"),
    (("dead", "drop", "events.0.1-0", "--why", "x"), "events.0.1-0"),
    (("reply", "hello"), "hello"),
    (("rewrite", "/nowhere/mail.html"), "/nowhere/mail.html"),
    (("route", "nobody at all"), "not an address"),
    (("suppressions", "show", "there", "nonsense"), "not an address"),
    (("suppressions", "show", "nobody", "ana@exemple.fr"), "nobody"),
    (("suppressions", "list", "nobody"), "nobody"),
    (("suppressions", "list"), "--everybody"),
    (("suppressions", "add", "ana@exemple.fr"), "--everybody"),
    (("suppressions", "add", "there", "ana@exemple.fr", "--everybody"), "--everybody"),
    (("suppressions", "add", "nobody", "ana@exemple.fr"), "nobody"),
    (("suppressions", "add", "there", "nonsense"), "not an address"),
    (("suppressions", "add", "there", "*@exemple.fr"), "estafette rules put"),
    (("suppressions", "add", "there", "ana@exemple.fr", "--reason", "fun"), "fun"),
    (("suppressions", "add", "there", "ana@exemple.fr", "--scope", "fun"), "list:"),
    (("suppressions", "add", "there", "ana@exemple.fr", "--channel", "fax"), "fax"),
    (("suppressions", "add", "there", "ana@exemple.fr", "--until", "tomorrow"), "tomorrow"),
    (("suppressions", "add", "there", "ana@exemple.fr", "--until", "2020-01-31T10:00:00Z"), "has passed"),
    (("suppressions", "add", "there", "ana@exemple.fr", "--note", "x" * 1001), "1000"),
    (("suppressions", "remove", "nobody", "ana@exemple.fr"), "nobody"),
    (("suppressions", "remove", "there", "ana@exemple.fr"), "not on the list of there"),
    (("suppressions", "remove", "ana@exemple.fr", "--everybody"), "not on the list of all tenants"),
    (("escalation", "show", "nobody"), "nobody"),
    (("escalation", "set", "nobody", "--soft-bounces", "3/15"), "nobody"),
    (("escalation", "set", "there"), "--soft-bounces"),
    (("escalation", "set", "there", "--mailbox-full", "many"), "'many'"),
    (("escalation", "set", "there", "--mailbox-full", "99/15"), "mailbox_full"),
    (("escalation", "reset", "nobody"), "nobody"),
    (("templates", "list", "nobody"), "nobody"),
    (("templates", "show", "there", "welcome"), "no template 'welcome'"),
    (("templates", "show", "there", "welcome", "--version", "0"), "--version"),
    (("templates", "put", "nobody", "welcome", str(TEMPLATE)), "nobody"),
    (("templates", "put", "there", "wel come", str(TEMPLATE)), "not the name of a template"),
    (("templates", "put", "there", "welcome", "/nowhere.json"), "/nowhere.json"),
    (("templates", "put", "there", "welcome", str(RULES)), "not JSON"),
    (("templates", "put", "there", "welcome", str(BROKEN_TEMPLATE)), "line 2"),
    (("pressure", "show", "nobody"), "nobody"),
    (("pressure", "show", "there", "ana"), "not an address"),
    (("pressure", "set", "nobody", "2/1"), "nobody"),
    (("pressure", "set", "there"), "2/1"),
    (("pressure", "set", "there", "often"), "'often'"),
    (("pressure", "set", "there", "2/0"), "days"),
    (("pressure", "set", "there", "2/1", "3/1"), "1 days"),
    (("pressure", "off", "nobody"), "nobody"),
    (("once", "list", "nobody"), "nobody"),
    (("once", "show", "nobody", "autumn-2026"), "nobody"),
    (("once", "find", "nobody", "autumn-2026", "ana@exemple.fr"), "nobody"),
    (("once", "find", "there", "autumn-2026", "ana"), "not an address"),
    (("once", "find", "there", "autumn-2026"), "--key"),
    (("once", "find", "there", "autumn-2026", "ana@exemple.fr", "--key", "order-4711"), "--key"),
    (("seeds", "list", "nobody"), "nobody"),
    (("seeds", "set", "there"), "seeds off"),
    (("seeds", "set", "nobody", "a@x.test"), "nobody"),
    (("seeds", "set", "there", "a@x.test", "check"), "check: not an address"),
    (("seeds", "set", "there", "a@x.test", "A@X.test"), "in the list already"),
    (("seeds", "set", "there", *(f"a{n}@x.test" for n in range(101))), "100"),
    (("seeds", "off", "nobody"), "nobody"),
    (("lists", "list", "nobody"), "nobody"),
    (("lists", "show", "there", "nonsense"), "not an address"),
    (("lists", "members", "nobody", "news"), "nobody"),
    (("lists", "join", "there", "x" * 65, "ana@exemple.fr"), "no list can be called"),
    (("lists", "join", "there", "news", "nonsense"), "not an address"),
    (("lists", "leave", "nobody", "news", "ana@exemple.fr"), "nobody"),
    (("lists", "join", "there", "news"), "ADDRESSES"),
    (("rules", "list"), "--everybody"),
    (("rules", "list", "--tenant", "there", "--everybody"), "--everybody"),
    (("rules", "list", "--tenant", "nobody"), "nobody"),
    (("rules", "put", "*@*", "--tenant", "there"), "everybody"),
    (("rules", "put", "*@a.fr", "--tenant", "there", "--channel", "fax"), "fax"),
    (("rules", "put", "*@a.fr", "--tenant", "nobody"), "nobody"),
    (("rules", "put", "+33612345678", "--channel", "email", "--everybody"), "sms alone"),
    (("rules", "delete", "*@a.fr", "--tenant", "there"), "*@a.fr"),
    (("rules", "delete", "no*@a.fr", "--tenant", "there"), "for no part of it"),
    (("rules", "import", "/nowhere.csv", "--tenant", "there"), "/nowhere.csv"),
    (("rules", "import", __file__, "--tenant", "there"), "nothing is changed"),
    (("rules", "test", "nonsense", "--tenant", "there"), "not an address"),
    (("people", "show", "there", "nonsense"), "not an address"),
    (("people", "erase", "nobody", "ana@exemple.fr", "--yes"), "nobody"),
    (("consents", "show", "there", "nonsense"), "not an address"),
    (("consents", "show", "nobody", "ana@exemple.fr"), "nobody"),
    (("consents", "log", "nobody", "ana@exemple.fr"), "nobody"),
    (("consents", "rules", "nobody"), "nobody"),
    (("contacts", "search", "nobody"), "nobody"),
    (("contacts", "search", "there"), "this installation has no contacts: set contacts.url"),
    (("contacts", "search", "there", "--email", "nonsense"), "not an address"),
    (("contacts", "search", "there", "--mobile", "nonsense"), "no telephone"),
    (("contacts", "search", "there", "--addressable", "fax"), "fax"),
    (("segments", "list", "nobody"), "nobody"),
    (("segments", "show", "there", "x"), "SEGMENT"),
    (("segments", "sample", "there", "3", "--limit", "0"), "--limit"),
    (("contact-imports", "start", "there", "/nowhere.csv"), "/nowhere.csv"),
    (("contact-imports", "start", "there", __file__, "--column", "x"), "HEADING=FIELD"),
    (("contact-imports", "start", "there", __file__, "--charset", "fun"), "fun"),
    (("activity", "run", "nobody"), "nobody"),
    (("at-risk", "set", "nobody", "90"), "nobody"),
    (("at-risk", "set", "there", "soon"), "soon"),
    (("contact-events", "set", "there", "rumours", "on"), "rumours"),
    (("contact-events", "set", "nobody", "imports", "on"), "nobody"),
    (("suppressions", "export", "nobody"), "nobody"),
    (("suppressions", "import", "nobody", str(SUPPRESSIONS / "postmark.csv")), "nobody"),
    (("suppressions", "import", "there", "/not/there.csv"), "/not/there.csv"),
    (("suppressions", "import", "there", str(SUPPRESSIONS / "postmark.csv"), "--format", "fun"), "fun"),
    (("suppressions", "import", "there", str(SUPPRESSIONS / "postmark.csv"), "--reason", "fun"), "fun"),
    (("suppressions", "import", "there", str(SUPPRESSIONS / "postmark.csv"), "--charset", "fun"), "fun"),
    (("suppressions", "import", "there", str(SUPPRESSIONS / "postmark.csv"), "--column", "fun=x"), "fun"),
    (("suppressions", "import", "there", str(SUPPRESSIONS / "sendgrid-bounces.csv")), "format=sendgrid-blocks"),
    (("sites", "suspend", "gmail", "--why", "x", "--until", "tomorrow"), "tomorrow"),
    (("sites", "suspend", "gmail"), "--why"),
    (("sites", "suspend", "gmail", "--why", " "), "--why"),
    (("sites", "resume", "gmail", "--why", "x"), "no operator suspended it"),
    (("sites", "lift", "gmail", "--why", "x"), "nothing to lift"),
    (("trace", "--site", "gmail", "--for", "2h"), "2h"),
    (("trace", "--site", "gmail", "--for", "soon"), "soon"),
    (("trace", "--site", "gmail", "--sessions", "0"), "--sessions"),
    (("nonsense",), "nonsense"),
    (("tenants", "nonsense"), "nonsense"),
]


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def console(*words: str, **environ: str) -> Result:
    names = {name: None for name in os.environ if name.startswith(settings.PREFIX)}
    return CliRunner().invoke(cli.main, list(words), env={**names, **environ})


def said(result: Result) -> str:
    """What a command that failed printed; it did so in words."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "a fault of Estafette" not in result.output
    return result.output


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """A data directory with a master secret, as an instance has it."""
    (tmp_path / "secret.key").write_text(SECRET)
    (tmp_path / "secret.key").chmod(0o600)
    return {**ANY_METRICS_PORT, "ESTAFETTE_DATA_DIR": str(tmp_path), "ESTAFETTE_DNS_SERVERS": "127.0.0.1:1"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that wants a password, and keeps nothing."""
    server = RedisServer(tmp_path_factory.mktemp("guarded"))
    server.start()
    try:
        server.client().config_set("appendonly", "no")
        server.client().config_set("requirepass", "open sesame")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.stop()


def test_every_command_is_in_the_table() -> None:
    assert set(commands(cli.main)) == set(COMMANDS)


@pytest.mark.parametrize("words", [name for name in COMMANDS if name != "classify"])  # which asks for no setting
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("relay.route", "somewhere", "mailbox, mx, or smtp://host:port"),
        ("redis.url", "http://user:hunter2@redis.example", "redis://host:port/0"),
    ],
)
def test_a_setting_that_is_wrong_is_named_with_what_it_takes(words: str, name: str, value: str, expected: str) -> None:
    variable = f"ESTAFETTE_{name.replace('.', '_').upper()}"

    told = said(console(*words.split(), *COMMANDS[words], **{variable: value}))

    assert name in told
    assert variable in told
    assert f"expected {expected}" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("words", ASKING)
def test_redis_that_is_not_there_does_not_answer(words: str, place: dict[str, str]) -> None:
    told = said(console(*words.split(), *COMMANDS[words], **place, ESTAFETTE_REDIS_URL=NOBODY))

    assert "Redis does not answer" in told


@pytest.mark.parametrize("words", ASKING)
def test_where_there_is_no_redis_at_all_it_is_said_what_to_do(words: str, place: dict[str, str]) -> None:
    assert "set redis.url, or start `estafette run`" in said(console(*words.split(), *COMMANDS[words], **place))


@pytest.mark.parametrize("words", [*ASKING, "run"])
@pytest.mark.parametrize(
    ("userinfo", "expected"),
    [("", "wants a password (NOAUTH)"), (":hunter2@", "(WRONGPASS)"), ("ana:hunter2@", "(WRONGPASS)")],
)
def test_a_password_that_is_wrong_is_said_as_such(
    words: str, userinfo: str, expected: str, guarded: RedisServer, place: dict[str, str]
) -> None:
    url = guarded.url.replace("//", f"//{userinfo}")
    ports = {f"ESTAFETTE_{name}_PORT": str(free_port()) for name in ("HTTP", "BOUNCES", "MAILBOX")}

    told = said(console(*words.split(), *COMMANDS[words], **place, **ports, ESTAFETTE_REDIS_URL=url))

    assert expected in told
    assert "does not answer" not in told
    assert "hunter2" not in told


@pytest.mark.parametrize(("words", "named"), WRONG)
def test_what_cannot_be_is_refused_by_its_name(
    words: Sequence[str], named: str, redis_url: str, place: dict[str, str]
) -> None:
    for before in (
        ("tenants", "add", "there"),
        ("tenants", "add", "others"),
        ("domains", "add", "theirs.example", "--tenant", "others"),
    ):
        assert console(*before, **place, ESTAFETTE_REDIS_URL=redis_url).exit_code == 0

    assert named in said(console(*words, **place, ESTAFETTE_REDIS_URL=redis_url))


@pytest.mark.parametrize("words", ["domains add", "domains check", "domains reencrypt"])
@pytest.mark.parametrize("secret", [None, "not hex", "abcd", "\xff"])
def test_a_master_secret_that_cannot_be_read_is_named(
    words: str, secret: str | None, redis_url: str, tmp_path: Path
) -> None:
    environ = {"ESTAFETTE_DATA_DIR": str(tmp_path), "ESTAFETTE_REDIS_URL": redis_url}
    console("tenants", "add", "acme", **environ)
    if secret is not None:
        (tmp_path / "secret.key").write_text(secret, "latin-1")
        (tmp_path / "secret.key").chmod(0o600)

    assert str(tmp_path / "secret.key") in said(console(*words.split(), *COMMANDS[words], **environ))


def test_keys_under_another_secret_are_told_in_words(redis_url: str, place: dict[str, str], tmp_path: Path) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url}
    console("tenants", "add", "acme", **environ)
    console("domains", "add", "acme.example", "--tenant", "acme", **environ)
    (tmp_path / "secret.key").write_text(SECRET[::-1])

    assert "secret.previous_key_files" in said(console("domains", "reencrypt", **environ))


def test_what_should_not_have_happened_is_one_line_and_its_traceback_a_file(
    place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(tenants, "with_redis", broken)

    result = console("tenants", "list", **place)

    assert result.exit_code == 2
    assert "a fault of Estafette: RuntimeError" in result.output
    assert "hunter2" not in result.output
    file = Path(result.output.split()[-1])
    assert "hunter2" in file.read_text()
    file.unlink()


# What is served


@contextlib.contextmanager
def serving(service: str, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(settings.PREFIX)}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.console.console", "serve", service],
        env={**own, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        try:
            yield process
        finally:
            stop(process)


@pytest.mark.parametrize("service", ["http", "relay", "suppression"])
@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"ESTAFETTE_REDIS_REQUIRE_DURABLE": "true"}, b"redis.require_durable: this Redis may forget"),
        ({"ESTAFETTE_REDIS_WAIT_AOF": "true"}, b"redis.wait_aof (ESTAFETTE_REDIS_WAIT_AOF): this Redis is "),
        ({"ESTAFETTE_REDIS_PARTITIONS": "3"}, b"redis.partitions is 3, but the data was made with 8"),
    ],
)
def test_a_process_that_cannot_run_says_why_and_ends(
    service: str, environ: dict[str, str], expected: bytes, guarded: RedisServer, place: dict[str, str]
) -> None:
    url = guarded.url.replace("//", "//:open sesame@").replace(" ", "%20")
    whole = {**place, **environ, "ESTAFETTE_REDIS_URL": url, "ESTAFETTE_HTTP_PORT": str(free_port())}
    with RedisClient(port=guarded.port, password="open sesame") as client:
        client.set(keys.partitions(), 8)

    with serving(service, whole) as process:
        printed, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert expected in printed
    assert b"Traceback" not in printed
    assert b'"exception"' not in printed


def test_a_program_that_is_older_than_the_data_says_so_in_one_line_and_ends(
    redis_url: str, place: dict[str, str]
) -> None:
    with RedisClient.from_url(redis_url) as client:
        client.hset(keys.installation(), mapping={"id": "made-before", "schema": SCHEMA + 1})
        client.set(keys.partitions(), 8)

    with serving("queueing", {**place, "ESTAFETTE_REDIS_URL": redis_url}) as process:
        printed, _ = process.communicate(timeout=60)

    said = [line for line in printed.splitlines() if b"data of schema" in line]
    assert process.returncode == 2
    assert len(said) == 1
    assert f"redis holds data of schema {SCHEMA + 1}, and this program knows {SCHEMA}".encode() in said[0]
    assert b"Traceback" not in printed


@pytest.mark.parametrize("service", ["http", "bounces", "mailbox"])
def test_a_port_that_is_taken_is_said_without_a_traceback(
    service: str, redis_url: str, guarded: RedisServer, place: dict[str, str]
) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url, f"ESTAFETTE_{service.upper()}_PORT": str(guarded.port)}

    with serving(service, environ) as process:
        printed, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert str(guarded.port).encode() in printed
    assert b"Traceback" not in printed


@pytest.mark.parametrize("service", ["http", "queueing"])
def test_a_process_that_redis_does_not_let_in_says_so_and_waits(
    service: str, guarded: RedisServer, place: dict[str, str]
) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": guarded.url, "ESTAFETTE_HTTP_PORT": str(free_port())}

    with serving(service, environ) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if b"not_ready" in line)

        assert b"wants a password (NOAUTH)" in line
        assert process.poll() is None


# What an operator sees


def test_a_person_is_shown_erased_and_shown_as_erased(redis_url: str, place: dict[str, str]) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url}
    console("tenants", "add", "acme", **environ)

    before = console("people", "show", "acme", "ana@exemple.fr", **environ)
    erased = console("people", "erase", "acme", "ana@exemple.fr", "--yes", **environ)
    after = console("people", "show", "acme", "ana@exemple.fr", **environ)

    assert (before.exit_code, erased.exit_code, after.exit_code) == (1, 0, 0)
    assert "nothing is kept" in before.output
    assert "erasing: 0 entries" in erased.output
    assert "not done yet" in after.output


def test_a_check_that_finds_something_has_exit_code_1(redis_url: str, place: dict[str, str]) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url}
    console("tenants", "add", "acme", **environ)
    console("domains", "add", "acme.example", "--tenant", "acme", **environ)

    checked = console("domains", "check", "acme.example", **environ)
    doctor = console("doctor", **environ)
    absent = console("suppressions", "show", "acme", "ana@exemple.fr", **environ)
    none_dead = console("dead", "list", **environ)

    assert (checked.exit_code, doctor.exit_code, absent.exit_code, none_dead.exit_code) == (1, 1, 1, 0)
    assert "not as they should be: " in checked.output
    assert "none holds a lease: no mail is sent" in doctor.output
    assert "is not on the list of acme" in absent.output


def test_lists_are_joined_left_and_shown(redis_url: str, place: dict[str, str]) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url}
    console("tenants", "add", "acme", **environ)
    console("rules", "put", "*@b.example", "--tenant", "acme", **environ)

    joined = console("lists", "join", "acme", "news", "Ana@a.example", "bo@b.example", **environ)
    left = console("lists", "leave", "acme", "news", "ana@a.example", **environ)
    listed = json.loads(console("lists", "list", "acme", "--json", **environ).output)
    members = json.loads(console("lists", "members", "acme", "news", "--json", **environ).output)
    shown = json.loads(console("lists", "show", "acme", "ana@a.example", "--json", **environ).output)
    nowhere = console("lists", "show", "acme", "cleo@a.example", **environ)

    assert joined.exit_code == 1
    assert [line.split() for line in joined.output.splitlines()[1:]] == [
        ["ana@a.example", "joined", "-", "-"],
        ["bo@b.example", "joined", "-", "rule"],
    ]
    assert left.output == "1 left news\n"
    assert listed == [{"name": "news", "members": 1, "left": 1}]
    assert [one["address"] for one in members] == ["bo@b.example"]
    assert [(one["list"], one["state"], one["stopped"]) for one in shown] == [("news", "left", "unsubscribed")]
    assert nowhere.exit_code == 1


def test_rules_are_put_tried_exported_and_read_back(redis_url: str, place: dict[str, str], tmp_path: Path) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url}
    file, wrong = tmp_path / "rules.csv", tmp_path / "wrong.txt"
    wrong.write_text("*@a.example\n*@*\n")
    console("tenants", "add", "acme", **environ)

    imported = console("rules", "import", str(RULES), "--tenant", "acme", **environ)
    console("rules", "put", "*@A.example", "--everybody", "--note", "=court order", **environ)
    console("rules", "put", "+33612345678", "--tenant", "acme", **environ)
    refused = console("rules", "import", str(wrong), "--tenant", "acme", **environ)
    tried = json.loads(console("rules", "test", "Contact@a.example", "--tenant", "acme", "--json", **environ).output)
    file.write_text(console("rules", "export", "--tenant", "acme", **environ).output)
    again = console("rules", "import", str(file), "--tenant", "acme", "--replace", **environ)
    deleted = console("rules", "delete", "contact@*", "--tenant", "acme", **environ)

    assert imported.output == "2 added, 0 changed, 0 unchanged, 0 removed\n"
    assert "line 2: '*@*' is no rule: it would stop everybody" in said(refused)
    assert [(one["tenant"], one["pattern"]) for one in tried] == [("", "*@a.example"), ("acme", "contact@*")]
    assert again.output == "0 added, 0 changed, 3 unchanged, 0 removed\n"
    assert deleted.exit_code == 0
    assert console("rules", "export", "--text", "--tenant", "acme", **environ).output == (
        "*@competitor.example\n+33612345678\n"
    )
    assert "'=court order" in console("rules", "export", "--everybody", **environ).output
    assert console("rules", "test", "bo@b.example", "--tenant", "acme", **environ).exit_code == 1


def test_templates_are_put_listed_and_shown_as_they_may_be_put_again(
    redis_url: str, place: dict[str, str], tmp_path: Path
) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url}
    console("tenants", "add", "acme", **environ)

    first = console("templates", "put", "acme", "welcome", str(TEMPLATE), **environ)
    shown = console("templates", "show", "acme", "welcome", **environ)
    (again := tmp_path / "again.json").write_text(shown.output)
    second = console("templates", "put", "acme", "welcome", str(again), **environ)
    listed = json.loads(console("templates", "list", "acme", "--json", **environ).output)

    assert (first.output, second.output) == ("stored: welcome, version 1\n", "as it was: welcome, version 1\n")
    assert json.loads(shown.output)["subject"] == "Bienvenue {{ prenom }}"
    assert [(one["name"], one["version"], one["languages"]) for one in listed] == [("welcome", 1, ["de", "fr"])]
    assert "Bienvenue" in console("templates", "list", "acme", **environ).output


def test_operations_are_listed_by_name_and_whom_they_reached_is_found(redis_url: str, place: dict[str, str]) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url, "ESTAFETTE_REDIS_PARTITIONS": "4"}
    job, moment = ids.new_job_id(now_ms(), bytes(6), 4, 2), now_ms()
    ana, order = operations.identity("ana@exemple.fr"), operations.identity("bo@exemple.fr", "order-4711")

    async def count() -> None:
        client = redis.connect(redis_url)
        await JobStore(client, 4, max_intake_chunks=5).store(
            job, new_job(total=3, tenant="acme", once="autumn-2026"), [], "queueing"
        )
        for at_ms, of, ordinal, who, name in (
            (moment - 5_000, job, 0, ana, "autumn-2026"),
            (moment, job, 2, order, "autumn-2026"),
            (moment - 9_000, "gone", 0, ana, "winter"),
        ):
            marks = [Mark(ordinal, operations.place(who, operations.half(name)))]
            assert await Once(client, 4).count("acme", of, marks, at_ms) == [True]
        await redis.close(client)

    def find(*words: str) -> Result:
        return console("once", "find", "acme", *words, **environ)

    console("tenants", "add", "acme", **environ)
    none = console("once", "list", "acme", **environ)
    asyncio.run(count())
    listed = json.loads(console("once", "list", "acme", "--json", **environ).output)
    shown = json.loads(console("once", "show", "acme", "autumn-2026", "--json", **environ).output)
    keyed = json.loads(find("autumn-2026", "--key", "order-4711", "--json").output)

    assert (none.exit_code, none.output) == (0, "no operation of acme holds a place\n")
    assert [(one["operation"], one["places"]) for one in listed] == [("autumn-2026", 2), (None, 1)]
    assert f"(digest {listed[1]['digest']})" in console("once", "list", "acme", **environ).output
    assert shown == {name: value for name, value in listed[0].items() if name != "digest"}
    assert shown["last_counted"] == keyed["counted"] == rfc3339(moment // 1000 * 1000)
    assert shown["last_ends"] == keyed["ends"] == rfc3339(moment // 1000 * 1000 + operations.LIFETIME_S * 1000)
    assert keyed["message"] == f"{job}.2"
    assert f"by {job}.0, until " in find("autumn-2026", "Ana@exemple.fr").output
    assert "by a message of a job that is gone" in find("winter", "ana@exemple.fr").output
    assert (find("autumn-2026", "bo@exemple.fr").exit_code, find("Autumn-2026", "ana@exemple.fr").exit_code) == (1, 1)
    assert console("once", "show", "acme", "spring", **environ).exit_code == 1
    assert (
        "once     messages of operations: 2, " in console("people", "show", "acme", "ana@exemple.fr", **environ).output
    )


def test_a_dead_entry_is_found_shown_and_dropped(redis_url: str, place: dict[str, str]) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url}
    with RedisClient.from_url(redis_url) as client:
        fields = {"t": "Delivered", "v": 2, "b": b"x", "reason": "too new", "origin": "o"}
        client.xadd(keys.dead(keys.events(0)), fields)

    listed = console("dead", "list", "--json", **environ)
    (entry,) = json.loads(listed.output)
    shown = json.loads(console("dead", "show", entry["entry"], **environ).output)
    kept = console("dead", "replay", entry["entry"], "--why", "try", **environ)
    dropped = console("dead", "drop", entry["entry"], "--why", "of no use", **environ)

    assert listed.exit_code == 1
    assert (shown["reason"], shown["message"]) == ("too new", None)
    assert "cannot be understood" in said(kept)
    assert dropped.exit_code == 0
    assert console("dead", "list", **environ).output == ""


def test_a_route_tells_where_a_mail_would_go_and_what_would_hold_it(redis_url: str, place: dict[str, str]) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url, "ESTAFETTE_RELAY_ROUTE": "smtp://127.0.0.1:2599"}
    console("tenants", "add", "acme", **environ)

    free = console("route", "ana@exemple.fr", "--tenant", "acme", "--json", **environ)
    console("sites", "suspend", "route:127.0.0.1:2599", "--why", "it is being moved", **environ)
    held = console("route", "ana@exemple.fr", "--tenant", "acme", **environ)

    found = json.loads(free.output)
    assert (found["site"], found["pool"], found["would"]) == ("route:127.0.0.1:2599", "default", ["be sent"])
    assert (free.exit_code, held.exit_code) == (0, 1)
    assert "wait: suspended until somebody ends it" in held.output


def test_which_named_route_and_why_is_told(redis_url: str, place: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    login = 'username = "ana"\npassword_file = "/etc/estafette/nobody.reads.it"'
    route = f'[route.ses]\nhost = "smtp.example.net"\n{login}\nrate = "14/s"\nconnections = 3\n'
    rules = '[[rule]]\nroute = "default"\ntenant = "own"\n[[rule]]\nroute = "ses"\nfrom = "*.acme.example"\n'
    file.write_text(route + rules, "utf-8")
    mailbox = {"ESTAFETTE_RELAY_ROUTE": "smtp://127.0.0.1:2599", "ESTAFETTE_RELAY_ROUTES_FILE": str(file)}
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url, **mailbox}

    def asked(*words: str) -> dict[str, object]:
        return dict(json.loads(console("route", "ana@exemple.fr", *words, "--json", **environ).output))

    found = asked("--from", "news.acme.example")
    assert found["route"] == "ses: rule 2 of relay.routes_file (from *.acme.example)"
    assert (found["site"], found["hosts"]) == ("route:ses", ["smtp.example.net:587"])
    assert found["limits"] == "3 connections; messages 14/s"
    assert str(found["encryption"]).startswith("['route ses: STARTTLS, to the name")
    assert str(found["encryption"]).endswith("'login: ana']")
    assert str(asked("--tenant", "own")["route"]).startswith("default: rule 1 of")
    assert (asked()["route"], asked()["site"]) == ("as relay.route says", "route:127.0.0.1:2599")


def test_where_dns_does_not_answer_a_route_says_so(redis_url: str, place: dict[str, str]) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url, "ESTAFETTE_RELAY_ROUTE": "mx"}

    shown = console("route", "ana@exemple.fr", **environ)

    assert "wait: DNS does not answer" in shown.output
    assert shown.exit_code == 1


@pytest.mark.parametrize(
    ("line", "rule", "outcome", "about"),
    [
        ("550 5.1.1 User unknown", None, ("bounce", "hard"), "recipient"),
        ("250 2.0.0 ok", None, ("deliver", None), None),
        (
            "421 4.7.0 [TSS04] Messages temporarily deferred due to user complaints",
            "yahoo",
            ("defer", "block"),
            "sender",
        ),
        (
            "host mx.example.com said: 550 No such user (in reply to MAIL FROM command)",
            None,
            ("bounce", "block"),
            "sender",
        ),
    ],
)
def test_a_reply_is_told_with_its_rule_its_outcome_and_whom_it_is_about(
    line: str, rule: str | None, outcome: tuple[str, str | None], about: str | None
) -> None:
    found = json.loads(console("reply", line, "--site", "yahoo", "--stage", "dot", "--json").output)

    assert (found["rule"] or "").startswith(rule or "")
    assert (found["outcome"], found["kind"]) == outcome
    assert found["about"] == about


def test_a_file_is_rewritten_and_its_links_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "mail.html"
    source = b'<p>\xe9</p>\r\n<!--[if mso]><a href="https://a.fr">x</a><![endif]--><a href="#b">y</a>\r\n'
    file.write_bytes(source)

    written = console("rewrite", str(file), "--base-url", "https://t.fr", "--utm-source", "x")
    listed = json.loads(console("rewrite", str(file), "--json").output)

    assert written.exit_code == 0
    before, _, after = source.partition(b"https://a.fr")
    assert re.fullmatch(re.escape(before) + rb"https://t\.fr/c/[\w-]+" + re.escape(after), written.stdout_bytes)
    assert [(one["position"], one["line"], one["value"], one["tracked"]) for one in listed] == [
        (0, 2, "https://a.fr", True),
        (1, 2, "#b", False),
    ]


def test_a_file_of_which_no_job_could_be_made_is_printed_and_its_faults_are_told(tmp_path: Path) -> None:
    file = tmp_path / "mail.html"
    file.write_text("<a href='{{ a }}' {{ b }}=\"c\">")

    result = console("rewrite", str(file))

    assert result.exit_code == 1
    assert "line 1" in result.stderr


def test_the_version_is_told() -> None:
    result = console("--version")

    assert result.exit_code == 0
    assert result.output.startswith("estafette ")


def test_a_list_comes_in_from_a_file_and_goes_out_as_one(redis_url: str, place: dict[str, str], tmp_path: Path) -> None:
    environ = {**place, "ESTAFETTE_REDIS_URL": redis_url}
    console("tenants", "add", "acme", **environ)
    console("tenants", "add", "other", **environ)
    file, report, out = tmp_path / "list.csv", tmp_path / "report.csv", tmp_path / "out.csv"
    file.write_text("Mail;Abo\nana@exemple.fr;Non\nbo@exemple.fr;Non\nbo@exemple.fr;Oui\nbad;Non\n", "utf-8")
    words = ("--column", "email=Mail", "--column", "optin=Abo", "--report", str(report))

    dry = console("suppressions", "import", "acme", str(file), "--dry-run", *words, **environ)
    empty = console("suppressions", "export", "acme", **environ)
    done = console("suppressions", "import", "acme", str(file), *words, "--json", **environ)
    exported = console("suppressions", "export", "acme", "--delimiter", "tab", **environ)
    out.write_text(exported.stdout, "utf-8", newline="")
    again = console("suppressions", "import", "other", str(out), "--json", **environ)

    assert (dry.exit_code, done.exit_code, again.exit_code) == (1, 1, 0)
    assert "4 lines read, nothing was changed (list, utf-8" in dry.output
    assert len(empty.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["counts"]["listed"] == 1
    assert [line.split(",")[2] for line in report.read_text("utf-8").splitlines()] == ["result", "replaced", "refused"]
    assert exported.stdout.splitlines()[1].startswith("ana@exemple.fr\temail\tmarketing\tunsubscribed\timport\t")
    assert console("suppressions", "export", "other", "--delimiter", "tab", **environ).stdout == exported.stdout
