"""The mailbox from end to end: mail goes in by SMTP, is kept in Redis, and comes out by HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import aiosmtplib
import pytest

from services.mailbox import http
from services.mailbox.mailbox import Mail, Mailbox
from services.mailbox.notices import sent
from services.mailbox.outbox import Outbox
from services.mailbox.smtp import MAX_MESSAGE_BYTES, Listener
from services.mailbox.store import Writer
from shared.redis import redis
from tests.mailbox_stack import RETURN_PATH, ReturnPath, Stack, running
from tests.servers import RedisServer, free_port


@pytest.fixture
async def box(redis_url: str) -> AsyncIterator[Stack]:
    async with running(redis_url) as stack:
        yield stack


# Kept and shown


async def test_a_mail_that_was_accepted_is_on_the_page(any_redis_url: str) -> None:
    async with running(any_redis_url) as box:
        await box.send("ana@example.org", "Les soldes d'été")

        (kept,) = await box.listed()
        assert "Les soldes d&#x27;été" in await box.page("/mailbox")
        assert "Les soldes d&#x27;été" in await box.page(f"/mailbox/{kept['id']}")


async def test_json_tells_what_scripts_ask(box: Stack) -> None:
    await box.send(
        "ana@example.org",
        DKIM_Signature="v=1; d=exemple.fr; s=est1",
        List_Unsubscribe="<http://t.localhost/u/tok>, <mailto:u-1@bounces.localhost>",
        List_Unsubscribe_Post="List-Unsubscribe=One-Click",
    )

    (kept,) = await box.listed()
    assert kept["to"] == ["ana@example.org"]
    assert kept["from"] == "Chouette <news@exemple.fr>"
    assert kept["return_path"] == RETURN_PATH
    assert kept["subject"] == "Bonjour"
    assert kept["message_id"] == "<job.0@exemple.fr>"
    assert kept["links"] == ["http://t.localhost/c/tok?a=1&b=2"]
    assert kept["list_unsubscribe"] == ["http://t.localhost/u/tok", "mailto:u-1@bounces.localhost"]
    assert kept["one_click"] == "http://t.localhost/u/tok"
    assert kept["dkim_domains"] == ["exemple.fr"]
    assert abs(datetime.fromisoformat(kept["received_at"]) - datetime.now(UTC)).total_seconds() < 60


async def test_the_source_is_byte_for_byte_what_was_sent(box: Stack) -> None:
    raw = b"Subject: dots\r\n\r\n.one\r\n..two\r\n\xc3\xa9\r\n.\t\r\nend.\r\n"
    await box.smtp.sendmail(RETURN_PATH, ["ana@example.org"], raw)

    (kept,) = await box.listed()
    answer = await box.web.get(f"/mailbox/{kept['id']}/source")

    assert await answer.read() == raw
    assert answer.content_type == "text/plain"


async def test_a_message_without_content_is_kept_too(box: Stack) -> None:
    await box.smtp.sendmail(RETURN_PATH, ["ana@example.org"], b"")

    assert [kept["subject"] for kept in await box.listed()] == [""]


async def test_the_html_is_served_in_a_sandbox_without_scripts(box: Stack) -> None:
    await box.send("ana@example.org")
    (kept,) = await box.listed()

    answer = await box.web.get(f"/mailbox/{kept['id']}/html")

    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert (await answer.text()).startswith('<!doctype html><base target="_blank"><p>Bonjour</p>')


async def test_our_own_pages_run_our_own_script_alone(box: Stack) -> None:
    answer = await box.web.get("/mailbox")

    assert "script-src 'nonce-n0nce'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_attachment_is_downloaded_and_never_shown(box: Stack) -> None:
    await box.send("ana@example.org")
    (kept,) = await box.listed()

    answer = await box.web.get(f"/mailbox/{kept['id']}/parts/2")

    assert (answer.status, answer.content_type, await answer.read()) == (200, "application/pdf", b"%PDF")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A9t%C3%A9.pdf"


async def test_a_media_type_cannot_add_a_header(box: Stack) -> None:
    raw = b'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/\x07x"\r\n\r\n--b--\r\n'
    await box.smtp.sendmail(RETURN_PATH, ["ana@example.org"], raw)
    (kept,) = await box.listed()

    answer = await box.web.get(f"/mailbox/{kept['id']}/parts/0")

    assert (answer.status, answer.content_type) == (200, "application/octet-stream")


@pytest.mark.parametrize("path", ["nonsense", "1-1", "1-99999999999999999999", "1-1/html", "1-1/source", "1-1/parts/0"])
async def test_an_unknown_message_is_not_found(box: Stack, path: str) -> None:
    assert "There is no such message" in await box.page(f"/mailbox/{path}", status=404)


async def test_a_message_without_html_has_no_frame(box: Stack) -> None:
    await box.smtp.sendmail(RETURN_PATH, ["ana@example.org"], b"Subject: text\r\n\r\nhello\r\n")
    (kept,) = await box.listed()

    assert "<iframe" not in await box.page(f"/mailbox/{kept['id']}")
    await box.page(f"/mailbox/{kept['id']}/html", status=404)


# Found again


async def test_messages_are_found_by_a_part_of_an_address(box: Stack) -> None:
    for name in ("ana", "bob"):
        await box.send(f"{name}@example.org", f"for {name}")

    assert "for ana" in await box.page("/mailbox?q=ANA@")
    assert "for bob" not in await box.page("/mailbox?q=ANA@")
    assert "for bob" in await box.page("/mailbox?q=b-payload")


async def test_json_is_read_on_from_where_it_ended(box: Stack) -> None:
    for number in range(5):
        await box.send(f"user{number}@example.org")

    first = await (await box.web.get("/mailbox/messages.json?limit=3")).json()
    rest = await (await box.web.get(f"/mailbox/messages.json?after={first['next']}")).json()
    none = await (await box.web.get(f"/mailbox/messages.json?after={rest['next']}")).json()

    assert [kept["to"][0][:5] for kept in first["messages"]] == ["user0", "user1", "user2"]
    assert [kept["to"][0][:5] for kept in rest["messages"]] == ["user3", "user4"]
    assert none == {"messages": [], "next": rest["next"]}


async def test_json_is_filtered_by_recipient(box: Stack) -> None:
    for number in (1, 10):
        await box.send(f"user{number}@example.org")

    assert [kept["to"] for kept in await box.listed("?to=User1@example.org")] == [["user1@example.org"]]


async def test_the_list_goes_on_page_by_page(box: Stack) -> None:
    for number in range(http.ROWS + 2):
        await box.smtp.sendmail(RETURN_PATH, ["a@b.fr"], f"Subject: number {number:03}\r\n\r\n".encode())
    kept = await box.listed()

    first = await box.page("/mailbox")
    second = await box.page(f"/mailbox?before={kept[2]['id']}")

    assert "number 051" in first
    assert "number 002" in first
    assert "number 001" not in first
    assert f"before={kept[2]['id']}" in first
    assert "number 001" in second
    assert "number 002" not in second


@pytest.mark.parametrize(
    "path", ["/mailbox?before=x", "/mailbox/messages.json?after=1", "/mailbox/messages.json?limit=0"]
)
async def test_a_query_that_makes_no_sense_is_a_problem(box: Stack, path: str) -> None:
    answer = await box.web.get(path)

    assert (answer.status, answer.content_type) == (422, "application/problem+json")


# Bounds


async def test_the_oldest_messages_go_first(any_redis_url: str) -> None:
    async with running(any_redis_url, keep=3) as box:
        for number in range(5):
            await box.send(f"user{number}@example.org")
        kept = await box.listed()

        assert [message["to"] for message in kept] == [[f"user{number}@example.org"] for number in (2, 3, 4)]
        assert "3 messages kept" in await box.page("/mailbox")


async def test_messages_are_bounded_by_bytes_too(redis_url: str, redis_server: RedisServer) -> None:
    async with running(redis_url, keep_bytes=250_000) as box:
        for _ in range(10):
            await box.send("ana@example.org", html="x" * 60_000)

        assert 2 <= len(await box.listed()) <= 4
        with redis_server.client() as client:
            assert client.hlen("est:{mailbox}:bodies") == client.xlen("est:{mailbox}:messages")
            bodies = client.hvals("est:{mailbox}:bodies")
            assert sum(map(len, bodies)) == int(client.get("est:{mailbox}:bytes") or 0) <= 250_000


async def test_a_message_larger_than_announced_is_refused_and_the_connection_goes_on(box: Stack) -> None:
    await box.smtp.mail(RETURN_PATH)
    await box.smtp.rcpt("ana@example.org")
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await box.smtp.data(b"x" * 70 + b"\r\n" + b"." * MAX_MESSAGE_BYTES + b"\r\n")
    await box.send("ana@example.org", "small")

    assert refused.value.code == 552
    assert [kept["subject"] for kept in await box.listed()] == ["small"]


async def test_many_connections_at_once_lose_nothing(box: Stack) -> None:
    async def send_some(sender: int) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=box.port) as smtp:
            for number in range(10):
                await smtp.sendmail(RETURN_PATH, [f"user{sender}-{number}@example.org"], b"Subject: s\r\n\r\nx\r\n")

    await asyncio.gather(*(send_some(sender) for sender in range(20)))

    kept = await box.listed("?limit=1000")
    assert len({message["to"][0] for message in kept}) == len(kept) == 200


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.mailbox.smtp.MAX_CONNECTIONS", 1)
    listener = Listener(ReturnPath(), "127.0.0.1", 0)
    await listener.open()
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port):
        with pytest.raises(aiosmtplib.SMTPConnectError) as refused:
            await aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port).connect()

    assert "421" in str(refused.value)
    await listener.close()


async def test_waiting_notices_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.mailbox.outbox.MAX_WAITING", 2)
    return_path = ReturnPath()
    listener = Listener(return_path, "127.0.0.1", 0)
    await listener.open()
    outbox = Outbox("127.0.0.1", listener.port, lambda: datetime.now(UTC), lambda: "bound", delay_seconds=0)

    for number in range(5):
        outbox.put("bounce", sent(f"b-{number}@b.localhost", "bounce-later@x.fr", b"\r\n"))
    sending = asyncio.create_task(outbox.run())
    arrived = [await asyncio.wait_for(return_path.arrived.get(), 60) for _ in range(2)]

    assert [mail.recipients for mail in arrived] == [("b-0@b.localhost",), ("b-1@b.localhost",)]
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await listener.close()


# Emptied


async def test_the_mailbox_is_emptied_by_delete(any_redis_url: str) -> None:
    async with running(any_redis_url) as box:
        await box.send("ana@example.org")

        answer = await box.web.delete("/mailbox")

        assert answer.status == 204
        assert await box.listed() == []
        assert "No mail yet" in await box.page("/mailbox")


async def test_empty_asks_first_and_a_form_without_a_script_answers(box: Stack) -> None:
    for number in range(2):
        await box.send(f"r{number}@example.org")

    listed = await box.page("/mailbox")
    asked = await box.page("/mailbox/empty")

    assert '<a class="button danger empty" href="/mailbox/empty">' in listed
    assert 'action="/mailbox/empty"' not in listed
    assert "Delete all 2 messages?" in asked
    assert '<form class="ask" action="/mailbox/empty" method="post">' in asked
    assert len(await box.listed()) == 2


async def test_the_mailbox_is_emptied_by_its_button_and_not_by_another_site(box: Stack) -> None:
    await box.send("ana@example.org")

    other = await box.web.post("/mailbox/empty", headers={"Sec-Fetch-Site": "cross-site"}, allow_redirects=False)
    kept = await box.listed()
    own = await box.web.post("/mailbox/empty", headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False)

    assert (other.status, len(kept)) == (403, 1)
    assert (own.status, own.headers["Location"], await box.listed()) == (303, "/mailbox", [])


# Recipients that behave


@pytest.mark.parametrize(
    ("address", "code", "status"),
    [
        ("unknown@example.org", 550, "5.1.1"),
        ("full@example.org", 452, "4.2.2"),
        ("greylist@example.org", 451, "4.7.1"),
        ("blocked@example.org", 550, "5.7.1"),
    ],
)
async def test_a_difficult_recipient_is_refused(box: Stack, address: str, code: int, status: str) -> None:
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await box.send(address)

    (reply,) = refused.value.recipients
    assert (reply.code, reply.message[:5]) == (code, status)
    assert await box.listed() == []


async def test_a_greylisted_message_is_taken_the_second_time(box: Stack) -> None:
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await box.send("greylist@example.org")

    await box.send("greylist@example.org")

    assert [kept["to"] for kept in await box.listed()] == [["greylist@example.org"]]


async def test_only_the_recipients_that_were_taken_have_the_message(box: Stack) -> None:
    refused, _ = await box.smtp.sendmail(RETURN_PATH, ["unknown@x.fr", "ana@x.fr"], b"Subject: s\r\n\r\n")

    assert list(refused) == ["unknown@x.fr"]
    assert [kept["to"] for kept in await box.listed()] == [["ana@x.fr"]]


@pytest.mark.parametrize(
    ("address", "report_type"), [("bounce-later@x.fr", "delivery-status"), ("complain@x.fr", "feedback-report")]
)
async def test_a_notice_comes_to_the_return_path_by_smtp(box: Stack, address: str, report_type: str) -> None:
    await box.send(address, "Été")

    notice = await asyncio.wait_for(box.returned.get(), 60)

    assert (notice.return_path, notice.recipients) == ("", (RETURN_PATH,))
    report = message_from_bytes(notice.raw)
    assert report.get_param("report-type") == report_type
    assert address.encode() in notice.raw
    assert [kept["to"] for kept in await box.listed()] == [[address]]


async def test_notices_wait_for_a_bounce_service_that_starts_late(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.mailbox.outbox.RETRY_SECONDS", (0.0, 0.2, 0.2, 0.2, 0.5, 1.0))
    port, return_path = free_port(), ReturnPath()
    outbox = Outbox("127.0.0.1", port, lambda: datetime.now(UTC), lambda: "bound", delay_seconds=0)
    mailbox = Mailbox(Writer(client := redis.connect(redis_url), 10), outbox)
    sending = asyncio.create_task(outbox.run())

    await mailbox.message(Mail(RETURN_PATH, ["complain@x.fr"], b"Subject: s\r\n\r\n"))
    await asyncio.sleep(0.3)
    later = Listener(return_path, "127.0.0.1", port)
    await later.open()
    notice = await asyncio.wait_for(return_path.arrived.get(), 60)

    assert notice.recipients == (RETURN_PATH,)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await later.close()
    await redis.close(client)


# The protocol


async def raw_session(port: int, *sent: bytes) -> bytes:
    """Everything the server says to those writes, the next one sent when it has answered; ends with QUIT."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = await reader.readline()
    for part in sent:
        writer.write(part)
        said += await reader.readline()
    writer.write(b"QUIT\r\n")
    said += await reader.read()
    writer.close()
    return said


