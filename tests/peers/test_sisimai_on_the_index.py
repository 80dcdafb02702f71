"""Sisimai's opinion of every mail of the index: who is gone for good, says it too; where it does not, we say why."""

import json
import subprocess
from functools import cache

from tests.servers import missing, need
from tests.unit.bounces.parts import SAMPLES
from tests.unit.bounces.test_index import index

#: Its reasons that mean what `hard` does. https://libsisimai.org/en/reason/
HARD = frozenset(("userunknown", "hostunknown", "hasmoved", "suspend"))
FORWARDED = "The address that failed is where somebody forwards to: bad there, and not yet bad for ours."
#: Mails of which it calls other addresses bad than we do, by why we keep our reading.
DIFFERENCES: dict[str, frozenset[str]] = {
    FORWARDED: frozenset(
        (
            "alias-of-three-one-fails.eml", "written/dsn-actual-recipient-elsewhere.eml",
            "written/dsn-forwarded-elsewhere.eml", "written/exim-generated-from.eml",
            "written/postfix-prose-expanded.eml",
        )
    ),
    ("With several recipients in one report it gives one reply to all, or forgets one; each has a block of "
    "its own."): frozenset(
        (
            "made/exim-two.eml", "made/postfix-two.eml", "made/sendmail-two.eml", "written/dsn-action-first.eml",
            "written/exim-two-recipients-one-reason.eml", "written/postfix-prose-two.eml",
        )
    ),
    "It names the address that a host wrote for ours, or the one of the copy.": frozenset(
        (
            "written/dsn-forwarded-inside.eml", "written/dsn-rewritten-to-a-tenant.eml",
            "written/sendmail-v5-host-unknown.eml",
        )
    ),
    ("What stands in the text and not in a field, or in no English, it reads as `undefined`, `filtered` or "
    "`onhold`."): frozenset(
        (
            "international-smtputf8.eml", "made/dma-german.eml", "written/danish.eml", "written/dsn-of-nobody-fr.eml",
            "written/exchange-it-not-found-in-words.eml", "written/gateway-by-its-name.eml",
            "written/gmail-address-not-found-5-0-0.eml", "written/gmail-address-not-found-with-fields.eml",
            "written/gmail-de.eml", "written/gmail-es.eml", "written/gmail-fr.eml", "written/gmail-it.eml",
            "written/gmail-ja.eml", "written/gmail-ko.eml", "written/gmail-nl.eml", "written/gmail-pl.eml",
            "written/gmail-pt.eml", "written/gmail-ru.eml", "written/gmail-sv.eml", "written/gmail-tr.eml",
            "written/gmail-zh.eml", "written/polish.eml", "written/qq-gb18030.eml", "written/qq.eml",
            "written/text-raw-iso-2022-jp.eml", "written/yandex-in-russian.eml",
        )
    ),
    ("It sees no bounce, or no reason, in a report of this shape: without its parts, encoded, in HTML, "
    "nested, of a program that it does not know."): frozenset(
        (
            "international-base64.eml", "made/dma-disabled.eml", "made/dma-many-lines.eml", "made/dma-plain.eml",
            "made/dma-two-and-one-arrives.eml", "made/dma-unknown.eml", "unknown-program.eml",
            "written/activehunter.eml", "written/dsn-as-text.eml", "written/dsn-inside-a-message.eml",
            "written/dsn-utf8-address.eml", "written/html-entities.eml", "written/html-raw-addresses.eml",
            "written/mailfoundry.eml", "written/mimecast.eml", "written/office365-html-alone.eml",
            "written/office365-html-error-details.eml", "written/subject-in-no-table.eml", "written/text-utf16.eml",
            "written/verizon.eml",
        )
    ),
    (
        "`filtered`, `onhold`, `undefined`: it does not look for the reply in the text, or does not know the "
        "words."
    ): frozenset(
        (
            "written/caiwireless.eml", "written/citadel.eml", "written/compuserve.eml", "written/kerio.eml",
            "written/mdaemon.eml", "written/mercury.eml", "written/netscape-no-such-user.eml",
            "written/office365-details-text.eml", "written/simple-mailbox-name.eml", "written/strongmail.eml",
            "written/web-de.eml", "written/x2-yahoo-japan.eml", "written/yale.eml",
            "courier-one-block.eml", "exchange-online-not-found.eml", "made/opensmtpd-plain.eml",
            "written/courier-prose.eml", "written/dsn-action-in-other-words.eml",
            "written/dsn-no-action-no-status.eml", "written/james.eml", "written/mail-ru.eml", "written/mcafee.eml",
            "written/messagelabs.eml", "written/postfix-prose-unknown-user.eml", "written/qmail-ldap-disabled.eml",
            "written/t-online.eml", "written/x6-error-sending.eml", "yahoo-prose.eml",
        )
    ),
}  # fmt: skip
_READ = """
use Sisimai;
for my $file (@ARGV) { my $said = eval { Sisimai->dump($file) } // '[]'; print "$file\\t$said\\n" }
"""


@cache
def opinions() -> dict[str, set[str]]:
    """The addresses that it calls bad, in lower case, by mail."""
    perl = need("perl")
    if subprocess.run([perl, "-MSisimai", "-e1"], capture_output=True, timeout=30).returncode:
        missing("libsisimai-perl")
    names = sorted(index())
    ran = subprocess.run(
        [perl, "-e", _READ, *names],
        cwd=SAMPLES,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        errors="replace",
    )
    said = dict(line.split("\t", 1) for line in ran.stdout.splitlines())
    return {
        name: {
            one["recipient"].lower()
            for one in json.loads(said[name])
            if one["reason"] in HARD and one["action"] != "delayed"
        }
        for name in names
    }


def ours(name: str) -> set[str]:
    return {recipient.lower() for _, _, verdict, recipient in index()[name] if verdict == "hard"}


def test_sisimai_calls_the_same_addresses_bad_or_we_say_why_not() -> None:
    differing = {name for name in index() if opinions()[name] != ours(name) and "*" not in index()[name][0]}

    assert differing == {name for names in DIFFERENCES.values() for name in names}


def test_sisimai_calls_a_mail_bad_where_we_call_nobody_bad_only_behind_a_forward() -> None:
    more = {name for name in index() if opinions()[name] and not ours(name) and "*" not in index()[name][0]}

    assert more <= DIFFERENCES[FORWARDED]
