"""The report of a job, from its counters."""

from typing import Any

import msgspec

from services.reports.job_record import FIELDS, Job
from services.reports.job_report import positions_by_document, positions_by_url, report, stop_names
from services.reports.state import ACCEPTED, State
from shared.redis import jobs
from shared.redis.stops import INVALID_RATE, PAUSED, Stop
from shared.redis.targets import Meant
from shared.words import ids
from shared.words.content import TrackedLink
from shared.words.tokens import NO_POSITION

JOB = ids.new_job_id(1_700_000_000_000, b"chance", 8)
COUNTERS = {
    f"state:{ACCEPTED}": b"1",
    f"state:{State.DEFERRED | ACCEPTED}": b"2",
    f"state:{State.DELIVERED | ACCEPTED}": b"80",
    f"state:{State.DELIVERED}": b"0",
    f"state:{State.BOUNCED_HARD | ACCEPTED}": b"3",
    f"state:{State.LATE_SOFT | ACCEPTED}": b"4",
    f"state:{State.EXPIRED | ACCEPTED}": b"5",
    f"state:{State.SUPPRESSED | ACCEPTED}": b"1",
    f"state:{State.SUPPRESSED}": b"3",
    f"state:{State.REJECTED}": b"1",
    "deferrals:unique": b"6",
    "deferrals:total": b"9",
    "opens:unique": b"40",
    "opens:total": b"55",
    "machine_opens:unique": b"70",
    "machine_opens:total": b"140",
    "clicks:unique": b"8",
    "clicks:total": b"11",
    "click-0:unique": b"6",
    "click-0:total": b"7",
    "click-2:unique": b"4",
    "click-2:total": b"4",
    "machine_click-2:total": b"9",
    "complaints:unique": b"1",
    "complaints:total": b"2",
    "unsubscriptions:unique": b"2",
}
LINKS = [
    TrackedLink(0, "https://a.example/"),
    TrackedLink(1, "https://b.example/"),
    TrackedLink(2, "https://a.example/"),
]


def job(**fields: str) -> Job:
    texts = {"tenant": "acme", "state": "queued", "total": "100", **fields}
    stored = [texts.get(field.name) for field in FIELDS]
    return Job.read(JOB, jobs.Job(FIELDS, [text.encode() if text else None for text in stored]))


def shown(job: Job, counters: dict[str, bytes] | None = None) -> Any:
    return msgspec.to_builtins(report(job, counters or {}, LINKS, {"https://a.example/": 7}))


def test_the_counts_add_up() -> None:
    counts = shown(job(), COUNTERS)["counts"]

    assert counts == {
        "accepted": 96,
        "rejected": 1,
        "suppressed": {"total": 4, "at_queueing": 3, "at_attempt": 1},
        "cancelled": {"total": 0, "at_queueing": 0, "later": 0},
        "delivered": 80,
        "bounced": {"total": 7, "hard": 3, "soft": 4, "block": 0, "late": 4},
        "expired": 5,
        "failed": 0,
        "pending": 3,
        "deferred": {"current": 2, "unique": 6, "total": 9},
        "opens": {"unique": 40, "total": 55, "machine": {"unique": 70, "total": 140}},
        "clicks": {"unique": 8, "total": 11, "machine": {"unique": 0, "total": 0}},
        "documents": {"unique": 0, "total": 0, "machine": {"unique": 0, "total": 0}},
        "complaints": 1,
        "unsubscriptions": 2,
        "auto_replies": 0,
        "replies": 0,
    }
    ends = counts["delivered"] + counts["bounced"]["total"] + counts["expired"] + counts["suppressed"]["at_attempt"]
    assert counts["accepted"] == ends + counts["pending"]
    assert counts["accepted"] + counts["rejected"] + counts["suppressed"]["at_queueing"] == 100


def test_what_was_cancelled_has_ended_and_the_counts_still_add_up() -> None:
    cancelled = {f"state:{State.CANCELLED}": b"40", f"state:{State.CANCELLED | ACCEPTED}": b"60"}

    found = shown(job(), cancelled)

    assert found["state"] == "done"
    assert found["counts"]["cancelled"] == {"total": 100, "at_queueing": 40, "later": 60}
    assert found["counts"]["accepted"] == 60
    assert found["counts"]["pending"] == 0


