"""The pages on which recipients say what they want, in their language: preferences, and an opt-in, also with a box.

The rules are those of `pages`: no script, nothing external, nothing of the request. Nothing is ticked before somebody
ticks it, and what is left alone stays as it is. A page of each language is made once, and `text_id` names its words,
for the proof of what somebody agreed to: whoever changes words that are agreed to counts `VERSION` on.
"""

from collections.abc import Mapping
from html import escape
from typing import NamedTuple

from services.tracking.pages import BUTTON_FIELD, language, page, told

#: Of the words below.
VERSION = 1

#: What the forms send.
TRACKING_FIELD, LEAVE_FIELD, BOX_FIELD, AGREE_FIELD = "tracking", "leave", "box", "agree"


class Words(NamedTuple):
    """All the words of one language."""

    title: str
    text: str
    tracking: str
    tracking_text: str
    tracking_yes: str
    tracking_no: str
    mails: str
    leave: str
    save: str
    saved_title: str
    saved_text: str
    in_title: str
    in_text: str
    in_box: str
    in_button: str
    in_missing: str
    in_done_title: str
    in_done_text: str


WORDS: Mapping[str, Words] = {
    "fr": Words(
        title="Vos préférences",
        text="Choisissez ce que vous acceptez. Ce que vous ne cochez pas reste comme avant.",
        tracking="Suivi des e-mails",
        tracking_text="Savoir si vous ouvrez nos e-mails et sur quels liens vous cliquez.",
        tracking_yes="J’accepte ce suivi",
        tracking_no="Je refuse ce suivi, y compris pour les e-mails déjà reçus",
        mails="Nos e-mails",
        leave="Ne plus recevoir aucune publicité de notre part",
        save="Enregistrer",
        saved_title="C’est enregistré",
        saved_text="Vos choix sont pris en compte dès maintenant.",
        in_title="Confirmer votre accord",
        in_text="Souhaitez-vous recevoir nos e-mails\u202f? Vous pourrez changer d’avis à tout moment.",
        in_box="J’accepte de recevoir des e-mails publicitaires",
        in_button="Oui, je souhaite les recevoir",
        in_missing="Cochez la case pour donner votre accord.",
        in_done_title="Merci, c’est confirmé",
        in_done_text="Votre accord est enregistré. Un lien dans chaque e-mail permet de vous désinscrire.",
    ),
    "en": Words(
        title="Your preferences",
        text="Choose what you agree to. What you leave alone stays as it is.",
        tracking="Tracking of emails",
        tracking_text="Knowing whether you open our emails, and which links you click.",
        tracking_yes="I agree to this tracking",
        tracking_no="I refuse this tracking, in emails I already have, too",
        mails="Our emails",
        leave="Send me no marketing of any kind any more",
        save="Save",
        saved_title="Saved",
        saved_text="Your choices hold from now on.",
        in_title="Confirm that you agree",
        in_text="Would you like to receive our emails? You can change your mind at any time.",
        in_box="I agree to receive marketing emails",
        in_button="Yes, I would like to",
        in_missing="Please tick the box to agree.",
        in_done_title="Thank you, that is confirmed",
        in_done_text="Your agreement is recorded. A link in each email lets you unsubscribe.",
    ),
    "de": Words(
        title="Ihre Einstellungen",
        text="Wählen Sie, womit Sie einverstanden sind. Was Sie nicht ankreuzen, bleibt, wie es ist.",
        tracking="Auswertung von E-Mails",
        tracking_text="Erfassen, ob Sie unsere E-Mails öffnen und welche Links Sie anklicken.",
        tracking_yes="Ich bin damit einverstanden",
        tracking_no="Ich lehne das ab, auch für E-Mails, die ich schon habe",
        mails="Unsere E-Mails",
        leave="Keinerlei Werbung mehr von uns erhalten",
        save="Speichern",
        saved_title="Gespeichert",
        saved_text="Ihre Auswahl gilt ab sofort.",
        in_title="Einwilligung bestätigen",
        in_text="Möchten Sie unsere E-Mails erhalten? Sie können es sich jederzeit anders überlegen.",
        in_box="Ich bin einverstanden, Werbung per E-Mail zu erhalten",
        in_button="Ja, das möchte ich",
        in_missing="Bitte kreuzen Sie das Feld an, um einzuwilligen.",
        in_done_title="Danke, das ist bestätigt",
        in_done_text="Ihre Einwilligung ist gespeichert. Über einen Link in jeder E-Mail können Sie sich abmelden.",
    ),
    "es": Words(
        title="Sus preferencias",
        text="Elija lo que acepta. Lo que no marque quedará como está.",
        tracking="Seguimiento de los correos",
        tracking_text="Saber si abre nuestros correos y en qué enlaces hace clic.",
        tracking_yes="Acepto este seguimiento",
        tracking_no="Rechazo este seguimiento, también en los correos que ya tengo",
        mails="Nuestros correos",
        leave="No recibir más publicidad de ningún tipo",
        save="Guardar",
        saved_title="Guardado",
        saved_text="Sus preferencias se aplican desde ahora.",
        in_title="Confirmar su consentimiento",
        in_text="¿Desea recibir nuestros correos? Podrá cambiar de opinión en cualquier momento.",
        in_box="Acepto recibir correos publicitarios",
        in_button="Sí, deseo recibirlos",
        in_missing="Marque la casilla para dar su consentimiento.",
        in_done_title="Gracias, queda confirmado",
        in_done_text="Su consentimiento ha quedado registrado. Un enlace en cada correo le permite darse de baja.",
    ),
    "it": Words(
        title="Le sue preferenze",
        text="Scelga che cosa accetta. Ciò che non seleziona resta com’è.",
        tracking="Tracciamento delle e-mail",
        tracking_text="Sapere se apre le nostre e-mail e su quali link fa clic.",
        tracking_yes="Accetto questo tracciamento",
        tracking_no="Rifiuto questo tracciamento, anche per le e-mail già ricevute",
        mails="Le nostre e-mail",
        leave="Non ricevere più alcuna pubblicità",
        save="Salva",
        saved_title="Salvato",
        saved_text="Le sue scelte valgono da subito.",
        in_title="Confermare il consenso",
        in_text="Desidera ricevere le nostre e-mail? Potrà cambiare idea in qualsiasi momento.",
        in_box="Acconsento a ricevere e-mail pubblicitarie",
        in_button="Sì, desidero riceverle",
        in_missing="Selezioni la casella per dare il consenso.",
        in_done_title="Grazie, è confermato",
        in_done_text="Il suo consenso è registrato. Un link in ogni e-mail permette di annullare l’iscrizione.",
    ),
    "nl": Words(
        title="Uw voorkeuren",
        text="Kies waarmee u instemt. Wat u niet aankruist, blijft zoals het is.",
        tracking="Volgen van e-mails",
        tracking_text="Weten of u onze e-mails opent en op welke links u klikt.",
        tracking_yes="Ik stem hiermee in",
        tracking_no="Ik weiger dit, ook voor e-mails die ik al heb",
        mails="Onze e-mails",
        leave="Helemaal geen reclame meer ontvangen",
        save="Opslaan",
        saved_title="Opgeslagen",
        saved_text="Uw keuzes gelden vanaf nu.",
        in_title="Uw toestemming bevestigen",
        in_text="Wilt u onze e-mails ontvangen? U kunt op elk moment van gedachten veranderen.",
        in_box="Ik stem ermee in reclame per e-mail te ontvangen",
        in_button="Ja, dat wil ik",
        in_missing="Kruis het vakje aan om toestemming te geven.",
        in_done_title="Bedankt, het is bevestigd",
        in_done_text="Uw toestemming is vastgelegd. Met een link in elke e-mail kunt u zich uitschrijven.",
    ),
    "pt": Words(
        title="As suas preferências",
        text="Escolha o que aceita. O que não assinalar fica como está.",
        tracking="Acompanhamento dos e-mails",
        tracking_text="Saber se abre os nossos e-mails e em que ligações clica.",
        tracking_yes="Aceito este acompanhamento",
        tracking_no="Recuso este acompanhamento, também nos e-mails que já recebi",
        mails="Os nossos e-mails",
        leave="Não receber mais publicidade de nenhum tipo",
        save="Guardar",
        saved_title="Guardado",
        saved_text="As suas escolhas valem a partir de agora.",
        in_title="Confirmar o seu consentimento",
        in_text="Deseja receber os nossos e-mails? Pode mudar de ideias a qualquer momento.",
        in_box="Aceito receber e-mails publicitários",
        in_button="Sim, desejo recebê-los",
        in_missing="Assinale a caixa para dar o seu consentimento.",
        in_done_title="Obrigado, está confirmado",
        in_done_text="O seu consentimento ficou registado. Uma ligação em cada e-mail permite cancelar a subscrição.",
    ),
}


