"""From what happened in an attempt to the fact that is recorded and what the message does next. Pure."""

from dataclasses import replace

import msgspec

from services.relay.delivery.courier import Result
from services.relay.message.mail import End, Mail, Unmade
from services.relay.message.outcome import (
    Bounce,
    Defer,
    Deliver,
    outcome,
)
from services.relay.message.retry import Retries
from services.relay.words.hop import NoRoute
from services.relay.words.notnow import NotNow
from shared.redis.cancels import Cancel
from shared.words import events, sites, timing

#: An end that nobody knows, of a message that is to be sent at most once (promise 2). `soft`, because it says nothing
#: about the address.
UNKNOWN = Bounce("soft", "unknown_outcome")
#: What an operator gave up. `block`, because it says nothing about the address either.
OPERATORS = Bounce("block", "bounced_by_operator")
#: What is kept of a reply on a fact, and carried to the next attempt.
MAX_REPLY_CHARS = 500
BROUGHT_DOWN = "brought_relay_down"


def suppressed(mail: Mail, reason: str, now_ms: int) -> End:
    """The recipient left, or was found bad, while the mail was waiting."""
    about = _about(mail, "suppressed", now_ms)
    return End(mail, events.Suppressed(**about, reason=reason, where="attempt"))


def expired(mail: Mail, now_ms: int) -> End:
    """Its time was over before this attempt."""
    about = _about(mail, "expired", now_ms)
    ready = mail.ready
    return End(mail, events.Expired(**about, attempt=ready.attempt - 1, site=mail.lease.site, reply=ready.last_reply))


def early(mail: Mail, now_ms: int) -> End | None:
    """It comes back when it may go, if that is not yet: an operator asked for it sooner, or it waited for another
    attempt, or in line, until its recipient's hours were over. Not later than when its own time is."""
    ready = mail.ready
    if not ready.window and ready.not_before <= now_ms:
        return None
    due_ms = timing.open_from(ready.window, max(now_ms, ready.not_before))
    due_ms = min(due_ms, ready.expires_at or due_ms)
    return End(mail, None, due_ms, events.encode(ready)) if due_ms > now_ms else None


def cancelled(mail: Mail, by: Cancel, now_ms: int) -> End:
    """It was cancelled before this attempt; or bounced, on an operator's word."""
    if by.how == "bounced":
        return _bounced(mail, OPERATORS, _nowhere(by.why), now_ms)
    fact = events.Cancelled(
        **_about(mail, "cancelled", now_ms),
        attempt=mail.ready.attempt - 1,
        site=mail.lease.site,
        by=by.by,
        why=by.why[:MAX_REPLY_CHARS],
    )
    return End(mail, fact)


def unknown(mail: Mail, now_ms: int) -> End:
    """This attempt was begun by a relay that died, and the message is to be sent at most once: it may have arrived."""
    return _bounced(mail, UNKNOWN, _nowhere("unknown outcome: it may have been delivered"), now_ms)


def unmade(mail: Mail, why: Unmade, now_ms: int, retries: Retries) -> End:
    """There is no mail: content that cannot be rendered fails, and so does what lacks a file of its recipient; a job
    that is gone bounces, anything else is tried again."""
    if why.final and (why.reason in events.UNMADE_REASONS or why.reason == events.LOST_ATTACHMENT):
        return _failed(mail, why.reason, why.detail, now_ms)
    if why.final:
        return _bounced(mail, Bounce("block", why.reason), _nowhere(why.detail), now_ms)
    return _deferred(mail, mail.ready.stream, Defer(why.reason), _nowhere(why.detail), now_ms, retries)


def brought_down(mail: Mail, now_ms: int) -> End:
    """Whoever had it in hand died, or hung, so often that it is not tried again, the last time with nothing else."""
    detail = f"{mail.lease.take_overs} processes ended, or hung, with this message in hand, the last with it alone"
    return _failed(mail, BROUGHT_DOWN, detail, now_ms)


