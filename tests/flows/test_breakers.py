"""A bad list is stopped while it is being sent, transactional mail goes on, and with consent the rest is sent."""

from pathlib import Path
from typing import Any

from tests.fakes.smtp_server import SmtpServer, Step
from tests.flows.stack import Stack

CONNECTIONS = 3
#: One in four does not exist. More than are sent while facts are counted and stops are read, also by a busy machine.
EMAILS = [f"{'nobody' if number % 4 == 0 else 'u'}{number}@x.test" for number in range(1000)]


class Sink(SmtpServer):
    """A slow host, which knows some and not others. `offered` are the recipients named so far."""

    def __init__(self) -> None:
        super().__init__({"RCPT": self.recipient, "DOT": (0.1, "250 2.0.0 taken")})
        self.offered: list[str] = []

    def recipient(self, argument: str) -> Step:
        self.offered.append(argument.partition("<")[2].partition(">")[0])
        return "550 5.1.1 User unknown" if "<nobody" in argument else "250 2.1.5 ok"


async def test_a_job_with_too_many_bad_addresses_stops_until_an_operator_consents(tmp_path: Path) -> None:
    async with Sink() as sink:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink.port}",
            "ESTAFETTE_RELAY_CONNECTIONS_PER_SITE": str(CONNECTIONS),
        }
        async with Stack.running(tmp_path / "run", environ) as stack:
            job_id = await stack.send(*EMAILS)

            async def stopped() -> dict[str, Any] | None:
                report = await stack.report(job_id)
                return report if report["state"] == "stopped" else None

            async def counted(bad: int) -> dict[str, Any] | None:
                """Reports read by themselves what the breaker has judged by."""
                report = await stack.report(job_id)
                return report if report["counts"]["bounced"]["hard"] >= bad else None

            first = (await stack.until(stopped))["stopped"]
            name = f"job:{job_id}"
            assert (first["name"], first["reason"]) == (name, "invalid_rate")
            assert first["bad"] >= 20
            report = await stack.until(lambda: counted(first["bad"]))
            assert (report["state"], report["counts"]["pending"] > 0) == ("stopped", True)
            await stack.relay_knows_stop(name)
            before = len(sink.offered)

            # What people wait for goes on, through the same host. Of the job only what was under way still comes.
            await stack.done(await stack.send("urgent@y.test", stream="transactional"))
            assert sink.offered.count("urgent@y.test") == 1
            assert len(sink.offered) <= before + CONNECTIONS + 1

            refused, problem = await stack.call("POST", f"/v1/jobs/{job_id}/resume")
            assert (refused, problem["type"]) == (409, "urn:estafette:problem:consent_missing")
            assert name in await stack.console("stops", "list")
            assert "may resume" in await stack.console("stops", "consent", name)
            assert (await stack.call("POST", f"/v1/jobs/{job_id}/resume"))[0] == 200
            # It is as bad as before, so it stops again, on new figures: twenty bad ones at least.
            second = (await stack.until(stopped))["stopped"]
            assert second["bad"] >= 20
            await stack.until(lambda: counted(first["bad"] + second["bad"]))

            async def told() -> list[dict[str, Any]] | None:
                """A stop holds before it is told."""
                events = await stack.events(job_id, "job.stopped,job.resumed")
                return events if len(events) >= 3 else None

            events = await stack.until(told)
            assert [event["type"] for event in events] == ["job.stopped", "job.resumed", "job.stopped"]
            assert events[0]["message"] is None


async def test_a_paused_job_waits_and_goes_on(tmp_path: Path) -> None:
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
            await stack.relay_knows_stop(f"job:{job_id}")

            assert (await stack.call("POST", f"/v1/jobs/{job_id}/start"))[0] == 202
            await stack.done(await stack.send("u2@x.test"))
            report = await stack.report(job_id)
            assert (report["state"], report["counts"]["delivered"]) == ("paused", 0)

            assert (await stack.call("POST", f"/v1/jobs/{job_id}/resume"))[0] == 200
            assert (await stack.done(job_id))["counts"]["delivered"] == 1


def _open_job() -> dict[str, str]:
    return {"from": "Chouette <news@exemple.fr>", "subject": "Bonjour", "text": "Bonjour"}
