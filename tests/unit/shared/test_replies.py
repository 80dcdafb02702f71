"""What replies say about an address: every rule by its example, then replies as providers publish them."""
# ruff: noqa: E501 - replies are quoted as they came

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.replies import (
    CODE_RULES,
    REASONS,
    STATUS_RULES,
    TEXT_RULES,
    Classification,
    CodeRule,
    TextRule,
    classify,
    plain,
    reply_codes,
)

#: Who says it, what they say, and what it means. The code and enhanced code are found in the text.
REPLIES = [
    # RFC 5321, 3463, 7504, 7505 and the programs' own words
    ("RFC 5321", "550 Requested action not taken: mailbox unavailable", "hard", "unknown_user"),
    ("RFC 5321", "450 Requested mail action not taken: mailbox unavailable", "soft", "system_unavailable"),
    ("RFC 5321", "551 User not local; please try <ana@example.net>", "hard", "mailbox_moved"),
    ("RFC 5321", "552 Requested mail action aborted: exceeded storage allocation", "soft", "mailbox_full"),
    ("RFC 5321", "452 Requested action not taken: insufficient system storage", "soft", "system_unavailable"),
    ("RFC 5321", "421 mx.example.fr Service not available, closing transmission channel", "soft", "system_unavailable"),
    ("RFC 5321", "500 Syntax error, command unrecognized", "block", "protocol"),
    ("RFC 5321", "554 Transaction failed", "soft", "undefined"),
    ("RFC 7504", "521 example.fr does not accept mail", "hard", "domain_refuses_mail"),
    ("RFC 7505", "556 5.1.10 Recipient address has null MX", "hard", "domain_refuses_mail"),
    ("Postfix", "550 5.1.1 <ana@example.fr>: Recipient address rejected: User unknown in virtual mailbox table", "hard", "unknown_user"),
    ("Postfix", "550 5.1.1 <ana@example.fr>: Recipient address rejected: User unknown in local recipient table", "hard", "unknown_user"),
    ("Postfix", "450 4.1.1 <ana@example.fr>: Recipient address rejected: unverified address: Address verification in progress", "soft", "unknown_user"),
    ("Postfix", "554 5.7.1 <ana@example.fr>: Recipient address rejected: User unknown", "hard", "unknown_user"),
    ("Postfix", "450 4.1.2 <ana@example.fr>: Recipient address rejected: Domain not found", "soft", "unknown_host"),
    ("Postfix", "550 5.1.0 <b@bounces.example>: Sender address rejected: User unknown in virtual alias table", "block", "sender_rejected"),
    ("Postfix", "451 4.3.5 Server configuration problem", "soft", "system_unavailable"),
    ("Postfix", "452 4.3.1 Insufficient system storage", "soft", "system_unavailable"),
    ("Postfix", "554 5.7.1 <mail[192.0.2.1]>: Client host rejected: Access denied", "block", "policy"),
    ("Postfix", "connect to mx.example.fr[192.0.2.9]:25: Connection refused", "soft", "no_answer"),
    ("Postfix", "lost connection with mx.example.fr[192.0.2.9] while sending RCPT TO", "soft", "no_answer"),
    ("Postfix", "mail for example.fr loops back to myself", "soft", "loop"),
    ("Sendmail", "550 5.1.1 <ana@example.fr>... User unknown", "hard", "unknown_user"),
    ("Sendmail", "550 5.1.2 <ana@example.invalid>... Host unknown (Name server: example.invalid: host not found)", "hard", "unknown_host"),
    ("Sendmail", "550 5.7.1 <ana@example.fr>... Relaying denied", "soft", "relaying_denied"),
    ("Exim", "550 Unrouteable address", "hard", "unknown_user"),
    ("Exim", "550-Callout verification failed: 550 550 No such user", "hard", "unknown_user"),
    ("Exim", "550 relay not permitted", "soft", "relaying_denied"),
    ("Exim", "all relevant MX records point to non-existent hosts", "hard", "unknown_host"),
    ("Exim", "retry timeout exceeded", "soft", "expired"),
    ("qmail", "Sorry, no mailbox here by that name. (#5.1.1)", "hard", "unknown_user"),
    ("qmail", "Sorry, I couldn't find any host named example.invalid. (#5.1.2)", "hard", "unknown_host"),
    ("qmail", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", "soft", "relaying_denied"),
    ("Dovecot", "552 5.2.2 <ana@example.fr> Quota exceeded (mailbox for user is full)", "soft", "mailbox_full"),
    ("postgrey", "450 4.2.0 <ana@example.fr>: Recipient address rejected: Greylisted", "soft", "greylisted"),
    ("milter-greylist", "451 4.7.1 Greylisting in action, please come back later", "soft", "greylisted"),
    ("Cisco", "550 #5.1.0 Address rejected.", "hard", "unknown_user"),
    ("Domino", "554 5.1.1 User ana (ana@example.fr) not listed in Domino Directory", "hard", "unknown_user"),
    # Gmail, Google Workspace (support.google.com/a/answer/3726730)
    ("Gmail", "550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n550-5.1.1 double-checking the recipient's email address", "hard", "unknown_user"),
    ("Gmail", "550 5.2.1 The email account that you tried to reach is disabled. For more information, go to https://support.google.com/mail/?p=DisabledUser", "hard", "mailbox_disabled"),
    ("Gmail", "550-5.2.1 The email account that you tried to reach is inactive.", "hard", "mailbox_disabled"),
    ("Gmail", "452-4.2.2 The recipient's inbox is out of storage space. Please direct the\r\n452-4.2.2 recipient to https://support.google.com/mail/?p=OverQuotaTemp", "soft", "mailbox_full"),
    ("Gmail", "552 5.2.2 The email account that you tried to reach is over quota.", "soft", "mailbox_full"),
    ("Gmail", "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered.", "soft", "rate_limited"),
    ("Gmail", "550 5.4.5 Daily sending quota exceeded", "block", "rate_limited"),
    ("Gmail", "421-4.7.0 Our system has detected an unusual rate of unsolicited mail originating from your IP address.", "block", "rate_limited"),
    ("Gmail", "550-5.7.1 Our system has detected that this message is likely unsolicited mail. To reduce the amount of spam sent to Gmail, this message has been blocked.", "block", "spam"),
    ("Gmail", "550-5.7.26 Unauthenticated email from example.fr is not accepted due to domain's DMARC policy.", "block", "authentication"),
    ("Gmail", "550-5.7.25 The IP address sending this message does not have a PTR record setup", "block", "reverse_dns"),
    ("Gmail", "552-5.7.0 This message was blocked because its content presents a potential security issue.", "block", "policy"),
    ("Gmail", "550-5.7.1 This message is not RFC 5322 compliant. There are multiple Subject headers.", "block", "protocol"),
    ("Gmail", "552 5.3.4 Your message exceeded Google's message size limits.", "soft", "too_big"),
    ("Gmail", "421 4.3.0 Temporary System Problem. Try again later", "soft", "system_unavailable"),
    ("Gmail", "550 5.7.1 This message violates example.com email policy. - gcdp d75a77b69052e-gsmtp", "block", "policy"),
    # Microsoft: Outlook.com, Exchange Online (learn.microsoft.com, non-delivery reports in Exchange Online)
    ("Outlook", "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", "hard", "unknown_user"),
    ("Outlook", "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).", "block", "blocklisted"),
    ("Outlook", "421 RP-001 (BAY004-MC4F3) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try again. We have limits for how many messages can be sent per hour and per day.", "soft", "system_unavailable"),
    ("Outlook", "550 5.7.515 Access denied, sending domain EXAMPLE.FR doesn't meet the required authentication level.", "block", "policy"),
    ("Exchange Online", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ana@example.fr not found by SMTP address lookup", "hard", "unknown_user"),
    ("Exchange Online", "550 5.1.1 RESOLVER.ADR.ExRecipNotFound; not found", "hard", "unknown_user"),
    ("Exchange Online", "550 5.4.1 Recipient address rejected: Access denied. [AM6EUR05FT004.eop-eur05.prod.protection.outlook.com]", "hard", "unknown_user"),
    ("Exchange Online", "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded", "soft", "mailbox_full"),
    ("Exchange Online", "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed", "block", "authentication"),
    ("Exchange Online", "550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized", "block", "policy"),
    ("Exchange Online", "550 5.7.606 Access denied, banned sending IP [192.0.2.1].", "block", "blocklisted"),
    ("Exchange Online", "550 5.4.310 DNS domain example.invalid does not exist [Message=InfoDomainNonexistent]", "hard", "unknown_host"),
    ("Exchange Online", "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", "soft", "rate_limited"),
    ("Exchange Online", "550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy", "block", "policy"),
    ("Exchange Online", "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", "soft", "system_unavailable"),
    ("Exchange Online", "554 5.4.14 Hop count exceeded - possible mail loop ATTR34", "soft", "loop"),
    ("Exchange Online", "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient", "soft", "too_big"),
    # Yahoo, AOL (senders.yahooinc.com/smtp-error-codes)
    ("Yahoo", "554 delivery error: dd This user doesn't have a yahoo.com account (ana@yahoo.com) [0] - mta1234.mail.bf1.yahoo.com", "hard", "unknown_user"),
    ("Yahoo", "554 delivery error: dd Sorry, your message to ana@yahoo.fr cannot be delivered. This account has been disabled or discontinued [#102].", "hard", "mailbox_disabled"),
    ("Yahoo", "552 1 Requested mail action aborted, mailbox not found", "hard", "unknown_user"),
    ("Yahoo", "553 5.7.2 [TSS09] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed. See https://postmaster.yahooinc.com/error-codes", "block", "reputation"),
    ("Yahoo", "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list", "block", "blocklisted"),
    ("Yahoo", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes", "block", "reputation"),
    ("Yahoo", "451 mta4005.biz.mail.bf1.yahoo.com Resources temporarily unavailable. Please try again later [#4.16.1].", "soft", "system_unavailable"),
    ("Yahoo", "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes", "block", "policy"),
    ("Yahoo", "421 Max message per connection reached, closing transmission channel", "block", "rate_limited"),
    ("AOL", "521 5.2.1 : AOL will not accept delivery of this message.", "block", "policy"),
    # Orange, Wanadoo
    ("Orange", "550 5.1.1 hhtzumeItI371 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]", "hard", "unknown_user"),
    ("Orange", "552 5.1.1 hibJumn68I371 Boite du destinataire pleine. Recipient overquota. OFR_417 [417]", "soft", "mailbox_full"),
    ("Orange", "550 5.2.0 Mail rejete. Mail rejected. OFR_506 [506]", "block", "spam"),
    ("Orange", "421 mwinf5c79 ME Trop de connexions, veuillez verifier votre configuration. Too many connections, slow down. OFR004_104 [104]", "block", "rate_limited"),
    ("Orange", "550 opmta1mti33nd1 smtp.orange.fr Adresse IP source bloquee pour incident de spam. Client host blocked for spamming issues. OFR006_102 Ref http://csi.cloudmark.com", "block", "blocklisted"),
    ("Orange", "421 mwinf5c04 ME Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR_999 [999]", "block", "reputation"),
    ("Orange", "501 5.1.0 Emetteur invalide. Invalid Sender. OFR004_405 [405]", "block", "sender_rejected"),
    # Free, SFR, La Poste
    ("Free", "550 spam detected", "block", "spam"),
    ("Free", "550 5.2.1 This mailbox has been blocked due to inactivity (UserSearch)", "hard", "mailbox_disabled"),
    ("Free", "451 too many errors from your ip (192.0.2.1), please visit http://postmaster.free.fr/", "block", "too_many_invalid"),
    ("Free", "550 5.1.1 <ana@free.fr>: Recipient address rejected: User unknown in relay recipient table", "hard", "unknown_user"),
    ("SFR", "450 4.7.1 <ana@sfr.fr>: Service refused: bad behaviour, too many unknown users SFR_IN_104", "block", "too_many_invalid"),
    ("SFR", "550 5.7.1 Message content rejected", "block", "spam"),
    ("SFR", "smtp;550 5.7.1 Email 4RH2xT4NwZz1LQKck rejected per SPAM policy", "block", "spam"),
    ("La Poste", "550 5.5.0 Service refuse. Veuillez essayer plus tard. service refused, please try later. LPN007_510", "block", "spam"),
    ("La Poste", "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. LPN007_416", "hard", "unknown_user"),
    ("La Poste", "550 5.5.0 Boite du destinataire archivee. Archived recipient. LPN007_420", "hard", "mailbox_disabled"),
    ("La Poste", "552 5.2.2 <ana@laposte.net>: Over quota", "soft", "mailbox_full"),
    ("La Poste", "450 4.7.1 Client host rejected: Service refuse / service refused, please try later. LPN027_503", "block", "reputation"),
    ("French", "550 5.1.1 Utilisateur inconnu", "hard", "unknown_user"),
    ("French", "552 La boîte aux lettres est saturée", "soft", "mailbox_full"),
    # GMX, WEB.DE, T-Online (postmaster.gmx.net)
    ("GMX", "550 Requested action not taken: mailbox unavailable. For explanation visit https://postmaster.gmx.net/en/case?c=r0103", "hard", "unknown_user"),
    ("GMX", "554-gmx.net (mxgmx104) Nemesis ESMTP Service not available\r\n554-No SMTP service\r\n554-IP address is block listed.", "block", "blocklisted"),
    ("GMX", "554-gmx.net (mxgmx015) Nemesis ESMTP Service not available\r\n554-No SMTP service\r\n554 Bad DNS PTR resource record.", "block", "reverse_dns"),
    ("GMX", "421 Rate limit reached. Please try again later", "block", "rate_limited"),
    ("GMX", "450 Reject due to policy violations.", "block", "policy"),
    ("GMX", "550 <ana@gmx.de>: Reject due to SPF policy. The originating IP of the message is not permitted by the domain owner", "block", "authentication"),
    ("GMX", "552-Requested mail action aborted: exceeded storage allocation\r\n552-Quota exceeded. The recipient's mailbox is full.", "soft", "mailbox_full"),
    ("T-Online", "554 IP=192.0.2.1 - None/bad reputation. Ask your postmaster for help or to contact tobr@rx.t-online.de for reset. (NOWL)", "block", "reputation"),
    ("German", "550 5.1.1 Der Empfänger ist unbekannt", "hard", "unknown_user"),
    ("German", "552 Das Postfach ist voll", "soft", "mailbox_full"),
    # Apple (support.apple.com/102322)
    ("iCloud", "550 5.1.1 <ana@icloud.com>: user does not exist", "hard", "unknown_user"),
    ("iCloud", "550 5.1.1 unknown or illegal alias: ana@icloud.com", "hard", "unknown_user"),
    ("iCloud", "550 5.1.1 <ana@icloud.com>: inactive email address", "hard", "mailbox_disabled"),
    ("iCloud", "552 5.2.2 <ana@icloud.com>: user is over quota", "soft", "mailbox_full"),
    ("iCloud", "550 5.7.1 [CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137", "block", "spam"),
    ("iCloud", "421 4.7.1 Messages to ana@icloud.com deferred due to excessive volume. Try again later - https://support.apple.com/en-us/HT204137", "block", "rate_limited"),
    ("iCloud", "550 5.7.1 Your email was rejected due to having a domain present in the Spamhaus DBL -- see https://www.spamhaus.org/dbl/", "block", "blocklisted"),
    # Filters in front of mailboxes
    ("Mimecast", "550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550", "hard", "unknown_user"),
    ("Mimecast", "451 Internal resources are temporarily unavailable - https://community.mimecast.com/docs/DOC-1369#451", "soft", "greylisted"),
    ("Mimecast", "550 Rejected by header based manually Blocked Senders - block policy", "block", "sender_rejected"),
    ("Mimecast", "550 Administrative prohibition envelope blocked", "block", "policy"),
    ("Mimecast", "554 Email rejected due to security policies - https://community.mimecast.com/docs/DOC-1369#554", "block", "policy"),
    ("Proofpoint", "554 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", "block", "blocklisted"),
    ("Proofpoint", "550 5.1.1 User Unknown", "hard", "unknown_user"),
    ("Proofpoint", "550 5.7.0 Local Policy Violation", "block", "policy"),
    ("Barracuda", "554 Service unavailable; Client host [192.0.2.1] blocked using Barracuda Reputation; http://bbl.barracudacentral.com/q.cgi?ip=192.0.2.1", "block", "blocklisted"),
    ("Barracuda", "host d241253a.ess.barracudanetworks.com[209.222.82.253] said: 550 permanent failure for one or more recipients (ana@example.fr:unknown user)", "hard", "unknown_user"),
    ("Barracuda", "550 permanent failure for one or more recipients (ana@example.fr:blocked)", "block", "policy"),
    ("Spamhaus user", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "block", "blocklisted"),
    ("SpamCop user", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.spamcop.net", "block", "blocklisted"),
    ("SpamAssassin", "550 5.7.1 Message scored as spam by SpamAssassin", "block", "spam"),
    ("Symantec", "553-Message filtered. Refer to the Troubleshooting page at http://www.symanteccloud.com/troubleshooting for more information. (#5.7.1)", "block", "policy"),
    ("Trend Micro", "550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using Trend Micro RBL+", "block", "blocklisted"),
    # Others, and languages
    ("mail.ru", "550 Message was not accepted -- invalid mailbox. Local mailbox ana@mail.ru is unavailable: user not found", "hard", "unknown_user"),
    ("mail.ru", "550 spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c=x", "block", "spam"),
    ("Comcast", "550 5.1.1 Not our Customer", "hard", "unknown_user"),
    ("Libero", "550 5.1.1 smtp-19.iol.local ana@libero.it Destinatario sconosciuto", "hard", "unknown_user"),
    ("Telefonica", "550 5.1.1 El usuario no existe", "hard", "unknown_user"),
    ("Ziggo", "550 Gebruiker onbekend", "hard", "unknown_user"),
    ("Amazon SES", "550 5.1.1 The email account that you tried to reach does not exist", "hard", "unknown_user"),
    ("a host called antispam", "host antispam.example.fr[192.0.2.7] said: 550 5.1.1 <ana@example.fr>: Recipient address rejected: User unknown", "hard", "unknown_user"),
    ("an address called spam", "550 5.1.1 <spam.virus@example.fr>: user unknown", "hard", "unknown_user"),
]  # fmt: skip


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: f"{reply[0]}: {reply[1][:50]}")
def test_published_replies_are_understood(reply: tuple[str, str, str, str]) -> None:
    _, text, kind, reason = reply

    assert classify(None, None, text) == Classification(kind, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: f"{rule.kind} {rule.reason}")
def test_each_text_rule_is_the_first_to_match_its_example(rule: TextRule) -> None:
    found = classify(None, None, rule.example)

    assert found.reason == rule.reason
    assert found.kind == rule.kind


@pytest.mark.parametrize(
    "rule", [rule for rule in TEXT_RULES if rule.but_not], ids=lambda rule: f"{rule.kind} {rule.reason}"
)
def test_each_text_rule_leaves_alone_what_only_looks_like_it(rule: TextRule) -> None:
    found = classify(None, None, rule.but_not)

    assert (found.kind, found.reason) != (rule.kind, rule.reason)


@pytest.mark.parametrize("rule", (*STATUS_RULES, *CODE_RULES), ids=lambda rule: f"{rule.kind} {rule.example}")
def test_each_code_rule_classifies_its_example(rule: CodeRule) -> None:
    found = classify(None, None, rule.example)

    assert found == Classification(rule.kind, rule.reason)


def test_no_word_of_a_rule_is_never_reached() -> None:
    """A list that grew for years has dead entries; each text rule must be there for at least one published reply."""
    reasons = {(kind, reason) for _, _, kind, reason in REPLIES}
    unused = {(rule.kind, rule.reason) for rule in TEXT_RULES} - reasons

    assert unused <= {
        ("block", "malware"),
        ("block", "tls_required"),
        ("hard", "bad_address"),
        ("soft", "dns_failure"),
    }


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("550 5.1.1 User unknown", (550, "5.1.1")),
        ("550-5.1.1 User unknown", (550, "5.1.1")),
        ("smtp; 550 5.1.1 User unknown", (550, "5.1.1")),
        ("smtp;550 No", (550, None)),
        ("host mx.example.fr[192.0.2.9] said: 452 4.2.2 full", (452, "4.2.2")),
        ("Sorry, no mailbox here by that name. (#5.1.1)", (None, "5.1.1")),
        ("message 550 bytes of 4.16.55.1 from 5.1.1.2", (None, None)),
        ("", (None, None)),
    ],
)
def test_codes_are_found_in_the_text(text: str, codes: tuple[int | None, str | None]) -> None:
    assert reply_codes(text) == codes


def test_a_temporary_failure_is_never_hard() -> None:
    assert classify(450, "4.1.1", "User unknown") == Classification("soft", "unknown_user")
    assert classify(None, "4.1.2", "").kind == "soft"


def test_the_text_is_stronger_than_the_code() -> None:
    assert classify(552, "5.1.1", "Recipient overquota") == Classification("soft", "mailbox_full")
    assert classify(554, "5.7.1", "User unknown") == Classification("hard", "unknown_user")


def test_a_code_that_says_nothing_gives_way_to_the_one_in_the_text() -> None:
    assert classify(None, "5.0.0", "smtp; 550 5.1.1 Ana").reason == "unknown_user"


def test_what_nobody_knows_is_soft() -> None:
    assert classify(550, None, "No.") == Classification("soft", "undefined")
    assert classify(None, None, "") == Classification("soft", "undefined")


def test_the_words_of_a_block_never_suppress() -> None:
    for rule in TEXT_RULES:
        if rule.kind == "block":
            assert classify(550, "5.1.1", rule.example).kind == "block"


def test_plain_text_names_no_host_and_no_address() -> None:
    text = "host MX.Spam.example[192.0.2.9] said: 550-5.1.1 <Ana@example.fr>: Boîte\r\n550 5.1.1 pleine"

    assert plain(text) == "host 550-5.1.1 <>: boite pleine"


@given(
    st.none() | st.integers(-10, 10_000),
    st.none() | st.text(max_size=12) | st.from_regex(r"[245]\.\d{1,3}\.\d{1,3}", fullmatch=True),
    st.text(max_size=200) | st.sampled_from(REPLIES).map(lambda reply: reply[1]),
)
def test_any_reply_has_a_class_with_a_known_reason(code: int | None, enhanced: str | None, text: str) -> None:
    found = classify(code, enhanced, text)

    assert found.kind in ("hard", "soft", "block")
    assert found.reason in REASONS


def test_a_very_long_text_is_cut() -> None:
    assert classify(550, None, "x" * 100_000 + "user unknown").reason == "undefined"
