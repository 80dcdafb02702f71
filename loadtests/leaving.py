"""How soon nothing more is sent to who left, and nothing more is recorded of who withdrew, with many queued.

    python -m loadtests.leaving [--queued 100000] [--people 100]

A whole instance with its mailbox as the host, and one job of so many recipients, all of them in the queues of the relay
before it is let go. While it is sent, people who are next in line leave by the one-click link of the mail that is yet
to come, or withdraw their consent to be tracked on its page of preferences; a second later who withdrew asks for the
pixel of that mail, and clicks. An attempt began too late if it began more than a second after the answer to
the request that ends it. When an attempt began is taken from the relay's log: when its end was logged, less its length,
which is never too early. The last line is JSON.
"""

import argparse
import asyncio
import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from shared.words.tokens import JobTokens, TokenKeys
from tests.flows.stack import Stack, job

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
HTML = '<p><a href="https://exemple.fr/a">a</a></p>'
#: What the promise says.
LATE_S = 1.0
#: Who does something is so many places behind the last one who was sent to: in hand, in line, and not leased yet.
AHEAD = (2, 6, 16, 40, 120)
#: How long the front may take to pass the last of them.
PASSES_S = 60.0
#: Between two of them.
EVERY_S = 0.1
#: A job of so many takes its time to be queued, on two slow cores.
PATIENCE_S = 600.0
TENANT = "demo"


class Done(NamedTuple):
    """Somebody did something, which was answered at `at_s`."""

    ordinal: int
    at_s: float


class Acts(NamedTuple):
    left: list[Done]
    withdrew: list[Done]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument(
        "--people", type=int, default=40, help="who leave, and who withdraw; the mailbox keeps the last mails only"
    )
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-leaving-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        found = asyncio.run(_measured(Path(folder), wanted.queued, wanted.people))
    print(json.dumps({"bench": "leaving", **found}))
    if found["late_attempts"] or found["late_tracked"] or found["recorded"]:
        raise SystemExit("somebody was mailed, or tracked, more than a second after")


async def _measured(folder: Path, queued: int, people: int) -> dict[str, Any]:
    environ = {"ESTAFETTE_MAILBOX_KEEP": str(queued)}
    async with Stack.running(folder, environ) as stack:
        job_id = await _queue(stack, queued)
        secret = bytes.fromhex((folder / "secret.key").read_text().strip())
        tokens = TokenKeys(secret).for_job(job_id, TENANT)
        await stack.call("POST", f"/v1/jobs/{job_id}/resume")
        acts, recorded = await _act(stack, tokens, job_id, people)
        await asyncio.sleep(2 * LATE_S)
        sent = _attempts(stack)
        left_at = len(sent)
        tracked = {
            done.ordinal: await _is_tracked(stack, done.ordinal) for done in acts.withdrew if done.ordinal in sent
        }
        facts = [await stack.facts(f"{job_id}.{ordinal}") for ordinal in recorded]
    after_leaving = [sent[done.ordinal] - done.at_s for done in acts.left if done.ordinal in sent]
    after_withdrawal = [sent[done.ordinal] - done.at_s for done in acts.withdrew if tracked.get(done.ordinal)]
    return {
        "queued": queued,
        "sent_meanwhile": left_at,
        "left": len(acts.left),
        "attempts_after_leaving": sum(took > 0 for took in after_leaving),
        "last_attempt_after_s": round(max((0.0, *after_leaving)), 3),
        "late_attempts": sum(took > LATE_S for took in after_leaving),
        "withdrew": len(acts.withdrew),
        "sent_to_who_withdrew": len(tracked),
        "last_tracked_after_s": round(max((0.0, *after_withdrawal)), 3),
        "late_tracked": sum(took > LATE_S for took in after_withdrawal),
        "clicks_and_openings_tried": 2 * len(recorded),
        "recorded": sum(fact in ("clicked", "opened") for some in facts for fact in some),
    }


