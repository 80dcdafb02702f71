"""A bad list is stopped while it is being sent, transactional mail goes on, and with consent the rest is sent."""

import time
from pathlib import Path

from tests.fakes.smtp_server import SmtpServer, Step
from tests.flows.stack import Stack

#: One in four does not exist.
EMAILS = [f"{'nobody' if number % 4 == 0 else 'u'}{number}@x.test" for number in range(400)]


class Sink(SmtpServer):
    """A slow host, which knows some and not others. `offered_at` has when a recipient was named."""

    def __init__(self) -> None:
        super().__init__({"RCPT": self.recipient, "DOT": (0.1, "250 2.0.0 taken")})
        self.offered_at: list[float] = []

    def recipient(self, argument: str) -> Step:
        self.offered_at.append(time.monotonic())
        return "550 5.1.1 User unknown" if "<nobody" in argument else "250 2.1.5 ok"


async def test_a_job_with_too_many_bad_addresses_stops_until_an_operator_consents(tmp_path: Path):
    async with Sink() as sink:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
            "ESTAFETTE_RELAY_CONNECTIONS_PER_SITE": "3",
        }
        async with Stack.running(tmp_path / "run", environ) as stack:
            job_id = await stack.send(*EMAILS)

            async def stopped() -> bool:
                return (await stack.report(job_id))["state"] == "stopped"

            await stack.until(stopped)
            seen_at = time.monotonic()
            report = await stack.report(job_id)
            name = f"job:{job_id}"
            assert (report["stopped"]["name"], report["stopped"]["reason"]) == (name, "invalid_rate")
            assert report["stopped"]["bad"] >= 20
            assert report["counts"]["pending"] > 0

            # What people wait for goes on, through the same host.
            await stack.done(await stack.send("u1@x.test", stream="transactional"))
            within = [at for at in sink.offered_at[:-1] if at > seen_at + 1]
            assert within == []

            refused, problem = await stack.call("POST", f"/v1/jobs/{job_id}/resume")
            assert (refused, problem["type"]) == (409, "urn:estafette:problem:consent_missing")
            assert name in await stack.console("stops", "list")
            assert "may resume" in await stack.console("stops", "consent", name)
            assert (await stack.call("POST", f"/v1/jobs/{job_id}/resume"))[0] == 200
            # It is as bad as before, so it stops again, on new figures: twenty bad ones at least.
            bounced = report["counts"]["bounced"]["hard"]
            await stack.until(stopped)
            assert (await stack.report(job_id))["counts"]["bounced"]["hard"] >= bounced + 20

            page = (await stack.call("GET", f"/v1/events?job={job_id}&type=job.stopped,job.resumed"))[1]
            assert [event["type"] for event in page["events"]] == ["job.stopped", "job.resumed", "job.stopped"]
            assert page["events"][0]["message"] is None


async def test_a_paused_job_waits_and_goes_on(tmp_path: Path):
    async with Sink() as sink:
        environ = {"ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}"}
        async with Stack.running(tmp_path / "run", environ) as stack:
            status, answer = await stack.call("POST", "/v1/jobs?state=open", _open_job())
            assert status == 202
            job_id = answer["id"]
            line = b'{"email": "u1@x.test"}\n'
            await stack.call(
                "POST", f"/v1/jobs/{job_id}/recipients", data=line, headers={"Content-Type": "application/x-ndjson"}
            )
            assert (await stack.call("POST", f"/v1/jobs/{job_id}/pause"))[0] == 200
            await stack.until(lambda: _known(stack))

            assert (await stack.call("POST", f"/v1/jobs/{job_id}/start"))[0] == 202
            await stack.done(await stack.send("u2@x.test"))
            report = await stack.report(job_id)
            assert (report["state"], report["counts"]["delivered"]) == ("paused", 0)

            assert (await stack.call("POST", f"/v1/jobs/{job_id}/resume"))[0] == 200
            assert (await stack.done(job_id))["counts"]["delivered"] == 1


def _open_job() -> dict[str, str]:
    return {"from": "Chouette <news@exemple.fr>", "subject": "Bonjour", "text": "Bonjour"}


async def _known(stack: Stack) -> bool:
    """Whether the relay knows what is stopped."""
    return "'stopped'" in stack.log() or '"stopped"' in stack.log()
