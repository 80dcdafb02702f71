"""The languages in which recipients are spoken to, and which of them somebody reads: pages and mails of ours agree."""

from collections.abc import Collection, Iterable
from typing import Literal, get_args

#: Tables of words have all of these, and no other.
Language = Literal["fr", "en", "de", "es", "it", "nl", "pt"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
#: Where nothing is known of somebody, or nothing of it is ours.
DEFAULT_LANGUAGE = "en"
#: No browser sends more; what is beyond is not looked at.
MAX_ACCEPT_LANGUAGE_CHARS = 200


def ours(tag: str) -> str:
    """The language of a tag (`pt-BR`, `de_AT`), "" if it is none of ours."""
    found = tag.strip().lower().replace("_", "-").partition("-")[0]
    return found if found in LANGUAGES else ""


def fitting(tag: str, known: Collection[str]) -> str:
    """The one of the `known` tags, all in lower case, that fits who reads `tag` (`de_AT`): the same, else that of the
    language alone; "" if none does."""
    wanted = tag.strip().lower().replace("_", "-")
    while wanted and wanted not in known:
        wanted = wanted.rpartition("-")[0]
    return wanted


def chosen(tags: Iterable[str], accept_language: str) -> str:
    """The first of the tags that is one of ours, else what the browser asks for, else English."""
    return next(filter(None, map(ours, tags)), "") or accepted(accept_language)


def accepted(accept_language: str) -> str:
    """The one of ours that the reader wants most (RFC 9110, 12.5.4); English where nothing is said or nothing fits."""
    best, best_weight = DEFAULT_LANGUAGE, 0.0
    for part in accept_language[:MAX_ACCEPT_LANGUAGE_CHARS].split(","):
        tag, _, parameters = part.partition(";")
        weight = _weight(parameters)
        if weight > best_weight and ours(tag):
            best, best_weight = ours(tag), weight
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
