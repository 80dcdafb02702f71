"""The words of the pages on which recipients say what they want, by language: one table, and a test that it is whole.

`text_id` names them, for the proof of what somebody agreed to: whoever changes words that are agreed to counts
`VERSION` on.
"""

from collections.abc import Mapping
from typing import NamedTuple

from services.tracking.page_words import unbroken

#: Of the words below.
VERSION = 3


def text_id(name: str, language: str) -> str:
    """What the words are called that the reader saw, of one of the pages."""
    return f"estafette-{name}-{language}-{VERSION}"


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
    lists: str
    channels: str
    by_email: str
    by_sms: str
    by_phone: str
    yes: str
    no: str
    often: str
    often_any: str
    often_week: str
    often_three: str
    often_month: str
    tracking_stop: str
    confirm_text: str
    confirm_button: str
    confirm_mistake: str


_WORDS: Mapping[str, Words] = {
    "fr": Words(
        title="Vos préférences",
        text="Choisissez ce que vous acceptez. Ce que vous ne changez pas reste comme avant.",
        tracking="Suivi des e-mails",
        tracking_text="Savoir si vous ouvrez nos e-mails et sur quels liens vous cliquez.",
        tracking_yes="J’accepte ce suivi",
        tracking_no="Je refuse ce suivi, y compris pour les e-mails déjà reçus",
        mails="Tout arrêter",
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
        lists="Nos listes",
        channels="Nos offres",
        by_email="par e-mail",
        by_sms="par SMS",
        by_phone="par téléphone",
        yes="Oui",
        no="Non",
        often="Combien d’e-mails souhaitez-vous au plus\u202f?",
        often_any="Sans limite",
        often_week="Un par semaine",
        often_three="Trois par semaine",
        often_month="Un par mois",
        tracking_stop="Arrêter ce suivi",
        confirm_text="Vous avez demandé à recevoir nos e-mails. Confirmez pour que nous puissions vous écrire.",
        confirm_button="Oui, je confirme",
        confirm_mistake="Si vous n’avez rien demandé, fermez cette page\u00a0: vous ne recevrez rien.",
    ),
    "en": Words(
        title="Your preferences",
        text="Choose what you agree to. What you leave alone stays as it is.",
        tracking="Tracking of emails",
        tracking_text="Knowing whether you open our emails, and which links you click.",
        tracking_yes="I agree to this tracking",
        tracking_no="I refuse this tracking, including in emails I already have",
        mails="Stop everything",
        leave="Never send me any kind of marketing again",
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
        lists="Our lists",
        channels="Our offers",
        by_email="by email",
        by_sms="by SMS",
        by_phone="by telephone",
        yes="Yes",
        no="No",
        often="How many emails would you like at most?",
        often_any="No limit",
        often_week="One a week",
        often_three="Three a week",
        often_month="One a month",
        tracking_stop="Stop this tracking",
        confirm_text="You asked to receive our emails. Confirm it, so that we may write to you.",
        confirm_button="Yes, I confirm",
        confirm_mistake="If you asked for nothing, close this page: you will receive nothing.",
    ),
    "de": Words(
        title="Ihre Einstellungen",
        text="Wählen Sie, womit Sie einverstanden sind. Was Sie nicht ändern, bleibt, wie es ist.",
        tracking="Auswertung von E-Mails",
        tracking_text="Erfassen, ob Sie unsere E-Mails öffnen und welche Links Sie anklicken.",
        tracking_yes="Ich bin damit einverstanden",
        tracking_no="Ich lehne das ab, auch für E-Mails, die ich bereits habe",
        mails="Alles abbestellen",
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
        lists="Unsere Listen",
        channels="Unsere Angebote",
        by_email="per E-Mail",
        by_sms="per SMS",
        by_phone="per Telefon",
        yes="Ja",
        no="Nein",
        often="Wie viele E-Mails möchten Sie höchstens?",
        often_any="Keine Begrenzung",
        often_week="Eine pro Woche",
        often_three="Drei pro Woche",
        often_month="Eine pro Monat",
        tracking_stop="Diese Auswertung beenden",
        confirm_text="Sie möchten unsere E-Mails erhalten? Bestätigen Sie es, damit wir Ihnen schreiben dürfen.",
        confirm_button="Ja, ich bestätige",
        confirm_mistake="Falls Sie das nicht angefordert haben, schließen Sie einfach die Seite: Sie erhalten nichts.",
    ),
    "es": Words(
        title="Sus preferencias",
        text="Elija lo que acepta. Lo que no cambie quedará como está.",
        tracking="Seguimiento de los correos",
        tracking_text="Saber si abre nuestros correos y en qué enlaces hace clic.",
        tracking_yes="Acepto este seguimiento",
        tracking_no="Rechazo este seguimiento, incluso en los correos que ya tengo",
        mails="Dejar de recibirlo todo",
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
        lists="Nuestras listas",
        channels="Nuestras ofertas",
        by_email="por correo electrónico",
        by_sms="por SMS",
        by_phone="por teléfono",
        yes="Sí",
        no="No",
        often="¿Cuántos correos desea como máximo?",
        often_any="Sin límite",
        often_week="Uno a la semana",
        often_three="Tres a la semana",
        often_month="Uno al mes",
        tracking_stop="Detener este seguimiento",
        confirm_text="Ha pedido recibir nuestros correos. Confírmelo para que podamos escribirle.",
        confirm_button="Sí, lo confirmo",
        confirm_mistake="Si no ha pedido nada, cierre esta página: no recibirá nada.",
    ),
    "it": Words(
        title="Le sue preferenze",
        text="Scelga che cosa accetta. Ciò che non cambia resta com’è.",
        tracking="Tracciamento delle e-mail",
        tracking_text="Sapere se apre le nostre e-mail e su quali link fa clic.",
        tracking_yes="Accetto questo tracciamento",
        tracking_no="Rifiuto questo tracciamento, anche per le e-mail già ricevute",
        mails="Interrompere tutto",
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
        lists="Le nostre liste",
        channels="Le nostre offerte",
        by_email="via e-mail",
        by_sms="via SMS",
        by_phone="per telefono",
        yes="Sì",
        no="No",
        often="Quante e-mail desidera al massimo?",
        often_any="Nessun limite",
        often_week="Una alla settimana",
        often_three="Tre alla settimana",
        often_month="Una al mese",
        tracking_stop="Interrompi questo tracciamento",
        confirm_text="Ha chiesto di ricevere le nostre e-mail. Lo confermi, affinché possiamo scriverle.",
        confirm_button="Sì, confermo",
        confirm_mistake="Se non ha chiesto nulla, chiuda questa pagina: non riceverà nulla.",
    ),
    "nl": Words(
        title="Uw voorkeuren",
        text="Kies waarmee u instemt. Wat u niet verandert, blijft zoals het is.",
        tracking="Volgen van e-mails",
        tracking_text="Weten of u onze e-mails opent en op welke links u klikt.",
        tracking_yes="Ik ga hiermee akkoord",
        tracking_no="Ik weiger dit, ook voor e-mails die ik al heb",
        mails="Alles stopzetten",
        leave="Helemaal geen reclame meer ontvangen",
        save="Opslaan",
        saved_title="Opgeslagen",
        saved_text="Uw keuzes gelden vanaf nu.",
        in_title="Uw toestemming bevestigen",
        in_text="Wilt u onze e-mails ontvangen? U kunt op elk moment van gedachten veranderen.",
        in_box="Ik stem ermee in reclame per e-mail te ontvangen",
        in_button="Ja, dat wil ik",
        in_missing="Vink het vakje aan om toestemming te geven.",
        in_done_title="Bedankt, het is bevestigd",
        in_done_text="Uw toestemming is vastgelegd. Met een link in elke e-mail kunt u zich uitschrijven.",
        lists="Onze lijsten",
        channels="Onze aanbiedingen",
        by_email="per e-mail",
        by_sms="per sms",
        by_phone="per telefoon",
        yes="Ja",
        no="Nee",
        often="Hoeveel e-mails wilt u maximaal?",
        often_any="Geen limiet",
        often_week="Eén per week",
        often_three="Drie per week",
        often_month="Eén per maand",
        tracking_stop="Stop met volgen",
        confirm_text="U hebt gevraagd om onze e-mails te ontvangen. Bevestig het, zodat wij u mogen schrijven.",
        confirm_button="Ja, ik bevestig",
        confirm_mistake="Hebt u niets gevraagd? Sluit dan deze pagina: u ontvangt niets.",
    ),
    "pt": Words(
        title="As suas preferências",
        text="Escolha o que aceita. O que não alterar fica como está.",
        tracking="Rastreio dos e-mails",
        tracking_text="Saber se abre os nossos e-mails e em que links clica.",
        tracking_yes="Aceito este rastreio",
        tracking_no="Recuso este rastreio, incluindo nos e-mails que já recebi",
        mails="Parar tudo",
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
        in_done_text="O seu consentimento ficou registado. Um link em cada e-mail permite cancelar a subscrição.",
        lists="As nossas listas",
        channels="As nossas ofertas",
        by_email="por e-mail",
        by_sms="por SMS",
        by_phone="por telefone",
        yes="Sim",
        no="Não",
        often="Quantos e-mails deseja no máximo?",
        often_any="Sem limite",
        often_week="Um por semana",
        often_three="Três por semana",
        often_month="Um por mês",
        tracking_stop="Parar este rastreio",
        confirm_text="Pediu para receber os nossos e-mails. Confirme, para que possamos escrever-lhe.",
        confirm_button="Sim, confirmo",
        confirm_mistake="Se não pediu nada, feche esta página: não receberá nada.",
    ),
}

WORDS: Mapping[str, Words] = {tag: Words(*map(unbroken, words)) for tag, words in _WORDS.items()}
