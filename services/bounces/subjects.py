"""Subjects and phrases by which reports say what they are: not delivered, not yet delivered, in the languages of those
who write them. Pure. Beginnings and stems are enough; a table a language, so that it can be added to."""

import re

FAILED_SUBJECTS = {
    "en": r"undeliver(ed|able)|delivery (status notification|failure|has failed|failed|report|error|problem)"
    r"|mail delivery (failed|failure|subsystem|error|problem)|returned (mail|to sender|message|e-?mail)|fail(ed"
    r"|ure) (notice"
    r"|notification|delivery|mail|message|to deliver)"
    r"|(message|e-?mail|mail) (could not be|not|was not|cannot be|has not been|wasn't"
    r"|delivery (has )?)? ?(delivered|failed|failure|returned)"
    r"|mail system error|(unable to|could not|cannot|couldn't) (be )?deliver|non-?deliver|delivery notification|"
    r"delivery status|mail status report|(mail|message|e-?mail) (bounced|rejected|blocked|refused|error)"
    r"|\[?bounced?\]?$"
    r"|error sending your (mail|message)|permanent delivery failure|rejected (mail|message)|nondeliverable"
    r"|user unknown|unknown (user|recipient)|not delivered|address not found|delivery failure|message rejected"
    r"|blocked by our|you sent (was )?blocked|notice: mail delivery|sorry, your message could not",
    "fr": r"non[- _]?remis|[eé]chec (de (la )?|d['’])?(remise|distribution|envoi|livraison|acheminement)|non distribu"
    r"|impossible (de|à) (remettre|distribuer|livrer|délivrer)|retour à l['’]expéditeur|message (non|pas) délivré"
    r"|notification d['’]état de remise \(échec|message en erreur|courrier retourné|n['’]a pas (pu être|été) "
    r"(remis|distribué|délivré|livré)",
    "de": r"unzustellbar|(nicht|konnte nicht) zugestellt|zustellung fehlgeschlagen|zustellfehler|nicht zustellbar"
    r"|fehler bei der (zustellung|übermittlung)|rückläufer|unzustellbarkeit|konnte nicht übermittelt",
    "es": r"no se (puede|pudo|ha podido) entregar|(mensaje|correo) devuelto|no entregad|devuelto al remitente"
    r"|error (de|en la) entrega|notificación de estado de entrega|entrega fallida|no se puede enviar|fallo (de"
    r"|en la) entrega",
    "it": r"mancat[ao] (consegna|recapito)|non (è stato )?(recapitat|consegnat|recapitabile)|recapito non riuscito"
    r"|messaggio (non|respinto)|impossibile (recapitare|consegnare)|consegna fallita|notifica di mancato",
    "nl": r"onbestelbaar|niet (te bezorg|bezorgd|afgeleverd|besteld)|kan niet worden bezorgd|bezorging mislukt"
    r"|retour afzender",
    "pt": r"não (é possível|foi possível|pôde ser) (entreg|envi)|falha n[ao] entrega|não entreg|mensagem devolvida"
    r"|devolvid"
    r"|impossível entregar|erro (na|de) entrega|notificação de status de entrega",
    "pl": r"niedostarcz|nie (można|została|zostało|udało się|mogła) dostarcz|zwrot (poczty|wiadomości)|niedoręcz",
    "ru": r"недоставлен|не (доставлен|удалось доставить|может быть доставлен)|возврат|ошибка доставки"
    r"|невозможно доставить",
    "sv": r"olevererbart|(kunde|kan) inte lever|går inte att leverera|ej levererbart|inte levererat|leveransfel",
    "da, no": r"(kan|kunne) ikke lever|ikke lever|uleverbar|kan ikke sendes|levering mislyk",
    "fi": r"ei voi(tu|da)? (toimittaa|perille)|toimit(us|taminen) epäonnistui|perille toimittamat|toimittamaton",
    "cs, sk": r"nedoruč|nelze doručit|nepodarilo sa doručiť|nebylo možné doručit|vrácen",
    "hu": r"kézbesíthetetlen|kézbesítési hiba|nem kézbesít|sikertelen kézbesítés",
    "tr": r"teslim edileme|iletileme|ulaştırılama|teslimat başarısız|geri dönen",
    "el": r"μη παραδοτέο|αποτυχία παράδοσης|δεν (παραδόθηκε|ήταν δυνατή)",
    "ro, bg, hr, sl": r"nelivrab|nu a (fost livrat|putut fi livrat)|недоставено|nije isporučen|ni (bilo|mogoče) dostav",
    "et, lv, lt": r"kohaletoimetamat|nepiegād|nepristat",
    "uk": r"не (доставлено|вдалося доставити)|недоставлен",
    "he, ar": r"לא ניתן למסור|לא נמסר|تعذر (تسليم|توصيل)|لم يتم تسليم|فشل (تسليم|التسليم)",
    "ja": r"配信不能|配(信|送|達)(でき|エラー|失敗|不可)|送信(でき|エラー|失敗)|未(送|配)達|不達|届けられません"
    r"|届きません|エラーメール"
    r"|配信できません|戻りメール|メールが送信できません",
    "zh": r"退信|退回|未(送达|送達|传递|傳遞)|无法(投递|投遞|送达|传递|发送)|無法(投遞|傳遞|送達)|投递失败|发送失败"
    r"|傳遞失敗|投遞失敗|未投遞",
    "ko": r"배달(되지| 실패|할 수 없)|전송(되지| 실패)|반송|전달(되지| 실패|할 수 없)|발송 실패",
    "vi, th, id": r"không (gửi|chuyển|thể gửi) được|không thể gửi|ไม่สามารถ(นำส่ง|ส่ง)|tidak (dapat|bisa) (dikirim"
    r"|terkirim)",
}
DELAYED_SUBJECTS = {
    "en": r"delay|warning: (could not send|message .{0,60}not delivered)|deferred|still being retried"
    r"|not yet been delivered"
    r"|delivery incomplete|waiting to be delivered",
    "fr": r"retard|différé|en attente de (remise|distribution)",
    "de": r"verzögert|verzögerung|noch nicht zugestellt",
    "es, pt, it": r"retras|demora|aplazad|atras(o|ad)|adiad|ritard",
    "nl, sv, da, no, fi": r"vertraag|vertraging|fördröj|försen|forsink|viivästy",
    "pl, ru, cs, hu, tr": r"opóźni|задерж|отложен|zpožd|zdrž|késés|késlelt|gecik",
    "ja, zh, ko": r"遅延|遅れ|延迟|延遲|지연",
}
#: "Not yet" is not a bounce, whoever says it.
DELAY_PHRASES = (
    r"THIS IS A WARNING (MESSAGE )?ONLY|[Hh]as not (yet )?been (able to be )?delivered (yet|for)"
    r"|has not yet been delivered"
    r"|not been able to deliver.{0,60}yet|[Dd]elivery .{0,60}(has been |is |was )?delayed"
    r"|have not (yet )?been delivered"
    r"|will (continue|keep) (to try|trying|to be)|(will be|is being|being) retried"
    r"|[Nn]o action is required on your part"
    r"|DO NOT NEED TO (RE-?SEND|RESEND)|(will|is going to) (try|retry|attempt) (again|to deliver|delivery|for)"
    r"|temporary failure report|could not be delivered (for more than|within the last|in the last) [^.\n]{1,40}"
    r"(will|keep|continue)"
    r"|n['’]a pas encore (pu être|été)|noch nicht (zugestellt|ausgeliefert)|aún no (se )?ha|todavía no|ainda não"
    r"|non è (stato )?ancora|nog niet (bezorgd|afgeleverd)|ещё не доставлен|пока не удалось"
)
#: Said of what is over, though something else in the text sounds like "not yet".
FINAL_PHRASES = (
    r"permanent(ly)? (fatal )?(error|failure)|giving up|given up|gave up|(no|any) (further|more) (delivery )?(attempts"
    r"|retries|notification)|will not (be retried|try|retry)|not going to (re)?try|failed permanently"
    r"|had permanent fatal errors|could not be delivered to one or more"
)

