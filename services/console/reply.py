"""`estafette reply "421 4.7.0 …"`: what a reply says and of whom, which rule knows it, and what the relay would do."""

import re
from pathlib import Path

import click

from services.console.session import fail, in_force
from services.console.tables import as_json, show_json

_LINE = re.compile(r"(?P<code>[2-5]\d\d)[ -]?(?:(?P<enhanced>[245]\.\d{1,3}\.\d{1,3})\s+)?(?P<text>.*)", re.DOTALL)
_STAGES = ("greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "dot")


@click.command()
@click.argument("line")
@click.option("--site", default="", help="Of which site, or named provider.")
@click.option("--stage", type=click.Choice(_STAGES), default="rcpt", show_default=True, help="What it answers to.")
@as_json
def reply(line: str, site: str, stage: str, as_json: bool) -> None:
    """What a reply says and whom it is about, the shaping rule that knows it, and what the relay would do."""
    from services.relay.message.outcome import Bounce, Defer, outcome
    from services.relay.traffic import shaping
    from services.relay.words.reply import Reply
    from shared.words.replies import classify, reply_codes
    from shared.words.reply_text import take_apart

    found = _LINE.fullmatch(line.strip())
    code, enhanced, text = found.groups() if found else (*reply_codes(line), line)
    if not found:  # a diagnostic of a report, which says itself what was answered to
        stage = take_apart(line).stage or stage
    if code is None:
        fail(f"a reply begins with its code, such as 421, not {line!r:.80}")
    read = Reply(int(code), enhanced or "", text, stage, "host")  # type: ignore[arg-type]
    own = in_force().relay.shaping_file
    try:
        shipped = Path(shaping.__file__).with_name("shaping.toml").read_text("utf-8")
        rules = shaping.Shaping.parse(shipped, Path(own).read_text("utf-8") if own else "")
    except ValueError as faults:
        fail(f"relay.shaping_file: {own}: {faults}")
    rule = rules.rule_of(site, read)
    end = outcome(read, rule)
    means = classify(read.code, read.enhanced or None, text, read.stage, site) if read.code >= 400 else None
    said = {
        "class": means.reason if means else None,
        "about": means.about if means else None,
        "rule": rule.name if rule else None,
        "action": rule.action if rule else None,
        "for_s": rule.for_s if rule else None,
        "outcome": type(end).__name__.lower(),
        "reason": end.reason if isinstance(end, Bounce | Defer) else None,
        "kind": end.kind if isinstance(end, Bounce) else means.kind if means else None,
    }
    if as_json:
        show_json(said)
        return
    if means is not None:
        click.echo(f"class: {means.reason} ({means.kind}, about {means.about})")
    click.echo(f"rule: {said['rule'] or 'none knows it'}")
    if rule is not None:
        click.echo(f"action: {rule.action}" + (f" for {rule.for_s} s" if rule.for_s else ""))
    about = " ".join(str(word) for word in (said["kind"], said["reason"]) if word)
    click.echo(f"outcome: {said['outcome']}" + (f" ({about})" if about else ""))
