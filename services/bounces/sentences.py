"""What reports say about an address in sentences of their own, where they quote no reply: the templates of webmails,
Exchange, gateways and carriers, in the languages they are sent in. Pure.

Replies of hosts are `shared/words/replies.py`'s; here is only what the program that writes the report says itself, so a
row names its kind and reason as a rule there does. SENTENCES are searched in the report's own text, without what it
returns; what is hedged (`may`, `one of the following reasons`) is no row's.
"""

import re

import msgspec

from shared.words.patterns import Patterns
from shared.words.replies import Classification, Kind, classify


class Sentence(msgspec.Struct, frozen=True):
    """`words` are alternatives, regular expressions over the text in lower case with single blanks."""

    kind: Kind
    reason: str
    words: tuple[str, ...]
    example: str


SENTENCES: tuple[Sentence, ...] = (
    Sentence(
        "soft",
        "mailbox_full",
        (
            r"(mailbox|inbox|account|mail box)( of [^.]{1,80})? (is|was) (over |already |currently )?(full|quota)",
            r"recipient inbox full", r"exceed(ed)? their mailbox size", r"user quota exceeded",
            r"mailbox exceeds (the )?allowed size", r"over (its|their|the) quota",
            r"mailbox quota (was |has been |is )?exceeded",
            r"storage (space|limit|quota) (is |was |has been )?(exceeded|full)", r"their mailbox is full",
            r"bo[iî]te (aux lettres|de réception)[^.]{0,60} (est |)(pleine|saturée)",
            r"boite aux lettres[^.]{0,60} pleine",
            r"(postfach|mailbox|posteingang) (des empfängers )?(ist )?voll", r"posteingang des empfängers voll",
            r"buzón[^.]{0,60} est[áa] llen[oa]", r"casella[^.]{0,60} (è )?piena", r"cassetta postale[^.]{0,60} piena",
            r"postvak[^.]{0,60} (is )?vol\b", r"caixa (de correio|postal|de entrada)[^.]{0,60} (está )?cheia",
            r"skrzynka[^.]{0,60} (jest )?(pełna|przepełniona)", r"(почтовый )?ящик[^.]{0,60} (переполнен|заполнен)",
            r"brevlåda[^.]{0,60} full", r"postkasse[^.]{0,60} (er )?(fuld|full)", r"postilaatikko[^.]{0,60} täynnä",
            r"posta kutusu[^.]{0,60} dolu", r"schránka[^.]{0,60} (je )?pln[áé]",
            r"メールボックス[^。]{0,30}(いっぱい|一杯|容量)", r"容量(が|を)?(超過|超え|オーバー|一杯|いっぱい)",
            r"(邮箱|郵箱|信箱|空间|空間|邮箱空间)[^。]{0,12}(已满|已滿|不足|爆满|満)", r"편지함[^.]{0,20}(가득|용량)",
        ),
        "The recipient's mailbox is full and can't accept messages now.",
    ),
    Sentence(
        "hard",
        "mailbox_disabled",
        (
            r"(e-?mail account|mailbox|account)( that you tried to reach)? (is|has been|was) (disabled|deactivated"
            r"|closed"
            r"|suspended|terminated)",
            r"user\(s\) account is disabled",
            r"(compte|adresse)[^.]{0,40} (est |a été )(désactivée?|fermée?|clôturée?|supprimée?)",
            r"(konto|postfach)[^.]{0,40} (wurde |ist )(deaktiviert|gesperrt|geschlossen|gelöscht)",
            r"(邮箱|帐号|账号|帳號)[^。]{0,10}(已停用|已禁用|被禁用|已注销|已冻结|被停用)",
        ),
        "The e-mail account that you tried to reach is disabled.",
    ),
    Sentence(
        "hard",
        "unknown_host",
        (
            r"domain [^ ]{1,100} couldn't be found",
            r"because the domain [^.]{1,100}\S+ (couldn't be found|does ?n.t exist)",
            r"remote domain does ?n.?t exist", r"le domaine [^ ]{1,100} (est introuvable|n'existe pas)",
            r"domain [^ ]{1,100} (wurde nicht gefunden|konnte nicht gefunden werden|existiert nicht)",
            r"no se (ha encontrado|encontr[óo]) el dominio", r"dominio [^ ]{1,100} (non (è stato )?trovato|no existe)",
            r"домен [^ ]{1,100} не (найден|существует)", r"(域名|收件人域名)[^。]{0,20}(不存在|无法解析|找不到)",
            r"ドメイン[^。]{0,40}(存在しません|見つかりません)",
        ),
        "Your message wasn't delivered to ana@exemple.invalid because the domain exemple.invalid couldn't be found.",
    ),
    Sentence(
        "hard",
        "unknown_user",
        (
            r"invalid (receiver|recipient)( address)?\b", r"destination addresses were unknown",
            r"destinataire invalide", r"adresse inexistante", r"\*\* address not found \*\*", r"address not found",
            r"address (couldn't|could not) be found",
            r"(wasn't|was not) found at [^ ]+\.",
            r"(e-?mail )?address (that )?you entered (couldn't|could not|can't|cannot) be found",
            r"(e-?mail )?address (wasn't|was not) found at the destination domain",
            r"e-?mail account does not exist at the organi[sz]ation",
            r"recipient('s)? (e-?mail )?address (is|was) not found",
            r"recipient name is not recogni[sz]ed",
            r"(user|name) .{0,120}not (listed|found) in (the )?(public name|domino)"
            r"|not listed in (the )?(public name|domino)",
            r"adresse (de messagerie |e-?mail )?(introuvable|que vous avez entrée est introuvable)",
            r"adresse (n'a pas été trouvée|n'existe pas)", r"destinataire (inconnu|introuvable)",
            r"utilisateur (inconnu|introuvable)",
            r"adresse (wurde )?nicht gefunden", r"e-mail-adresse konnte nicht gefunden werden",
            r"empfänger(adresse)? (ist )?unbekannt", r"(hat|hier) (hier |bei uns )?kein postfach",
            r"dirección no encontrada", r"no se (ha encontrado|encontr[óo]) la dirección", r"destinatario desconocido",
            r"usuario (desconocido|no existe)",
            r"direcci[óo]n de correo electr[óo]nico[^.]{0,40}no (existe|se encontr)",
            r"indirizzo([^.]{1,60} non è stato| non) trovato",
            r"impossibile trovare l'indirizzo", r"indirizzo[^.]{0,60} (è )?inesistente",
            r"(utente|destinatario) (sconosciuto|inesistente)", r"endereço não encontrado",
            r"não foi possível encontrar o endereço", r"endereço[^.]{0,60} não (existe|foi encontrado)",
            r"(usuário|utilizador|destinatário) (desconhecido|inexistente)", r"adres (is )?niet gevonden",
            r"e-mailadres[^.]{0,40} niet gevonden", r"(ontvanger|geadresseerde) (is )?onbekend",
            r"nie znaleziono adresu", r"adres[^.]{0,60} nie (istnieje|został znaleziony)",
            r"nieznany (użytkownik|odbiorca|adresat)", r"адрес не найден",
            r"(адрес|такого адреса)[^.]{0,60} не существует",
            r"пользователь[^.]{0,60} не (найден|существует|зарегистрирован)", r"такого пользователя нет",
            r"нет такого (пользователя|ящика|адресата)",
            r"adressen (hittades inte|finns inte|blev ikke fundet|findes ikke)",
            r"(okänd|ukendt|ukjent) (mottagare|användare|modtager|bruger|mottaker)", r"osoitetta ei löyty",
            r"adres bulunamad[ıi]", r"adresa (nebyla )?(nenalezena|neexistuje)", r"a cím nem található",
            r"ismeretlen címzett",
            r"adresa nu a fost găsită", r"η διεύθυνση δεν βρέθηκε",
            r"アドレス(は|が)?(不明|見つかりません|存在しません|見つからなかった)",
            r"あて先[^。]{0,20}(不明|存在しません)",
            r"宛先(メールアドレス)?(は|が)?(不明|存在しません|見つかりません)",
            r"該当する(メールアドレス|ユーザー?)[^。]{0,10}(存在しません|ありません)",
            r"(地址|账号|帐号|用户|帳號|收件人|使用者)[^。]{0,40}(不存在|不正确|找不到)",
            r"找不到(邮箱|電子郵件|电子邮件|收件人)?地址",
            r"(无此|无该|沒有此|查无此)(用户|收件人|邮箱|人)", r"주소를 찾을 수 없",
            r"(존재하지 않는|없는) (사용자|주소|메일|계정)",
        ),
        "** Address not found **",
    ),
    Sentence(
        "block",
        "spam",
        (
            r"\*\* message blocked \*\*", r"our bulk email filter", r"identified as (spam|junk|unsolicited)",
            r"message (was |has been )?(classified|detected|rejected|quarantined) as (spam|junk|a virus|infected)",
            r"nachricht blockiert", r"message bloqué", r"mensaje bloqueado", r"messaggio bloccato",
            r"сообщение заблокировано",
            r"(contains|contained|carries|with) (a |the |an? infected )?(virus|banned|infected|forbidden attachment)",
            r"(被|判定为|认定为)[^。]{0,6}垃圾邮件", r"迷惑メール",
        ),
        "** Message blocked **",
    ),
    Sentence(
        "soft",
        "too_big",
        (
            r"message (is |was )?(too (large|big)|larger than the)",
            r"message (size )?exceeds[^.]{0,40}(size|limit|maximum)",
            r"message est trop (volumineux|gros)", r"nachricht ist zu groß", r"mensaje es demasiado grande",
            r"サイズ[^。]{0,12}(超|大き)", r"邮件[^。]{0,8}(过大|太大)",
        ),
        "Your message is too big.",
    ),
    Sentence(
        "soft",
        "expired",
        (
            r"(message|delivery) (has )?expired", r"gave up (trying|after)",
            r"(no longer|will no longer) (be )?(retr|try)",
            r"couldn't be delivered (for|after|in) [^.]{1,40}(hours|days)",
            r"(hours|days)[^.]{0,40}(giving up|given up)",
            r"host(s)? (is |was )?not reachable", r"(server|host)[^.]{0,40}(did not|didn't|not) respond",
        ),
        "Host not reachable.",
    ),
)  # fmt: skip

