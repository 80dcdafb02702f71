"""What a reply or a diagnostic says about an address: the same words for a direct reply and for a late bounce.

`classify` answers two questions about a failure:

    kind     hard   the address is bad, or its domain is: never mail it again
             soft   it may be good later, or nobody can tell
             block  it is about us (reputation, content, authentication, policy): never a reason to suppress the address
    reason   one word of REASONS, for statistics, metrics and people

Theory of operation. Servers choose their codes badly and their words well: `552 5.1.1 … Recipient overquota`,
`554 5.7.1 … User unknown`, `550 5.5.0 … mailbox unavailable` are all documented. So the text decides first
(TEXT_RULES, from the top, the first that matches), then the enhanced status code (STATUS_RULES; RFC 3463 and the IANA
registry), then the reply code (CODE_RULES; RFC 5321 section 4.2). What none of them knows is soft: to suppress a good
address costs a customer, to mail a bad one again costs one reply.

The order of TEXT_RULES is part of them: what names its subject precisely comes first. "Too many unknown users from
your address" speaks of unknown users and is about us, so the sender's sins come before the recipient's; a text that
only says "denied" or "refused" comes last.

A temporary failure (4xx) keeps its reason and is never hard: "450 user unknown" may be a directory that is silent.

Each rule has an example, of which it must be the first match, and may have a text that it must leave alone; the tests
run them. The wording is from RFCs, from the programs' sources and from the providers' postmaster pages.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

import msgspec

from shared.words.patterns import Patterns

Kind = Literal["hard", "soft", "block"]

#: Characters of a text that are looked at: a reply says it in its first lines, and its length is the sender's choice.
MAX_TEXT_CHARS = 1_500


class Classification(msgspec.Struct, frozen=True):
    """What a failure says about the address; `reason` is a word of REASONS."""

    kind: Kind
    reason: str


class TextRule(msgspec.Struct, frozen=True):
    """`words` are alternatives: regular expressions over the text as `plain` leaves it."""

    kind: Kind
    reason: str
    words: tuple[str, ...]
    example: str
    but_not: str = ""


class CodeRule(msgspec.Struct, frozen=True):
    """`codes` are reply codes, or subject and detail of enhanced status codes (`1.1` is 5.1.1 and 4.1.1); `7.*` is all
    details of a subject."""

    kind: Kind
    reason: str
    codes: tuple[str, ...]
    example: str


_SOMEBODY = r"(user|recipient|mailbox|account|address|addressee|customer|alias|local[ -]?part|e-?mail)"

TEXT_RULES: tuple[TextRule, ...] = (
    # Not now: first, because these texts name mailboxes and policies too.
    TextRule(
        "soft",
        "greylisted",
        (
            r"gr[ae]y[- ]?list",
            r"postgrey",
            r"first attempt.{0,40}(retry|try again)",
            # Mimecast's documentation calls it greylisting: retry after a minute to 12 hours.
            r"internal resources? (are )?temporarily unavailable",
        ),
        "450 4.2.0 <ana@example.fr>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/",
    ),
    TextRule(
        "soft",
        "rate_limited",
        (
            r"receiving (mail|e-?mail|messages) (too quickly|at a rate)",
            r"recipient thread limit",
            r"exceeding receiving limits",
            r"message receive limit",
            r"limit for the number of messages they can receive",
            r"(user|recipient|mailbox)( <>)? has exceeded their message rate",
            r"mailbox unavailable or access den",
        ),
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly. Please resend your message later.",
        but_not="550 5.7.1 You are sending mail too quickly, this looks like spam",
    ),
    # About us: how we behave, who we are, what we send.
    TextRule(
        "block",
        "too_many_invalid",
        (
            r"too many (invalid|unknown|bad|non-?existent|wrong) (recipient|user|address|mailbox)",
            r"too many errors",
            r"directory harvest",
            r"sfr_in_\d04\b",
        ),
        "450 4.7.1 Service refused: too many unknown users from your IP. SFR_IN_104",
    ),
    TextRule(
        "block",
        "reputation",
        (r"very low reputation",),  # Gmail goes on about spam and rate limits in the same breath
        "421 4.7.0 Our system has detected that this message is suspicious due to the very low reputation of the "
        "sending domain. To best protect our users from spam, the message has been blocked.",
    ),
    TextRule(
        "block",
        "rate_limited",
        (
            r"too many ([a-z]+ ){0,3}(connections|sessions)",
            r"(maximum number of|max) ([a-z]+ ){0,2}connections",
            r"too many (messages|mails|e-?mails) (from|sent|for|in|within|this)",
            r"too much mail",
            r"message submission rate",
            r"limits for how many messages",
            r"too many recipients",
            r"trop de connexions",
            r"rate[- ]?limit(?!ed because)",
            r"throttl",
            r"excessive volume",
            r"unexpected volume",
            r"unusual rate",
            r"\bslow down\b",
            r"sending.{0,20}(too quickly|too fast)",
            r"(sending|relay|message|recipient|rate|hourly|daily) (limit|quota)s? (was |has been )?(exceeded|reached)",
            r"exceeded the (rate|maximum number of (messages|recipients|connections))",
            r"frequency limited",
            r"\b(hl:(icc|ifc|ifq|itc)|mi:(dmc|sfq)|rp:(drc|orq|trc|rcl|frl))\b",
            r"max(imum)? (number of )?messages? per (connection|session)",
            r"ofr\d*_104\b",
            r"sfr_in_\d05\b",
        ),
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
        but_not="450 4.2.2 The mailbox is full",
    ),
    TextRule(
        "block",
        "blocklisted",
        (
            r"spamhaus",
            r"spamcop",
            r"\bsorbs\b",
            r"barracuda ?(reputation|central)",
            r"\b(sur|ur)ibl\b|\bsurbl\b",
            r"abusix",
            r"uceprotect",
            r"senderscore",
            r"cloudmark",
            r"ipcheck\.proofpoint|proofpoint\.com/dnsbl",
            r"\b(dns|r|d)bls?\b|dnsbl",
            r"(block|black|deny)[ -]?list",
            r"banned send(ing ip|er)",
            r"(blocked|rejected|listed) (using|by|in|at|on) [a-z0-9-]+(\.[a-z0-9-]+)+",
            r"client host.{0,20} (is )?blocked",
            r"\bdt:rbl\b",
            r"adresse ip source bloquee",
            r"\bip( address)?( \S+)? (is |has been |was )?(temporarily )?(blocked|banned|listed)",
            r"your (mail ?server|host|network).{0,60}(blocked|banned|listed)",
            r"blocked - see http",
            r"ofr\d*_10[123]\b",
        ),
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; "
        "https://www.spamhaus.org/query/ip/192.0.2.1",
        but_not="550 5.2.1 This mailbox has been blocked due to inactivity (UserSearch)",
    ),
    TextRule(
        "block",
        "authentication",
        (
            r"\b(spf|dkim|dmarc)\b",
            r"sender policy framework",
            r"unauthenticated",
            r"authentication (checks? )?(is )?(fail|requir)",
            r"client was not authenticated",
            r"not authori[sz]ed to send.{0,40}(domain|behalf)",
            r"required authentication level",
            r"aligned with either the authenticated",
        ),
        "550-5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to "
        "authenticate with either SPF or DKIM.",
    ),
    TextRule(
        "block",
        "helo_rejected",
        (
            r"\b(helo|ehlo)\b(?! first).{0,60}(reject|invalid|not (found|resolv|match|valid|accept|exist|allowed|a )|"
            r"need|fqdn|fully[- ]qualified|denied|refus|\bbad\b|forged|bogus|malformed|does ?n.t|does not|do not|"
            r"cannot|must|should|mismatch|unknown|unacceptable|blocked|banned|impossible)",
            r"(invalid|\bbad|forged|bogus|malformed|unacceptable|unresolvable|unqualified|wrong|rejected|dynamic|"
            r"blocked|fully[- ]qualified|fqdn|impersonat\w+|suspicious|incorrect|unknown)\b.{0,30}\b(helo|ehlo)\b",
            r"need fully[- ]qualified host ?name",
        ),
        "504 5.5.2 <mail>: Helo command rejected: need fully-qualified hostname",
        but_not="503 5.5.1 Error: send HELO/EHLO first",
    ),
    TextRule(
        "block",
        "reverse_dns",
        (
            r"\bptr\b",
            r"reverse (dns|host ?name|lookup|mapping)",
            r"\brdns\b",
            r"cannot find your (reverse )?host ?name",
        ),
        "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]",
    ),
    TextRule(
        "block",
        "sender_rejected",
        (
            r"sender( e-?mail)?( address)? (<> )?(was |is )?(rejected|denied|blocked|invalid|unknown|refused)",
            r"(invalid|unknown|bad|unacceptable|blocked) senders?\b",
            r"emetteur invalide",
            r"sender (verif|domain|not allowed|denied)",
            r"domain of sender",
            r"unresolvable rfc\.?5321",
            r"(from|sender) address.{0,30}(does not exist|not (exist|found|resolv))",
            r"envelope sender.{0,40}(rejected|blocked)",
            r"badmailfrom",
        ),
        "550 5.1.8 <b-0@bounces.example>: Sender address rejected: Domain not found",
        but_not="550 5.1.2 <ana@example.invalid>: Recipient address rejected: Domain not found",
    ),
    TextRule(
        "block",
        "malware",
        (r"\bvirus", r"\bmalware\b", r"\btrojan\b", r"infected (message|attachment|file|with)", r"phishing"),
        "554 5.7.1 Virus detected in message (Eicar-Test-Signature)",
    ),
    TextRule(
        "block",
        "spam",
        (
            r"(?<![\w./@-])(anti-?)?spam(s|my|ming|mer|mers|like|assassin)?(?![\w@-])",
            r"\bunsolicited\b",
            r"\bjunk ?mail",
            r"bulk e-?mail",
            r"(message )?content (was )?(rejected|refused|blocked|denied)",
            r"mail rejete",
            r"suspicious",
            r"\[cs\d\d\]|\[hm\d\d\]",
            r"ofr_?5(06|13)\b",
            r"lpn\d*_510\b",
            r"\bdt:(spm|sum)\b",
            r"sfr_in_\d01\b",
        ),
        "550 spam detected",
        but_not="550 5.1.1 <spam@example.fr>: Recipient address rejected: User unknown",
    ),
    TextRule(
        "block",
        "reputation",
        (
            r"reputation",
            r"\bhl:(rep|mep|ihu|ipb)\b",
            r"user complaints",
            r"complaint (rate|level)",
            r"permanently deferred",
            r"ofr\d*_(105|108|999)\b",
            r"lpn\d*_(10[589]|503)\b",
            r"\[(tss?|ipts)\d\d\]",
            r"messages from \S+ weren't sent",
            r"traffic not accepted from this ip",
            r"not (in|on) (our |a |the )?whitelist",
        ),
        "421 mwinf5c79 ME Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR_999 [999]",
    ),
    # About the message, whoever it is for.
    TextRule(
        "soft",
        "too_big",
        (
            r"(message|mail|body) (is )?(too (big|large|long)|larger than)",
            r"(message|mail) (size|length).{0,30}exceed",
            r"exceeds?.{0,30}(maximum|max|fixed)? ?(message )?size",
            r"size limit exceeded",
            r"message trop (gros|volumineux)",
            r"nachricht (ist )?zu gross",
        ),
        "552 5.3.4 Message size exceeds fixed limit",
        but_not="552 5.2.2 The mailbox exceeds its quota",
    ),
    TextRule(
        "soft",
        "no_smtputf8",
        (
            r"\bsmtputf8\b",
            r"non-?ascii (character|letter|address|recipient|sender|local)",
            r"internationali[sz]ed (e-?mail |mail )?address",
        ),
        "550 5.6.7 SMTPUTF8 is not supported by this host",
    ),
    TextRule(
        "soft",
        "loop",
        (r"too many hops", r"(mail|routing|forwarding) loop", r"loops back to myself", r"hop ?count exceeded"),
        "554 5.4.6 Too many hops 26 (25 max)",
    ),
    TextRule(
        "block",
        "tls_required",
        (
            r"(tls|encryption) (is )?required",
            r"requires encryption",
            r"sent over a tls connection",
            r"must issue a starttls",
            r"starttls (first|is required)",
        ),
        "530 5.7.0 Must issue a STARTTLS command first",
    ),
    TextRule(
        "hard",
        "bad_address",
        (
            r"(bad|invalid|malformed|illegal) (destination |recipient |mailbox |address )+syntax",
            r"malformed (recipient|address)",
            r"(recipient|mailbox|address|local[ -]?part).{0,20}(has |contains )(bad |invalid |illegal )(syntax|char)",
        ),
        "553 5.1.3 Bad destination mailbox address syntax",
    ),
    TextRule(
        "block",
        "protocol",
        (
            r"bare <?(lf|cr|newline|linefeed)",
            r"syntax error",
            r"bad sequence of commands",
            r"protocol (error|violation)",
            r"(invalid|missing|duplicate|multiple|more than one).{0,30}(header|message-id)",
            r"not (rfc ?)?(5322|2822|822)[ -]compliant",
            r"unrecogni[sz]ed command",
        ),
        "550-5.7.1 Messages missing a valid Message-ID header are not accepted.",
        but_not="553 5.1.3 Bad recipient address syntax",
    ),
    # About the recipient.
    TextRule(
        "soft",
        "mailbox_full",
        (
            r"over ?-?(quota|disk quota)",
            r"(quota|storage).{0,30}(exceed|full|used up|ueberschritten|limit)",
            r"(out of|exceed\w*|not enough|insufficient|no) (its |their |the |allowed |mailbox |user )*"
            r"(quota|storage (space|allocation))",
            r"exceeds? (its |their |the )?(mailbox |disk )?quota",
            r"not have enough (storage )?space",
            r"(mailbox|inbox|maildir|account|user|recipient).{0,60}\b(is|are|was|currently|too) (too )?full\b",
            r"full (mailbox|inbox)",
            r"(mailbox|inbox|maildir|mail ?store) (is )?(full|size limit)",
            r"boite.{0,30}(pleine|saturee)",
            r"postfach.{0,20}(voll|u?e?berfue?llt)",
            r"buzon.{0,20}lleno",
            r"casella.{0,20}piena",
            r"mailbox.{0,20} vol\b",
            r"ofr\d*_417\b",
        ),
        "552 5.1.1 Boite du destinataire pleine. Recipient overquota. OFR_417 [417]",
        but_not="550 5.4.5 Daily sending quota exceeded",
    ),
    TextRule(
        "hard",
        "mailbox_disabled",
        (
            rf"{_SOMEBODY}[^.;]{{0,60}} (is|has been|was|been) (currently |temporarily |permanently )?"
            r"(disabled|deactivated|discontinued|suspended|inactive|locked|terminated|closed|cancell?ed|blocked due)",
            rf"{_SOMEBODY} (is |has been )?(not active|disabled|inactive|suspended|expired|archived|retired)",
            rf"(disabled|inactive|deactivated|closed|expired|suspended|dormant|archived) {_SOMEBODY}",
            rf"(disabled|inactive|archived)[ _-]{_SOMEBODY}",
            r"due to inactivity",
            r"no longer (active|available|in use|valid|employed|with|works?|on this server|accepts? (e-?)?mail)",
            r"(boite|compte) du destinataire (archivee|est bloque|suspendu|desactiv)",
            r"(compte|utilisateur) (est )?(desactive|suspendu|ferme|inactif)",
            r"(postfach|konto|adresse).{0,20}(deaktiviert|gesperrt)",
            r"lpn\d*_42[06]\b",
        ),
        "554 30 Sorry, your message to ana@yahoo.com cannot be delivered. This mailbox is disabled (554.30).",
        but_not="421 4.3.2 All server ports are busy; the service is temporarily disabled",
    ),
    TextRule(
        "hard",
        "mailbox_moved",
        (
            r"user not local",
            r"(mailbox|user|recipient|account|address) (has )?(moved|changed)",
            r"a change d'adresse",
        ),
        "551 5.1.6 User has moved, please try <ana@example.net>",
    ),
    TextRule(
        "hard",
        "domain_refuses_mail",
        (
            r"(domain|host|server|\.[a-z]{2,24}) (does not|doesn't|never) (accept|receive)s? (any )?"
            r"(e-?mail|mail|messages)(?! over)",
            r"null ?mx",
        ),
        "556 5.1.10 Recipient address has null MX: the domain does not accept mail",
        but_not="550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
    ),
    TextRule(
        "hard",
        "unknown_user",
        (
            rf"{_SOMEBODY}( address| name| account| id| box)?( <>)?( in \S+)?( specified)?( is| was)?( currently)? "
            r"(unknown|not (found|known|recogni[sz]ed|listed|valid|registered|existing|exist)|invalid|non-?existent|"
            r"undeliverable|unrouteable|undefined)\b",
            rf"{_SOMEBODY}[^.;:]{{0,80}} (does not|doesn't|doesnt|didn't|did not|don't|do not) (have|exist)",
            r"\b(unknown|invalid|no such|non-?existent|non-?existing|illegal|bad|unrecogni[sz]ed|undeliverable)"
            r"( or (illegal|invalid|unknown))?( (local|virtual|destination|e-?mail|mail|smtp|rcpt|to|target))* "
            rf"{_SOMEBODY}",
            r"no such (person|mail ?drop|domain user|local|name|rcpt|one)",
            r"no (mailbox|mail ?box|account|user|recipient|one|person)\b.{0,20} "
            r"(here|found|by|with|exists?|available|named)",
            r"no valid recipients?",
            r"not a (valid|known|registered|current) (e-?mail )?(user|mailbox|recipient|address|account|customer)",
            r"not (our|a) customer",
            r"not (listed|found) in (the )?[\w ]{0,40}(directory|address ?book)",
            r"unknown to (this|our|the) (system|server|host)",
            r"recipientnotfound",
            # RFC 5321 has "Requested action not taken" for 550 and "Requested mail action not taken" for 450.
            r"requested action not taken: mailbox unavailable",
            r"requested (mail )?action aborted, mailbox not found",
            # Exchange Online says "access denied" with 5.4.1 of an address that it does not have; Postfix says it with
            # 5.7.1 of one that may not be written to by us.
            r"recipient address rejected: (undeliverable|unverified|unknown)",
            r"5\.4\.1.{0,80}recipient address rejected: access denied",
            r"(recipient|callout) verification failed",
            r"unrouteable address",
            r"\d\.1\.0 address rejected",
            r"in relay recipient table",
            r"couldn't be found or is invalid",
            r"(utilisateur|destinataire|adresse|compte|boite)[^.;]{0,40}(inconnu|invalide|inexistant|n'existe|introuvable)",
            r"empfa?e?nger.{0,30}(unbekannt|existiert nicht)",
            r"(adresse|postfach|benutzer).{0,30}(existiert nicht|unbekannt|nicht bekannt|nicht gefunden)",
            r"(usuario|destinatario|cuenta|buzon).{0,30}(desconocid|no existe|inexistente|no encontrad)",
            r"(utente|destinatario|indirizzo|casella).{0,30}(sconosciut|inesistent|non esiste|non valid|non trovat)",
            r"(gebruiker|adres|ontvanger).{0,30}(onbekend|bestaat niet)",
            r"(lpn|ofr)\d*_?41[68]\b",
        ),
        "550-5.1.1 The email account that you tried to reach does not exist. Please try double-checking the "
        "recipient's email address for typos or unnecessary spaces.",
        but_not="451 4.3.0 Mail server temporarily rejected message",
    ),
    # About the way there.
    TextRule(
        "soft",
        "dns_failure",
        (
            r"not found, try again",
            r"temporary (dns|name|lookup|domain) ?(lookup )?(error|failure|problem)",
            r"dns (lookup |query )?(timeout|timed out|server failure|failure|temporar)",
            r"servfail",
            r"lookup.{0,20}(timed out|deferred)",
        ),
        "450 4.4.3 Host or domain name not found. Name service error for name=example.fr type=MX: Host not found, "
        "try again",
    ),
    TextRule(
        "hard",
        "unknown_host",
        (
            r"\b(host|domain)( or domain)?( name)?( <>| [\w-]+(\.[\w-]+)+)? (is |was )?"
            r"(not found|unknown|does not exist|not known|nonexistent)",
            r"(unknown|no such|non-?existent|bad) (destination |mail |recipient )?(host|domain|mail server)",
            r"nxdomain",
            r"couldn't find (any host|a mail exchanger)",
            r"no mx( record)?s? (found|exist|for)",
            r"mx records? point to non-?existent",
            r"(domain|host).{0,40} (has|have|with) no (valid )?(mx|mail|a or mx)",
            r"unrouteable mail domain",
            r"domaine inconnu",
        ),
        "5.4.4 Host or domain name not found. Name service error for name=example.invalid type=A: Host not found",
    ),
    TextRule(
        "soft",
        "expired",
        (
            r"(delivery|message|retry|queue) (time ?out |time |timeout )?(has )?(expired|exceeded)",
            r"in the queue too long",
            r"failing for a long time",
            r"could not be delivered for",
            r"not been able to deliver.{0,40}(days|hours)",
            r"retry time not reached",
        ),
        "4.4.7 message expired: delivery time expired",
        but_not="550 5.2.1 the account has expired",
    ),
    TextRule(
        "soft",
        "no_answer",
        (
            r"connection (was )?(refused|timed out|timeout|reset|lost|dropped|closed)",
            r"lost connection",
            r"(network|host|server) (is )?unreachable",
            r"no route to host",
            r"\btimed out\b",
            r"no answer from host",
            r"able to establish an smtp connection",
            r"tls handshake",
        ),
        "4.4.1 connect to mx.example.fr[192.0.2.9]:25: Connection timed out",
    ),
    TextRule(
        "soft",
        "relaying_denied",
        (
            r"\brelay(ing)? (access )?(is )?(denied|not (permitted|allowed)|prohibited)",
            r"to relay\b",
            r"not relay\b",
            r"not a (local|hosted) domain",
            r"rcpthosts",
        ),
        "554 5.7.1 <ana@example.fr>: Relay access denied",
    ),
    TextRule(
        "soft",
        "system_unavailable",
        (
            r"insufficient system (storage|resources)",
            r"(system|server|service|resources?|mailbox|account) (is |are |was )?(currently |temporarily )"
            r"(unavailable|busy|overloaded|down|locked|not available|disabled)",
            r"(system|server|service|ports are).{0,20}(busy|overload|shutting down)",
            r"temporar(y|ily).{0,40}(problem|failure|error|unavailable|local|system|rejected|deferred|busy)",
            r"service (is )?(not available|unavailable)",
            r"requested mail action not taken: mailbox unavailable",
            r"local error",
            r"internal (server |system )?(error|resource)",
            r"(disk|system) (is )?full",
            r"(please )?try(ing)? (again |it again )?later",
            r"essayer plus tard",
            r"mail system (error|problem)",
        ),
        "451 4.3.0 Temporary system problem. Try again later",
    ),
    # A no without a why: somebody's policy, which is about us.
    TextRule(
        "block",
        "policy",
        (
            r"\bpolic(y|ies)\b",
            r"not ?(allowed|authori[sz]ed|permitted|accepted|welcome)",
            r"prohibit(ed|ion)",
            r"forbidden",
            r"\bdenied\b",
            r"\bblocked\b",
            r"\brefused\b",
            r"restrict",
            r"will not accept delivery",
            r"(message|mail|e-?mail) (was |has been )?rejected",
            r"rejected by",
            r"service refuse",
        ),
        "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes",
    ),
)

#: Enhanced status codes, by subject and detail.
STATUS_RULES: tuple[CodeRule, ...] = (
    CodeRule("hard", "unknown_user", ("1.1",), "550 5.1.1 Ana"),
    CodeRule("hard", "unknown_host", ("1.2", "4.4", "4.310"), "550 5.1.2 example.invalid"),
    CodeRule("hard", "bad_address", ("1.3",), "501 5.1.3 ana@@example.fr"),
    CodeRule("hard", "mailbox_moved", ("1.6",), "551 5.1.6 Ana"),
    CodeRule("hard", "domain_refuses_mail", ("1.10",), "556 5.1.10 example.invalid"),
    CodeRule("hard", "mailbox_disabled", ("2.1",), "550 5.2.1 Ana"),
    CodeRule("hard", "owner_changed", ("7.17", "7.18"), "550 5.7.17 RRVS"),
    CodeRule("soft", "mailbox_full", ("2.2",), "552 5.2.2 Ana"),
    CodeRule("soft", "too_big", ("2.3", "3.4"), "552 5.3.4 25 MB"),
    CodeRule("soft", "system_unavailable", ("3.0", "3.1", "3.2", "3.5", "4.5"), "451 4.3.2 wait"),
    CodeRule("soft", "no_answer", ("4.1", "4.2", "4.316"), "4.4.1 mx.example.fr"),
    CodeRule("soft", "dns_failure", ("4.3", "4.312"), "451 4.4.3 example.fr"),
    CodeRule("soft", "loop", ("4.6", "4.14"), "554 5.4.6 Hops"),
    CodeRule("soft", "expired", ("4.7",), "5.4.7 after 3 days"),
    CodeRule("block", "sender_rejected", ("1.7", "1.8", "7.27"), "550 5.1.8 bounces.example"),
    CodeRule(
        "block", "authentication", ("7.20", "7.21", "7.22", "7.23", "7.24", "7.26", "7.509", "7.515"), "550 5.7.23"
    ),
    CodeRule("block", "reverse_dns", ("7.25",), "550 5.7.25 192.0.2.1"),
    CodeRule("block", "rate_limited", ("5.3", "7.28"), "421 4.7.28 wait"),
    CodeRule("block", "tls_required", ("7.10", "7.30"), "523 5.7.10 TLS"),
    CodeRule("block", "blocklisted", ("7.511", "7.606", "7.607", "7.608", "7.609"), "550 5.7.606 192.0.2.1"),
    CodeRule("block", "spam", ("7.501", "7.502", "7.503", "7.512"), "550 5.7.501 192.0.2.1"),
    CodeRule("block", "policy", ("7.*",), "550 5.7.1 No"),
    CodeRule("block", "protocol", ("5.*",), "500 5.5.2 What?"),
    CodeRule("soft", "no_smtputf8", ("6.7", "6.8", "6.9"), "553 5.6.7 Ana"),
    CodeRule("soft", "content", ("6.*",), "554 5.6.0 No"),
)

#: Reply codes. 550, 551, 553 and 554 say nothing by themselves: servers use them for everything.
CODE_RULES: tuple[CodeRule, ...] = (
    CodeRule("soft", "system_unavailable", ("421", "451", "452", "454"), "421 mx.example.fr"),
    CodeRule("block", "protocol", ("500", "501", "502", "503", "504", "555"), "500 What?"),
    CodeRule("block", "authentication", ("530", "534", "535", "538"), "530 5.0.0 Who?"),
    CodeRule("soft", "mailbox_full", ("552",), "552 Sorry"),
    CodeRule("hard", "domain_refuses_mail", ("556",), "556 example.invalid"),
)

UNDEFINED = Classification("soft", "undefined")
REASONS = frozenset(
    {UNDEFINED.reason}
    | {rule.reason for rule in TEXT_RULES}
    | {rule.reason for rule in STATUS_RULES}
    | {rule.reason for rule in CODE_RULES}
)

_TEXTS = Patterns("|".join(rule.words) for rule in TEXT_RULES)
_STATUSES = {code: rule for rule in STATUS_RULES for code in rule.codes}
_CODES = {code: rule for rule in CODE_RULES for code in rule.codes}

#: From where a word begins, so that each is looked through once.
_ADDRESS = re.compile(r"(?<![^\s<>@])[^\s<>@]{1,255}@[^\s<>:;,]{1,255}>?")
_HOST = re.compile(
    r"\bhost (?:[\w-]+(?:\.[\w-]+)+\.? ?(?:\[[^\]\s]*\])?|\[[^\]\s]*\])(?: said:| refused to talk to me:|:)?"
)
_CONTINUED = re.compile(r"[\r\n]+(?:\s*[245]\d\d[- ])?(?:[245]\.[0-7]\.\d{1,3}\s)?")
_CODE = re.compile(r"(?:^|: |; ?)([45][0-9]{2})(?=[- ]|$)")
#: Not part of an IP address or a version number; RFC 3463 has the subjects 0 to 7.
_STATUS = re.compile(r"(?<![\d.])([245]\.[0-7]\.[0-9]{1,3})(?!\d|\.\d)")


def classify(code: int | None, enhanced: str | None, text: str) -> Classification:
    """What a failure says about the address. `code` (550) and `enhanced` (5.1.1) are looked for in `text` when the
    caller does not know them, or when the enhanced code says as little as 5.0.0. Never raises."""
    code_in_text, enhanced_in_text = reply_codes(text)
    code = code or code_in_text
    if enhanced is None or enhanced.endswith(".0.0"):
        enhanced = enhanced_in_text or enhanced
    rule = _by_text(plain(f"{enhanced} {text}" if enhanced else text)) or _by_status(enhanced) or _by_code(code)
    if rule is None:
        return UNDEFINED
    temporary = (code is not None and code < 500) or (enhanced is not None and enhanced.startswith("4"))
    return Classification("soft" if rule.kind == "hard" and temporary else rule.kind, rule.reason)


def reply_codes(text: str) -> tuple[int | None, str | None]:
    """Reply code and enhanced status code that `text` carries, as in `host mx.example said: 550-5.1.1 User unknown`."""
    text = text[:MAX_TEXT_CHARS]
    code, status = _CODE.search(text), _STATUS.search(text)
    return int(code[1]) if code else None, status[1] if status else None


def plain(text: str) -> str:
    """The text as the rules read it: one line, lower case without accents, straight quotes, `<>` for each mail address,
    and without the name of the host that said it. Names are other people's choice and may look like words."""
    text = _CONTINUED.sub(" ", text[:MAX_TEXT_CHARS].strip()).lower()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("’", "'"))
        text = "".join(char for char in text if not unicodedata.combining(char))
    # Most texts have neither, and `in` is quicker than to look for one in vain.
    if "@" in text:
        text = _ADDRESS.sub("<>", text).replace("<<>", "<>")
    if "host " in text:
        text = _HOST.sub("host", text)
    return " ".join(text.split())


@lru_cache(maxsize=2_048)  # a busy site says the same thing a thousand times
def _by_text(text: str) -> TextRule | None:
    found = _TEXTS.first(text)
    return None if found is None else TEXT_RULES[found]


def _by_status(enhanced: str | None) -> CodeRule | None:
    if enhanced is None:
        return None
    subject, _, detail = enhanced.partition(".")[2].partition(".")
    return _STATUSES.get(f"{subject}.{detail}") or _STATUSES.get(f"{subject}.*")


def _by_code(code: int | None) -> CodeRule | None:
    return _CODES.get(str(code))
