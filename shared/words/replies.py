"""What a reply or a diagnostic says about an address: the same words for a direct reply and for a late bounce.

`classify` answers three questions about a failure:

    kind     hard   the address is bad, or its domain is: never mail it again
             soft   it may be good later, or nobody can tell
             block  it is about us (reputation, content, authentication, policy): never a reason to suppress the address
    reason   one word of REASONS, for statistics, metrics and people
    about    whom or what it speaks of: the recipient, their mailbox, us who send, the content, somebody's policy, the
             host, the DNS, the network

Theory of operation. Servers choose their codes badly and their words well: `552 5.1.1 … Recipient overquota`,
`554 5.7.1 … User unknown`, `550 5.5.0 … mailbox unavailable` are all documented. So the text decides first
(TEXT_RULES, from the top, the first that matches), then the enhanced status code (STATUS_RULES; RFC 3463 and the IANA
registry), then the reply code (CODE_RULES; RFC 5321 section 4.2). What none of them knows is soft: to suppress a good
address costs a customer, to mail a bad one again costs one reply.

The order of TEXT_RULES is part of them: what names its subject precisely comes first. "Too many unknown users from
your address" speaks of unknown users and is about us, so the sender's sins come before the recipient's. A no without a
why ("denied", "refused") comes after the codes that name the recipient (LAST_RULES).

Structure goes before words where it says whom a text is about (`reply_text.py` takes it apart), and takes a verdict of
`hard` back:

    said before a recipient was named      it is about us: `after MAIL FROM:<…>: 550 No such user`
    a code about the sender                5.1.7, 5.1.8, 5.7.27, whatever the words
    another reply is quoted                that one counts: `Unknown address error 550-'5.7.1 Access denied'`
    a temporary code (4xx, 4.x.x)          never hard: "450 user unknown" may be a directory that is silent
    a host that is known to say it of      some mobile carriers say it after DATA of whom their subscriber does not want
      good addresses, too                  to hear

The last two are not proof, and not nothing: their reasons are in COUNTS_TOWARDS_HARD, for who counts.

Each rule has an example, of which it must be the first match, and a text that it must leave alone; the tests run them.
The wording is from RFCs, from the programs' sources and from the providers' postmaster pages. Words are written folded
(`reply_text.plain` says how), and in the script of their language.
"""

import re
from functools import lru_cache
from typing import Literal

import msgspec

from shared.words.patterns import Patterns, alternatives
from shared.words.reply_text import (
    BEFORE_RECIPIENT,
    MAX_TEXT_CHARS,
    OF_MESSAGE,
    Stage,
    folded,
    plain,
    take_apart,
    unaccented,
)

Kind = Literal["hard", "soft", "block"]
About = Literal["recipient", "mailbox", "sender", "content", "policy", "host", "dns", "network", "unknown"]


class Classification(msgspec.Struct, frozen=True):
    """What a failure says about the address; `reason` is a word of REASONS, `about` whom or what it speaks of."""

    kind: Kind
    reason: str
    about: About = "unknown"


class TextRule(msgspec.Struct, frozen=True):
    """`words` are alternatives: regular expressions over the text as `plain` leaves it."""

    kind: Kind
    reason: str
    words: tuple[str, ...]
    example: str
    but_not: str


class CodeRule(msgspec.Struct, frozen=True):
    """`codes` are reply codes, or subject and detail of enhanced status codes (`1.1` is 5.1.1 and 4.1.1); `7.*` is all
    details of a subject."""

    kind: Kind
    reason: str
    codes: tuple[str, ...]
    example: str