#: A sentence that does not know, or advises: what it names is not what happened.
_HEDGED = re.compile(
    r"following reason|\b(may|might|maybe|perhaps|possibl[ey]|probably|either|or if|if (you|the|your|this|it)|please"
    r"|check|one of the"
    r"|such as|usually|typically|often|can be caused|could be|for example|e\.g\.|common (reasons|causes)|contact"
    r"|assistance"
    r"|help|support|resend|sorry to|sorry we|in the future|to remove|unsubscribe)\b"
)
_END = re.compile(r"(?<=[.!?;])\s|(?<=[。！])|\n+")
#: A line that is broken because it was full, and not because something ended.
_WRAPPED = re.compile(r"(?<=[^\n]{45})(?<![.:;!?*\-])\n[ \t]{0,20}(?=[^\s<>*\-])")
_ASIDE = re.compile(r"\([^()]{0,300}\)")
_ADDRESS = re.compile(r"[^\s<>]{1,80}@[^\s<>]{1,200}")
#: What a sentence without a reply may be taken for by the rules for replies: what is about an address or its host.
_TELLING = frozenset(
    ("unknown_user", "unknown_host", "mailbox_full", "mailbox_disabled", "mailbox_moved", "bad_address", "too_big",
     "domain_refuses_mail", "expired", "no_answer", "dns_failure", "spam", "blocklisted", "relaying_denied", "loop",
     "greylisted", "mailbox_inactive")
)  # fmt: skip
#: Sentences that are looked at, and characters of one.
MAX_SENTENCES, MAX_CHARS = 40, 400

