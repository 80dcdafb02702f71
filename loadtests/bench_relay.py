"""How many mails a second one relay sends, with and without DKIM, beside the RSA ceiling and Postfix.

    python -m loadtests.bench_relay [--messages 20000]

A full queue of 12 kB mails is drained to smtp-sink on the same machine: Redis, relay and sink share its cores. Then
with the signatures made in the relay's own process, with logic in the template, by two relays, and with mails of
100 kB. In the same run: `openssl speed rsa2048` on one core, the ceiling with one signature a mail; Postfix to the
same sink, the better of injected and relayed at once, or drained from a queue that was held; and Postfix with
OpenDKIM, which signs what comes in. The last line is JSON.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from loadtests import content, opendkim
from loadtests.postfix import Postfix
from loadtests.processes import Processes, console, free_port, metric, program, until

#: The API takes so many in one request.
PER_JOB = 10_000
#: Measured between these shares of the queue: start and end are not the pace.
FROM, TO = 0.1, 0.9
#: How often the relays are asked how far they are: each time costs one of them 4 ms.
EVERY_S = 0.5
#: The larger message; of these fewer are sent.
LARGE_BYTES = 100_000
LARGE_SHARE = 4

QUEUED = 'estafette_queueing_recipients_total{fact="accepted"}'
DELIVERED = 'estafette_relay_attempts_total{fact="Delivered"}'


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # Postfix and smtp-sink run as others
        print(f"machine: {os.cpu_count()} cores; {options.messages} messages of {options.size_bytes} bytes of HTML")
        before = rsa_signs_per_s()
        plain = drain(Path(folder) / "plain", options.messages, options.size_bytes, dkim=False)
        print(f"relay, no DKIM:   {plain:,.0f} messages/s")
        signed = drain(Path(folder) / "dkim", options.messages, options.size_bytes, dkim=True)
        print(f"relay, DKIM:      {signed:,.0f} messages/s")
        after = rsa_signs_per_s()
        signs_per_s = (before + after) / 2
        print(f"openssl speed rsa2048, one core: {before:,.0f} signatures/s before, {after:,.0f} after")
        more = {} if options.no_more else _more(Path(folder), options)
        peers = {} if options.no_postfix else _postfix(Path(folder), options.postfix_messages)
    result = {
        "bench": "relay",
        "msgs_per_s": round(plain),
        "dkim_msgs_per_s": round(signed),
        "ratio_to_rsa": round(signed / signs_per_s, 3),
        "ratio_to_postfix": _ratio(signed, peers.get("plain")),
        "ratio_to_postfix_plain": _ratio(plain, peers.get("plain")),
        "ratio_to_postfix_signed": _ratio(signed, peers.get("signed")),
        **more,
    }
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--postfix-messages", type=int, default=6_000)
    parser.add_argument("--size-bytes", type=int, default=12_000)
    parser.add_argument("--no-postfix", action="store_true")
    parser.add_argument("--no-more", action="store_true", help="one relay as it comes and no large messages")
    return parser.parse_args()


def _ratio(ours: float, theirs: float | None) -> float | None:
    return round(ours / theirs, 2) if theirs else None


def _postfix(folder: Path, messages: int) -> dict[str, float]:
    """Messages a second of Postfix, without signatures and with."""
    with Processes(folder / "postfix-sink") as processes:
        port = processes.sink()
        through = Postfix(folder / "postfix", port).relayed_at_once(messages)
        print(f"Postfix, injected and relayed at once: {through:,.0f} messages/s")
        drained_ = Postfix(folder / "postfix-held", port).drained(messages)
        print(f"Postfix, drained from a held queue:    {drained_:,.0f} messages/s")
        filter_ = opendkim.started(processes)
        dump, mails = opendkim.dumping_sink(processes)
        Postfix(folder / "postfix-look", dump, filter_).relayed_at_once(1)
        if not opendkim.is_signed(mails):
            raise opendkim.NotSigned
        signed = Postfix(folder / "postfix-signed", port, filter_).relayed_at_once(messages)
        print(f"Postfix with OpenDKIM, at once:        {signed:,.0f} messages/s")
    return {"plain": max(through, drained_), "signed": signed}


def _more(folder: Path, options: argparse.Namespace) -> dict[str, int]:
    """One that signs in its own process, one with logic in the template; two relays, and large messages by one, each
    without and with DKIM."""
    inline = drain(folder / "inline", options.messages, options.size_bytes, dkim=True, beside=0)
    print(f"{'signing itself:':<22} {inline:,.0f} messages/s")
    logic = drain(folder / "logic", options.messages, options.size_bytes, dkim=False, job=content.job_with_logic)
    print(f"{'with logic, no DKIM:':<22} {logic:,.0f} messages/s")
    paces = {"inline_dkim_msgs_per_s": round(inline), "logic_msgs_per_s": round(logic)}
    large = max(1, options.messages // LARGE_SHARE)
    for name, words, messages, size_bytes, relays in (
        ("two_relays", "two relays", options.messages, options.size_bytes, 2),
        ("large", f"{LARGE_BYTES // 1000} kB", large, LARGE_BYTES, 1),
    ):
        for dkim in (False, True):
            where = folder / f"{name}-{dkim}"
            pace = drain(where, messages, size_bytes, dkim=dkim, relays=relays)
            print(f"{f'{words}, DKIM:' if dkim else f'{words}, no DKIM:':<22} {pace:,.0f} messages/s")
            paces[f"{name}_dkim_msgs_per_s" if dkim else f"{name}_msgs_per_s"] = round(pace)
    return paces


def rsa_signs_per_s() -> float:
    """What one core signs, as OpenSSL measures itself."""
    ran = subprocess.run([program("openssl"), "speed", "-seconds", "4", "rsa2048"], capture_output=True, check=True)
    found = re.search(rb"^rsa +2048 bits.*?([0-9.]+) +[0-9.]+\s*$", ran.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(ran.stdout.decode())
    return float(found[1])


def drain(
    folder: Path,
    messages: int,
    size_bytes: int,
    *,
    dkim: bool,
    relays: int = 1,
    beside: int | None = None,
    job: Callable[[int, int, int], dict[str, Any]] = content.job,
) -> float:
    """Fills the queue through the API, then starts the relays and measures their pace together. `beside`: signing
    processes of each, else as the relay comes."""
    with Processes(folder) as processes:
        environ = environ_of(folder, processes.redis(), processes.sink(), dkim=dkim)
        if beside is not None:
            environ["ESTAFETTE_RELAY_SIGNING_PROCESSES"] = str(beside)
        fill(processes, environ, messages, lambda count, number: job(count, number, size_bytes))
        return drained(processes, environ, messages, relays)


def drained(processes: Processes, environ: Mapping[str, str], messages: int, relays: int = 1) -> float:
    """Messages a second out of a full queue."""
    ports = [port for _, port in processes.services("relay", environ, relays)]
    samples: list[tuple[float, float]] = []

    def sampled() -> bool:
        samples.append((time.monotonic(), sum(metric(port, DELIVERED) for port in ports)))
        return samples[-1][1] >= messages * TO

    until(sampled, 600, "the drain", EVERY_S)
    first = next(sample for sample in samples if sample[1] >= messages * FROM)
    return (samples[-1][1] - first[1]) / (samples[-1][0] - first[0])


def environ_of(folder: Path, redis_url: str, sink_port: int, *, dkim: bool) -> dict[str, str]:
    """The settings of the processes that are measured."""
    return {
        "ESTAFETTE_REDIS_URL": redis_url,
        "ESTAFETTE_DATA_DIR": str(folder / "data"),
        "ESTAFETTE_HTTP_PORT": str(free_port()),
        "ESTAFETTE_RELAY_ROUTE": f"smtp://127.0.0.1:{sink_port}",
        "ESTAFETTE_RELAY_DKIM": str(dkim).lower(),
        "ESTAFETTE_LOGS_LEVEL": "warning",
    }


def fill(
    processes: Processes, environ: Mapping[str, str], messages: int, job: Callable[[int, int], dict[str, Any]]
) -> None:
    """Jobs through the front door, until all of them are in the ready queues. `job` as in `submit`."""
    queued(processes, environ, messages, lambda key: submit(environ, key, messages, job))


def queued(processes: Processes, environ: Mapping[str, str], messages: int, submitted: Callable[[str], None]) -> None:
    """What `submitted` hands in with a key, until it is in the ready queues; the processes that did it are stopped."""
    with Processes(processes.directory) as filling:
        filling.service("http", environ)
        key = demo_key(environ)
        _, port = filling.service("queueing", environ)
        submitted(key)
        until(lambda: metric(port, QUEUED) >= messages, 300, "queueing")


def submit(environ: Mapping[str, str], key: str, recipients: int, job: Callable[[int, int], dict[str, Any]]) -> None:
    """Posts so many recipients in as few jobs as the API takes; `job` makes the body of the nth for a count."""
    left, number = recipients, 0
    while left > 0:
        left -= post(environ, key, "/v1/jobs", json.dumps(job(min(left, PER_JOB), number)).encode())["accepted"]
        number += 1


def campaign(environ: Mapping[str, str], key: str, recipients: int, job: Callable[[int, int], dict[str, Any]]) -> None:
    """The same in one job: its content, then the recipients of each part appended, then started."""
    whole = {name: value for name, value in job(0, 0).items() if name != "recipients"}
    path = f"/v1/jobs/{post(environ, key, '/v1/jobs?state=open', json.dumps(whole).encode())['id']}"
    left, number = recipients, 0
    while left > 0:
        lines = [json.dumps(recipient) for recipient in job(min(left, PER_JOB), number)["recipients"]]
        post(environ, key, f"{path}/recipients", "\n".join(lines).encode(), "application/x-ndjson")
        left -= len(lines)
        number += 1
    post(environ, key, f"{path}/start", b"")


def post(environ: Mapping[str, str], key: str, path: str, body: bytes, kind: str = "application/json") -> Any:
    request = Request(
        f"http://127.0.0.1:{environ['ESTAFETTE_HTTP_PORT']}{path}",
        data=body,
        headers={"Authorization": f"Bearer {key}", "Content-Type": kind},
    )
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def demo_key(environ: Mapping[str, str], tenant: str = "bench", domain: str = "exemple.fr") -> str:
    """A tenant with a sending domain, made at the console; its key. The instance has been started: it has a secret."""
    console(environ, "tenants", "add", tenant)
    console(environ, "domains", "add", "--tenant", tenant, domain)
    return console(environ, "keys", "create", "--tenant", tenant, "--scope", "send,read").split()[-1]


if __name__ == "__main__":
    main()
