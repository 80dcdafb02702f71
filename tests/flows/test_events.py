"""What happened, through the front doors: each tenant is told its own and nothing else; a page costs what it shows; who
follows live misses nothing and sees nothing twice when the server dies; an operator reads the same at the console."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.flows.stack import PATIENCE_SECONDS, Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Who gets mail of everybody.
SHARED = "shared@events.test"
#: Of a job of one tenant, beside which the five of another are looked for.
MANY = 400
#: Of the job in the middle of which the server dies.
KILLED = 60


class Tenant:
    """What one of them sends and is told."""

    def __init__(self, stack: Stack, name: str, key: str) -> None:
        self.stack, self.name, self.key = stack, name, key

    @classmethod
    async def of(cls, stack: Stack, name: str) -> "Tenant":
        key = await stack.new_key(name, "send,read,admin")
        await stack.console("domains", "add", f"{name}.example", "--tenant", name)
        return cls(stack, name, key)

    async def send(self, *emails: str, **fields: Any) -> str:
        body = job(*emails, **{"from": f"News <news@{self.name}.example>", **fields})
        status, answer = await self.stack.answered("POST", "/v1/jobs", body, key=self.key)
        assert status == 202, answer
        return str(answer["id"])

    async def get(self, path: str, **query: str | int) -> tuple[int, Any]:
        return await self.stack.answered("GET", path, params=query, key=self.key)

    async def events(self, **query: str | int) -> list[dict[str, Any]]:
        """All of them, page by page."""
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            status, page = await self.get("/v1/events", **{"limit": 1000, **query, **after})
            assert status == 200, page
            found += page["events"]
            if not page["more"]:
                return found
            after = {"after": page["next"]}

    async def told(self, *jobs: str) -> None:
        """Returns once the feed has that all these jobs have ended."""

        async def ended() -> bool:
            return set(jobs) <= {event["job"] for event in await self.events(type="job.finished")}

        await self.stack.until(ended)

    async def now(self) -> str:
        return str((await self.get("/v1/events", after="now"))[1]["next"])

    @asynccontextmanager
    async def live(self, seen: str) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {self.key}", "Last-Event-ID": seen}
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        url = f"{self.stack.base}/v1/events/live"
        async with self.stack.session.get(url, headers=headers, timeout=timeout) as answer:
            assert answer.status == 200
            yield answer


class Followed(NamedTuple):
    """What came up to the last id, that id, and what came behind it, which comes again."""

    seen: str
    events: list[dict[str, Any]]
    loose: list[dict[str, Any]]


async def follow(tenant: Tenant, seen: str, enough: Callable[[list[dict[str, Any]]], bool]) -> Followed:
    """Reads as a browser does, until `enough` says so or the connection breaks."""
    events: list[dict[str, Any]] = []
    loose: list[dict[str, Any]] = []
    with_id = ""
    try:
        async with tenant.live(seen) as answer:
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                with_id = value if name == "id" else with_id
                loose += [json.loads(value)] if name == "data" else []
                if not name and with_id:  # the end of an event that has an id
                    seen, with_id, events, loose = with_id, "", events + loose, []
                if enough(events + loose):
                    break
    except aiohttp.ClientError:
        pass
    return Followed(seen, events, loose)


def ids(events: list[dict[str, Any]]) -> list[str]:
    return sorted(event["event_id"] for event in events)


async def test_promise_7_what_one_tenant_does_is_in_nothing_that_another_is_told(stack: Stack) -> None:
    ours, theirs = await Tenant.of(stack, "ours"), await Tenant.of(stack, "theirs")
    starts = [await one.now() for one in (ours, theirs)]
    same: dict[str, Any] = {"list": "news", "tags": ["soldes"], "category": "promotion"}

    sent = await asyncio.gather(
        ours.send(SHARED, "a@ours.test", **same),
        theirs.send(SHARED, "b@theirs.test", "c@theirs.test", **same),
    )
    for one, name in ((ours, sent[0]), (theirs, sent[1])):
        await one.told(name)

    for one, mine, other, start, messages in (
        (ours, sent[0], sent[1], starts[0], 2),
        (theirs, sent[1], sent[0], starts[1], 3),
    ):
        for query in ({}, {"recipient": SHARED}, {"list": "news"}, {"tag": "soldes"}, {"order": "newest"}):
            assert {event["job"] for event in await one.events(**query)} == {mine}, query
        assert await one.events(job=other) == []
        live = await follow(one, start, lambda found: any(event["type"] == "job.finished" for event in found))
        assert {event["job"] for event in live.events + live.loose} == {mine}
        queries: list[tuple[dict[str, str], int]] = [({}, messages), ({"recipient": SHARED}, 1), ({"job": other}, 0)]
        for query, number in queries:
            listed = (await one.get("/v1/messages", **query))[1]["messages"]
            assert [message["job"] for message in listed] == [mine] * number, query
        assert [found["id"] for found in (await one.get("/v1/jobs"))[1]["jobs"]] == [mine]
        assert (await one.get(f"/v1/jobs/{other}/messages", state="delivered"))[0] == 404
        assert (await one.get(f"/v1/messages/{other}.0"))[0] == 404
        expression = {"or": [{"job": mine, "state": "delivered"}, {"job": other, "state": "delivered"}]}
        status, problem = await stack.call("POST", "/v1/results", expression, key=one.key)
        assert (status, [fault["at"] for fault in problem["faults"]]) == (422, ["$.or[1].job"])
        assert (await one.get(f"/v1/jobs/{other}/statistics"))[0] == 404

        async def is_counted(one: Tenant = one, messages: int = messages) -> bool:
            by = [(await one.get("/v1/statistics", by=by))[1]["rows"] for by in ("list", "tag", "category")]
            return all([row["counts"]["delivered"] for row in rows] == [messages] for rows in by)

        await stack.until(is_counted)


async def test_promise_7_a_cursor_of_another_tenant_shows_nothing_of_theirs(stack: Stack) -> None:
    ours, theirs = await Tenant.of(stack, "mine"), await Tenant.of(stack, "stranger")
    sent = [await ours.send(SHARED, "a@mine.test"), await theirs.send(SHARED, "b@stranger.test")]
    for one, name in ((ours, sent[0]), (theirs, sent[1])):
        await one.told(name)

    for order in ("oldest", "newest"):
        page = (await ours.get("/v1/events", limit=1, order=order))[1]
        status, shown = await theirs.get("/v1/events", after=page["next"], order=order)
        assert (status, {event["job"] for event in shown["events"]} - {sent[1]}) == (200, set()), order
    seen = (await ours.get("/v1/events", limit=1))[1]["next"]
    live = await follow(theirs, seen, lambda found: len(found) > 2)
    assert {event["job"] for event in live.events + live.loose} == {sent[1]}
    cursor = (await ours.get("/v1/messages", limit=1))[1]["next"]
    assert (await theirs.get("/v1/messages", after=cursor))[0] == 422
    assert (await ours.get("/v1/messages", after=cursor))[0] == 200
    listed = (await theirs.get("/v1/jobs", after=f"{sent[0][:-1]}v"))[1]["jobs"]
    assert {one["id"] for one in listed} <= {sent[1]}


async def test_the_few_events_of_a_tenant_come_in_one_page_beside_the_many_of_others(stack: Stack) -> None:
    small, large = await Tenant.of(stack, "small"), await Tenant.of(stack, "large")
    first = await large.send(*(f"u{at}@large.test" for at in range(MANY)))
    few = await small.send(*(f"p{at}@small.test" for at in range(5)))
    second = await large.send(*(f"v{at}@large.test" for at in range(MANY)))
    await small.told(few)
    await large.told(first, second)

    status, page = await small.get("/v1/events", limit=100)

    types = sorted(event["type"] for event in page["events"])
    assert (status, page["more"]) == (200, False)
    assert types == ["job.finished", *["message.accepted"] * 5, *["message.delivered"] * 5]
    status, page = await small.get("/v1/events", limit=100, type="message.delivered", recipient="P3@small.test")
    assert [event["message"] for event in page["events"]] == [f"{few}.3"]
    assert len(await large.events()) == 2 * (2 * MANY + 1)


async def test_what_was_sent_to_somebody_is_one_request_with_the_latest_first(stack: Stack) -> None:
    tenant = await Tenant.of(stack, "history")
    sent = [await tenant.send(f"x{at}@history.test", "ana@history.test", subject=f"Mail {at}") for at in range(3)]
    await tenant.told(*sent)

    status, page = await tenant.get("/v1/messages", recipient="Ana@History.test")

    assert (status, page["next"]) == (200, None)
    assert [(one["id"], one["state"], one["subject"]) for one in page["messages"]] == [
        (f"{name}.1", "delivered", f"Mail {at}") for at, name in reversed(list(enumerate(sent)))
    ]
    assert (await tenant.get("/v1/messages", recipient="ana@history.test", state="bounced"))[1]["messages"] == []


async def test_who_follows_goes_on_without_gap_or_repeat_when_the_server_was_killed(stack: Stack) -> None:
    tenant = await Tenant.of(stack, "follower")
    start = await tenant.now()
    sent = asyncio.create_task(tenant.send(*(f"u{at}@follower.test" for at in range(KILLED))))
    killed: list[int] = []

    def kill(found: list[dict[str, Any]]) -> bool:
        if len(found) >= KILLED // 3 and sent.done() and not killed:
            killed.append(stack.kill("http"))
        return False

    first = await follow(tenant, start, kill)
    await stack.until(stack.is_ready)
    await tenant.told(await sent)
    everything = await tenant.events(after=start)
    second = await follow(tenant, first.seen, lambda found: len(first.events) + len(found) >= len(everything))

    assert killed
    assert len(first.events) > 0
    assert len(everything) == 2 * KILLED + 1
    assert ids(first.events + second.events + second.loose) == ids(everything)
    assert set(ids(first.loose)) <= set(ids(second.events + second.loose))


async def test_an_operator_reads_the_same_at_the_console(stack: Stack) -> None:
    tenant = await Tenant.of(stack, "watched")
    sent = await tenant.send("ana@watched.test", "bo@watched.test", subject="Soldes \u202e", tags=["soldes"])
    await tenant.told(sent)
    made = (await stack.call("POST", f"/v1/jobs/{sent}/report-links", {"note": "board"}, key=tenant.key))[1]

    lines = (await stack.console("events", "watched", "--tag", "soldes", "--since", "1h", "--json")).splitlines()
    assert [json.loads(line) for line in lines] == await tenant.events(order="newest")
    wanted = ("--recipient", "Ana@watched.test", "--type", "message.delivered", "--type", "message.bounced")
    (line,) = (await stack.console("events", "watched", *wanted)).splitlines()
    assert f"message.delivered       {sent}.0  ana@watched.test  " in line
    oldest, *hint = (await stack.console("events", "watched", "--limit", "1", "--oldest-first")).splitlines()
    assert ("message.accepted" in oldest, hint[-1].startswith("more: --after ")) == (True, True)
    rest = await stack.console("events", "watched", "--oldest-first", "--after", hint[-1].split()[-1])
    assert len(rest.splitlines()) == 4
    assert await stack.console("events", "watched", "--until", "1h") == ""

    listed = json.loads(await stack.console("messages", "watched", "--recipient", "ana@watched.test", "--json"))
    assert listed == (await tenant.get("/v1/messages", recipient="ana@watched.test"))[1]
    shown = await stack.console("messages", "watched", "--state", "delivered", "--job", sent)
    assert [line.split()[0] for line in shown.splitlines()] == ["message", f"{sent}.0", f"{sent}.1"]
    assert "\u202e" not in shown

    (link,) = json.loads(await stack.console("report-links", "list", sent, "--json"))
    assert (link["link"], link["note"]) == (made["id"], "board")
    assert made["path"].rpartition("/")[2] not in str(link)
    assert (await stack.call("GET", made["path"], key=""))[0] == 200
    assert await stack.console("report-links", "revoke", sent, made["id"]) == f"revoked: {made['id']} board\n"
    assert (await stack.call("GET", made["path"], key=""))[0] == 404
    assert (await stack.console_ended("report-links", "revoke", sent, made["id"]))[0] == 2


async def test_an_operator_follows_a_tenant_at_the_console(stack: Stack) -> None:
    tenant, other = await Tenant.of(stack, "followed"), await Tenant.of(stack, "beside")
    first = await tenant.send("ana@followed.test")
    await tenant.told(first)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.console.console", "events", "followed", "--since", "1h", "--follow", "--json",
        env=stack.environ, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        before = await _lines(process, 3)
        await other.send("bo@beside.test")
        second = await tenant.send("cy@followed.test")
        behind = await _lines(process, 3)
    finally:
        process.terminate()
        await process.wait()

    assert {one["job"] for one in before} == {first}
    assert {one["job"] for one in behind} == {second}
    assert ids(before + behind) == ids(await tenant.events())


async def _lines(process: asyncio.subprocess.Process, number: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)) for _ in range(number)]