def test_rates_are_of_what_was_accepted_or_delivered() -> None:
    assert shown(job(), COUNTERS)["rates"] == {
        "delivered": 0.833333,
        "bounced": 0.072917,
        "opened": 0.5,
        "clicked": 0.1,
        "complained": 0.0125,
        "unsubscribed": 0.025,
    }
    assert set(shown(job())["rates"].values()) == {None}


def test_clicks_are_shown_by_position_and_by_link_and_links_that_nobody_clicked_too() -> None:
    found = shown(job(), COUNTERS)

    a, b = "https://a.example/", "https://b.example/"
    assert found["positions"] == [
        {"position": 0, "url": a, "name": "", "unique": 6, "total": 7, "machine_total": 0},
        {"position": 1, "url": b, "name": "", "unique": 0, "total": 0, "machine_total": 0},
        {"position": 2, "url": a, "name": "", "unique": 4, "total": 4, "machine_total": 9},
    ]
    assert found["links"] == [
        {"url": a, "positions": [0, 2], "unique": 7, "total": 11, "machine_total": 9},
        {"url": b, "positions": [1], "unique": 0, "total": 0, "machine_total": 0},
    ]
    assert positions_by_url(LINKS) == {a: [0, 2], b: [1]}


def test_documents_are_shown_by_name_and_those_of_no_mail_together() -> None:
    quote, terms = "https://a.example/quote.pdf", "https://a.example/terms.pdf"
    links = [
        *LINKS,
        TrackedLink(3, quote, "", "Devis"),
        TrackedLink(4, quote, "", "Devis"),
        TrackedLink(5, terms, "", "Conditions"),
    ]
    counters = {
        "documents:unique": b"5",
        "documents:total": b"9",
        "machine_documents:unique": b"1",
        "machine_documents:total": b"2",
        "document-3:unique": b"2",
        "document-3:total": b"3",
        "document-4:unique": b"3",
        "document-4:total": b"4",
        "machine_document-4:total": b"2",
    }
    outside = {f"document-{NO_POSITION}:unique": b"2", f"document-{NO_POSITION}:total": b"2"}

    found = msgspec.to_builtins(report(job(), counters, links, {"https://a.example/": 7}, None, False, {"Devis": 4}))
    more = msgspec.to_builtins(
        report(job(), counters | outside, links, {"https://a.example/": 7}, None, False, {"Devis": 4})
    )

    rows = [
        {"name": "Devis", "positions": [3, 4], "unique": 4, "total": 7, "machine_total": 2},
        {"name": "Conditions", "positions": [5], "unique": 0, "total": 0, "machine_total": 0},
    ]
    assert found["documents"] == rows
    assert more["documents"] == [*rows, {"name": None, "positions": [], "unique": 2, "total": 2, "machine_total": 0}]
    assert found["counts"]["documents"] == {"unique": 5, "total": 9, "machine": {"unique": 1, "total": 2}}
    assert [place["position"] for place in found["positions"]] == [0, 1, 2]
    assert quote not in [link["url"] for link in found["links"]]
    assert positions_by_document(links) == {"Devis": [3, 4], "Conditions": [5]}


def test_a_job_is_done_when_all_of_it_is_queued_and_every_message_has_its_end() -> None:
    ended = {f"state:{State.DELIVERED | ACCEPTED}": b"99", f"state:{State.REJECTED}": b"1"}

    assert shown(job(), ended)["state"] == "done"
    assert shown(job(state="queueing"), ended)["state"] == "queueing"
    assert shown(job(total="101"), ended)["state"] == "queued"
    assert shown(job(), COUNTERS)["state"] == "queued"


def test_what_the_job_says_of_itself_is_shown() -> None:
    found = shown(
        job(
            **{
                "state": "scheduled", "stream": "bulk", "from": "Chouette <news@exemple.fr>", "subject": "Bonjour",
                "list": "newsletter", "category": "promotion", "tags": "soldes\nété", "test": "1",
                "send_at": "1700000100000", "expires_at": "1700000200000",
            }
        )
    )  # fmt: skip

    apart = ("counts", "rates", "links", "positions", "documents", "visits")
    assert {name: found[name] for name in found if name not in apart} == {
        "id": JOB,
        "state": "scheduled",
        "stopped": None,
        "stream": "bulk",
        "rate": None,
        "at_most_once": False,
        "from": "Chouette <news@exemple.fr>",
        "subject": "Bonjour",
        "list": "newsletter",
        "once": None,
        "category": "promotion",
        "tags": ("soldes", "été"),
        "test": True,
        "sandbox": False,
        "seeds": None,
        "seeds_of": None,
        "dsn_of": None,
        "template": None,
        "request": None,
        "unselected": None,
        "unselected_detail": None,
        "contacts": None,
        "awaited": None,
        "created_at": "2023-11-14T22:13:20.000Z",
        "send_at": "2023-11-14T22:15:00.000Z",
        "expires_at": "2023-11-14T22:16:40.000Z",
        "timing": None,
        "changed_at": None,
        "total": 100,
    }
    bare = shown(job(total=""))
    assert (bare["total"], bare["list"], bare["tags"]) == (0, None, ())