async def test_extensions_are_offered(box: Stack) -> None:
    await box.smtp.ehlo()

    assert set(box.smtp.esmtp_extensions) >= {"size", "8bitmime", "smtputf8", "pipelining"}


async def test_pipelined_commands_are_answered_in_order(box: Stack) -> None:
    said = await raw_session(
        box.port,
        b"HELO x\r\n",
        b"MAIL FROM:<a@x.fr>\r\nRCPT TO:<unknown@x.fr>\r\nRCPT TO:<ana@x.fr>\r\nDATA\r\n",
        b"Subject: one\r\n\r\n1\r\n.\r\nMAIL FROM:<a@x.fr>\r\nRCPT TO:<b@x.fr>\r\nDATA\r\nSubject: two\r\n\r\n.\r\n",
    )

    codes = [line[:3].decode() for line in said.splitlines()]
    assert codes == ["220", "250", "250", "550", "250", "354", "250", "250", "250", "354", "250", "221"]
    assert [kept["subject"] for kept in await box.listed()] == ["one", "two"]


async def test_only_cr_lf_dot_cr_lf_ends_a_message(box: Stack) -> None:
    await raw_session(
        box.port,
        b"HELO x\r\n",
        b"MAIL FROM:<a@x.fr>\r\nRCPT TO:<ana@x.fr>\r\nDATA\r\n",
        b"Subject: one\r\n\r\none\n.\nMAIL FROM:<evil@x.fr>\n.\r\nend.\r\n\r\n.\r\n",
    )

    (kept,) = await box.listed()
    assert (await (await box.web.get(f"/mailbox/{kept['id']}/source")).read()).endswith(b"end.\r\n\r\n")