_WHO = (
    r"(user|users|recipients?|mail ?box|mail-box|accounts?|address|addresses|addressee|customer|alias|local[ -]?part|"
    r"e-?mail|user ?id|user ?name|subscriber|inbox|rcpt)"
)
#: The same in other languages. Their words stand at a distance from what is said of them.
_WHO_DE = r"(empfae?nger|adressat|adresse|postfach|benutzer|nutzer|mailbox|konto|account|teilnehmer)"
_WHO_FR = r"(utilisateur|destinataire|adresse|compte|boite)"
_WHO_ES = r"(usuario|destinatario|cuenta|buzon|direccion|casilla)"
_WHO_IT = r"(utente|destinatario|indirizzo|casella|mailbox|account)"
_WHO_PT = r"(usuario|e-?mail|utilizador|destinatario|conta|caixa|endereco)"
_WHO_NL = r"(gebruiker|adres|ontvanger|postvak|mailbox|account)"
_WHO_PL = r"(uzytkownik|kont[oa]|adres|odbiorc|skrzynk)"
_WHO_CS = r"(uzivatel|pouzivatel|prijemc|adresa|schrank|ucet)"
_WHO_HU = r"(felhasznalo|cimzett|postafiok|e-?mail ?cim|a cim)"
_WHO_RO = r"(utilizator|destinatar|adres|contul|casut)"
_WHO_TR = r"(kullanici|alici|adres|posta kutusu|hesap)"
_WHO_SCANDINAVIAN = (
    r"(bruger|bruker|anvandar|modtager|mottaker|mottagar|adresse?n|e-?postadress|postkasse|brevlada|konto)"
)
_WHO_FI = r"(kayttaj|vastaanottaj|osoit|postilaatik|sahkoposti)"
_WHO_VI = r"(nguoi dung|nguoi nhan|dia chi|tai khoan|hop thu)"
_WHO_RU = r"(пользовател|ящик|адрес|получател|аккаунт|учетн|абонент)"
_WHO_UK = r"(користувач|скриньк|адрес|отримувач|одержувач|обліков)"
_WHO_EL = r"(χρηστη|παραληπτη|διευθυνση|γραμματοκιβωτιο|λογαριασμο)"
_WHO_JA = r"(ユーザ|宛先|宛て先|あて先|アドレス|アカウント|受信者|メールボックス|宛名)"
_WHO_ZH = r"(用户|收件人|收信人|邮箱|帐号|账号|帐户|账户|邮件地址|邮址|使用者|收件者|信箱|帳號|帳戶|用戶|郵件地址|郵箱)"
_WHO_KO = r"(사용자|수신자|수신인|받는 ?사람|받는 ?이|계정|주소|메일함|편지함|아이디)"

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
        but_not="550 5.7.1 Your host is on our grey area of reputation",
    ),
    TextRule(
        "soft",
        "system_unavailable",
        (
            # Postfix asks another host whether the address is good, and has no answer yet.
            r"verification in progress",
            r"unverified address: (connect|lost|conversation|timeout|host or domain)",
            r"temporary (lookup|address verification|alias|directory|user|recipient|ldap) (error|failure|problem)",
            r"(user|recipient|address) lookup fail\w*: |unknown user lookup fail",
            r"(unable|could not|cannot) (to )?(be )?verif(y|ied) (the )?(user|recipient|address).{0,40}(now|later|"
            r"moment)",
        ),
        "450 4.1.1 <ana@example.fr>: Recipient address rejected: unverified address: Address verification in progress",
        but_not="550 5.1.1 <ana@example.fr>: Recipient address rejected: unverified address: host mx.example.fr said: "
        "550 5.1.1 User unknown",
    ),
    TextRule(
        "soft",
        "mailer_error",
        (
            # A program behind an alias speaks: what it does not find is seldom the recipient.
            r"command (died|failed|exited|was killed)",
            r"command output:",
            r"mailer error \d",
            r"(^[\d. ]{0,24}|[;\"'] ?)(procmail|maildrop|vacation|vdelivermail|deliver|filter|pipe|"
            r"spamc): (?!.{0,30}(locked|quota|full))",
            r"pipe to [|/]",
            r"(address_pipe|address_file|address_reply) transport",
            r"child process of",
            r"can't create (user )?output",
            r"\bexit( status| code)?:? \d{1,3}\b",
            r"cannot open (spool|file|mailbox|directory)",
            r"error writing message: (?!disk quota|file too large|no space)",
            r"failed to open (mailbox|file)",
            r"x-unix",
            r"aliasing/forwarding loop broken",
        ),
        'Command died with status 127: "/usr/local/bin/filter". Command output: filter: no such user',
        but_not="550 5.1.1 Your command was not executed: no such user",
    ),
    TextRule(
        "soft",
        "rate_limited",
        (
            r"receiving (mail|e-?mail|messages) (too quickly|at a rate)",
            r"receiving too many (mail|e-?mail|message)s",
            r"recipient thread limit|frequency of receiving",
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
            r"too many (invalid|unknown|bad|non-?existent|wrong) (recipient|user|address|mailbox|rcpt)",
            r"excessive (user ?id |user |recipient )?unknowns?",
            r"too many errors",
            r"directory harvest",
            r"(number|rate|percentage|amount) of (invalid|unknown|bad) (recipient|user|address)",
            r"sfr_in_\d04\b",
            r"\b(rp:rcl)\b",
        ),
        "450 4.7.1 Service refused: too many unknown users from your IP. SFR_IN_104",
        but_not="550 5.1.1 unknown user",
    ),
    TextRule(
        "block",
        "reputation",
        (r"very low reputation",),  # Gmail goes on about spam and rate limits in the same breath
        "421 4.7.0 Our system has detected that this message is suspicious due to the very low reputation of the "
        "sending domain. To best protect our users from spam, the message has been blocked.",
        but_not="421 4.7.28 Gmail has detected an unusual rate of mail from your IP address",
    ),
    TextRule(
        "block",
        "rate_limited",
        (
            r"too many ([a-z]+ ){0,3}(connections|sessions)",
            r"(maximum number of|max) ([a-z]+ ){0,2}connections",
            r"too many (messages|mails|e-?mails) (from|sent|for|in|within|this)(?! the server)",
            r"too much mail (from|sent|for)",
            r"message submission rate",
            r"limits for how many messages",
            r"too many recipients",
            r"(maximum|per-domain) connection limit",
            r"trop de connexions",
            r"rate[- ]?limit(?!ed because)",
            r"throttl",
            r"excessive volume",
            r"unexpected volume",
            r"unusual rate",
            r"\bslow down\b",
            r"sending.{0,20}(too quickly|too fast)",
            r"(sending|relay|message|recipient|rate|hourly|daily) (limit|quota)s? (was |has been )?(exceeded|"
            r"reached)",
            r"exceeded the (rate|max(imum)?( number of)? (messages|e-?mails|recipients|connections))",
            r"exceeds? (the |its |your )?(hourly|daily|sending|message rate) (limit|quota)",
            r"(reached|over) (your |the )?(hourly|daily) (limit|quota)",
            r"frequency limited",
            r"\b(hl:(icc|ifc|ifq|itc)|mi:(dmc|sfq)|rp:(drc|orq|trc|frl))\b",
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
            r"abuseat\.org",
            r"uceprotect",
            r"senderscore",
            r"cloudmark",
            r"ipcheck\.proofpoint|proofpoint\.com/dnsbl",
            r"\brbls?\b|\bdbls?\b|dnsbl",
            r"(?<!may be )(block|black|deny)(ed)?[ -]?list",
            r"banned send(ing ip|er)",
            r"(blocked|rejected|listed) (using|by|in|at|on) [a-z0-9-]+\.[a-z0-9.-]+",
            r"client host.{0,20} (is )?blocked",
            r"\bdt:rbl\b",
            r"\((rtr|con|rly|dyn|hvu):[a-z]+\d*\)",  # AOL's
            r"adresse ip source bloquee",
            r"\bip( address)?( \S+)? (is |has been |was )?(temporarily )?(blocked|banned|listed)",
            r"your (mail ?server|host|network).{0,60}(blocked|banned|listed)",
            r"blocked - see http",
            r"ofr\d*_10[123]\b",
            r"черн\w{2,3} списк",
            r"黑名单|黑名單",
        ),
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; "
        "https://www.spamhaus.org/query/ip/192.0.2.1",
        but_not="550 5.2.1 This mailbox has been blocked due to inactivity (UserSearch)",
    ),
    TextRule(
        "block",
        "policy",
        (
            # Somebody has said whom the recipient hears; before `authentication`, which these ask for.
            r"resolver\.rst\.(auth|notauth|sendernotauth|restricted)",
            r"(allowed|accepted|safe|approved)[- ]senders?",
            r"(only|just) (accept(s|ing)?|receives?|allows?) (e-?)?mails? from",
            r"senders? to accept mail from",
            r"(members|subscribers)[- ]only|by non-?members?|non-?members? (are|is) not|closed (mailing )?list",
            r"(allowed|permitted|authori[sz]ed) to (post|send) to (this|the) (mailing )?(list|group|recipient|"
            r"address)",
            r"(recipient|user|receiver)s?( <>)? (does ?n.t|does not|do not|don't) (want|accept|wish).{0,30}(your|you|"
            r"from)",
            r"(recipient|user|receiver|subscriber)s?( <>)? (has )?(refuse|reject|block)(s|d|ed)? ",
            r"(blocked|rejected|refused|denied|filtered) by (the |its )?(recipient|user|addressee|receiver|customer)",
            r"recipient('s)? (preferences|rules|privacy|filter|settings)",
            # A provider puts the true reason behind its general "mailbox unavailable".
            r"mailbox unavailable.{0,20}reject(ed)? (due to|by|for) policy",
            r"due to (user|recipient) (rules|preferences|filters?)",
            r"user reject",
            r"(recipient|user|this address) is (not|only) accepting mail",
            r"subscribed to this group|solving a captcha|(server|sender|you) requires? confirmation",
            r"suppressed sending|suppression list",
            r"rcp-p[23]\b",
            r"protected by (a )?(challenge|mailinblack|boxbe|spamarrest|this)",
        ),
        "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required",
        but_not="550 5.7.1 Client was not authenticated",
    ),
    TextRule(
        "block",
        "authentication",
        (
            r"\b(spf|dkim|dmarc)\b",
            r"\bdmarc(rejection|fail)",
            r"spf\.pobox|spf_",
            r"sender policy framework",
            r"unauthenticated",
            r"\bauth failed",
            r"authentification (requise|invalide|echou)",
            r"authentication (checks? )?(is )?(fail|requir|credential|unsuccess|needed)",
            r"authenticat\w+.{0,40}(first|before sending|in your (e-?mail|mail) client)",
            r"(turn on|enable|requires?|use|using|need) smtp[- ]?auth",
            r"requires? authentication(?!:)",
            r"(client|sender|user|you)( (was|is|are))? not authenticated",
            r"not authori[sz]ed to (send|relay|use).{0,40}(domain|behalf)",
            r"required authentication level",
            r"aligned with either the authenticated",
            r"(relaying|submission|auth\w*).{0,40}without authentication",
            r"permis par (la )?politique spf",
        ),
        "550-5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to "
        "authenticate with either SPF or DKIM.",
        but_not="550 5.7.1 <ana@example.fr>: Recipient address rejected: Access denied",
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
            r"cannot (find|resolve) your (reverse )?(host ?name|address)",
            r"unresolvable relay host name",
            r"(?<!relaying denied\. )(?<!relaying denied )ip name lookup failed",
            r"(client|your) host.{0,40}(no|without) (valid )?(host)?name",
        ),
        "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]",
        but_not="550 5.1.2 cannot find the host example.invalid",
    ),
    TextRule(
        "block",
        "sender_rejected",
        (
            r"senders?('s)?( e-?mail)?( address| domain)?('s)?( <>)?( is| was| has)?( been)? ?"
            r"(rejected|denied|blocked|invalid|unknown|refused|not (found|valid|exist|known)|unroutable|unverified|"
            r"bad|"
            r"(does not|doesn't) (exist|resolve)|no (a|mx|valid)\b)",
            r"\b(invalid|unknown|bad|unacceptable|blocked|bogus|null|empty|forged|fake|unroutable|unrouteable|"
            r"illegal) "
            r"(envelope |smtp |outbound )?(senders?|mail[- ]from|return[- ]path|reverse[- ]path|from address)\b",
            r"(callout|called):? \S+ .{0,60}mail from",
            r"sender (verif|domain|not allowed|denied|address verification|call(out|back))",
            r"in (the )?from:?( header|:)|mail from\W{1,2}failed",
            r"^(\d{3}[ -])?verification failed for <>",
            r"domain of (the )?sender",
            r"unresolvable rfc\.?5321",
            r"(from|sender|return|bounce)[ -](address|path|domain).{0,30}(does not exist|not (exist|found|resolv)|"
            r"invalid)",
            r"\bmail from:?( address| domain| <>)?( \S+)? (does not|doesn't|not owned|is (invalid|not)|invalid|"
            r"unknown|"
            r"rejected|denied|has no)",
            r"mail from not owned",
            r"from: domain is invalid",
            r"envelope senders?.{0,40}(rejected|blocked|denied|invalid|badmail|not allowed)",
            r"badmailfrom",
            r"mail ?from.{0,60}mismatch|verify mail ?from failed",
            r"\bforg(ed|ery)\b(?!.{0,30}h?elo)",
            r"\byour (e-?mail )?(account|address|domain|mailbox)\b.{0,30}\b(is|has|was|does)\b.{0,20}"
            r"(disabled|suspended|blocked|locked|not\b|banned|rejected|unknown|invalid)",
            r"sending (for|from) (this|your) (account|address)",
            r"\bdns-[pt][12]\b",  # Facebook's list of codes
            r"bad outbound sender",
            r"\bbatv\b|backscatter|unsigned dsn|no third-party dsns",
            r"purported responsible address|mismatches client ip|senderfilterconfig",
            r"sender.{0,20}not (pre-approved|in my domain)|mta or the sender has not",
            r"(emetteur|expediteur).{0,40}(invalide|inconnu|refuse|rejete|n'existe|introuvable|bloque)",
            r"absender.{0,40}(abgelehnt|ungue?ltig|unbekannt|existiert|nicht|gesperrt)",
            r"(remitente|mittente|remetente|nadawc\w*|avsandar\w*|afsender\w*|avsender\w*).{0,40}"
            r"(desconocid|rechazad|invalid|no existe|sconosciut|rifiutat|non valid|inesistente|rejeitad|desconhecid|"
            r"nao existe|nieznan|odrzucon|nie istnieje|niepoprawn|okand|ukendt|ukjent|avvisa|afvist|avvist)",
            r"отправител.{0,40}(не |неизвест|отклонен|недейств)",
            r"(发件人|发信人|寄件者|寄件人|發件人).{0,20}(不|拒|无效|無效|未)",
            r"(送信者|差出人|送信元).{0,20}(存在しません|拒否|無効|不明)",
            r"(발신자|보낸 ?사람|발송자).{0,20}(거부|차단|존재하지|없)",
        ),
        "550 5.1.8 <b-0@bounces.example>: Sender address rejected: Domain not found",
        but_not="550 5.1.2 <ana@example.invalid>: Recipient address rejected: Domain not found",
    ),
    TextRule(
        "block",
        "malware",
        (
            r"\bvirus",
            r"\bmalware\b",
            r"\btrojan\b",
            r"infected (message|attachment|file|with)",
            r"phishing",
            r"potential(ly)? (security|executable|dangerous|harmful)",
            r"(illegal|prohibited|banned|dangerous|forbidden) (attachment|file)",
            r"вирус",
        ),
        "554 5.7.1 Virus detected in message (Eicar-Test-Signature)",
        but_not="550 5.1.1 <virus@example.fr>: user unknown",
    ),
    TextRule(
        "block",
        "spam",
        (
            r"(?<![\w./@-])(anti-?)?spam(s|my|ming|mer|mers|like|assassin)?(?![\w@-])",
            r"antyspam|antispam(?=ow|filter|ski)",
            r"\bunsolicited\b",
            r"\bjunk ?mail",
            r"bulk e-?mail",
            r"\bsuspected\b",
            r"message filtered|filtered message",
            r"mass[- ]mail|bulk[ ./-]?advertis|rejecting (mail|banned) content",
            r"(message )?content (was |filter )?(reject|refused|blocked|denied)",
            r"content filter",
            r"banned content|unacceptable content|prohibited content",
            r"mail rejete",
            r"suspicious",
            r"554 5\.7\.0 reject, id=",
            r"\[cs\d\d\]|\[hm\d\d\]",
            r"ofr_?5(06|13)\b",
            r"lpn\d*_510\b",
            r"\bdt:(spm|sum)\b",
            r"sfr_in_\d01\b",
            r"спам",
            r"垃圾邮件|垃圾郵件|垃圾信",
            r"迷惑メール|スパム",
            r"스팸",
        ),
        "550 spam detected",
        but_not="550 5.1.1 <spam@example.fr>: Recipient address rejected: User unknown",
    ),
    TextRule(
        "block",
        "reputation",
        (
            r"reputation",
            r"bad ip profile",
            r"dynamic[ -/]?(ip|host|address|zombie)|hosts? with dynamic|dial-?up",
            r"open proxy|sender ip (address )?(rejected|blocked)|sending ips|unwanted messages have been sent",
            r"accepting (e-?)?mail from your (ip|host|server|network)|: invalid ip|invalid ip for",
            r"\bip is (rejected|hangup)",
            r"\bhl:(rep|mep|ihu|ipb)\b",
            r"user complaints",
            r"complaint (rate|level)",
            r"permanently deferred",
            r"ofr\d*_(105|108|999)\b",
            r"lpn\d*_(10[589]|503)\b",
            r"\[tss?\d\d\]|\[ipts\d\d\]|\[bl\d\d\]",
            r"messages from \S+ weren't sent",
            r"traffic not accepted from this ip",
            r"not (in|on) (our |a |the )?white ?list",
        ),
        "421 mwinf5c79 ME Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR_999 [999]",
        but_not="421 4.3.2 Service refused, please try later",
    ),
    # About the message, whoever it is for.
    TextRule(
        "soft",
        "too_big",
        (
            r"(message|mail|body|header) (is )?(too (big|large|long)|larger than)",
            r"message file too big",
            r"(message|mail) (size|length).{0,30}exceed",
            r"exceed(s|ed)?.{0,30}(maximum|max|fixed|inbound)? ?message size",
            r"(?<!file size )exceeds?.{0,30}(maximum|max|fixed) size",
            r"(?<!mailbox )size limit exceeded|line limit exceeded|header size exceeds",
            r"\blines? (is )?too long|larger than the (current )?system limit",
            r"message trop (gros|volumineux)",
            r"taille (limite|maximale?) d",
            r"nachricht (ist )?zu gross",
            r"recipsizelimit",
            r"邮件过大|郵件過大",
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
        but_not="550 5.1.1 The address jörg@example.de is unknown",
    ),
    TextRule(
        "soft",
        "loop",
        (
            r"too many hops",
            r"(mail|message|routing|forwarding) ?loop",
            r"loopdetected",
            r"loops? back to (myself|me\b)",
            r"points back to",
            r"hop ?count exceeded",
        ),
        "554 5.4.6 Too many hops 26 (25 max)",
        but_not="550 5.1.1 user loopy unknown",
    ),
    TextRule(
        "soft",
        "tls_failed",
        (
            r"tls is required, but was not offered",
            r"starttls is required to send mail",
            r"mta-sts validation",
            r"starttls-not-supported|certificate-expired|tlsa-invalid|dnssec-invalid|dane-required",
            r"certificate (is |has )?(not trusted|expired|verification failed|invalid|not verified)",
            r"\btls.{0,20}(handshake|negotiation|session).{0,20}fail",
        ),
        "TLS is required, but was not offered by host mx.example.fr[192.0.2.9]",
        but_not="530 5.7.0 Must issue a STARTTLS command first",
    ),
    TextRule(
        "block",
        "tls_required",
        (
            r"tls\S* connection required",
            r"(tls|encryption) (is )?(required|needed)",
            r"requiretls",
            r"requires encryption",
            r"sent over a tls connection",
            r"must issue a starttls",
            r"starttls (first|is required)",
        ),
        "530 5.7.0 Must issue a STARTTLS command first",
        but_not="454 4.7.0 TLS not available due to local problem",
    ),
    TextRule(
        "hard",
        "bad_address",
        (
            r"(bad|invalid|malformed|illegal) (destination |recipient |mailbox |address ){1,3}syntax",
            r"(?<!sender )malformed (recipient|address)",
            r"(recipient|mailbox|address|local[ -]?part).{0,20}(has |contains )(bad |invalid |illegal )(syntax|char)",
            r"not a valid rfc.{0,3}5321 address",
            r"(?<!sender )address (syntax|format) (is )?(error|wrong|bad|invalid|incorrect)",
        ),
        "553 5.1.3 Bad destination mailbox address syntax",
        but_not="500 5.5.2 Syntax error in command",
    ),
    TextRule(
        "block",
        "protocol",
        (
            r"(bare|stray) <?(lf|cr|newline|line ?feed)",
            r"syntax error",
            r"bad sequence of commands",
            r"protocol (error|violation)",
            r"(invalid|missing|duplicate|multiple|more than one).{0,30}(header|message-id)",
            r"not (rfc ?)?(5322|2822|822)[ -]compliant",
            r"unrecogni[sz]ed command",
            r"mime (header|complexity)|header error",
        ),
        "550-5.7.1 Messages missing a valid Message-ID header are not accepted.",
        but_not="553 5.1.3 Bad recipient address syntax",
    ),
    TextRule(
        "soft",
        "relaying_denied",
        (r"\brelay(ing)?( access)?( (to|for) [^.;:]{1,40})? (is )?(denied|not (permitted|allowed)|prohibited)",),
        "554 5.7.1 <ana@example.fr>: Relay access denied",
        but_not="550 5.1.1 <ana@example.fr>: User unknown in relay recipient table",
    ),
    # About the recipient.
    TextRule(
        "soft",
        "mailbox_full",
        (
            r"over ?-?(the |their |its )?(allowed )?(quota|disk quota)",
            r"(quota|storage).{0,30}(exceed|full|used up|exhausted|ueberschritten|limit|depass|excedid|superad)",
            r"(out of|exceed\w*|not enough|insufficient|exhausted) (its |their |the |allowed |mailbox |user |"
            r"disk ){0,3}"
            r"(quota|storage (space|allocation)|storage space)",
            r"exceed(s|ing|ed)? (its |their |the )?(mailbox |disk |allowed )?(quota|size)(?! of)",
            r"exhausted (the |its |their )?allowed storage",
            r"quota (exceed|violation|limit)",
            r"dis[ck] ?quota",
            r"not have enough (storage )?space|(box|disk) ?space not enough|overdrawn (\w+ )?disk",
            r"no space left on device|file too large",
            r"too much mail data",
            r"too many (messages|mails) (on|in) (the |its |their )?(server|mailbox|inbox)",
            r"(exceed|exceeded|over) (its |their |the )?(disk |storage )?space limit",
            r"space (has been|is|was) (used up|exhausted|full)",
            r"(mailbox|inbox|account|user|storage)( \S+)? (would )?exceed\w*.{0,30}(storage|limit|size|space)",
            r"mail ?(box|file|folder) (size )?exceeds",
            r"(mailbox|inbox|maildir|account|user|recipient|folder|storage).{0,60}\b(is|are|was|currently|"
            r"too) (too )?full\b",
            r"full (mailbox|inbox)",
            r"(mailbox|inbox|maildir|mail ?store|storage|mailfolder) (is )?(full|size limit)",
            r"boite.{0,40}(pleine|saturee|remplie)",
            r"(quota|espace).{0,20}(depasse|epuise|insuffisant)|depasse (son|sa|le|la) (quota|taille|limite|capacite)",
            r"(postfach|mailbox|briefkasten).{0,30}(voll|u?e?berfue?llt)",
            r"(speicherplatz|kontingent|quota).{0,30}(erschop|erschoep|voll|u?e?berschritten|aufgebraucht)",
            r"zu ?viele (e-?)?mails auf dem server",
            r"(buzon|casilla|bandeja|mailbox|cuenta).{0,40}llen[oa]",
            r"(cuota|cota|quota|limite|espacio).{0,30}(excedid|superad|sobrepasad|ultrapassad|agotad|esgotad)",
            r"casella.{0,40}pien[ao]",
            r"(spazio|quota).{0,20}(esaurit|superat)",
            r"caixa.{0,50}(cheia|lotada)",
            r"(mailbox|postvak|brievenbus).{0,20} vol\b",
            r"(skrzynk|konto).{0,30}(pelna|przepelnion|zapelnion)|przepelnion\w+ skrzynk",
            r"przekroczon\w+.{0,40}(limit|miejsca|pojemnosc|quota)",
            r"(postkasse|brevlada|mailboks|innboks|indbakke|inkorg)\w*.{0,20}\bfulla?\b|(postkasse|"
            r"indbakke)n?.{0,10}fuld",
            r"(postilaatik|sahkopostilaatik)\w*.{0,20}taynna",
            r"schrank\w*.{0,20}pln[aey]|prekrocen\w+ (kvot|limit)",
            r"postafiok.{0,20}(megtelt|tele)",
            r"(posta kutusu|kota).{0,20}(dolu|asildi|doldu)",
            r"(casut|contul).{0,30}plin[ae]",
            r"ofr\d*_417\b",
            r"ящик.{0,40}(переполнен|заполнен|полон)",
            r"(превышен|исчерпан)[а-я]*.{0,30}(квот|лимит|размер|объем)|(квот|лимит)[а-я]*.{0,20}(превышен|исчерпан)",
            r"скриньк.{0,30}(переповнен|заповнен)",
            r"(γραμματοκιβωτιο|ορι[οα]).{0,30}(γεματο|πληρες|υπερβ)",
            r"(容量|メールボックス|受信箱).{0,15}(不足|超過|超え|いっぱい|一杯|満杯)",
            r"(邮箱|信箱|邮件箱|郵箱|空间|空間|容量|配额|配額).{0,8}(已?满|已?滿|不足|超|用完|耗尽|耗盡)",
            r"(메일함|편지함|용량|사서함).{0,12}(초과|가득|부족|꽉)",
        ),
        "552 5.1.1 Boite du destinataire pleine. Recipient overquota. OFR_417 [417]",
        but_not="550 5.4.5 Daily sending quota exceeded",
    ),
    TextRule(
        "soft",
        "mailbox_disabled",
        (
            rf"{_WHO}( <>)?( is| has been| was)? temporar(il)?y (been )?(disabled|suspended|inactive|locked|blocked|"
            rf"closed)",
            r"(?<!delivery )temporar(il)?y (disabled|suspended|inactive|locked)",
            r"(disabled|suspended|locked|blocked) temporar",
            r"(vorubergehend|voruebergehend|zeitweise).{0,20}(gesperrt|deaktiviert)",
            r"temporairement (suspendu|desactive|bloque)",
            r"временно.{0,20}(заблокирован|отключен)",
        ),
        "450 4.2.1 mailbox temporarily disabled: ana@example.fr",
        but_not="550 5.2.1 The mailbox is disabled",
    ),
    TextRule(
        "hard",
        "mailbox_disabled",
        (
            rf"{_WHO}[^.;]{{0,60}} (is|has been|was|been|are) (currently |permanently |now |administratively )?"
            r"(disabled|deactivated|discontinued|suspended|inactive|locked|terminated|closed|cancell?ed|blocked due|"
            r"frozen|"
            r"deleted|removed|retired|expired|archived|not active|unsubscribed|switched off)",
            rf"{_WHO}( <>)? (is |has been |was )?(not activ(e|ated)|disabled|deactivated|inactive|suspended|expired|"
            rf"archived|"
            r"retired|closed|locked|frozen|terminated|deleted|cancell?ed|removed)\b",
            rf"\b(disabled|inactive|deactivated|closed|expired|suspended|dormant|archived|deleted|retired|terminated|"
            rf"frozen)[ _-]{_WHO}",
            r"<> (is|has been) (now )?(disabled|deactivated|suspended|inactive|closed|a deactivated)",
            r"is (now )?disabled with mta",
            r"(user or domain|address) is (administratively )?disabled",
            r"due to (extended |long )?inactivity",
            r"no longer (active|available|in use|valid|employed|with|works? (here|for|at)|on (this|the) server|"
            r"accepts? (e-?)?mail|exists|monitored|used|in service|operational|an employee|a valid|receiv)",
            r"not currently being accepted for this mailbox",
            r"(left|leaves) (the |our )?(company|organi[sz]ation)",
            r"(user|recipient|employee|person)( <>)? has left",
            r"account.{0,20}not (yet )?activated",
            r"mailbox disabled",
            r"\brcp-t4\b",
            r"(boite|compte|adresse).{0,30}(archivee?|bloquee?|suspendue?|desactivee?|fermee?|inacti|supprimee?|"
            r"cloturee?)",
            r"utilisateur (est )?(desactive|suspendu|ferme|inactif)",
            r"(postfach|konto|adresse|mailbox|account|benutzer).{0,25}(deaktiviert|gesperrt|geschlossen|gelo(e)?scht|"
            r"inaktiv|stillgelegt)",
            r"(cuenta|casilla|buzon|usuario).{0,30}(suspendid|desactivad|deshabilitad|inactiv|expirad|bloquead|"
            r"dada? de baja|cancelad)",
            r"(casella|account|indirizzo|utente|mailbox).{0,30}(disattivat|sospes|bloccat|inattiv|chius|scadut|"
            r"disabilitat)",
            r"(conta|usuario|caixa|endereco).{0,30}(desativad|suspens|bloquead|inativ|cancelad|encerrad|desabilitad)",
            r"(account|postvak|mailbox|adres|gebruiker).{0,20}(geblokkeerd|opgeheven|gedeactiveerd|afgesloten|"
            r"verwijderd)",
            r"(konto|skrzynk\w|adres|uzytkownik).{0,30}(zablokowan|nieaktywn|zawieszon|wylaczon|usuniet)",
            r"(ucet|schrank\w|uzivatel).{0,30}(zablokovan|zrusen|neaktivn|deaktivovan|smazan)",
            r"(konto|kontoen|postkassen|bruger\w*|bruker\w*|anvandar\w*).{0,20}(sparra|spaerret|sperret|stangt|"
            r"lukket|"
            r"deaktiver|inaktiv|avslut|slettet|raderat)",
            r"(hesap|hesabi|posta kutusu|kullanici).{0,30}(askiya|kapatil|devre disi|pasif|kapali|silin)",
            r"(tili|postilaatikko).{0,20}(suljettu|poistettu|lukittu)",
            r"lpn\d*_42[06]\b",
            r"ofr\d*_42[06]\b",
            r"(ящик|аккаунт|учетн|пользовател|адрес|абонент)[а-я ]*.{0,30}(заблокирован|отключен|удален|закрыт|"
            r"неактив|"
            r"приостановлен|деактивирован)",
            r"(скриньк|користувач|обліков).{0,30}(заблокован|вимкнен|видален|неактивн)",
            r"(λογαριασμος|γραμματοκιβωτιο).{0,30}(ανεσταλ|απενεργοποι|ανενεργ|κλειστ)",
            r"(アカウント|メールボックス|ユーザ|アドレス).{0,20}(停止|無効化|削除|解約|凍結|利用できません|使用されていません)",
            r"(邮箱|用户|帐号|账号|账户|帐户|信箱|帳號|使用者|郵箱).{0,12}(停用|禁用|冻结|凍結|注销|註銷|关闭|關閉|锁定|鎖定|"
            r"过期|過期|删除|刪除|失效)",
            r"휴면 ?(계정|메일|아이디)",
            r"(계정|사용자|메일함|아이디).{0,15}(정지|휴면|해지|차단|비활성|삭제|탈퇴|잠)",
        ),
        "554 30 Sorry, your message to ana@yahoo.com cannot be delivered. This mailbox is disabled (554.30).",
        but_not="421 4.3.2 All server ports are busy; the service is temporarily disabled",
    ),
    TextRule(
        "hard",
        "mailbox_moved",
        (
            r"user not local; ",
            r"(mailbox|user|recipient|account|address)(?! owner)( <>)?( \S+)? (has (been )?|have )?(moved|changed its)",
            r"has been replaced by",
            r"(has|have) (a )?new (e-?mail )?address",
            r"a change d'adresse",
            r"(neue adresse|neue e-?mail-?adresse) (lautet|ist)",
        ),
        "551 5.1.6 User has moved, please try <ana@example.net>",
        but_not="550 5.7.1 The policy has changed",
    ),
    TextRule(
        "hard",
        "domain_refuses_mail",
        (
            r"(domain|host|server|<>|\.[a-z]{2,24}|[a-z0-9-]+\.[a-z]{2,24}) (does not|doesn't|never) (accept|"
            r"receive)s? (any )?"
            r"(e-?mail|mail|messages)(?! ?(over|from|to|without|via|with|by|sent|for|in|that|containing|unless))",
            r"null ?mx",
            r"indicated no smtp service",
            r"mx 0 \.",
            r"no smtp service (for|at) (this|the|that) domain",
        ),
        "556 5.1.10 Recipient address has null MX: the domain does not accept mail",
        but_not="550 example.com does not accept mail from example.net",
    ),
    TextRule(
        "hard",
        "unknown_host",
        (
            r"domain mentioned in (the )?e-?mail address is unknown",
            r"(account|user|address|mailbox) or domain (may not|does not|doesn't) exist",
        ),
        "550 The mail domain mentioned in email address is unknown",
        but_not="550 The address is unknown",
    ),
    TextRule(
        "hard",
        "unknown_user",
        (
            rf"{_WHO}( address| name| account| id| box| path)?('s)?( <>)?( \"[^\"]{{0,64}}\"| '[^']{{0,64}}')?( (in|"
            rf"for|at) \S+)?"
            r"( specified| entered| given)?( is| was| are| were| has| have)?( been)?( currently)?( an?)?:? ?"
            r"(unknown|not (found|known|recogni[sz]ed|listed|valid|registered|existing|exists?|ok\b|present|defined|"
            r"a valid|a known|in (our|my|the|your) [\w ]{0,20}(directory|list|table|database|system|address ?book))|"
            r"invalid|non-?exist(ent|ant|ing)?|undeliverable|unrouteable|unroutable|undefined|unrecogni[sz]ed|wrong|"
            r"illegal|"
            r"no such)\b",
            rf"{_WHO}[^.;:]{{0,80}} (does not|doesn't|doesnt|didn't|did not|don't|do not|dosn't|isn't|not) (have|"
            rf"exist|belong)",
            rf"{_WHO}[^.;:]{{0,60}} (is|was|are|were) not (found|known|recogni[sz]ed|listed|valid|registered|an? )",
            rf"{_WHO}[^.;:]{{0,60}} (can ?not|could not|couldn't|can't) be (found|verified|located|resolved)",
            r"\b(unknown|unkown|invalid|no such|non-?existent|non-?existing|non-?existant|illegal|bad|"
            r"unrecogni[sz]ed|"
            r"undeliverable|wrong|no valid|incorrect|inexistent)"
            r"( or (illegal|invalid|unknown|inactive))?:?( (local|virtual|destination|e-?mail|mail|smtp|rcpt|to|"
            r"target|alias|"
            r"domain|relay|recipient)){0,3} ?"
            rf"[-_ ]?{_WHO}",
            r"(user|recipient)_?-?(unknown|notfound|not_found|invalid)",
            r"no such (person|mail ?drop|domain user|local|name|rcpt|one|id\b|list|entry|e-?mail|mail ?box)",
            r"no (mail ?box|mail-box|account|user|recipient|one|person|entry|alias|address|such)\b.{0,20} "
            r"(here|found|by|with|exists?|available|named|at (this|that)|for (this|that))",
            r"(user|recipient|address) (lookup|look-up).{0,30}fail",
            r"no valid recipients?(?! from)",
            r"(mail ?box|account|recipient|user) <> (is )?(unavailable|not available)",
            r"account( is)? unavailable\b|not found recipient account",
            r"\bno \S+ in name directory|missing home directory",
            r"(recipient|user|mailbox|address) is not local\b",
            r"all (the )?recipients? (addresses )?(was|were|are) (invalid|rejected|unknown|refused)",
            r"(destination|recipient) addresses were unknown",
            r"\bcuda nsu\b|\bcudansu\b",  # Barracuda's "no such user"; `plain` has no underscores
            r"invalid final delivery|not have a final (e-?mail )?delivery point",
            r"^[\d.\s-]{0,20}<> recipient rejected\b",
            r"not an? (valid|known|registered|current|existing|local|active|legitimate)? ?(e-?mail )?"
            r"(user|mail ?box|recipient|address|account|customer|member)",
            r"not (our|a) customer",
            r"not (a )?user (of|on|at) (this|our) (server|system|host)",
            r"not (listed|found|present|exist\w*) in (the |our |this )?[\w &-]{0,40}(director|address ?book|ldap|"
            r"table|database|"
            r"server|system|name)",
            r"not a (member of|user (of|in|on)|valid user)",
            r"\b(name|address) (is )?not (recogni[sz]ed|in (the|our) directory)",
            r"not in (our|my|the) (directory|user list|validrcptto|database|system)",
            r"not in my (list of )?(valid ?rcpt|recipients)",
            r"badrcptto|badrecipientto",
            r"unknown to (this|our|the) (system|server|host)",
            r"not known (to|at|on|in) (this|our|the) (system|server|host|domain|organi[sz]ation)",
            r"recip(ient)?notfound",
            r"adr\.(ex)?recip",
            r"(do|does) not have an? (\S+ )?(account|mailbox|user)",
            r"(doesn't|doesnt|don't) have an? (\S+ )?(account|mailbox|user)",
            r"(does not|doesn't|do not|don't|not) exists? (on|at|in|here|with) ?(this|the|our)?",
            r"^(\d{3} )?(\d\.\d\.\d{1,3} )?(rcpt )?<>:?,? ?(not found|does not exist|unknown|not exist|doesn't exist|"
            r"invalid)",
            r"<>[.:, ]*(user|mailbox|recipient|account|address|addressee)?[ :]*(unknown|not found|no such|invalid)\b",
            # RFC 5321 has "Requested action not taken" for 550 and "Requested mail action not taken" for 450.
            r"requested action not taken: mailbox (unavailable|not available)",
            r"requested (mail )?action aborted, mailbox not found",
            r"(?<!mail action not taken: )mail ?box (is |was )?(unavailable|not available)"
            r"(?! (now|at this time|due|because|temporar|or access))",
            r"unavailable (mail )?(user|mailbox)\b",
            # Exchange Online says "access denied" with 5.4.1 of an address that it does not have; Postfix says it with
            # 5.7.1 of one that may not be written to by us.
            r"recipient address rejected: (undeliverable|unverified|unknown|invalid|no such|user|not)",
            r"5\.4\.1.{0,80}recipient address rejected: access denied",
            r"(recipient|callout) verification failed",
            r"unroute?able address",
            r"\d\.1\.0 address rejected",
            r"in relay recipient table",
            r"couldn't be found,? or is (invalid|unable)",
            r"address (couldn't|could not) be found",
            r"there is no(t a| one| such|body)\b.{0,40}(address|name|user|here|mailbox)",
            r"(no one|nobody) (with|by|of|at|named)",
            r"can't accept user",
            r"don't exists? that user",
            r"unable to find (alias|user|recipient)",
            r"\bmust be a (valid|local) (user|recipient|mailbox)",
            r"incorrectly addressed",
            r"\brcp-p1\b|\bint-p[134]\b",  # Facebook's list of codes
            r"\brc:(ne|ld)\b",
            rf"{_WHO_FR}[^.;]{{0,60}}(inconnue?|invalide|inexistante?|n'existe|introuvable|n'a pas ete trouve|"
            rf"non trouve)",
            r"(inconnu a cette adresse|aucun (utilisateur|compte|destinataire)|pas de boite)",
            rf"{_WHO_DE}.{{0,30}}(existiert nicht|existiert hier nicht|unbekannt|nicht (bekannt|gefunden|vorhanden|"
            rf"gue?ltig)|"
            r"ungue?ltig|gibt es nicht)",
            rf"unbekannte[rsn]? {_WHO_DE}",
            rf"\bkeine?n? (solche[nrs]? |gue?ltige[nrs]? )?{_WHO_DE}",
            r"no se (ha encontrado|ha podido encontrar|pudo encontrar|encuentra|encontro) (la|el) "
            r"(direccion|usuario|cuenta|buzon|destinatario)",
            r"impossibile trovare (l'indirizzo|il destinatario|l'utente)",
            r"nao foi possivel (encontrar|localizar) (o|a) (endereco|usuario|destinatario|conta)",
            r"nie (mozna (znalezc|odnalezc)|znaleziono).{0,30}(adres|uzytkownik|odbiorc|kont)",
            r"(inte|ikke) (att|at|a) (hitta|finde|finne) .{0,10}adress",
            r"khong tim thay (dia chi|nguoi dung|nguoi nhan)",
            r"не удалось найти.{0,30}(адрес|получател|пользовател)",
            rf"(找不到|未找到|沒有找到|没有找到).{{0,12}}{_WHO_ZH}|找不到地址|找不到.{{0,8}}地址",
            r"(ไม่พบ|ไม่มี).{0,10}(ที่อยู่|ผู้ใช้|ผู้รับ)",
            r"لم يتم العثور على (العنوان|المستخدم|المستلم)",
            rf"{_WHO_ES}.{{0,30}}(desconocid|no existe|inexistente|no (fue |ha sido )?encontrad|no se encontro|"
            rf"invalid)",
            r"no existe (el|la|ese|esa|dicho|dicha|tal|este|esta) (usuario|persona|cuenta|direccion|buzon|"
            r"destinatario)",
            rf"{_WHO_IT}.{{0,30}}(sconosciut|inesistent|non esiste|non valid|non trovat|errat[oa])",
            r"nessun utente",
            rf"{_WHO_PT}.{{0,30}}(desconhecid|nao existe|inexistente|nao (foi )?encontrad|nao localizad|invalid)",
            rf"{_WHO_NL}.{{0,30}}(onbekend|bestaat niet|niet gevonden|ongeldig|bestaat hier niet)",
            rf"onbekend(e)? {_WHO_NL}|geen (zodanige|dergelijke) (gebruiker|ontvanger)",
            rf"{_WHO_PL}\w*.{{0,30}}(nieznan|nie istniej|nie znalezion|nie zostal\w* znalezion|niepoprawn|"
            rf"nieprawidlow)",
            r"nie ma (takiego|takiej) (konta|uzytkownika|adresu|adresata|odbiorcy|skrzynki)",
            r"nieznany (uzytkownik|odbiorca|adresat|adres)|nieznane konto",
            r"brak (takiego |takiej )?(uzytkownika|konta|odbiorcy|skrzynki)",
            rf"{_WHO_CS}\w*.{{0,30}}(neexistuje|nenalezen|neznam|nebyl\w? nalezen|neplatn|nebol\w? najden)",
            r"neznam[yae] (uzivatel|pouzivatel|prijemce|prijemca|adresa|schranka)",
            rf"{_WHO_HU}.{{0,30}}(nem letezik|nem talalhato|ismeretlen|ervenytelen)",
            r"nincs ilyen (felhasznalo|cimzett|cim\b|postafiok)",
            r"ismeretlen (felhasznalo|cimzett|cim\b|postafiok)",
            rf"{_WHO_RO}\w*.{{0,30}}(necunoscut|nu exista|inexistent|invalid|nu a fost gasit)",
            rf"{_WHO_TR}\w*.{{0,30}}(bulunamadi|bilinmiyor|gecersiz|mevcut degil|taninmiyor|bulunmuyor)",
            r"boyle bir (kullanici|adres|hesap|posta kutusu) (yok|bulunm)",
            r"(bilinmeyen|gecersiz) (kullanici|alici|adres)",
            rf"{_WHO_SCANDINAVIAN}\w*.{{0,30}}(findes ikke|finnes ikke|finns (inte|ej)|ukendt|ukjent|okand|"
            rf"eksisterer ikke|"
            r"existerar (inte|ej)|ikke fundet|ikke funnet|hittades inte|ugyldig|ogiltig|finst ikkje)",
            rf"(ukendt|ukjent|okand|ingen (sadan|saadan|slik)) {_WHO_SCANDINAVIAN}",
            rf"{_WHO_FI}\w*.{{0,30}}(ei (ole|loydy|loytynyt|olemassa|tunneta)|tuntematon|virheelli)",
            rf"(tuntematon|virheellinen) {_WHO_FI}",
            rf"{_WHO_VI}.{{0,30}}(khong ton tai|khong tim thay|khong hop le)",
            r"(pengguna|alamat|akun|penerima).{0,30}tidak (ditemukan|dikenal|ada|valid)",
            r"(lpn|ofr)\d*_?41[68]\b",
            rf"{_WHO_RU}[а-я]*.{{0,40}}(не наиден|не существу|не зарегистр|неизвест|отсутству|не обнаруж|недеиств|"
            rf"неверн)",
            r"нет такого (почтов|пользовател|ящик|адрес|получател|абонент|аккаунт)|нет такои (учетн|почт)",
            r"неизвестн\w{2} (пользовател|получател|адрес|адресат)|адресат неизвестен",
            r"такого (пользовател|ящик|адрес|получател)[а-я]* (не существует|нет)",
            rf"{_WHO_UK}[а-я]*.{{0,40}}(не знаидено|не знаиден|не існу|невідом|відсутн)",
            r"(невідомии|немає такого) (користувач|отримувач|одержувач|адрес)",
            r"(непознат|няма такъв) (потребител|получател)",
            rf"{_WHO_EL}.{{0,40}}(δεν υπαρχει|δεν βρεθηκε|αγνωστ|ακυρ|δεν ειναι εγκυρ)",
            r"αγνωστ(ος|η) (χρηστης|παραληπτης|διευθυνση)",
            rf"{_WHO_JA}.{{0,25}}(存在しません|存在しない|存在致しません|見つかりません|見つからない|ありません|いません|不明|登録されていません|無効|"
            r"正しくありません|誤り)",
            r"該当(する|の)?.{0,12}(存在しません|ありません|いません)",
            rf"{_WHO_ZH}.{{0,14}}(不存在|未找到|找不到|无效|未知|未开通|未注册|無效|不正确|不正確|不合法|没有找到|未开启|沒有找到)",
            r"(查无|查無|无|無|没有|沒有)(此|该|這個|这个|該)(人|用户|帐号|账号|帳號|使用者|信箱|邮箱|收件人|收件者|用戶)",
            r"(未知|无效|無效|不存在)的?(用户|收件人|收件者|使用者|邮箱|信箱|帐号|帳號|地址)",
            r"对方邮箱不存在|收件人邮件地址",
            rf"{_WHO_KO}.{{0,20}}(존재하지|없습니다|찾을 수 없|없는|알 수 없|유효하지|잘못|등록되지)",
            r"(존재하지 않는|알 수 없는|없는|잘못된) ?(사용자|수신자|계정|메일|주소|아이디|이메일)",
            r"(המשתמש|משתמש|הנמען|כתובת).{0,20}(לא (קיים|נמצא|קיימת|נמצאה)|אינו קיים|אינה קיימת)",
            r"(المستخدم|العنوان|الحساب|المستلم).{0,20}(غير موجود|غير معروف|غير صالح)",
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
            r"dns (lookup |query )?(timeout|timed out|server failure|failure|failed|temporar|soft)",
            r"servfail|serverfailure",
            r"lookup.{0,20}(timed out|deferred|failed temporarily|did not complete|failure)",
            r"(malformed|unexpected|bad) (or unexpected )?name ?server reply",
            r"dns records for the destination computer|dns resolving error",
            r"name server timeout",
            r"name service error.{0,80}(malformed|again|timeout|temporary)",
            r"(域名|网域|網域|主机|主機).{0,8}(无法解析|解析失败|無法解析)",
        ),
        "450 4.4.3 Host or domain name not found. Name service error for name=example.fr type=MX: Host not found, "
        "try again",
        but_not="Host or domain name not found. Name service error for name=example.invalid type=A: Host not found",
    ),
    TextRule(
        "hard",
        "unknown_host",
        (
            r"\b(host|domain)( or domain)?( name)?( <>| [\w-]+\.[\w.-]+)? (is |was )?"
            r"(not found|unknown|does not exist|doesn't exist|not known|nonexistent|not exist)",
            r"(unknown|no such|non-?existent|bad) (destination |mail |recipient |dns )?(host|domain|mail server)",
            r"nxdomain",
            r"domainnonexistent",
            r"couldn't find (any host|a mail exchanger)",
            r"no matches to nameserver query",
            r"no (mx|a|mx or a|a or mx)( or a)?( dns)?( record)?s? (found|exist|for)",
            r"mx records? point to non-?existent|points? to a non-?existent",
            r"(domain|host).{0,40} (has|have|with) no (valid )?(mx|mail|a or mx)",
            r"unroute?able mail domain",
            r"(recipient )?domain must exist",
            r"name or service not known",
            r"domain (is )?not reachable",
            r"lookup failed permanently",
            r"domaine.{0,20}(inconnu|n'existe|inexistant)",
            r"(domain|domane|domaene).{0,15}(existiert nicht|unbekannt|nicht gefunden)",
            r"domini?o.{0,20}(no existe|desconocid|non esiste|inesistent|sconosciut|nao existe|inexistente|"
            r"desconhecid)",
            r"(domena|domeny|domene).{0,20}(nie istnieje|nieznan|neexistuje)",
            r"домен[а-я]*.{0,25}(не наиден|не существу|неизвест)",
            r"(域名|网域|網域|ドメイン|도메인).{0,10}(不存在|未找到|找不到|存在しません|見つかりません|不明|존재하지|없습니다)",
        ),
        "5.4.4 Host or domain name not found. Name service error for name=example.invalid type=A: Host not found",
        but_not="450 4.4.3 Host or domain name not found. Name service error for example.fr: Host not found, try again",
    ),
    TextRule(
        "soft",
        "expired",
        (
            r"(delivery|message|retry|queue) (time ?out |time |timeout )?(has )?(expired|exceeded)",
            r"queue\.expired",
            r"in the queue (for )?too long|allowed queue period",
            r"could not find a gateway for|failed to deliver to domain",
            r"failing for a long time",
            r"could not be delivered for",
            r"(unable|not able|not been able) to deliver.{0,40}(days|hours|minutes)",
            r"unable to deliver message after multiple retries",
            r"(retry|message) time not reached",
            r"too old\b",
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
            r"(network|host|server|mx) (is )?unreachable",
            r"no route to host",
            r"\btimed out\b",
            r"no answer from host",
            r"did not (respond|accept our requests)",
            r"able to establish an smtp connection",
            r"tls handshake",
            r"network error",
            r"(could not|cannot|unable to|can't|couldn't) connect",
        ),
        "4.4.1 connect to mx.example.fr[192.0.2.9]:25: Connection timed out",
        but_not="550 5.7.1 The connection was rejected",
    ),
    TextRule(
        "soft",
        "relaying_denied",
        (
            r"to relay\b",
            r"not relay\b",
            r"as a relay\b",
            r"(open|insecure mail|unauthori[sz]ed) relay",
            r"not a (local|hosted) (domain|host)",
            r"not local host|not a gateway|relaying mail to",
            r"(don't|do not|doesn't|does not) handle (e-?)?mail for",
            r"rcpthosts",
        ),
        "550 5.7.1 Unable to relay for ana@example.fr",
        but_not="550 5.1.1 <ana@example.fr>: User unknown in relay recipient table",
    ),
    TextRule(
        "soft",
        "system_unavailable",
        (
            r"insufficient (system|disk) (storage|resources|space)",
            r"(system|server|service|resources?|mailbox|account) (is |are |was )?(currently |temporarily )"
            r"(unavailable|busy|overloaded|down|locked|not available|disabled)",
            r"(system|server|service|ports are).{0,20}(busy|overload|shutting down)",
            r"(system )?load is too high|too much load",
            r"temporar(y|ily).{0,40}(problem|failure|error|unavailable|local|system|rejected|deferred|busy)",
            r"service (is )?(not available|unavailable)",
            r"requested mail action not taken: mailbox unavailable",
            r"not accepting network messages|upstream (server )?error",
            r"local error|queue file write|interrupted system call|is misconfigured|timeout waiting for",
            r"could not be stored",
            r"(local|system|server|mail system) config(uration)? (error|problem)",
            r"(mailbox|system) (is )?(in use|i/o)",
            r"internal (server |system )?(error|resource)",
            r"(disk|system) (is )?full",
            r"(please )?try(ing)? (again |it again )?later",
            r"essayer plus tard",
            r"mail system (error|problem)",
        ),
        "451 4.3.0 Temporary system problem. Try again later",
        but_not="550 5.2.1 The mailbox is disabled",
    ),
    TextRule(
        "block",
        "policy",
        (
            r"\bpolic(y|ies)\b",
            r"not ?(allowed|authori[sz]ed|permitted|welcome)",
            r"client host rejected|not accepting connections|\bgo away\b",
            r"(only|just) registered users|local users? only|not comply|does not meet",
            r"prohibit(ed|ion)",
            r"forbidden",
            r"restrict",
            r"not accept (e-?)?mail from",
            r"will not accept delivery",
            r"security (settings|regulation)",
            r"organi[sz]ational settings",
            r"richtlinie",
        ),
        "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes",
        but_not="550 5.1.1 No such user",
    ),
)