async def _queue(stack: Stack, queued: int) -> str:
    """A job that is held back, with all of its recipients in the queues of the relay."""
    content = {name: value for name, value in job(html=HTML).items() if name != "recipients"}
    job_id = str((await stack.call("POST", "/v1/jobs?state=open", content))[1]["id"])
    csv = {"Content-Type": "text/csv"}
    for start in range(0, queued, 20_000):
        some = range(start, min(start + 20_000, queued))
        rows = "email,prenom\n" + "".join(f"{_address(number)},Ana\n" for number in some)
        status, answer = await stack.call("POST", f"/v1/jobs/{job_id}/recipients", data=rows.encode(), headers=csv)
        if status != 200:
            raise SystemExit(f"{status} {answer}")
    await stack.call("POST", f"/v1/jobs/{job_id}/pause")
    await stack.relay_knows_stop(f"job:{job_id}")
    await stack.call("POST", f"/v1/jobs/{job_id}/start")
    began_s = time.monotonic()

    async def all_queued() -> bool:
        await asyncio.sleep(0.5)
        return bool((await stack.report(job_id))["counts"]["accepted"] == queued)

    await stack.until(all_queued, PATIENCE_S)
    print(f"{queued:,} queued in {time.monotonic() - began_s:.1f} s")
    return job_id


async def _act(stack: Stack, tokens: JobTokens, job_id: str, people: int) -> tuple[Acts, list[int]]:
    """Who is next leaves, and the one after them withdraws; and those of whom a click and an opening were tried a
    second after that."""
    acts, tried, seen = Acts([], []), list[int](), Seen(stack)
    checks: list[asyncio.Task[None]] = []
    taken: set[int] = set()
    while len(acts.left) < people:
        ordinal = seen.last() + AHEAD[len(acts.left) % len(AHEAD)]
        while {ordinal, ordinal + 1} & taken:
            ordinal += 2
        taken |= {ordinal, ordinal + 1}
        leaves, withdraws = (
            f"{stack.base}/{path}/" + tokens.addressed(kind, at, _address(at)).decode()  # type: ignore[arg-type]
            for path, kind, at in (("u", "unsubscribe", ordinal), ("p", "preferences", ordinal + 1))
        )
        await _post(stack, leaves, ONE_CLICK)
        acts.left.append(Done(ordinal, time.time()))
        await _post(stack, withdraws, {"tracking": "no", "by": "page"})
        acts.withdrew.append(Done(ordinal + 1, time.time()))
        checks.append(asyncio.create_task(_look(stack, tokens, ordinal + 1)))
        tried.append(ordinal + 1)
        await asyncio.sleep(EVERY_S)
    await asyncio.gather(*checks)
    deadline_s = time.monotonic() + PASSES_S
    while seen.last() < max(taken) and time.monotonic() < deadline_s:  # noqa: ASYNC110 - a log that grows
        await asyncio.sleep(EVERY_S)
    return acts, tried


async def _look(stack: Stack, tokens: JobTokens, ordinal: int) -> None:
    """The pixel and the link of a mail to somebody who withdrew a second ago."""
    await asyncio.sleep(LATE_S)
    mark = tokens.mark(_address(ordinal))
    await stack.call("GET", "/o/" + tokens.open(ordinal, mark).decode(), headers=PERSON)
    link = tokens.click(ordinal, mark, 0, "https://exemple.fr/a").decode()
    status, _ = await stack.call("GET", f"/c/{link}", headers=PERSON, allow_redirects=False)
    if status != 302:
        raise SystemExit(f"a click was answered {status}")


async def _post(stack: Stack, url: str, form: dict[str, str]) -> None:
    status, answer = await stack.call("POST", url, data=form, headers=PERSON)
    if status != 200:
        raise SystemExit(f"{url}: {status} {answer!r}")


class Seen:
    """How far the relay is, as its log says, read on from where it was read before."""

    def __init__(self, stack: Stack) -> None:
        self._file = stack.directory / "logs" / "relay.log"
        self._at = 0
        self._last = 0

    def last(self) -> int:
        """The highest ordinal that was delivered."""
        with self._file.open("rb") as log:
            log.seek(self._at)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            if b'"event":"delivered"' in line:
                self._last = max(self._last, _ordinal(json.loads(line)))
        return self._last


def _attempts(stack: Stack) -> dict[int, float]:
    """When the attempt that delivered it began, of each ordinal."""
    return {
        _ordinal(said): datetime.fromisoformat(said["at"]).timestamp() - said["duration_ms"] / 1000
        for said in stack.logged("relay", "delivered")
    }


def _ordinal(said: dict[str, Any]) -> int:
    return int(said["message"].rpartition(".")[2])


async def _is_tracked(stack: Stack, ordinal: int) -> bool:
    (mail,) = await stack.mails(_address(ordinal))
    return b"/o/" in await stack.source(mail)


def _address(number: int) -> str:
    return f"r{number}@many.test"


if __name__ == "__main__":
    main()