async def test_data_needs_a_recipient_that_was_taken(box: Stack) -> None:
    said = await raw_session(box.port, b"HELO x\r\n", b"MAIL FROM:<a@x.fr>\r\nRCPT TO:<unknown@x.fr>\r\nDATA\r\n")

    assert [line[:3] for line in said.splitlines()] == [b"220", b"250", b"250", b"550", b"503", b"221"]


async def test_an_address_with_quotes_or_letters_beyond_ascii_is_taken(box: Stack) -> None:
    await raw_session(
        box.port,
        b"EHLO x\r\n",
        'MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<"ana b"@x.fr>\r\nRCPT TO:<zoé@x.fr>\r\nDATA\r\n'.encode(),
        b"Subject: s\r\n\r\n.\r\n",
    )

    (kept,) = await box.listed()
    assert (kept["to"], kept["return_path"]) == (['"ana b"@x.fr', "zoé@x.fr"], "")


async def test_a_message_on_its_way_in_is_answered_before_the_server_leaves() -> None:
    listener = Listener(ReturnPath(), "127.0.0.1", 0)
    await listener.open()
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", listener.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"HELO x\r\nMAIL FROM:<a@x.fr>\r\nRCPT TO:<b@x.fr>\r\nDATA\r\n")
    await reader.readuntil(b"354")

    closing = asyncio.create_task(listener.close())
    said_to_idle = await idle.read()
    writer.write(b"Subject: s\r\n\r\n.\r\n")
    said = await reader.read()
    await closing

    assert said_to_idle.startswith(b"220")
    assert said.endswith(b"250 OK\r\n")
    for open_end in (idle_writer, writer):
        open_end.close()


async def test_a_mail_is_refused_for_now_while_redis_is_away(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with running(server.url) as box:
            await box.send("ana@example.org", "before")
            server.kill()
            with pytest.raises(aiosmtplib.SMTPDataError) as refused:
                await box.send("ana@example.org", "lost")
            page = await box.web.get("/mailbox")
            server.start()
            await box.send("ana@example.org", "after")

            assert refused.value.code == 451
            assert page.status == 503
            assert [kept["subject"] for kept in await box.listed()] == ["before", "after"]
    finally:
        server.stop()