#: A no without a why: somebody's policy, which is about us; unless the code names the recipient.
LAST_RULES: tuple[TextRule, ...] = (
    TextRule(
        "block",
        "policy",
        (
            r"\bdenied\b",
            r"\bblocked\b",
            r"\brefuse(d|s)?\b",
            r"not accepted",
            r"(message|mail|e-?mail)( \S+)? (is |was |has been )?rejected",
            r"rejected by",
            r"service refuse",
            r"abgelehnt|abgewiesen|verweigert",
            r"rejete|refusee?",
            r"rechazad|rifiutat|rejeitad|odrzucon|afvist|avvist|avvisa|geweigerd|zamitnut|reddedildi",
            r"отклонен|отвергнут",
            r"拒绝|拒絕|拒收|拒否|거부",
        ),
        "554 5.7.1 <ana@example.fr>: Access denied",
        but_not="550 5.1.1 <ana@example.fr>: rejected by table",
    ),
)

#: Enhanced status codes, by subject and detail: those of the IANA registry that say something (RFC 3463, 3886, 4468,
#: 4865, 4954, 5248, 6531, 6710, 7293, 7372, 7505, 8689), and Exchange Online's above 100.
STATUS_RULES: tuple[CodeRule, ...] = (
    CodeRule("hard", "unknown_user", ("1.1", "1.351"), "550 5.1.1 Ana"),
    CodeRule("hard", "unknown_host", ("1.2", "4.4", "4.310"), "550 5.1.2 example.invalid"),
    CodeRule("hard", "bad_address", ("1.3",), "501 5.1.3 ana@@example.fr"),
    CodeRule("hard", "mailbox_moved", ("1.6",), "551 5.1.6 Ana"),
    CodeRule("hard", "domain_refuses_mail", ("1.10",), "556 5.1.10 example.invalid"),
    CodeRule("hard", "mailbox_disabled", ("2.1", "7.13"), "550 5.2.1 Ana"),
    CodeRule("hard", "owner_changed", ("7.17", "7.18"), "550 5.7.17 RRVS"),
    CodeRule("soft", "mailbox_full", ("2.2",), "552 5.2.2 Ana"),
    CodeRule("soft", "rate_limited", ("2.121", "2.122"), "550 5.2.122 Ana"),
    CodeRule("soft", "too_big", ("2.3", "3.4", "7.16"), "552 5.3.4 25 MB"),
    CodeRule("soft", "system_unavailable", ("3.0", "3.1", "3.2", "3.5", "4.5"), "451 4.3.2 wait"),
    CodeRule("soft", "no_answer", ("4.1", "4.2", "4.316"), "4.4.1 mx.example.fr"),
    CodeRule("soft", "dns_failure", ("4.3", "4.312"), "451 4.4.3 example.fr"),
    CodeRule("soft", "loop", ("4.6", "4.14"), "554 5.4.6 Hops"),
    CodeRule("soft", "expired", ("4.7", "4.300"), "5.4.7 after 3 days"),
    CodeRule("soft", "tls_failed", ("4.8", "4.317", "7.5", "7.321", "7.322", "7.323", "7.324", "7.325"), "550 5.7.322"),
    CodeRule("block", "sender_rejected", ("1.7", "1.8", "7.27"), "550 5.1.8 bounces.example"),
    CodeRule(
        "block",
        "authentication",
        (
            *("7.8", "7.9", "7.11", "7.12", "7.14", "7.20", "7.21", "7.22", "7.23", "7.24", "7.26", "7.29", "7.57"),
            *("7.509", "7.515"),
        ),
        "550 5.7.23",
    ),
    CodeRule("block", "reverse_dns", ("7.25",), "550 5.7.25 192.0.2.1"),
    CodeRule("block", "rate_limited", ("1.90", "5.3", "7.28", "7.705"), "421 4.7.28 wait"),
    CodeRule("block", "tls_required", ("7.10", "7.30"), "523 5.7.10 TLS"),
    CodeRule("soft", "relaying_denied", ("7.64", "7.367"), "550 5.7.64 Ana"),
    CodeRule("block", "helo_rejected", ("7.506",), "550 5.7.506 mail"),
    CodeRule("block", "blocklisted", ("7.511", "7.513", "7.606", "7.607", "7.608", "7.609"), "550 5.7.606 192.0.2.1"),
    CodeRule("block", "reputation", ("7.708",), "550 5.7.708 192.0.2.1"),
    CodeRule("block", "spam", ("7.350", "7.501", "7.502", "7.503", "7.512"), "550 5.7.501 192.0.2.1"),
    CodeRule("block", "policy", ("7.*",), "550 5.7.1 No"),
    CodeRule("block", "protocol", ("5.1", "5.2", "5.4", "5.5", "5.6"), "500 5.5.2 What?"),
    CodeRule("soft", "no_smtputf8", ("6.7", "6.8", "6.9"), "553 5.6.7 Ana"),
    CodeRule("soft", "content", ("6.*",), "554 5.6.0 No"),
)

