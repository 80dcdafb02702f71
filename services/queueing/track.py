"""What a job says of tracking: opens, clicks, and the UTM parameters of links. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

from shared.mail import addresses
from shared.words.described import says
from shared.words.utm import Utm

#: The value of a UTM parameter.
UtmValue = Annotated[str, Meta(min_length=1, max_length=200)]


class UtmParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """UTM parameters for the links that are tracked: each is added to a link that has none of that name."""

    source: Annotated[UtmValue | None, says("`utm_source`: who sends.", "chouette")] = None
    medium: Annotated[UtmValue | None, says("`utm_medium`: by what means.", "email")] = None
    campaign: Annotated[UtmValue | None, says("`utm_campaign`: on which occasion.", "soldes-hiver")] = None
    term: Annotated[UtmValue | None, says("`utm_term`: to whom.", "clients")] = None
    content: Annotated[UtmValue | None, says("`utm_content`: which of several contents.", "a")] = None
    exclude: Annotated[
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=253)]], Meta(max_length=100)],
        says("Domains whose links get none, and what is below them.", ["exemple.org"]),
    ] = []


class Track(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is tracked of recipients who consent to it."""

    opens: Annotated[bool, says("Whether a picture tells that the mail was opened.", True)] = True
    clicks: Annotated[bool, says("Whether links lead over the engine.", True)] = True
    utm: Annotated[UtmParameters | None, says("What is added to links that lead over the engine.")] = None


def utm_of(track: Track) -> Utm | None:
    """As the links get them; None if they get none. addresses.InvalidAddress if a domain is not one."""
    asked = track.utm
    if asked is None or not track.clicks:
        return None
    every = (
        ("utm_source", asked.source),
        ("utm_medium", asked.medium),
        ("utm_campaign", asked.campaign),
        ("utm_term", asked.term),
        ("utm_content", asked.content),
    )
    given = tuple((name, value) for name, value in every if value is not None)
    excluded = tuple(addresses.ascii_domain(domain.strip().removeprefix("*.").lower()) for domain in asked.exclude)
    return Utm(given, excluded) if given else None
