"""`estafette demo`: a campaign of 1,000 recipients through the running instance, by its public front doors alone.

The mailbox plays the recipients: some do not exist, some are full, some refuse us, some bounce or complain afterwards.
What people do is really done: their pixel is fetched, their links are followed, their one-click unsubscribe is posted,
as found in the mails on the mailbox page. In the end the report must say what was done, and its figures must add up.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import click

from shared.process.settings import Settings

RECIPIENTS = 1_000
#: How many recipients behave how, by the beginning of their local part (`shared.words.behaviours`). With more
#: bad addresses a breaker would stop the job, and with more complaints soon the bulk of the tenant.
CAST = {"unknown": 20, "full": 10, "blocked": 10, "bounce-later": 8, "complain": 1}
#: The cast is spread over the campaign: each next one stands 0.618 of it further on (the golden ratio spreads best).
STRIDE = 609
#: Recipients who stand in the campaign twice, and recipients who are on the suppression list before it.
TWICE, LEFT_BEFORE = 2, 10
#: Of a hundred who got the mail.
OPEN, CLICK, LEAVE = 40, 12, 2
#: Requests at a time: a campaign's recipients do not open it one after the other.
AT_ONCE = 20
#: The campaign, what people do and what follows to the return path take some seconds; then something is wrong.
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.3
#: Whoever clicks sooner after a delivery is taken for a machine (`reports.soon_ms`).
READ_SECONDS = 1.5
#: A person's browser, so that opens and clicks count as a person's.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

_PIXEL = re.compile(r"""src=["']([^"']+/o/[^"']+)["']""")
_HTML = """\
<h1>Les chouettes de {{ ville }}</h1>
<p>Bonjour {{ prenom }}, voici le programme de la semaine.</p>
<p><a href="https://www.python.org/">Le programme</a> · <a href="https://redis.io/">Les inscriptions</a></p>
<p><a href="{{ unsubscribe_url }}">Se désinscrire</a></p>
"""


class DemoFailed(Exception):
    """The message says what went wrong."""


@dataclass
class Done:
    """What was really done, by the ordinals of the recipients."""

    received: set[int] = field(default_factory=set)
    opened: set[int] = field(default_factory=set)
    clicked: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)