#: Reply codes. 550, 551, 553 and 554 say nothing by themselves: servers use them for everything.
CODE_RULES: tuple[CodeRule, ...] = (
    CodeRule("soft", "system_unavailable", ("421", "451", "452", "454"), "421 mx.example.fr"),
    CodeRule("block", "protocol", ("500", "501", "502", "503", "504", "555"), "500 What?"),
    CodeRule("block", "authentication", ("530", "534", "535", "538"), "530 5.0.0 Who?"),
    CodeRule("hard", "mailbox_disabled", ("525",), "525 Ana"),
    CodeRule("soft", "mailbox_full", ("552",), "552 Sorry"),
    CodeRule("hard", "domain_refuses_mail", ("556",), "556 example.invalid"),
)

#: Reasons of soft failures that say "unknown user" without proving it: a temporary code, or a host whose word is
#: doubtful. One is nothing; whoever counts them takes two in a row for a hard one.
COUNTS_TOWARDS_HARD = frozenset(("unknown_user_deferred", "unknown_user_doubtful"))

#: Whom or what each kind and reason is about.
ABOUT: dict[tuple[Kind, str], About] = {
    ("hard", "unknown_user"): "recipient",
    ("hard", "bad_address"): "recipient",
    ("hard", "mailbox_moved"): "recipient",
    ("hard", "unknown_host"): "host",
    ("hard", "domain_refuses_mail"): "host",
    ("hard", "mailbox_disabled"): "mailbox",
    ("hard", "owner_changed"): "mailbox",
    ("soft", "mailbox_full"): "mailbox",
    ("soft", "rate_limited"): "mailbox",
    ("soft", "greylisted"): "policy",
    ("soft", "relaying_denied"): "policy",
    ("soft", "mailer_error"): "host",
    ("soft", "system_unavailable"): "host",
    ("soft", "loop"): "host",
    ("soft", "dns_failure"): "dns",
    ("soft", "expired"): "network",
    ("soft", "no_answer"): "network",
    ("soft", "tls_failed"): "network",
    ("soft", "too_big"): "content",
    ("soft", "no_smtputf8"): "content",
    ("soft", "content"): "content",
    **{("soft", reason): "recipient" for reason in COUNTS_TOWARDS_HARD},
    ("soft", "undefined"): "unknown",
    ("block", "policy"): "policy",
    ("block", "spam"): "content",
    ("block", "malware"): "content",
    ("block", "protocol"): "content",
    ("block", "authentication"): "sender",
    ("block", "blocklisted"): "sender",
    ("block", "helo_rejected"): "sender",
    ("block", "rate_limited"): "sender",
    ("block", "reputation"): "sender",
    ("block", "reverse_dns"): "sender",
    ("block", "sender_rejected"): "sender",
    ("block", "tls_required"): "sender",
    ("block", "too_many_invalid"): "sender",
}

