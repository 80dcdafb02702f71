"""On which sites of theirs a tenant follows who came by a link, by consent, and what of it: agreed by who takes it (the
API) and who goes by it (trackers).

All that a page may say is listed here by the tenant, so reports and labels have bounds, and whoever misspells a name is
told so. What is not listed is off: without a site nothing is added to a link and nothing is taken from a page.
"""

import re
from urllib.parse import urlsplit

import msgspec

from shared.mail import domain_names

MAX_SITES, MAX_EVENTS, MAX_CURRENCIES = 50, 16, 8
EVENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
CURRENCY = re.compile(r"[A-Z]{3}")
#: What the parameter of a link is called, and the cookie: on the site the token of a visit is known by this name alone.
PARAMETER = "estafette"
#: 13 months from the consent (CNIL, guidelines on cookies, 2020-091), in days: 365 and 30.
MAX_DAYS = 395


class WebTracking(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """`sites` are hosts, each by itself and not what is below it; `events` what may be told, by name; `currencies`
    (ISO 4217) those of amounts."""

    sites: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()


OFF = WebTracking()


def faults(wanted: WebTracking) -> list[tuple[str, str]]:
    """The fields that do not fit, by name and place, and what is wrong with each."""
    found = []
    for field, values, most in (
        ("sites", wanted.sites, MAX_SITES),
        ("events", wanted.events, MAX_EVENTS),
        ("currencies", wanted.currencies, MAX_CURRENCIES),
    ):
        if len(values) > most:
            found.append((field, f"at most {most}"))
        found += [(f"{field}[{at}]", "is there twice") for at, one in enumerate(values) if one in values[:at]]
    found += [(f"sites[{at}]", what) for at, one in enumerate(wanted.sites) if (what := _site(one))]
    found += [
        (f"events[{at}]", "a name has 1 to 32 of a-z, 0-9 and _, and begins with a letter")
        for at, one in enumerate(wanted.events)
        if not EVENT_NAME.fullmatch(one)
    ]
    found += [
        (f"currencies[{at}]", "a currency is three capital letters (ISO 4217)")
        for at, one in enumerate(wanted.currencies)
        if not CURRENCY.fullmatch(one)
    ]
    return found


def _site(site: str) -> str:
    try:
        return "" if domain_names.normalise(site) == site else "not written as a browser does: small letters, A-labels"
    except domain_names.InvalidDomain:
        return "a site is a host, such as www.exemple.fr: no scheme, port, path or *"


def site(host: str) -> str:
    """A host as it is listed: small letters and A-labels; as it is if it is none, for `faults` to name."""
    try:
        return domain_names.normalise(host)
    except domain_names.InvalidDomain:
        return host


def host_of(url: str) -> str:
    """The host of an http or https URL as it is listed; "" if there is none, or somebody's name stands before it."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") and "@" not in parts.netloc else ""
    except ValueError:
        return ""


def page(url: str) -> str:
    """The address of a page without query and fragment: what stands there may be anything, such as a password's key."""
    return url.partition("#")[0].partition("?")[0]


def with_token(destination: str, token: str) -> str:
    """Where a click leads, with the token of the visit: in the fragment, which browsers tell no server, so it is in no
    log and in no Referer; in the query where the destination has a fragment of its own."""
    whole, mark, fragment = destination.partition("#")
    if not mark:
        return f"{destination}#{PARAMETER}={token}"
    between = "" if whole.endswith(("?", "&")) else "&" if "?" in whole else "?"
    return f"{whole}{between}{PARAMETER}={token}#{fragment}"
