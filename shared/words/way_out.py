"""The link to leave that the engine adds to marketing mail without one: queueing places it; whoever makes the mail says
it in the recipient's language, and does not count it for what the mail shows."""

from collections.abc import Mapping

from shared.words.languages import Language, ours

#: The variable that stands for the words. A job whose content was given the link has it among its defaults, with the
#: tag of the job's language as its value.
WAY_OUT = "_way_out"
#: The recipient's variable that says their language.
LANGUAGE = "language"

#: How it stands there, by the kind of the part. In HTML on a ground of its own, since that of the mail is not known.
FORMS: Mapping[str, str] = {
    "html": (
        '<div style="margin:0;padding:16px;background-color:#ffffff;text-align:center;font:12px/18px Arial,sans-serif">'
        '<a href="{url}" style="color:#555555">{words}</a></div>'
    ),
    "text": "\n{words}\n{url}\n",
}

WORDS: Mapping[Language, str] = {
    "fr": "Se désinscrire de ces e-mails",
    "en": "Unsubscribe from these emails",
    "de": "Diese E-Mails abbestellen",
    "es": "Darse de baja de estos correos",
    "it": "Annullare l’iscrizione a queste e-mail",
    "nl": "Uitschrijven voor deze e-mails",
    "pt": "Cancelar a subscrição destes e-mails",
}


def words(own: object, of_job: object) -> str:
    """In the recipient's language, else in that of the job, else in French."""
    for tag in (own, of_job):
        if isinstance(tag, str) and (language := ours(tag[:40])):
            return next(text for name, text in WORDS.items() if name == language)
    return WORDS["fr"]