UNDEFINED = Classification("soft", "undefined")
REASONS = frozenset(reason for _, reason in ABOUT)

#: Subject and detail of codes that speak of the sender, whatever the words beside them.
SENDER_CODES = frozenset(("1.7", "1.8", "7.27"))
#: Subject and detail of codes that name the recipient: they are stronger than a no without a why.
_RECIPIENT_CODES = frozenset(("1.1", "1.2", "1.3", "1.6", "1.10"))
#: What a hard verdict becomes when it was said before a recipient was named.
_ABOUT_US: dict[Stage, str] = {"ehlo": "helo_rejected", "mail": "sender_rejected", "auth": "authentication"}
#: The sender in other languages (English has a rule): with one of these, what does not exist is not the recipient.
_SENDER_NOUNS = tuple(
    unaccented(
        "absender expediteur emetteur remitente mittente remetente nadawc odesilatel odosielatel avsandar afsender "
        "avsender afzender lahettaj gonderen felado expeditor отправител відправник αποστολε 送信者 送信元 差出人 "
        "发件人 发信人 寄件者 寄件人 發件人 발신자 보낸사람"
    ).split()
)
#: Words that take "never" back, whatever the codes.
_FOR_NOW = re.compile(
    r"temporar|\b(?:try|retry)(?: it)?(?: again)? later\b|\btry again (?:in|after|at|soon|tomorrow)\b"
)
#: Japanese mobile carriers: after DATA, "unknown user" is what they say for subscribers who admit certain domains only.
DOUBTFUL_AFTER_DATA = re.compile(
    r"\b(docomo\.ne\.jp|ezweb\.ne\.jp|au\.com|softbank\.(?:ne\.)?jp|vodafone\.ne\.jp|disney\.ne\.jp|willcom\.com"
    r"|pdx\.ne\.jp|ymobile\.ne\.jp|y-mobile\.ne\.jp|uqmobile\.jp|rakumail\.jp)\b"
)


