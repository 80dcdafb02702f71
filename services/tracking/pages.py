"""The pages that recipients see, in their language: to leave, having left, a link that is not valid, a bad moment.

Rules: no script, no external resource, nothing of the request in the page. One button, that posts to where the page
is. A page is made once, when the module is loaded, for each language; to answer is to look it up. `HEADERS` go with
each.

The words speak to somebody who may not remember having signed up: short, polite, sure. What they promise is what
happens: no more of these mails, at once.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import NamedTuple

DEFAULT_LANGUAGE = "fr"
#: No browser sends more; what is beyond is not looked at.
MAX_ACCEPT_LANGUAGE_CHARS = 200


class Words(NamedTuple):
    """All the words of one language."""

    leave_title: str
    leave_text: str
    leave_button: str
    leave_mistake: str
    left_title: str
    left_text: str
    left_close: str
    invalid_title: str
    invalid_text: str
    invalid_hint: str
    later_title: str
    later_text: str


WORDS: Mapping[str, Words] = {
    "fr": Words(
        leave_title="Se désinscrire",
        leave_text="Vous ne souhaitez plus recevoir ces e-mails\u202f? Confirmez, et nous ne vous en enverrons plus.",
        leave_button="Me désinscrire",
        leave_mistake="Si vous êtes ici par erreur, fermez cette page\u00a0: rien ne changera.",
        left_title="Vous êtes désinscrit",
        left_text="C’est fait\u00a0: vous ne recevrez plus ces e-mails.",
        left_close="Vous pouvez fermer cette page.",
        invalid_title="Ce lien n’est pas valide",
        invalid_text="Il a peut-être été coupé ou modifié en chemin.",
        invalid_hint="Ouvrez-le de nouveau depuis l’e-mail que vous avez reçu.",
        later_title="Un instant, s’il vous plaît",
        later_text="Nous ne pouvons pas répondre à votre demande en ce moment. Réessayez dans une minute.",
    ),
    "en": Words(
        leave_title="Unsubscribe",
        leave_text="You no longer want to receive these emails? Confirm, and we will not send you any more.",
        leave_button="Unsubscribe me",
        leave_mistake="If you came here by mistake, close this page: nothing will change.",
        left_title="You are unsubscribed",
        left_text="Done: you will not receive these emails any more.",
        left_close="You can close this page.",
        invalid_title="This link is not valid",
        invalid_text="It may have been cut off or changed on its way.",
        invalid_hint="Please open it again from the email you received.",
        later_title="One moment, please",
        later_text="We cannot answer your request right now. Please try again in a minute.",
    ),
    "de": Words(
        leave_title="Abmelden",
        leave_text="Sie möchten diese E-Mails nicht mehr erhalten? Bestätigen Sie, und wir senden Ihnen keine mehr.",
        leave_button="Jetzt abmelden",
        leave_mistake="Falls Sie versehentlich hier sind, schließen Sie diese Seite: Es ändert sich nichts.",
        left_title="Sie sind abgemeldet",
        left_text="Erledigt: Sie erhalten diese E-Mails nicht mehr.",
        left_close="Sie können diese Seite schließen.",
        invalid_title="Dieser Link ist nicht gültig",
        invalid_text="Vielleicht wurde er unterwegs abgeschnitten oder verändert.",
        invalid_hint="Öffnen Sie ihn bitte noch einmal aus der E-Mail, die Sie erhalten haben.",
        later_title="Einen Moment, bitte",
        later_text="Wir können Ihre Anfrage gerade nicht bearbeiten. Bitte versuchen Sie es in einer Minute erneut.",
    ),
    "es": Words(
        leave_title="Darse de baja",
        leave_text="¿Ya no desea recibir estos correos? Confírmelo y no le enviaremos ninguno más.",
        leave_button="Darme de baja",
        leave_mistake="Si ha llegado aquí por error, cierre esta página: no cambiará nada.",
        left_title="Se ha dado de baja",
        left_text="Listo: ya no recibirá estos correos.",
        left_close="Puede cerrar esta página.",
        invalid_title="Este enlace no es válido",
        invalid_text="Puede que se haya cortado o modificado por el camino.",
        invalid_hint="Vuelva a abrirlo desde el correo que recibió.",
        later_title="Un momento, por favor",
        later_text="Ahora mismo no podemos atender su solicitud. Vuelva a intentarlo dentro de un minuto.",
    ),
    "it": Words(
        leave_title="Annullare l’iscrizione",
        leave_text="Non desidera più ricevere queste e-mail? Confermi e non gliene invieremo altre.",
        leave_button="Annulla l’iscrizione",
        leave_mistake="Se è arrivato qui per errore, chiuda questa pagina: non cambierà nulla.",
        left_title="Iscrizione annullata",
        left_text="Fatto: non riceverà più queste e-mail.",
        left_close="Può chiudere questa pagina.",
        invalid_title="Questo link non è valido",
        invalid_text="Forse è stato troncato o modificato lungo il percorso.",
        invalid_hint="Lo apra di nuovo dall’e-mail che ha ricevuto.",
        later_title="Un momento, per favore",
        later_text="In questo momento non possiamo rispondere alla sua richiesta. Riprovi tra un minuto.",
    ),
    "nl": Words(
        leave_title="Uitschrijven",
        leave_text="Wilt u deze e-mails niet meer ontvangen? Bevestig het en wij sturen u er geen meer.",
        leave_button="Mij uitschrijven",
        leave_mistake="Bent u hier per ongeluk? Sluit dan deze pagina: er verandert niets.",
        left_title="U bent uitgeschreven",
        left_text="Gelukt: u ontvangt deze e-mails niet meer.",
        left_close="U kunt deze pagina sluiten.",
        invalid_title="Deze link is niet geldig",
        invalid_text="Misschien is hij onderweg afgebroken of gewijzigd.",
        invalid_hint="Open hem opnieuw vanuit de e-mail die u hebt ontvangen.",
        later_title="Een ogenblik geduld",
        later_text="We kunnen uw verzoek nu niet beantwoorden. Probeer het over een minuut opnieuw.",
    ),
    "pt": Words(
        leave_title="Cancelar a subscrição",
        leave_text="Já não deseja receber estes e-mails? Confirme e não lhe enviaremos mais nenhum.",
        leave_button="Cancelar subscrição",
        leave_mistake="Se chegou aqui por engano, feche esta página: nada mudará.",
        left_title="Subscrição cancelada",
        left_text="Pronto: não receberá mais estes e-mails.",
        left_close="Pode fechar esta página.",
        invalid_title="Este link não é válido",
        invalid_text="Talvez tenha sido cortado ou alterado pelo caminho.",
        invalid_hint="Abra-o de novo a partir do e-mail que recebeu.",
        later_title="Um momento, por favor",
        later_text="Neste momento não podemos responder ao seu pedido. Tente de novo dentro de um minuto.",
    ),
}

# Contrast of text is at least 7:1 in both schemes, of the button and the focus ring 3:1 (WCAG 2.2); the button is 48 px
# high.
_STYLE = """
:root{color-scheme:light dark;--paper:#f4f2ed;--card:#fff;--line:#dcd8ce;--ink:#1b2127;--soft:#47525d;--act:#174a7a;--on:#fff}
@media (prefers-color-scheme:dark){:root{--paper:#121518;--card:#1b2024;--line:#353c43;--ink:#eef1f3;--soft:#b6bfc8;--act:#9ac7f2;--on:#0b1b2b}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100svh;display:grid;place-items:center;padding:1.25rem;background:var(--paper);color:var(--ink);font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;overflow-wrap:break-word}
main{width:100%;max-width:32rem;padding:clamp(1.5rem,6vw,2.75rem);background:var(--card);border:1px solid var(--line);border-radius:.75rem}
h1{margin:0 0 .75rem;font-size:1.625rem;line-height:1.25;text-wrap:balance}
p,form{margin:0 0 1.25rem;text-wrap:pretty}
p:last-child{margin-bottom:0}
button{min-height:3rem;padding:.6rem 1.5rem;border:1px solid transparent;border-radius:.5rem;background:var(--act);color:var(--on);font:inherit;font-weight:600;cursor:pointer}
button:hover{text-decoration:underline;text-underline-offset:.2em}
:focus-visible{outline:3px solid var(--act);outline-offset:3px}
fieldset{margin:0 0 1.5rem;padding:0;border:0}
legend{margin:0 0 .25rem;padding:0;font-weight:600}
fieldset p{margin-bottom:.5rem}
label{display:flex;gap:.75rem;align-items:flex-start;min-height:3rem;padding:.65rem 0;cursor:pointer}
input[type=radio],input[type=checkbox]{flex:none;width:1.5rem;height:1.5rem;margin:0;accent-color:var(--act)}
[role=alert]{font-weight:600}
.soft{color:var(--soft);font-size:.9375rem}
@media (max-width:30rem){button{width:100%}}
""".strip()  # noqa: E501

_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode("ascii")

#: Nothing is loaded, nothing runs, nothing frames the page, and its form goes nowhere else. No copy is kept anywhere,
#: no search engine lists it, and where the reader goes next does not learn the address, which holds the token.
HEADERS: Mapping[str, str] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Vary": "Accept-Language",
}

#: What the button sends, so that it is told from a mail program's one click.
BUTTON_FIELD = ("by", "page")


def page(language: str, title: str, content: str) -> bytes:
    """A whole page of ours."""
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex, nofollow">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{content}</main>\n</body>\n</html>\n"
    ).encode()


def _leave(language: str, words: Words) -> bytes:
    name, value = BUTTON_FIELD
    return page(
        language,
        words.leave_title,
        f"<p>{escape(words.leave_text)}</p>\n"
        f'<form method="post"><button name="{name}" value="{value}">{escape(words.leave_button)}</button></form>\n'
        f'<p class="soft">{escape(words.leave_mistake)}</p>\n',
    )


def told(language: str, title: str, text: str, soft: str = "") -> bytes:
    """A page that says how it went."""
    after = f'<p class="soft">{escape(soft)}</p>\n' if soft else ""
    return page(language, title, f'<p role="status">{escape(text)}</p>\n{after}')


_LEAVE = {tag: _leave(tag, words) for tag, words in WORDS.items()}
_LEFT = {tag: told(tag, words.left_title, words.left_text, words.left_close) for tag, words in WORDS.items()}
_LEFT_PLAIN = {tag: f"{words.left_text}\n".encode() for tag, words in WORDS.items()}
_INVALID = {tag: told(tag, words.invalid_title, words.invalid_text, words.invalid_hint) for tag, words in WORDS.items()}
_LATER = {tag: told(tag, words.later_title, words.later_text) for tag, words in WORDS.items()}


def leave(accept_language: str) -> bytes:
    """Asks whether to unsubscribe; its button posts to the page's own address."""
    return _LEAVE[language(accept_language)]


def left(accept_language: str) -> bytes:
    """Says that it is done, to the person who pressed the button."""
    return _LEFT[language(accept_language)]


def left_plain(accept_language: str) -> bytes:
    """Says so in one line of plain text, to the mail program that asked on the person's behalf (RFC 8058)."""
    return _LEFT_PLAIN[language(accept_language)]


def invalid(accept_language: str) -> bytes:
    """Says that the link is not valid."""
    return _INVALID[language(accept_language)]


def later(accept_language: str) -> bytes:
    """Asks to try again: what was asked could not be recorded, so it was not done."""
    return _LATER[language(accept_language)]


def language(accept_language: str) -> str:
    """The one of ours that the reader wants most (RFC 9110, 12.5.4), French where nothing is said or nothing fits."""
    best, best_weight = DEFAULT_LANGUAGE, 0.0
    for part in accept_language[:MAX_ACCEPT_LANGUAGE_CHARS].split(","):
        tag, _, parameters = part.partition(";")
        ours = tag.strip().lower().partition("-")[0]
        weight = _weight(parameters)
        if weight > best_weight and ours in WORDS:
            best, best_weight = ours, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