#: What a daemon says first where its subject says nothing, in its own sentence.
OPENING_PHRASES = (
    r"(could not|couldn't|cannot|can't|can not|was(n't| not)|(has|have) not been|is not|unable to|failed to"
    r"|not able to) (able to )?(be )?deliver|not delivered to|did not reach|delivery (has )?failed"
    r"|mail (has been|was|is) returned"
    r"|n['’]a (pas )?pu [eê]tre (remis|distribu|d[eé]livr|livr|achemin)|(nicht|konnte nicht) zugestellt"
    r"|no (se )?(pudo|ha podido) (ser )?entreg|non è stato (possibile )?(recapitat|consegnat)"
    r"|не (было |был )?доставлен|не удалось доставить|无法(投递|投遞|送达|发送)|無法(投遞|傳遞|送達)|配(信|送|達)でき"
)
#: Characters of a text in which that stands.
OPENING_CHARS = 400

#: Characters of a subject that the program wrote; what comes after them may be that of our own mail.
HEAD_CHARS = 60
FAILED = re.compile("|".join(FAILED_SUBJECTS.values()), re.IGNORECASE)
DELAYED = re.compile("|".join(DELAYED_SUBJECTS.values()), re.IGNORECASE)
OPENING = re.compile(OPENING_PHRASES, re.IGNORECASE)
DELAYS = re.compile(DELAY_PHRASES)
FINAL = re.compile(FINAL_PHRASES, re.IGNORECASE)
#: A report of what went well.
SUCCEEDED = re.compile(
    r"\W*(successful|delivery (status )?(notification|report)\W{1,3}(success|relay)|remis avec succès|erfolgreich)",
    re.IGNORECASE,
)
#: What stands before the reason in a subject.
_BEFORE_REASON = re.compile(r"^[^:]{1,40}:\s*(?P<reason>.+)", re.DOTALL)
_DELIVERY = re.compile(
    r"deliver|mail|message|send|notif|remise|zustell|entreg|consegn|недостав|доставк|配|投|遞", re.IGNORECASE
)


def is_delay(subject: str) -> bool:
    """Whether a subject says that something is delayed that has to do with mail."""
    head = subject[:HEAD_CHARS]
    return DELAYED.search(head) is not None and _DELIVERY.search(head) is not None


def told_in(subject: str) -> str:
    """The reason that a subject gives, as Domino's do (`DELIVERY FAILURE: User ana not listed …`); "" if none."""
    found = _BEFORE_REASON.match(subject)
    is_dominos = subject.upper().startswith(("DELIVERY FAILURE", "DELIVERY_FAILURE"))
    return found["reason"] if found is not None and is_dominos else ""
