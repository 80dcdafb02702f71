"""Mail that comes by SMTP is a job: handed over by clients as they are, through a kill of the door, and to the end."""

import asyncio
import smtplib
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import Any

import pytest
import pytest_asyncio

from services.bounces import dsn as reader
from services.bounces import mail as reading
from tests.flows.stack import Stack
from tests.servers import need

pytestmark = pytest.mark.asyncio(loop_scope="module")

DJANGO = """
import sys
import django
from django.conf import settings
port, key, to = sys.argv[1:]
settings.configure(EMAIL_HOST="127.0.0.1", EMAIL_PORT=int(port), EMAIL_HOST_USER="demo", EMAIL_HOST_PASSWORD=key,
                   EMAIL_USE_TLS=True, DEFAULT_FROM_EMAIL="Chouette <news@exemple.fr>")
django.setup()
import ssl
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend
class Trusting(EmailBackend):
    @property
    def ssl_context(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
mail = EmailMultiAlternatives("Été", "Bonjour", to=[to], bcc=["cache@exemple.fr"], connection=Trusting(),
                              headers={"X-Estafette-Tags": "django"})
mail.attach_alternative('<a href="https://exemple.fr/">là</a>', "text/html")
assert mail.send() == 1
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack.running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


def anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def written(subject: str, **fields: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Chouette <news@exemple.fr>", "tous@exemple.fr", subject
    for name, value in fields.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Bonjour {{ prenom }}")
    return mail


def bring(stack: Stack, mail: EmailMessage, *to: str, sender: str = "app@exemple.fr", notify: str = "") -> str:
    """The job that it became. smtplib's errors."""
    with smtplib.SMTP_SSL("127.0.0.1", stack.submission_tls_port, context=anybody(), timeout=60) as client:
        client.login("demo", stack.key)
        client.mail(sender, ["RET=FULL", "ENVID=order-4711"] if notify else [])
        for one in to:
            client.rcpt(one, [f"NOTIFY={notify}", f"ORCPT=rfc822;{one}"] if notify else [])
        code, text = client.data(mail.as_bytes(policy=SMTP))
    if code != 250:
        raise smtplib.SMTPDataError(code, text)
    return text.decode().rsplit(" ", 1)[-1]


async def ran(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()


async def test_a_mail_ends_in_the_mailbox_of_each_recipient_and_no_header_names_who_is_hidden(stack: Stack) -> None:
    seen = {"Cc": "Zoé <ana@exemple.fr>, cy@exemple.fr", "Bcc": "bo@exemple.fr"}
    mail = written("Un", X_Estafette_Tags="a, b", X_Estafette_Metadata='{"crm_id": "17"}', **seen)

    to = ("ana@exemple.fr", "bo@exemple.fr", "ana@exemple.fr", "cy@exemple.fr")
    job = await asyncio.to_thread(bring, stack, mail, *to)
    again = await asyncio.to_thread(bring, stack, mail, "ana@exemple.fr", "bo@exemple.fr")
    report = await stack.done(job)
    got = await stack.mail("bo@exemple.fr")

    assert again != job  # without a Message-ID it is another mail
    assert report["counts"]["delivered"] == 3
    source = message_from_bytes(await stack.source(got), policy=default)
    assert (str(source["Cc"]), source["Bcc"]) == (seen["Cc"], None)
    assert (report["tags"], report["stream"]) == (["a", "b"], "transactional")
    assert (await stack.message(f"{job}.1"))["metadata"] == {"crm_id": "17"}
    assert got["subject"] == "Un"


async def test_a_mail_that_is_brought_again_is_the_same_job(stack: Stack) -> None:
    named = written("Deux", Message_ID="<deux@exemple.fr>")
    ours = [written(subject, X_Estafette_Job_Key="order-4711") for subject in ("Trois", "Trois, anew")]

    first, second = [await asyncio.to_thread(bring, stack, named, "deux@exemple.fr") for _ in range(2)]
    third, fourth = [await asyncio.to_thread(bring, stack, one, "trois@exemple.fr") for one in ours]

    other_wishes = [
        await asyncio.to_thread(bring, stack, mail, to, notify="FAILURE")
        for mail, to in ((named, "deux@exemple.fr"), (ours[1], "trois@exemple.fr"))
    ]
    elsewhere = await asyncio.to_thread(bring, stack, ours[0], "quatre@exemple.fr")

    assert (first, third) == (second, fourth)
    assert other_wishes[0] not in (first, third)  # it is another mail that asks for reports
    assert other_wishes[1] == third
    assert len({first, third, elsewhere}) == 3


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        ({"X_Estafette_Stream": "blue", "X_Estafette_List": "x" * 65}, "5.6.0"),
        ({"Sender": "autre@autre.fr"}, "5.6.0"),
    ],
)
async def test_all_that_is_wrong_is_said_and_nothing_is_kept(stack: Stack, fields: dict[str, str], reply: str) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        await asyncio.to_thread(bring, stack, written("Faux", **fields), "faux@exemple.fr")

    said = refused.value.smtp_error
    text = said.decode() if isinstance(said, bytes) else said
    assert refused.value.smtp_code == 550
    assert all(line.startswith(reply) for line in text.splitlines())
    assert [name for name in fields if name.replace("_", "-") not in text] == [], text