def _words(rules: tuple[TextRule, ...], *, ascii_only: bool) -> Patterns:
    """The words of the rules that are ASCII, or those that are not: few texts are not, and most words."""
    return Patterns(
        "|".join(
            word for words in rule.words for word in alternatives(unaccented(words)) if word.isascii() is ascii_only
        )
        for rule in rules
    )


_ALL_RULES = (*TEXT_RULES, *LAST_RULES)
_LATIN = _words(_ALL_RULES, ascii_only=True)
_OTHER = _words(_ALL_RULES, ascii_only=False)
_STATUSES = {code: rule for rule in STATUS_RULES for code in rule.codes}
_CODES = {code: rule for rule in CODE_RULES for code in rule.codes}


def classify(code: int | None, enhanced: str | None, text: str, stage: Stage = "", host: str = "") -> Classification:
    """What a failure says about the address. `code` (550) and `enhanced` (5.1.1) are looked for in `text` when the
    caller does not know them, or when the enhanced code says as little as 5.0.0; of `stage` (where in the conversation
    it was said) and `host` (who said it) the text is asked, too. Never raises."""
    text = readable(text[:MAX_TEXT_CHARS])
    said = take_apart(text)
    if code is None:
        code, enhanced = said.code, _better(said.enhanced, enhanced)
    elif enhanced is None or enhanced.endswith(".0.0"):
        enhanced = said.enhanced or enhanced
    stage = stage or said.stage
    kind, reason = _of_words(code, enhanced, plain(f"{enhanced} {text}" if enhanced else text))
    if said.quoted and kind != "block":
        quoted = classify(None, None, said.quoted, stage, host)
        if quoted.reason != "undefined":
            kind, reason = quoted.kind, quoted.reason
        elif said.is_general:
            kind, reason = "soft", "undefined"
    if reason == "undefined" and stage in BEFORE_RECIPIENT and (code or 0) >= 500:
        kind, reason = "block", _ABOUT_US.get(stage, "policy")
    if kind == "hard":
        kind, reason = _doubted(reason, code, enhanced, stage, f"{host} {text}")
    return Classification(kind, reason, ABOUT.get((kind, reason)) or ABOUT["hard", reason])  # a hard one, made soft


