"""What attempts come to is counted by provider, never by a name that somebody else chose."""

import pytest
from prometheus_client import REGISTRY

from services.relay.attempts import count_answer, count_end
from services.relay.message.mail import End, Mail
from services.relay.words.hop import NoRoute
from services.relay.words.reply import ConnectFailed, ConnectionLost, Reply
from shared.redis.ready import Lease
from shared.words import events

JOB = "06h006mus2uer1pplc9g"
ABOUT = events.about_message("acme", JOB, 0, 1_700_000_000_000, "test", email="ana@example.org")


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"estafette_relay_{name}_total", labels) or 0.0


def end(site: str, fact: events.Fact | None) -> End:
    ready = events.Ready(tenant="acme", job=JOB, ordinal=0, email="ana@example.org")
    return End(Mail(Lease(0, 1, site, b""), ready), fact)


@pytest.mark.parametrize(
    ("fact", "outcome"),
    [
        (events.Delivered(**ABOUT), "delivered"),
        (events.Deferred(**ABOUT, reason="greylisted"), "deferred"),
        (events.Bounced(**ABOUT, kind="hard"), "hard"),
        (events.Bounced(**ABOUT, kind="block"), "block"),
        (events.Expired(**ABOUT), "expired"),
        (events.Failed(**ABOUT), "failed"),
    ],
)
def test_an_end_counts_under_its_outcome_and_provider(fact: events.Fact, outcome: str) -> None:
    before = counted("outcomes", outcome=outcome, provider="gmail")

    count_end(end("gmail", fact))

    assert counted("outcomes", outcome=outcome, provider="gmail") == before + 1


def test_a_site_that_is_no_provider_is_other_and_an_end_that_was_on_record_counts_nothing() -> None:
    before = counted("outcomes", outcome="delivered", provider="other")

    count_end(end("mx.example.net", events.Delivered(**ABOUT)))
    count_end(end("mx.example.net", None))

    assert counted("outcomes", outcome="delivered", provider="other") == before + 1
    assert counted("outcomes", outcome="delivered", provider="mx.example.net") == 0


def test_a_message_that_is_tried_again_counts_under_its_reason() -> None:
    before = counted("retries", reason="greylisted")

    count_end(end("gmail", events.Deferred(**ABOUT, reason="greylisted")))
    count_end(end("gmail", events.Delivered(**ABOUT)))

    assert counted("retries", reason="greylisted") == before + 1


@pytest.mark.parametrize(
    ("answer", "phase", "said"),
    [
        (Reply(250, "2.0.0", "ok", "dot", "mx"), "dot", "2xx"),
        (Reply(421, "4.7.0", "later", "mail", "mx"), "mail", "4xx"),
        (Reply(550, "5.1.1", "unknown", "rcpt", "mx"), "rcpt", "5xx"),
        (ConnectFailed("greeting", "mx", "refused", Reply(554, "", "no", "greeting", "mx")), "greeting", "5xx"),
        (ConnectFailed("connect", "mx", "timed out"), "connect", "failed"),
        (ConnectionLost("data", "mx", "went away", False), "data", "lost"),
        (NoRoute("no_mail_host", "null MX", final=True), "route", "no_route"),
    ],
)
def test_an_answer_counts_where_it_was_given_and_by_its_class(
    answer: Reply | ConnectFailed | ConnectionLost | NoRoute, phase: str, said: str
) -> None:
    labels = {"provider": "orange", "phase": phase, "class": said}
    before = counted("replies", **labels)

    count_answer("orange", answer)

    assert counted("replies", **labels) == before + 1
