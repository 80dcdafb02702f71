"""events ⇒ suppression: whose mailbox stays full is listed for a time, and who is erased is known by a hash alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.stack import Stack, job

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_whose_mailbox_is_full_until_the_mail_expires_is_listed_by_the_tenants_own_rule(stack: Stack) -> None:
    rule = {"mailbox_full": {"bounces": 1, "days": 0, "expires_after_days": 30}}
    status, _ = await stack.call("PUT", "/v1/escalation", json=rule)
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()

    await stack.call("POST", "/v1/jobs", json=job("full.ana@people.test", expires_at=soon))

    async def listed() -> dict[str, Any] | None:
        found, answer = await stack.call("GET", "/v1/suppressions/full.ana@people.test")
        return answer if found == 200 else None

    entry = (await stack.until(listed))["entries"][0]
    assert status == 200
    assert (entry["reason"], entry["scope"], entry["source"]) == ("mailbox_full", "all", "rule")
    assert entry["diagnostic"].startswith("452")
    assert entry["expires_at"] is not None


async def test_who_is_erased_is_in_no_job_any_more_and_gets_nothing_again(stack: Stack) -> None:
    first = await stack.send("ben@people.test")
    await stack.done(first)
    _, before = await stack.call("GET", "/v1/people/ben@people.test")

    status, _ = await stack.call("DELETE", "/v1/people/ben@people.test")

    async def erased() -> dict[str, Any] | None:
        _, answer = await stack.call("GET", "/v1/people/ben@people.test")
        return answer if answer["erasure"]["state"] == "erased" else None

    after = await stack.until(erased)
    assert ([one["job"] for one in before["messages"]], status) == ([first], 202)
    assert (after["messages"], after["erasure"]["messages"]) == ([], 1)
    assert (await stack.message(f"{first}.0"))["email"] == ""

    async def stopped() -> dict[str, Any] | None:
        """A tenant's first erasure is known to relays within a second."""
        again = await stack.send("ben@people.test")
        await stack.done(again)
        facts = await stack.events(again, "message.suppressed")
        return facts[0] if facts else None

    assert (await stack.until(stopped))["details"]["reason"] == "erased"