# Stopped


def state_of(state: str, stop: Stop | None, counters: dict[str, bytes] | None = None, **fields: str) -> Any:
    of = job(state=state, stream="bulk", **fields)
    found = None if stop is None else (stop_names(of)[0], stop)
    return msgspec.to_builtins(report(of, counters or {}, [], {}, found))


def test_a_stopped_job_says_why_and_whether_it_may_go_on() -> None:
    stop = Stop(INVALID_RATE, "acme", 1_700_000_060_000, "engine", bad=30, of=400)

    found = state_of("queued", stop)

    assert found["state"] == "stopped"
    assert found["stopped"] == {
        "name": f"job:{JOB}",
        "reason": "invalid_rate",
        "by": "engine",
        "since": "2023-11-14T22:14:20.000Z",
        "bad": 30,
        "of": 400,
        "consented": False,
    }
    consented = msgspec.structs.replace(stop, consent_ms=1)
    assert state_of("queued", consented)["stopped"]["consented"] is True


def test_a_paused_job_is_paused_and_one_that_sends_nothing_yet_keeps_its_state() -> None:
    pause = Stop(PAUSED, "acme", 1, "tenant")

    assert [state_of(state, pause)["state"] for state in ("queueing", "queued")] == ["paused", "paused"]
    assert [state_of(state, pause)["state"] for state in ("open", "scheduled")] == ["open", "scheduled"]
    assert state_of("open", pause)["stopped"]["consented"] is True
    assert (state_of("queued", None)["state"], state_of("queued", None)["stopped"]) == ("queued", None)


def test_what_has_ended_is_done_stopped_or_not() -> None:
    stop = Stop(INVALID_RATE, "acme", 1, "engine")

    found = state_of("queued", stop, {f"state:{State.BOUNCED_HARD | ACCEPTED}": b"30"}, total="30")

    assert (found["state"], found["stopped"]) == ("done", None)


def test_a_tenants_stop_is_about_its_bulk() -> None:
    assert stop_names(job(stream="bulk")) == [f"job:{JOB}", "tenant:acme"]
    assert stop_names(job(stream="transactional")) == [f"job:{JOB}"]


def test_the_report_says_what_the_job_asked_for() -> None:
    assert (shown(job())["rate"], shown(job())["at_most_once"]) == (None, False)
    of = job(rate="50000/h", at_most_once="1")
    assert (shown(of)["rate"], shown(of)["at_most_once"]) == ("50000/h", True)


def test_a_message_that_was_clicked_without_an_opening_counts_as_opened() -> None:
    counters = {**COUNTERS, "implied_opens:unique": b"3"}

    opens = shown(job(), counters)["counts"]["opens"]

    assert opens == {"unique": 43, "total": 58, "machine": {"unique": 70, "total": 140}}


# Contacts


def test_a_job_that_was_sent_to_a_segment_says_which_and_how_many_belonged() -> None:
    meant = msgspec.json.encode(Meant(12, 3, 2, "Paris")).decode()
    nobody_saved = msgspec.json.encode(Meant(12)).decode()

    assert shown(job(segment=meant))["contacts"] == {"segment": 3, "name": "Paris", "version": 2, "selected": 12}
    assert shown(job(segment=nobody_saved))["contacts"] == {
        "segment": None,
        "name": None,
        "version": None,
        "selected": 12,
    }


def test_a_job_says_what_it_waits_for_and_why_it_takes_nobody() -> None:
    found = shown(job(state="selecting", awaited="database"))
    ended = shown(job(unselected="segment_unreadable", unselected_detail="$.field: no such field"))

    assert (found["awaited"], found["unselected"]) == ("database", None)
    assert (ended["unselected"], ended["unselected_detail"]) == ("segment_unreadable", "$.field: no such field")
