"""Who writes, a mail system or a person, as far as envelope and header tell.

A person quotes what a mail system wrote, own bounces and other people's, so the words of a bounce count only in the
mouth of one. Mail systems write from the null reverse-path (RFC 5321 section 4.5.5), and where a host on the way put a
sender on it, the From still names a daemon. Neither answers or forwards: a subject that begins with `Re:` is a person's
or a client's, whoever seems to send it.
"""

import re

from services.bounces import subjects
from services.bounces.mail import Mail, addresses

#: Local parts from which mail systems write.
DAEMONS = (
    r"mailer[-_.]?daemon", r"mail[-_.]?daemon", r"smtp[-_.]?daemon", r"mdaemon", r"daemon", r"postmaster",
    r"mail[-_.]?router", r"mail[-_.]?system", r"(double[-_.]?)?bounces?", r"microsoftexchange[0-9a-f]{32}",
    r"post[-_.]master", r"mail[-_.]?deliver(y|er)?([-_.]?(sub)?system)?", r"mail[-_.]?admin(istrator)?", r"mailer",
    r"mail[-_.]?notification", r"ndr", r"dsn", r"mailgate", r"postoffice",
)  # fmt: skip
#: Display names that no person has.
DAEMON_NAMES = (
    r"mail deliver(y|er)? (sub)?-?system|mailer[- ]?daemon|courier mail server\b|mail administrator"
    r"|system administrator"
    r"|mail delivery service|delivery subsystem|internet mail delivery|mail deliver system|content-filter at\b"
    r"|interscan"
    r"|systemadministrator|administrateur (du )?système|amministratore di sistema|administrador del sistema"
    r"|mail router\b"
    r"|microsoft exchange|mail transport|mail system\b|email delivery|e-?mail system|mail gateway"
    r"|系统退信"
)
#: What local parts of gateways have in them, which write under any name (`e500_smtp_mail_service`); no proof alone.
GATEWAYS = (
    r"(smtp|mail|virus|spam|mta|exchange|e-?safe)[\w.-]{0,30}(service|server|gateway|system|daemon|router|scan|sweeper"
    r"|wall|shield|marshal|filter|guard|agent)"
)
#: Fields that no person's mail has.
MACHINE_FIELDS = ("x-failed-recipients", "x-ms-exchange-message-is-ndr", "x-mx-bounce")
#: What clients put before the subject of an answer or a forward, by language.
REPLY_PREFIXES = {
    "en": r"re|fwd?|fw",
    "fr": r"ré[fp]|tr|tref",
    "de": r"aw|antw?ort|wg|wtr",
    "es, pt": r"rv|res|enc|reenv?",
    "it": r"r|i|rif|inol",
    "nl": r"antw|doorst|betr",
    "sv, no, da, fi": r"sv|vs|vb|vl|videresendt",
    "is, et, lv, lt": r"svar|fs|at|pers",
    "pl, cs, sk": r"odp|pd|odpověď",
    "hu, ro, tr": r"vá|továbbítás|răsp|ynt|ilt|i̇lt|yan",
    "ru, uk, bg": r"ha|на|отв|ответ|пересл|fwd?",
    "el": r"απ|πρθ|σχετ",
    "he, ar": r"השב|הועבר|رد|إعادة توجيه",
    "zh, ja, ko": r"回复|回覆|答复|转发|轉寄|返信|転送|회신|답장|전달",
}

#: Of these, those of a forward alone.
FORWARD_PREFIXES = (
    r"fwd?|fw|tr|tref|wg|wtr|reenv?|rif|inol|doorst|vb|vl|videresendt|fs|pd|továbbítás|ilt|i̇lt|пересл|πρθ|הועבר"
    r"|إعادة توجيه|转发|轉寄|転送|전달"
)

_DAEMON = re.compile("|".join(DAEMONS), re.IGNORECASE)
_DAEMON_NAME = re.compile(rf"[\s\"'<]{{0,5}}(?:{DAEMON_NAMES})", re.IGNORECASE)
_BARE_DAEMON = re.compile(rf"[\s<\"']{{0,5}}(?:{'|'.join(DAEMONS)})(?:[@>\s\"']|$)", re.IGNORECASE)
_GATEWAY = re.compile(GATEWAYS, re.IGNORECASE)
_HELD = re.compile(r"post[-_.]?master|mail[-_.]?admin(istrator)?|postoffice|mailer", re.IGNORECASE)
#: The null reverse-path as a From.
_NOBODY = re.compile(r"[^<>@]{0,80}<\s?>\s*")
# `[EXT] Re:`, `RE[2]:`, `Re (3) :`, `Re^2:`, and the colon of East Asian input methods.
_REPLY = re.compile(
    rf"(?:\s{{0,5}}[\[(*][^\])*\n]{{0,40}}[\])*])*\s{{0,5}}(?:{'|'.join(REPLY_PREFIXES.values())})"
    r"\s{0,3}(?:[\[(^*]\d{1,4}[\])]?)?\s{0,3}[:：]",
    re.IGNORECASE,
)

_FORWARD = re.compile(rf"\s{{0,5}}(?:{FORWARD_PREFIXES})\s{{0,3}}[:：]", re.IGNORECASE)


def is_program(mail: Mail, null_reverse_path: bool) -> bool:
    """Whether a mail system wrote it. `null_reverse_path`: the envelope sender is empty."""
    return (null_reverse_path or is_from_daemon(mail) or _is_machine(mail)) and not is_reply(mail)


def _is_machine(mail: Mail) -> bool:
    """Whether it says by a field that it is one, under a subject that no answer has."""
    if mail.fields.has(MACHINE_FIELDS):
        return True
    if mail.fields.get("in-reply-to") or subjects.FAILED.match(mail.fields.get("subject")) is None:
        return False
    if mail.fields.get("auto-submitted").lower().startswith("auto-"):
        return True
    return any(_GATEWAY.search(one.partition("@")[0]) for one in addresses(mail.fields.get("from"))[-1:])


def is_from_daemon(mail: Mail) -> bool:
    """By the From: a name that says postmaster may be that of whoever is it today; the address counts."""
    value = mail.fields.get("from")
    found = addresses(value)
    if not found:
        return any(one.match(value) is not None for one in (_BARE_DAEMON, _DAEMON_NAME, _NOBODY))
    local_part = found[-1].partition("@")[0].rstrip("\\")
    return _DAEMON.fullmatch(local_part) is not None or _DAEMON_NAME.match(value) is not None


def is_held_by_people(mail: Mail) -> bool:
    """Whether it is from an address at which people write, too: `postmaster@` rather than `mailer-daemon@`."""
    return any(_HELD.fullmatch(one.partition("@")[0]) for one in addresses(mail.fields.get("from"))[-1:])


def is_reply(mail: Mail) -> bool:
    """Whether it answers or forwards another mail, by its subject."""
    return _REPLY.match(mail.fields.get("subject")) is not None


def is_forward(mail: Mail) -> bool:
    """Whether it hands another mail on, by its subject."""
    return _FORWARD.match(mail.fields.get("subject")) is not None
