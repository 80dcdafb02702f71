"""A whole instance with contacts: whom its base says is not to be mailed, no job mails, whatever way it came."""

from pathlib import Path
from typing import Any

from tests.flows.stack import Stack

OWN = {"ESTAFETTE_CONTACTS_PRIVATE": "true"}
CSV = {"Content-Type": "text/csv"}
#: So many that the import can be met in its middle.
PEOPLE = 6_000


async def started(stack: Stack, *lines: str) -> int:
    """An import of these lines; its number."""
    file = "\n".join(["Adresse Email;Opt-In Email;Statut Email", *lines, ""]).encode()
    status, told = await stack.call("POST", "/v1/contact-imports", data=file, headers=CSV)
    assert status == 202, told
    return int(told["id"])


async def progress(stack: Stack, number: int) -> dict[str, Any]:
    _, found = await stack.call("GET", f"/v1/contact-imports/{number}")
    return dict(found)


async def is_done(stack: Stack, number: int) -> bool:
    return (await progress(stack, number)).get("state") == "done"  # nobody knows while PostgreSQL is away


async def reasons(stack: Stack, address: str) -> set[tuple[str, str]]:
    status, found = await stack.call("GET", f"/v1/suppressions/{address}")
    return {(one["reason"], one["scope"]) for one in found["entries"]} if status == 200 else set()


async def listed(stack: Stack) -> int:
    """How many addresses left."""
    count, after = 0, ""
    while True:
        query = f"/v1/suppressions?reason=unsubscribed&limit=1000{after and f'&after={after}'}"
        _, page = await stack.call("GET", query)
        count += len(page["suppressions"])
        if not page["next"]:
            return count
        after = page["next"]


async def test_e11_e12_what_an_import_says_no_plain_job_mails_and_the_next_import_takes_it_back(
    tmp_path: Path,
) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        left, gone, fine = "ana@target.test", "bo@target.test", "cy@target.test"
        first = await started(stack, f"{left};Non;", f"{gone};Oui;Hard", f"{fine};Oui;Valide")
        await stack.until(lambda: is_done(stack, first))

        async def both() -> bool:
            return bool(await reasons(stack, left) and await reasons(stack, gone))

        await stack.until(both)
        assert await reasons(stack, left) == {("unsubscribed", "marketing")}
        assert await reasons(stack, gone) == {("hard_bounce", "all")}
        job = await stack.send(left, gone, fine)
        report = await stack.done(job)
        assert (report["counts"]["delivered"], report["counts"]["suppressed"]["total"]) == (1, 2)
        found = {one["email"]: one["details"]["reason"] for one in await stack.events(job, "message.suppressed")}
        assert found == {left: "unsubscribed", gone: "hard_bounce"}

        second = await started(stack, f"{left};Oui;", f"{gone};Oui;Valide")
        await stack.until(lambda: is_done(stack, second))

        async def neither() -> bool:
            return not (await reasons(stack, left) or await reasons(stack, gone))

        await stack.until(neither)
        assert (await progress(stack, second))["results"]["reactivated"] == 2
        report = await stack.done(await stack.send(left, gone, fine))
        assert report["counts"]["delivered"] == 3


async def test_e11_kill_9_in_the_middle_of_an_import_and_whoever_left_is_on_the_list(tmp_path: Path) -> None:
    async with Stack.running(tmp_path / "run", OWN) as stack:
        number = await started(stack, *(f"p{n}@target.test;Non;" for n in range(PEOPLE)))

        async def is_under_way() -> bool:
            return bool((await progress(stack, number))["results"]["added"])

        await stack.until(is_under_way)
        await stack.killed_and_back("contacts")
        await stack.killed_and_back("suppression")
        await stack.killed_and_back("postgresql")
        await stack.until(lambda: is_done(stack, number))

        async def all_of_them() -> bool:
            return await listed(stack) == PEOPLE

        await stack.until(all_of_them)
        assert (await progress(stack, number))["results"]["added"] == PEOPLE