_PATTERNS = Patterns("|".join(sentence.words) for sentence in SENTENCES)
#: Most reports are in ASCII, where half of the words cannot be.
_ASCII_PATTERNS = Patterns("|".join(word for word in sentence.words if word.isascii()) for sentence in SENTENCES)


class Found(msgspec.Struct, frozen=True):
    """The sentence, as it is written, and what it says."""

    text: str
    says: Classification


def find(text: str) -> Found | None:
    """What a text without a reply says about the address. Where it says two things, the one that costs less is true:
    it may be about two addresses."""
    first: Found | None = None
    for sentence in [one for one in _END.split(_WRAPPED.sub(" ", text)) if len(one) > 3][:MAX_SENTENCES]:
        said = " ".join(sentence.split())[:MAX_CHARS]
        if (says := _says(said)) is None:
            continue
        if says.kind != "hard" or says.reason == "mailbox_full":
            return first if first is not None and says.reason != "mailbox_full" else Found(said, says)
        if first is None or (first.says.reason, says.reason) == ("unknown_user", "unknown_host"):
            first = Found(said, says)  # a webmail says "address not found" over either
    return first


def is_hedged(text: str) -> bool:
    """Whether it advises or supposes rather than tells."""
    return _HEDGED.search(_ASIDE.sub(" ", _ADDRESS.sub("<>", text.lower()))) is not None


def _says(sentence: str) -> Classification | None:
    lower = sentence.lower().replace("’", "'")
    index = (_ASCII_PATTERNS if lower.isascii() else _PATTERNS).first(lower)
    if index is not None:
        row = SENTENCES[index]
        return None if row.kind == "hard" and is_hedged(lower) else Classification(row.kind, row.reason)
    if is_hedged(lower):
        return None
    by_rule = classify(None, None, sentence)
    return by_rule if by_rule.reason in _TELLING else None
