"""The words of the mail that asks to confirm an opt-in, by language: one table, and a test that it is whole.

They are a template: who writes and which list are its variables, so that nothing of a tenant becomes markup or logic.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Words(NamedTuple):
    """All the words of one language. `of_list` stands where a list is joined."""

    subject: str
    hello: str
    text: str
    of_list: str
    button: str
    mistake: str


WORDS: Mapping[str, Words] = {
    "fr": Words(
        subject="Confirmez votre inscription",
        hello="Bonjour,",
        text="vous avez demandé à recevoir les e-mails de {{ sender }}. Il ne manque plus que votre confirmation.",
        of_list="Liste\u00a0: {{ list }}",
        button="Confirmer",
        mistake="Si vous n’avez rien demandé, ne faites rien\u00a0: vous ne recevrez rien d’autre.",
    ),
    "en": Words(
        subject="Please confirm your subscription",
        hello="Hello,",
        text="you asked to receive the emails of {{ sender }}. All that is missing is your confirmation.",
        of_list="List: {{ list }}",
        button="Confirm",
        mistake="If you asked for nothing, do nothing: you will receive nothing else.",
    ),
    "de": Words(
        subject="Bitte bestätigen Sie Ihre Anmeldung",
        hello="Guten Tag,",
        text="Sie haben darum gebeten, die E-Mails von {{ sender }} zu erhalten. Es fehlt nur noch Ihre Bestätigung.",
        of_list="Liste: {{ list }}",
        button="Bestätigen",
        mistake="Falls Sie das nicht angefordert haben, brauchen Sie nichts zu tun: Sie erhalten dann nichts weiter.",
    ),
    "es": Words(
        subject="Confirme su suscripción",
        hello="Hola:",
        text="Ha pedido recibir los correos de {{ sender }}. Solo falta su confirmación.",
        of_list="Lista: {{ list }}",
        button="Confirmar",
        mistake="Si no ha pedido nada, no haga nada: no recibirá nada más.",
    ),
    "it": Words(
        subject="Confermi la sua iscrizione",
        hello="Buongiorno,",
        text="ha chiesto di ricevere le e-mail di {{ sender }}. Manca soltanto la sua conferma.",
        of_list="Lista: {{ list }}",
        button="Conferma",
        mistake="Se non ha chiesto nulla, non faccia nulla: non riceverà altro.",
    ),
    "nl": Words(
        subject="Bevestig uw inschrijving",
        hello="Goedendag,",
        text="u hebt gevraagd om de e-mails van {{ sender }} te ontvangen. Alleen uw bevestiging ontbreekt nog.",
        of_list="Lijst: {{ list }}",
        button="Bevestigen",
        mistake="Hebt u niets gevraagd? Doe dan niets: u ontvangt verder niets.",
    ),
    "pt": Words(
        subject="Confirme a sua inscrição",
        hello="Olá,",
        text="pediu para receber os e-mails de {{ sender }}. Falta apenas a sua confirmação.",
        of_list="Lista: {{ list }}",
        button="Confirmar",
        mistake="Se não pediu nada, não faça nada: não receberá mais nada.",
    ),
}
