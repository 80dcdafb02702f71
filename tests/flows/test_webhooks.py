"""Webhooks through the front doors: what happens to a job's messages reaches a receiver that verifies by the published
library, and nothing of it is lost when the service and Redis are killed on the way."""

from collections import defaultdict
from pathlib import Path

from tests.fakes.receiver import Receiver
from tests.flows.stack import Stack

ENVIRON = {"ESTAFETTE_WEBHOOKS_NETWORKS": "127.0.0.0/8", "ESTAFETTE_WEBHOOKS_PLAIN_HTTP": "true"}
#: Of each of two jobs.
RECIPIENTS = 150


async def test_every_event_reaches_a_receiver_that_verifies_at_kill_9_of_the_service_and_of_redis(
    tmp_path: Path,
) -> None:
    async with Receiver(delay_s=0.02) as receiver, Stack.running(tmp_path, ENVIRON) as stack:
        admin = await stack.new_key("demo", "read,admin")
        status, made = await stack.call("POST", "/v1/webhooks", {"url": receiver.url}, key=admin)
        assert status == 201, made
        receiver.secrets = [made["secret"]]
        status, queued = await stack.call("POST", f"/v1/webhooks/{made['id']}/test", key=admin)
        assert status == 202, queued
        await stack.until(lambda: _has(receiver, 1))  # from now on it is known everywhere

        jobs = [await _sent(stack, 0)]
        await stack.until(lambda: _has(receiver, RECIPIENTS // 3))
        await stack.killed_and_back("webhooks")
        jobs.append(await _sent(stack, 1))
        await stack.until(lambda: _has(receiver, RECIPIENTS))
        await stack.killed_and_back("redis")
        told = {event["event_id"]: event for name in jobs for event in await stack.told(name)}
        await stack.until(lambda: _has_all(receiver, set(told)))

    assert receiver.unverified == []
    by_message: dict[str, dict[str, int]] = defaultdict(dict)
    keys: dict[str, set[str]] = defaultdict(set)
    for one in receiver.requests:
        for event in one.events:
            keys[event["data"]["event_id"]].add(one.key)
    events = [event for event in receiver.events if not event["data"].get("test")]
    for event in events:
        data = event["data"]
        if data["message"]:
            by_message[data["message"]].setdefault(data["event_id"], data["sequence"])
            assert data["metadata"] == {"customer": f"c{data['message'].rpartition('.')[2]}"}
    assert len(by_message) == 2 * RECIPIENTS
    assert all(list(first.values()) == sorted(first.values()) for first in by_message.values())  # in their order
    assert all(len(found) == 1 for found in keys.values())  # however often: under one id
    ends = {event["data"]["job"]: event["data"]["details"] for event in events if event["type"] == "job.finished"}
    assert {name: (end["total"], end["delivered"]) for name, end in ends.items()} == dict.fromkeys(
        jobs, (RECIPIENTS, RECIPIENTS)
    )
    assert sum(event["type"] == "job.finished" for event in told.values()) == len(jobs)


async def _has(receiver: Receiver, number: int) -> bool:
    return len(receiver.events) >= number


async def _has_all(receiver: Receiver, wanted: set[str]) -> bool:
    return wanted <= {event["data"]["event_id"] for event in receiver.events}


async def _sent(stack: Stack, number: int) -> str:
    people = [{"email": f"u{at}@j{number}.test", "metadata": {"customer": f"c{at}"}} for at in range(RECIPIENTS)]
    return await stack.send(recipients=people)