async def test_a_domain_of_nobody_is_refused_by_name(stack: Stack) -> None:
    key = await stack.new_key("acme", "send")

    def session() -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", stack.submission_port) as client:
            client.starttls(context=anybody())
            client.login("acme", key)
            client.mail("a@exemple.fr")
            client.rcpt("a@exemple.fr")
            return client.data(written("Faux").as_bytes(policy=SMTP))

    code, text = await asyncio.to_thread(session)

    assert code == 550
    assert text.startswith(b"5.7.1 exemple.fr is not a sending domain")


async def test_who_must_not_be_mailed_is_taken_and_suppressed(stack: Stack) -> None:
    await stack.call("PUT", "/v1/suppressions/parti@exemple.fr", {"reason": "manual"})

    report = await stack.done(await asyncio.to_thread(bring, stack, written("Parti"), "parti@exemple.fr"))

    assert report["counts"]["suppressed"]["total"] == 1


async def test_django_sends_through_it_unchanged(stack: Stack) -> None:
    await ran(sys.executable, "-c", DJANGO, str(stack.submission_port), stack.key, "django@exemple.fr")

    got = await stack.mail("django@exemple.fr")

    assert got["subject"] == "Été"
    assert await stack.mail("cache@exemple.fr")


async def test_swaks_sends_through_it_unchanged(stack: Stack) -> None:
    command = [need("swaks"), "--server", "127.0.0.1", "--from", "news@exemple.fr", "--to", "swaks@exemple.fr"]
    login = ["--auth", "--auth-user", "demo", "--auth-password", stack.key]

    await ran(*command, *login, "--port", str(stack.submission_port), "--tls")
    await ran(*command, *login, "--port", str(stack.submission_tls_port), "--tlsc", "--pipeline")

    async def both() -> bool:
        return len(await stack.mails("swaks@exemple.fr")) == 2

    await stack.until(both)