def _button(label: str) -> str:
    name, value = BUTTON_FIELD
    return f'<button name="{name}" value="{value}">{escape(label)}</button>'


def _choice(kind: str, name: str, value: str, label: str) -> str:
    return f'<label><input type="{kind}" name="{name}" value="{value}"> {escape(label)}</label>\n'


def _preferences(tag: str, words: Words) -> bytes:
    tracking = _choice("radio", TRACKING_FIELD, "yes", words.tracking_yes)
    tracking += _choice("radio", TRACKING_FIELD, "no", words.tracking_no)
    return page(
        tag,
        words.title,
        f'<p>{escape(words.text)}</p>\n<form method="post">\n'
        f"<fieldset>\n<legend>{escape(words.tracking)}</legend>\n<p>{escape(words.tracking_text)}</p>\n"
        f"{tracking}</fieldset>\n"
        f"<fieldset>\n<legend>{escape(words.mails)}</legend>\n"
        f"{_choice('checkbox', LEAVE_FIELD, 'all', words.leave)}</fieldset>\n{_button(words.save)}\n</form>\n",
    )


def _opt_in(tag: str, words: Words, *, box: bool, is_missing: bool = False) -> bytes:
    missing = f'<p role="alert">{escape(words.in_missing)}</p>\n' if is_missing else ""
    tick = _choice("checkbox", AGREE_FIELD, "yes", words.in_box) if box else ""
    asked = f'<input type="hidden" name="{BOX_FIELD}" value="asked">\n' if box else ""
    return page(
        tag,
        words.in_title,
        f"<p>{escape(words.in_text)}</p>\n{missing}"
        f'<form method="post">\n{asked}{tick}{_button(words.in_button)}\n</form>\n',
    )


