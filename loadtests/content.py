"""The mail that is measured: 12 kB of HTML with 15 tracked links and variables, as a newsletter has."""

from typing import Any

LINKS = 15
_WORDS = (
    "Les nouveautés de la saison sont arrivées et nous avons choisi pour vous celles qui vous ressemblent, avec des "
    "remises réservées à nos abonnés jusqu'à dimanche soir."
)


def html(size_bytes: int = 12_000) -> str:
    """A newsletter of about that size."""
    articles = [
        f'<tr><td style="padding:8px 12px;font-family:Arial,sans-serif"><h2>Article {n} pour {{{{ prenom }}}}</h2>'
        f'<p>{_WORDS}</p><a href="https://www.exemple.fr/articles/{n}?utm_source=news&amp;utm_campaign=soldes">Lire</a>'
        f"</td></tr>\n"
        for n in range(LINKS - 1)
    ]
    head = '<!doctype html><html><head><meta charset="utf-8"><title>Soldes</title></head><body><table>\n'
    foot = (
        '</table><p>Bonjour {{ prenom }} {{ nom }}, votre code est {{ code }}.</p><a href="https://www.exemple.fr/">'
        '{{ ville }}</a><p><a href="{{ unsubscribe_url }}">Se désinscrire</a></p></body></html>'
    )
    body = head + "".join(articles) + foot
    filler = f"<p>{_WORDS}</p>\n"
    missing = max(0, size_bytes - len(body.encode()))
    return head + "".join(articles) + filler * (missing // len(filler.encode())) + foot


def with_logic(source: str) -> str:
    """The same with what newsletters decide for each recipient: it is rendered by the engine, in a child."""
    return source.replace(
        "Bonjour {{ prenom }} {{ nom }}",
        "{% if prenom %}Bonjour {{ prenom|title }}{% else %}Bonjour{% endif %} {{ nom|default('') }}"
        "{% for ligne in lignes|default([]) %}<br>{{ ligne }}{% endfor %}",
    )


def job(recipients: int, number: int, size_bytes: int = 12_000) -> dict[str, Any]:
    """The body of a job; addresses differ between jobs."""
    return job_for([recipient(n, f"domain{number}.example") for n in range(recipients)], size_bytes)


def job_with_logic(recipients: int, number: int, size_bytes: int = 12_000) -> dict[str, Any]:
    whole = job(recipients, number, size_bytes)
    return {**whole, "html": with_logic(whole["html"])}


def job_for(recipients: list[dict[str, Any]], size_bytes: int = 12_000) -> dict[str, Any]:
    return {
        "from": "Chouette <news@exemple.fr>",
        "subject": "{{ prenom }}, les soldes commencent",
        "html": html(size_bytes),
        "recipients": recipients,
    }


def recipient(n: int, domain: str) -> dict[str, Any]:
    """The nth of a domain."""
    return {
        "email": f"recipient{n}@{domain}",
        "name": f"Recipient {n}",
        "variables": {"prenom": f"Ana{n}", "nom": "Lefèvre", "code": f"{n:08d}", "ville": "Besançon"},
    }
