"""The words of the pages to leave on, by language: one table, and a test that no word of it is missing.

They speak to somebody who may not remember having signed up: short, polite, sure. What they promise is what happens:
no more of these mails, at once.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

_HYPHEN = re.compile(r"\b([Ee])-(?=[Mm]ail)")


def unbroken(text: str) -> str:
    """With a hyphen in `e-mail` at which no line ends."""
    return _HYPHEN.sub("\\1\u2011", text)


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
    about_from: str
    about_list: str
    about_to: str
    about_purpose: str
    why: str
    why_too_many: str
    why_not_relevant: str
    why_never_asked: str
    why_other: str
    undo_text: str
    undo_button: str
    already_title: str
    already_text: str
    back_title: str
    back_text: str
    contact: str


_WORDS: Mapping[str, Words] = {
    "fr": Words(
        leave_title="Se désinscrire",
        leave_text="Vous ne souhaitez plus recevoir ces e-mails\u202f? Confirmez, et nous ne vous en enverrons plus.",
        leave_button="Me désinscrire",
        leave_mistake="Si vous êtes ici par erreur, fermez cette page\u00a0: rien ne changera.",
        left_title="Votre désinscription est enregistrée",
        left_text="C’est fait\u00a0: vous ne recevrez plus ces e-mails.",
        left_close="Vous pouvez fermer cette page.",
        invalid_title="Ce lien n’est pas valide",
        invalid_text="Il a peut-être été coupé ou modifié en chemin.",
        invalid_hint="Ouvrez-le de nouveau depuis l’e-mail que vous avez reçu.",
        later_title="Un instant, s’il vous plaît",
        later_text="Nous ne pouvons pas répondre à votre demande en ce moment. Réessayez dans une minute.",
        about_from="De la part de",
        about_list="Liste",
        about_to="Adressé à",
        about_purpose="Objet",
        why="Pourquoi\u202f? (facultatif)",
        why_too_many="Trop d’e-mails",
        why_not_relevant="Le contenu ne m’intéresse pas",
        why_never_asked="Je n’ai jamais demandé ces e-mails",
        why_other="Une autre raison",
        undo_text="C’était une erreur\u202f?",
        undo_button="Annuler ma désinscription",
        already_title="Votre désinscription est déjà enregistrée",
        already_text="Vous ne recevez plus ces e-mails.",
        back_title="Votre désinscription est annulée",
        back_text="Vous pouvez de nouveau recevoir ces e-mails.",
        contact="Contact",
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
        about_from="From",
        about_list="List",
        about_to="Sent to",
        about_purpose="What for",
        why="Why? (optional)",
        why_too_many="Too many emails",
        why_not_relevant="The content does not interest me",
        why_never_asked="I never signed up",
        why_other="Another reason",
        undo_text="Was it a mistake?",
        undo_button="Undo my unsubscription",
        already_title="You have already unsubscribed",
        already_text="You do not receive these emails any more.",
        back_title="Your unsubscription is undone",
        back_text="You may receive these emails again.",
        contact="Contact",
    ),
    "de": Words(
        leave_title="Abmelden",
        leave_text="Sie möchten diese E-Mails nicht mehr erhalten? Bestätigen Sie, und wir senden Ihnen keine mehr.",
        leave_button="Jetzt abmelden",
        leave_mistake="Falls Sie versehentlich hier sind, schließen Sie einfach diese Seite: Es ändert sich nichts.",
        left_title="Sie sind abgemeldet",
        left_text="Erledigt: Sie erhalten diese E-Mails nicht mehr.",
        left_close="Sie können diese Seite schließen.",
        invalid_title="Dieser Link ist nicht gültig",
        invalid_text="Vielleicht wurde er unterwegs abgeschnitten oder verändert.",
        invalid_hint="Öffnen Sie ihn bitte noch einmal aus der E-Mail, die Sie erhalten haben.",
        later_title="Einen Moment, bitte",
        later_text="Wir können Ihre Anfrage gerade nicht bearbeiten. Bitte versuchen Sie es in einer Minute erneut.",
        about_from="Von",
        about_list="Liste",
        about_to="Gesendet an",
        about_purpose="Zweck",
        why="Warum? (freiwillig)",
        why_too_many="Zu viele E-Mails",
        why_not_relevant="Der Inhalt interessiert mich nicht",
        why_never_asked="Ich habe mich nie angemeldet",
        why_other="Ein anderer Grund",
        undo_text="War es ein Versehen?",
        undo_button="Abmeldung rückgängig machen",
        already_title="Sie sind bereits abgemeldet",
        already_text="Sie erhalten diese E-Mails nicht mehr.",
        back_title="Ihre Abmeldung wurde rückgängig gemacht",
        back_text="Sie können diese E-Mails wieder erhalten.",
        contact="Kontakt",
    ),
    "es": Words(
        leave_title="Darse de baja",
        leave_text="¿Ya no desea recibir estos correos? Confírmelo y no le enviaremos ninguno más.",
        leave_button="Darme de baja",
        leave_mistake="Si ha llegado aquí por error, cierre esta página: no cambiará nada.",
        left_title="Su baja está confirmada",
        left_text="Listo: ya no recibirá estos correos.",
        left_close="Puede cerrar esta página.",
        invalid_title="Este enlace no es válido",
        invalid_text="Puede que se haya cortado o modificado por el camino.",
        invalid_hint="Vuelva a abrirlo desde el correo que recibió.",
        later_title="Un momento, por favor",
        later_text="Ahora mismo no podemos atender su solicitud. Vuelva a intentarlo dentro de un minuto.",
        about_from="De",
        about_list="Lista",
        about_to="Enviado a",
        about_purpose="Finalidad",
        why="¿Por qué? (opcional)",
        why_too_many="Demasiados correos",
        why_not_relevant="El contenido no me interesa",
        why_never_asked="Nunca me suscribí",
        why_other="Otro motivo",
        undo_text="¿Ha sido un error?",
        undo_button="Anular mi baja",
        already_title="Ya se ha dado de baja",
        already_text="Ya no recibe estos correos.",
        back_title="Su baja ha quedado anulada",
        back_text="Puede volver a recibir estos correos.",
        contact="Contacto",
    ),
    "it": Words(
        leave_title="Annullare l’iscrizione",
        leave_text="Non desidera più ricevere queste e-mail? Confermi e non gliene invieremo altre.",
        leave_button="Annulla l’iscrizione",
        leave_mistake="Se si trova qui per errore, chiuda questa pagina: non cambierà nulla.",
        left_title="Iscrizione annullata",
        left_text="Fatto: non riceverà più queste e-mail.",
        left_close="Può chiudere questa pagina.",
        invalid_title="Questo link non è valido",
        invalid_text="Forse è stato troncato o modificato lungo il percorso.",
        invalid_hint="Lo apra di nuovo dall’e-mail che ha ricevuto.",
        later_title="Un momento, per favore",
        later_text="In questo momento non possiamo rispondere alla sua richiesta. Riprovi tra un minuto.",
        about_from="Da",
        about_list="Lista",
        about_to="Inviato a",
        about_purpose="Finalità",
        why="Perché? (facoltativo)",
        why_too_many="Troppe e-mail",
        why_not_relevant="Il contenuto non mi interessa",
        why_never_asked="Non ho mai chiesto queste e-mail",
        why_other="Un altro motivo",
        undo_text="È stato un errore?",
        undo_button="Ripristina l’iscrizione",
        already_title="La sua iscrizione è già annullata",
        already_text="Non riceve più queste e-mail.",
        back_title="La sua iscrizione è ripristinata",
        back_text="Può ricevere di nuovo queste e-mail.",
        contact="Contatto",
    ),
    "nl": Words(
        leave_title="Uitschrijven",
        leave_text="Wilt u deze e-mails niet meer ontvangen? Bevestig het en wij sturen u er geen meer.",
        leave_button="Schrijf mij uit",
        leave_mistake="Bent u hier per ongeluk? Sluit dan deze pagina: er verandert niets.",
        left_title="U bent uitgeschreven",
        left_text="Gelukt: u ontvangt deze e-mails niet meer.",
        left_close="U kunt deze pagina sluiten.",
        invalid_title="Deze link is niet geldig",
        invalid_text="Misschien is hij onderweg afgebroken of gewijzigd.",
        invalid_hint="Open hem opnieuw vanuit de e-mail die u hebt ontvangen.",
        later_title="Een ogenblik geduld",
        later_text="We kunnen uw verzoek nu niet beantwoorden. Probeer het over een minuut opnieuw.",
        about_from="Van",
        about_list="Lijst",
        about_to="Gestuurd naar",
        about_purpose="Doel",
        why="Waarom? (optioneel)",
        why_too_many="Te veel e-mails",
        why_not_relevant="De inhoud interesseert mij niet",
        why_never_asked="Ik heb mij nooit ingeschreven",
        why_other="Een andere reden",
        undo_text="Was het een vergissing?",
        undo_button="Mijn uitschrijving ongedaan maken",
        already_title="U bent al uitgeschreven",
        already_text="U ontvangt deze e-mails niet meer.",
        back_title="Uw uitschrijving is ongedaan gemaakt",
        back_text="U kunt deze e-mails weer ontvangen.",
        contact="Contact",
    ),
    "pt": Words(
        leave_title="Cancelar a subscrição",
        leave_text="Já não deseja receber estes e-mails? Confirme e não lhe enviaremos mais nenhum.",
        leave_button="Cancelar subscrição",
        leave_mistake="Se chegou aqui por engano, feche esta página: nada mudará.",
        left_title="Subscrição cancelada",
        left_text="Pronto: não voltará a receber estes e-mails.",
        left_close="Pode fechar esta página.",
        invalid_title="Este link não é válido",
        invalid_text="Talvez tenha sido cortado ou alterado pelo caminho.",
        invalid_hint="Abra-o de novo a partir do e-mail que recebeu.",
        later_title="Um momento, por favor",
        later_text="Neste momento não podemos responder ao seu pedido. Tente de novo dentro de um minuto.",
        about_from="De",
        about_list="Lista",
        about_to="Enviado para",
        about_purpose="Finalidade",
        why="Porquê? (opcional)",
        why_too_many="Demasiados e-mails",
        why_not_relevant="O conteúdo não me interessa",
        why_never_asked="Nunca me inscrevi",
        why_other="Outro motivo",
        undo_text="Foi um engano?",
        undo_button="Anular o cancelamento",
        already_title="Já cancelou a subscrição",
        already_text="Já não recebe estes e-mails.",
        back_title="O cancelamento foi anulado",
        back_text="Pode voltar a receber estes e-mails.",
        contact="Contacto",
    ),
}

WORDS: Mapping[str, Words] = {tag: Words(*map(unbroken, words)) for tag, words in _WORDS.items()}
