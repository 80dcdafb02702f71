"""The logs of a running instance: what is in none of them, and that it would be found."""

import os
from pathlib import Path

from tests.flows.stack import Stack, job

#: Secrets of each kind, by what the reader calls them; `known` is what the test has sent.
PLANTED = {
    "a token of a link": b"GET /u/bAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "a private key": b"-----BEGIN RSA PRIVATE KEY-----",
    "a password in a URL": b"redis://:hunter2@127.0.0.1:6379",
    "the signed name of a message": b"b-0123456789abcdefghijklmnopqrstuv0123456",
    "known secret": b"the code is c4n4ry-of-a-variable",
}


async def test_a_secret_in_any_log_of_an_instance_is_found(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        await stack.send("ana@exemple.fr", variables={"code": "c4n4ry-of-a-variable"})
        assert stack.secrets_in_logs() == []

        logs = [*sorted((tmp_path / "logs").glob("*.log")), tmp_path / "run.log"]
        assert {"http.log", "relay.log", "queueing.log", "redis.log", "run.log"} <= {log.name for log in logs}
        for log in logs:
            for kind, planted in PLANTED.items():
                before = log.stat().st_size
                with log.open("ab") as out:
                    out.write(b'{"said": "' + planted + b'"}\n')

                [place, *more] = stack.secrets_in_logs()

                assert kind in place
                assert log.name in place
                assert all(log.name in other for other in more)  # of one line, by another of its shapes
                os.truncate(log, before)


async def test_what_goes_wrong_with_secrets_at_every_door_leaves_none_in_a_log(tmp_path: Path) -> None:
    async with Stack.running(tmp_path) as stack:
        code = "c4n4ry-of-a-variable"
        sent = job("ana@exemple.fr", subject="A c4n4ry subject {{ code }}", variables={"code": code})
        assert (await stack.call("POST", "/v1/jobs", sent))[0] == 202
        stack.secrets.update((code.encode(), b"c4n4ry"))
        for path, headers in (
            (f"/u/{code * 5}", {}),
            (f"/c/{code}?{code}", {"Cookie": f"session={code}"}),
            (f"/v1/jobs/{code}", {"Authorization": f"Basic {code}"}),
            (f"/mailbox/{code}", {"Referer": f"https://x.example/{code}"}),
        ):
            status, _ = await stack.call("GET", path, headers=headers)
            assert 400 <= status < 500
        for body in (f'{{"subject": "{code}', f'{{"{code}": 1}}', f'["{code}"]'):
            headers = {"Content-Type": "application/json", "Idempotency-Key": code}
            assert (await stack.call("POST", "/v1/jobs", data=body, headers=headers))[0] in (400, 422)
        await stack.done((await stack.call("POST", "/v1/jobs", sent))[1]["id"])
        stack.kill("relay")
        await stack.until(stack.is_ready)