_PREFERENCES = {tag: _preferences(tag, words) for tag, words in WORDS.items()}
_SAVED = {tag: told(tag, words.saved_title, words.saved_text) for tag, words in WORDS.items()}
_OPT_IN = {
    (tag, box, is_missing): _opt_in(tag, words, box=box, is_missing=is_missing)
    for tag, words in WORDS.items()
    for box, is_missing in ((False, False), (True, False), (True, True))
}
_OPTED_IN = {tag: told(tag, words.in_done_title, words.in_done_text) for tag, words in WORDS.items()}


def preferences(accept_language: str) -> bytes:
    """Asks what the reader wants; posts to the page's own address."""
    return _PREFERENCES[language(accept_language)]


def saved(accept_language: str) -> bytes:
    """Says that it holds."""
    return _SAVED[language(accept_language)]


def opt_in(accept_language: str, *, box: bool, is_missing: bool = False) -> bytes:
    """Asks for an agreement, with a box to be ticked or without; `is_missing`: it was not."""
    return _OPT_IN[language(accept_language), box, is_missing]


def opted_in(accept_language: str) -> bytes:
    """Says that it is recorded."""
    return _OPTED_IN[language(accept_language)]


def text_id(name: str, accept_language: str) -> str:
    """What the words are called that the reader saw, of `preferences`, `button` or `box`."""
    return f"estafette-{name}-{language(accept_language)}-{VERSION}"