async def test_who_asks_for_it_is_told_by_mail_once_whatever_dies_and_never_of_what_tells(stack: Stack) -> None:
    await stack.call("PUT", "/v1/suppressions/unknown-sender@exemple.fr", {"reason": "manual"})
    ends = {"unknown-a@exemple.fr": "failed", "bounce-later-a@exemple.fr": "failed", "dsn-a@exemple.fr": "relayed"}

    job = await asyncio.to_thread(
        bring, stack, written("Dites"), *ends, sender="told@exemple.fr", notify="SUCCESS,FAILURE"
    )
    # Refused at its report, too, and one who must not be mailed: nobody hears of that.
    for sender in ("unknown-told@exemple.fr", "unknown-sender@exemple.fr"):
        await asyncio.to_thread(
            bring, stack, written("Taisez"), "unknown-b@exemple.fr", sender=sender, notify="FAILURE"
        )
    await asyncio.to_thread(bring, stack, written("Rien"), "unknown-c@exemple.fr", sender="told@exemple.fr")
    await stack.killed_and_back("queueing")

    async def all_told() -> list[tuple[str, bytes]] | None:
        found = [(mail["return_path"], await stack.source(mail)) for mail in await stack.mails("told@exemple.fr")]
        return found if len(found) > len(ends) else None  # what was handed on and came back is told of twice

    told = await stack.until(all_told)
    assert {path for path, _ in told} == {""}
    actions = []
    for _, source in told:
        report = reader.read(reading.read(source))
        assert report is not None
        [one] = report.recipients
        actions.append((one.original_recipient, one.action))
        assert b"\r\nOriginal-Envelope-Id: order-4711\r\n" in source
        assert b"\r\nAuto-Submitted: auto-replied\r\n" in source
        assert report.original.get("subject") == "Dites"
        assert (b"\r\nContent-Type: message/rfc822\r\n" in source) == (one.action == "failed")
    assert sorted(actions) == sorted([*ends.items(), ("bounce-later-a@exemple.fr", "relayed")])
    assert (await stack.report(job))["counts"]["bounced"]["total"] == 2


async def test_no_report_goes_to_a_domain_of_nobody(stack: Stack) -> None:
    with pytest.raises(smtplib.SMTPDataError, match=r"5\.7\.1 elsewhere\.test is no sending domain"):
        await asyncio.to_thread(
            bring, stack, written("Faux"), "a@exemple.fr", sender="victim@elsewhere.test", notify="FAILURE"
        )


async def test_all_that_is_wrong_with_what_is_asked_by_the_api_is_said(stack: Stack) -> None:
    dsn = {
        "sender": "nobody",
        "recipients": [{"notify": ["failure"]}, {"notify": [], "original_recipient": "ana"}],
        "envelope_id": "é",
    }
    whole = b64encode(b"Subject: no From\r\n\r\n").decode()

    status, problem = await stack.answered(
        "POST", "/v1/mails", {"mail": whole, "recipients": ["a@exemple.fr"], "dsn": dsn}
    )

    assert status == 422
    assert [fault["at"] for fault in problem["faults"]] == [
        "From",
        "$.dsn.sender",
        "$.dsn.envelope_id",
        "$.dsn.recipients",
        "$.dsn.recipients[1].original_recipient",
    ]


async def test_promise_1_each_250_has_its_job_whenever_the_door_is_killed(stack: Stack) -> None:
    taken: dict[str, str] = {}
    stopped = asyncio.Event()

    async def client(number: int) -> None:
        count = 0
        while not stopped.is_set():
            name = f"k{number}x{count}"
            mail = written(name, Message_ID=f"<{name}@exemple.fr>")
            try:
                taken[name] = await asyncio.to_thread(bring, stack, mail, f"{name}@exemple.fr")
                count += 1
            except (OSError, smtplib.SMTPException):
                await asyncio.sleep(0.1)  # brought again, as mail programs do

    clients = [asyncio.create_task(client(number)) for number in range(3)]
    for kill in range(1, 4):

        async def some(least: int = 10 * kill) -> bool:
            return len(taken) >= least

        await stack.until(some)
        await stack.killed_and_back("submission")
    stopped.set()
    await asyncio.gather(*clients)

    async def arrived() -> dict[str, int] | None:
        found: dict[str, int] = {}
        for mail in await stack.mails():
            if mail["subject"] in taken:
                found[mail["subject"]] = found.get(mail["subject"], 0) + 1
        return found if len(found) >= len(taken) else None

    counts: Any = await stack.until(arrived)
    assert set(counts) == set(taken)
    assert max(counts.values()) == 1
    assert len(set(taken.values())) == len(taken)
