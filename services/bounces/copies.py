"""Where a report ends and the copy of our own mail begins, which may say anything. Pure.

Programs say that a copy follows, in the language of their users; where they do not, a header that begins in the middle
of a text is the copy's. What a person quotes in an answer is a copy as well.
"""

import re

from services.bounces.mail import Mail

#: What is said over a copy, by language; between dashes, or at the beginning of a line that ends in a colon.
COPY_MARKS = {
    "en": r"copy|original|below this line|included|returned message|unsent message|message header|undelivered message"
    r"|forwarded message|message text follows|message follows",
    "fr": r"message d['’]origine|message original|copie|message transféré|message initial",
    "de": r"ursprüngliche|originalnachricht|original-nachricht|weitergeleitete|kopie",
    "es": r"mensaje original|copia|mensaje reenviado",
    "it": r"messaggio originale|copia|messaggio inoltrato|messaggio di origine",
    "nl": r"oorspronkelijk|kopie|doorgestuurd",
    "pt": r"mensagem original|cópia|mensagem encaminhada",
    "pl": r"oryginalna|wiadomość oryginalna|kopia|przekazana",
    "ru": r"исходное сообщение|копия|пересылаемое|оригинал",
    "sv, da, no": r"ursprungligt|originalmeddelande|oprindelig|opprinnelig|vidarebefordrat|kopia|kopi\b",
    "fi, cs, hu, tr": r"alkuperäinen|původní|eredeti|orijinal|özgün|kopya",
    "zh, ja, ko": r"原始邮件|原始郵件|原邮件|转发邮件|元のメッセージ|オリジナル|転送|원본|전달된",
}
_MARK = "|".join(COPY_MARKS.values())
_COPY = re.compile(
    rf"^[> \t|]{{0,20}}[-_*=+]{{2}}[^\n]{{0,100}}?(?:\b|(?<=[^\x00-\x7f])|(?=[^\x00-\x7f]))(?:{_MARK})"
    r"|^[ \t]{0,8}(?:below (?:this line )?is a copy|here is a copy|a copy of (?:the|your)|the header of the original"
    r"|original message (?:headers?|follows|header)|your original (?:message|mail)|included is a copy"
    r"|message headers? follow"
    r"|en-têtes? (?:de|du) message|ursprüngliche nachrichtenkopfzeilen|encabezados (?:de|del) mensaje"
    r"|intestazioni (?:del )?messaggio|oorspronkelijke berichtkoppen|cabeçalhos (?:da )?mensagem)[^\n]{0,60}:?[ \t]*$"
    r"|^(?:received: (?:from|by|\()|return-path: <|dkim-signature: |mime-version: 1|x-mailer: |x-originating-ip: )",
    re.IGNORECASE | re.MULTILINE,
)
#: `From:` with two more fields of a header under it.
_HEADER = re.compile(
    r"^(?:from|von|de|da|van): [^\n]{1,300}\n(?:[a-z-]{2,20}: [^\n]{0,300}\n){2}", re.IGNORECASE | re.MULTILINE
)
#: A line that somebody quotes; `>>>` is what sendmail says to a host.
_QUOTED = re.compile(r"^[ \t]{0,4}>(?!>>)[^\n]*\n?", re.MULTILINE)


def own_text(mail: Mail) -> str:
    """What the mail itself says, with LF line ends: no copy, no quotes."""
    return without_copy(mail.texts)


def without_copy(text: str) -> str:
    """`text` with LF line ends, up to where a copy begins."""
    own = _COPY.split(text, maxsplit=1)[0]
    header = _HEADER.search(own)
    if header is not None and header.start() > 200:  # before that it names the mail that the report is about
        own = own[: header.start()]
    return _QUOTED.sub("", own)