def _better(of_text: str | None, of_report: str | None) -> str | None:
    """The enhanced code of the reply itself says more than the one of who reports it, unless it says nothing."""
    if of_text is None or (of_text.endswith(".0") and of_report is not None and not of_report.endswith(".0.0")):
        return of_report
    return of_text


def _of_words(code: int | None, enhanced: str | None, text: str) -> tuple[Kind, str]:
    """By the words first, then by the codes; a no without a why comes after a code that names somebody."""
    found = _by_text(text)
    status = _detail(enhanced)
    is_vague = found is not None and (
        (found >= len(TEXT_RULES) and status in _RECIPIENT_CODES)
        or (status in SENDER_CODES and _ALL_RULES[found].reason == "policy")
    )
    if found is not None and not is_vague:
        return _ALL_RULES[found].kind, _ALL_RULES[found].reason
    rule = _by_status(status) or _by_code(code)
    return (rule.kind, rule.reason) if rule is not None else (UNDEFINED.kind, UNDEFINED.reason)


def _doubted(reason: str, code: int | None, enhanced: str | None, stage: Stage, context: str) -> tuple[Kind, str]:
    """What remains of a hard verdict when it is known who was spoken of, when, by whom, and for how long."""
    context = folded(context)
    if _detail(enhanced) in SENDER_CODES or any(map(context.__contains__, _SENDER_NOUNS)):
        return "block", "sender_rejected"
    if stage in BEFORE_RECIPIENT and not (reason == "domain_refuses_mail" and stage in ("connect", "greeting")):
        return "block", _ABOUT_US.get(stage, "policy")
    if (code or 500) < 500 or (enhanced or "").startswith("4") or _FOR_NOW.search(context):
        return "soft", "unknown_user_deferred" if reason == "unknown_user" else reason
    if reason == "unknown_user" and stage in OF_MESSAGE and DOUBTFUL_AFTER_DATA.search(context):
        return "soft", "unknown_user_doubtful"
    return "hard", reason