def untried(mail: Mail, shut: NotNow, now_ms: int, retries: Retries) -> End:
    """No host for it may be dialled now, because of what another message found: it comes back, its attempt still before
    it, and knows why it waited. Its end, if its time would be over by then."""
    reply = (shut.reply or mail.ready.last_reply)[:MAX_REPLY_CHARS]
    retry_at = retries.untried(now_ms, shut.wait_ms)
    again = msgspec.structs.replace(mail.ready, last_reply=reply)
    if retries.is_over(mail.ready.expires_at, retry_at):
        return expired(replace(mail, ready=again), now_ms)
    return End(mail, None, retry_at, events.encode(again))


def attempted(
    mail: Mail, stream: str, size_bytes: int, result: Result, began_ms: int, now_ms: int, retries: Retries
) -> End:
    """The end of an attempt that reached for a host."""
    match outcome(result.answer, result.rule, by_route=sites.is_route(mail.lease.site)):
        case Deliver():
            fact = events.Delivered(
                **_about(mail, "delivered", now_ms),
                attempt=mail.ready.attempt,
                site=mail.lease.site,
                host=result.host,
                reply=result.text[:MAX_REPLY_CHARS],
                tls=result.tls,
                tls_cipher=result.tls_cipher,
                tls_policy=result.tls_policy,
                source=result.source,
                size_bytes=size_bytes,
                duration_ms=now_ms - began_ms,
            )
            return End(mail, fact)
        case Bounce() as bounce:
            return _bounced(mail, bounce, result, now_ms)
        case Defer(reason="unknown_end") if mail.ready.at_most_once:
            return _bounced(mail, UNKNOWN, result, now_ms)
        case Defer() as defer:
            return _deferred(mail, stream, defer, result, now_ms, retries)


def _nowhere(text: str) -> Result:
    """No host was reached for."""
    return Result(NoRoute("", text, final=False), text)


def _bounced(mail: Mail, bounce: Bounce, result: Result, now_ms: int) -> End:
    fact = events.Bounced(
        **_about(mail, "bounced", now_ms),
        attempt=mail.ready.attempt,
        site=mail.lease.site,
        host=result.host,
        reply=result.text[:MAX_REPLY_CHARS],
        reason=bounce.reason,
        kind=bounce.kind,
        source=result.source,
    )
    return End(mail, fact)


def _failed(mail: Mail, reason: str, detail: str, now_ms: int) -> End:
    fact = events.Failed(
        **_about(mail, "failed", now_ms),
        attempt=mail.ready.attempt,
        site=mail.lease.site,
        reason=reason,
        detail=detail[:MAX_REPLY_CHARS],
    )
    return End(mail, fact)


def _deferred(mail: Mail, stream: str, defer: Defer, result: Result, now_ms: int, retries: Retries) -> End:
    """To be tried again, unless that would be too late."""
    ready = mail.ready
    host, text = result.host, result.text[:MAX_REPLY_CHARS]
    greylisted = defer.reason == "greylisted"
    retry_at = retries.next_attempt(ready.attempt, stream, now_ms, defer.retry_after_s, greylisted)
    if retries.is_over(ready.expires_at, retry_at):
        about = _about(mail, "expired", now_ms)
        return End(mail, events.Expired(**about, attempt=ready.attempt, site=mail.lease.site, host=host, reply=text))
    fact = events.Deferred(
        **_about(mail, f"deferred {ready.attempt}", now_ms),
        attempt=ready.attempt,
        site=mail.lease.site,
        host=host,
        reply=text,
        reason=defer.reason,
        retry_at=retry_at,
        source=result.source,
    )
    again = msgspec.structs.replace(ready, attempt=ready.attempt + 1, last_reply=text)
    return End(mail, fact, retry_at, events.encode(again))


def _about(mail: Mail, what: str, now_ms: int) -> events.About:
    ready = mail.ready
    return events.about_message(ready.tenant, ready.job, ready.ordinal, now_ms, what, email=ready.email)