def run(settings: Settings) -> None:
    """Prints as it goes; DemoFailed if the instance does not run or its report is wrong."""
    data = settings.data.path
    try:
        base = (data / "http.url").read_text("ascii").strip()
        key = (data / "demo.key").read_text("ascii").strip()
    except FileNotFoundError:
        raise DemoFailed(f"nothing runs in {data.resolve()}: `make run` in another terminal, then again") from None
    if settings.relay.route != "mailbox" or settings.relay.routes_file:
        raise DemoFailed("mail goes elsewhere than to the mailbox (relay.route, relay.routes_file): no demo then")
    try:
        asyncio.run(_run(base, key))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise DemoFailed(f"{base} does not answer: {error!r}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


async def _run(base: str, key: str) -> None:
    async with _session() as http:
        api = Api(http, base, key)
        if (reason := await api.why_not_ready()) is not None:
            raise DemoFailed(f"{base} is not ready: {reason}")
        run_id = (await api.position())[-8:]
        recipients = addressees(run_id)
        for recipient in recipients[-LEFT_BEFORE:]:
            await api.suppress(recipient["email"])
        job = await api.send(campaign(recipients + recipients[:TWICE]))
        click.echo(f"job {job}: {len(recipients) + TWICE:,} recipients")
        done = Done()
        report = await _follow(api, job, done)
        click.echo(table(report, done))
        if faults := check(report, done):
            raise DemoFailed("the report is wrong:\n" + "\n".join(f"  {fault}" for fault in faults))
        click.echo(f"Every figure adds up. The mails are at {base}/mailbox, the report at {base}/v1/jobs/{job}")


def addressees(run_id: str) -> list[dict[str, Any]]:
    """The recipients but for those that stand there twice; new addresses at each run, for some never come back."""
    cast = [kind for kind, number in CAST.items() for _ in range(number)]
    kinds = ["chouette"] * (RECIPIENTS - TWICE)
    for place, kind in enumerate(cast):
        kinds[place * STRIDE % (len(kinds) - LEFT_BEFORE)] = kind
    return [
        {
            "email": f"{kind}.{number}.{run_id}@{('hulotte', 'effraie', 'hibou')[number % 3]}.example",
            "variables": {"prenom": f"Ana {number}", "ville": ("Lyon", "Lille", "Nantes")[number % 3]},
        }
        for number, kind in enumerate(kinds)
    ]


def campaign(recipients: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "from": "Chouette <news@chouette.example>",
        "subject": "{{ prenom }}, le programme de {{ ville }}",
        "html": _HTML,
        "tags": ["demo"],
        "recipients": recipients,
    }


class Api:
    """What a customer of the running instance calls, and what people in front of their mails do."""

    def __init__(self, http: aiohttp.ClientSession, base: str, key: str) -> None:
        self._http = http
        self._base = base
        self._headers = {"Authorization": f"Bearer {key}"}
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def why_not_ready(self) -> str | None:
        async with self._http.get(f"{self._base}/readyz") as answer:
            return None if answer.status == 200 else (await answer.text()).strip()

    async def send(self, job: Mapping[str, Any]) -> str:
        return str((await self._call("POST", "/v1/jobs", job))["id"])

    async def suppress(self, address: str) -> None:
        await self._call("PUT", f"/v1/suppressions/{address}", {"reason": "manual"})

    async def report(self, job: str) -> dict[str, Any]:
        return await self._call("GET", f"/v1/jobs/{job}")

    async def position(self) -> str:
        """Where the mailbox ends now."""
        after = ""
        while True:
            page = await self._call("GET", f"/mailbox/messages.json?limit=1000&after={after}")
            if not page["messages"]:
                return str(page["next"] or "0")
            after = page["next"]

    async def mails(self, after: str) -> tuple[list[dict[str, Any]], str]:
        """What came since, and where to go on."""
        page = await self._call("GET", f"/mailbox/messages.json?limit=200&after={after}")
        return page["messages"], page["next"]

    async def open(self, mail: Mapping[str, Any]) -> None:
        async with self._gate, self._http.get(f"{self._base}/mailbox/{mail['id']}/html") as page:
            pixel = _PIXEL.search(await page.text())
        if pixel is None:
            raise DemoFailed(f"the mail {mail['id']} has no pixel")
        await self._visit("GET", pixel[1].replace("&amp;", "&"), 200)

    async def click(self, mail: Mapping[str, Any]) -> None:
        await asyncio.sleep(READ_SECONDS)
        links = [link for link in mail["links"] if urlsplit(link).path.startswith("/c/")]
        # Two of three people take the first link, one the last.
        await self._visit("GET", links[0] if len(mail["to"][0]) % 3 else links[-1], 302)

    async def leave(self, mail: Mapping[str, Any]) -> None:
        await self._visit("POST", mail["one_click"], 200, {"List-Unsubscribe": "One-Click"})

    async def _visit(self, method: str, url: str, expected: int, form: Mapping[str, str] | None = None) -> None:
        async with self._gate, self._http.request(method, url, data=form, allow_redirects=False) as answer:
            if answer.status != expected:
                raise DemoFailed(f"{method} {url} answered {answer.status}, not {expected}")

    async def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Again while storage does not answer, as the problem says: with the same key nothing is done twice."""
        url = f"{self._base}{path}"
        headers = {**self._headers, "Idempotency-Key": secrets.token_hex(16)}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while True:
            async with self._http.request(method, url, json=body, headers=headers) as answer:
                if answer.status < 400:
                    content: dict[str, Any] = await answer.json() if answer.status != 204 else {}
                    return content
                if answer.status != 503 or loop.time() > deadline:
                    raise DemoFailed(f"{method} {path} answered {answer.status}: {(await answer.text())[:500]}")
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": USER_AGENT}) as http:
        yield http


async def _follow(api: Api, job: str, done: Done) -> dict[str, Any]:
    """Until the report says what was done, or patience ends: it is what `check` is for."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    after = ""
    report: dict[str, Any] = {}
    with click.progressbar(length=RECIPIENTS, label="sending") as bar:
        while loop.time() < deadline:
            mails, after = await api.mails(after)
            await asyncio.gather(*(_live(api, mail, job, done) for mail in mails))
            if mails:
                continue
            report = await api.report(job)
            if stopped := report.get("stopped"):
                raise DemoFailed(_why_stopped(stopped))
            bar.update(_settled(report) - bar.pos)
            if not check(report, done):
                return report
            await asyncio.sleep(POLL_SECONDS)
    return report


async def _live(api: Api, mail: Mapping[str, Any], job: str, done: Done) -> None:
    """What a recipient does with the mail, decided by the recipient's number."""
    sent, _, rest = mail["message_id"].strip("<>").partition(".")
    if sent != job:
        return
    ordinal = int(rest.partition(".")[0])  # then its signature and the domain
    done.received.add(ordinal)
    share = ordinal * 37 % 100  # spreads the hundredths over the recipients
    doings: tuple[tuple[int, Callable[[Mapping[str, Any]], Any], set[int]], ...] = (
        (OPEN, api.open, done.opened),
        (CLICK, api.click, done.clicked),
        (LEAVE, api.leave, done.left),
    )
    for part, do, who in doings:
        if share < part:
            await do(mail)
            who.add(ordinal)


def _why_stopped(stopped: Mapping[str, Any]) -> str:
    figures = f"{stopped['reason']}, {stopped['bad']} of {stopped['of']}"
    return (
        f"a breaker stopped {stopped['name']} ({figures}). To go on: `estafette stops consent {stopped['name']}`, then"
        f" POST /v1/stops/{stopped['name']}/resume"
    )


def _settled(report: Mapping[str, Any]) -> int:
    counts = report["counts"]
    waiting = counts["pending"] - counts["deferred"]["current"]
    return int(counts["accepted"] + counts["rejected"] + counts["suppressed"]["at_queueing"] - waiting)


def check(report: Mapping[str, Any], done: Done) -> list[str]:
    """What does not add up in the report, or is not what was done."""
    counts = report["counts"]
    bounced, suppressed, deferred = counts["bounced"], counts["suppressed"], counts["deferred"]
    refused = CAST["unknown"] + CAST["blocked"]
    equations = (
        ("recipients", report["total"], RECIPIENTS),
        ("recipients by fate", counts["accepted"] + counts["rejected"] + suppressed["at_queueing"], RECIPIENTS),
        (
            "accepted by state",
            counts["delivered"]
            + bounced["total"]
            + counts["expired"]
            + counts["failed"]
            + suppressed["at_attempt"]
            + counts["cancelled"]["later"]
            + counts["pending"],
            counts["accepted"],
        ),
        ("bounced by kind", bounced["hard"] + bounced["soft"] + bounced["block"], bounced["total"]),
        ("rejected", counts["rejected"], TWICE),
        ("suppressed", suppressed["total"], LEFT_BEFORE),
        ("bounced", bounced["total"], refused + CAST["bounce-later"]),
        ("bounced late", bounced["late"], CAST["bounce-later"]),
        ("waiting", counts["pending"], CAST["full"]),
        ("deferred", deferred["current"], CAST["full"]),
        ("delivered, of what the mailbox got", counts["delivered"] + bounced["late"], len(done.received)),
        ("opened", counts["opens"]["unique"], len(done.opened)),
        ("clicked", counts["clicks"]["unique"], len(done.clicked)),
        ("unsubscribed", counts["unsubscriptions"], len(done.left)),
        ("complained", counts["complaints"], CAST["complain"]),
    )
    return [f"{what}: {found:,}, expected {expected:,}" for what, found, expected in equations if found != expected]


def table(report: Mapping[str, Any], done: Done) -> str:
    """The report for people."""
    counts, rates = report["counts"], report["rates"]
    bounced, suppressed = counts["bounced"], counts["suppressed"]

    def rate(name: str) -> str:
        return "" if rates[name] is None else f"{rates[name]:.1%}"

    rows = (
        ("recipients", report["total"], ""),
        ("  rejected (there twice)", counts["rejected"], ""),
        ("  suppressed (left before)", suppressed["at_queueing"], ""),
        ("  accepted", counts["accepted"], ""),
        ("    delivered", counts["delivered"], rate("delivered")),
        ("    bounced", bounced["total"], rate("bounced")),
        ("      of them: no such address", bounced["hard"], ""),
        ("      of them: for now", bounced["soft"], ""),
        ("      of them: about us", bounced["block"], ""),
        ("    expired", counts["expired"], ""),
        ("    failed", counts["failed"], ""),
        ("    suppressed at the attempt", suppressed["at_attempt"], ""),
        ("    deferred, tried again later", counts["pending"], ""),
        ("opened", counts["opens"]["unique"], rate("opened")),
        ("clicked", counts["clicks"]["unique"], rate("clicked")),
        *((f"  {link['url']}", link["unique"], "") for link in report["links"]),
        ("unsubscribed", counts["unsubscriptions"], rate("unsubscribed")),
        ("complained", counts["complaints"], rate("complained")),
    )
    width = max(len(name) for name, _, _ in rows)
    lines = [f"  {name:<{width}}  {number:>6,}  {share:>6}".rstrip() for name, number, share in rows]
    return "\n".join(("", *lines, "", f"  {len(done.received):,} mails seen in the mailbox", ""))