#: Character sets that hosts write without saying so, the strictest first: what is wrong in one is decoded by the next.
#: The last ones are the Latin letters of Poland, Bohemia, Hungary and Turkey.
_CHARSETS = ("euc_jp", "shift_jis", "gb18030", "big5", "euc_kr", "koi8_r", "cp1251", "cp1253", "cp1250", "cp1254")
#: ISO-2022-JP, whose escape characters may be lost.
_ISO_2022_JP = re.compile(r"(?:\x1b| )?\$[@B]((?:[!-~]{2}){1,400}?)(?:\x1b| )?\([BJ]")


def readable(text: str) -> str:
    """The text, decoded anew where it is plainly bytes that were taken for something else: raw ISO-2022-JP, or a
    character set of eight bits read as Latin-1 or kept as surrogates."""
    if text.isascii():
        return _ISO_2022_JP.sub(_kanji, text) if "$" in text and "(" in text else text
    if any(char > "\xff" and not "\udc80" <= char <= "\udcff" for char in text):
        return text
    return _in_its_charset(text.encode("latin-1", "surrogateescape")) or text


def decoded(raw: bytes) -> str:
    """The bytes of a reply as text; what is in no known character set is UTF-8 with errors."""
    return _in_its_charset(raw) or raw.decode("utf-8", "replace")


def _in_its_charset(raw: bytes) -> str | None:
    """UTF-8 where it is that, else in whatever character set it says something that a rule knows: no chance gives a
    sentence about a mailbox."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raw = raw[: 2 * MAX_TEXT_CHARS]
    if _LATIN.first(plain(latin := raw.decode("latin-1"))) is not None:
        return latin
    for charset in _CHARSETS:
        try:
            text = raw.decode(charset)
        except UnicodeDecodeError:
            continue
        if _by_text(plain(text)) is not None:
            return text
    return None


def _kanji(found: re.Match[str]) -> str:
    try:
        return (b"\x1b$B" + found[1].encode("ascii") + b"\x1b(B").decode("iso2022_jp")
    except UnicodeDecodeError:
        return found[0]


def reply_codes(text: str) -> tuple[int | None, str | None]:
    """Reply code and enhanced status code that `text` carries, as in `host mx.example said: 550-5.1.1 User unknown`."""
    said = take_apart(text)
    return said.code, said.enhanced


@lru_cache(maxsize=2_048)  # a busy site says the same thing a thousand times
def _by_text(text: str) -> int | None:
    """The first rule of _ALL_RULES that is found."""
    first = _LATIN.first(text)
    if text.isascii():
        return first
    other = _OTHER.first(text)
    return first if other is None else other if first is None else min(first, other)


def _detail(enhanced: str | None) -> str:
    """Subject and detail, without the class."""
    return enhanced.partition(".")[2] if enhanced is not None else ""


def _by_status(detail: str) -> CodeRule | None:
    return _STATUSES.get(detail) or _STATUSES.get(f"{detail.partition('.')[0]}.*")


def _by_code(code: int | None) -> CodeRule | None:
    return _CODES.get(str(code))
