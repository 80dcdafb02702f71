"""Which DMARC policy holds for a domain, and which names are of one organisation with it, by the tree walk of DMARC
(RFC 9989 section 4.10, which took the place of RFC 7489 and of the Public Suffix List there).

The walk asks for `_dmarc.` of the name, then of the names above it, eight at most; a name of more than seven labels
goes on with its last seven. It ends at a record that says `psd=n` (here an organisation ends) or `psd=y` (here a
registry does, and the organisation is the name below it). Without either the organisation is the highest name with a
record.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from shared.mail.dkim_rotation import Check

#: Names that are asked for, and labels with which a long one goes on.
MAX_QUERIES = 8
Strictness = Literal["r", "s"]
_POLICIES = ("none", "quarantine", "reject")
_VERSION = re.compile(r"v\s*=\s*DMARC1\s*(?:;|\Z)")

#: What each `_dmarc.` name has in DNS, one text a record; None where DNS did not answer.
Texts = Mapping[str, Sequence[str] | None]


class Record(NamedTuple):
    """Of the domain `of`; a tag that is not there, or cannot be read, has its default."""

    of: str
    policy: str
    subdomains: str
    psd: Literal["y", "n", "u"]
    dkim: Strictness
    spf: Strictness
    testing: bool


class Found(NamedTuple):
    """`record` holds for the domain, None where there is none, and asks for `policy`; `organisation` is the name of its
    organisation. `unanswered` is a name of which DNS does not tell, so that the rest is not known; `crowded` one that
    has several records, all of which are passed over."""

    record: Record | None
    policy: str
    organisation: str
    unanswered: str = ""
    crowded: str = ""


def walk(domain: str) -> list[str]:
    """The names whose records are asked for, in their order."""
    labels = domain.split(".")
    above = labels[1:] if len(labels) < MAX_QUERIES else labels[-(MAX_QUERIES - 1) :]
    return [domain, *(".".join(above[at:]) for at in range(len(above)))]


def names(domain: str) -> list[str]:
    """Where they stand in DNS."""
    return [f"_dmarc.{name}" for name in walk(domain)]


def discover(domain: str, texts: Texts) -> Found:
    """What holds for mail From the domain (sections 4.10.1 and 4.10.2)."""
    found: list[Record] = []
    crowded = ""
    for name in walk(domain):
        given = texts.get(f"_dmarc.{name}", ())
        if given is None:
            if found and found[0].of == domain:
                continue  # its own policy holds whatever is above
            return Found(None, "", domain, unanswered=name)
        records = [text for text in given if _VERSION.match(text)]
        if len(records) > 1:
            crowded = crowded or name
        if len(records) != 1:
            continue
        record = _parsed(records[0], name)
        found.append(record)
        if record.psd != "u":
            break
    if not found:
        return Found(None, "", domain, crowded=crowded)
    organisation = _organisation(domain, found)
    # Its own, else its organisation's, else that of the registry above it.
    ordered = [one for one in found if one.of in (domain, organisation)] or [one for one in found if one.psd == "y"]
    if not ordered:
        return Found(None, "", organisation, crowded=crowded)
    record = ordered[0]
    return Found(record, record.policy if record.of == domain else record.subdomains, organisation, crowded=crowded)


def _organisation(domain: str, found: Sequence[Record]) -> str:
    for record in found:
        if record.psd == "n":
            return record.of
        if record.psd == "y" and record.of != domain:
            below = domain.removesuffix(f".{record.of}").rpartition(".")[2]
            return f"{below}.{record.of}"
    return min((record.of for record in found), key=lambda name: name.count("."))


def is_aligned(identifier: str, domain: str, strictness: Strictness, organisation: str) -> bool:
    """Whether a domain that was authenticated speaks for the From domain (section 4.4): strictly the same, else one of
    the same organisation."""
    if identifier == domain:
        return True
    return strictness == "r" and (identifier == organisation or identifier.endswith(f".{organisation}"))


def judge(domain: str, return_path: str, texts: Texts, now_ms: int) -> Check:
    """What the owner of the domain has to know of its policy. `return_path` is the domain that SPF authenticates, ""
    where that is not the tenant's. The DKIM signature is the domain's own, and so aligned however strict."""
    found = discover(domain, texts)
    if found.unanswered:
        return Check("unavailable", f"DNS does not answer for _dmarc.{found.unanswered}", now_ms)
    if found.crowded in (domain, found.organisation):
        return Check("differs", f"_dmarc.{found.crowded} has several policies, so none holds; leave one", now_ms)
    record = found.record
    if record is None:
        above = "" if domain == found.organisation else f", nor at a name above it up to {found.organisation}"
        return Check("missing", f"there is no policy at _dmarc.{domain}{above}; publish one", now_ms)
    if found.policy not in _POLICIES:
        return Check("differs", f"the policy at _dmarc.{record.of} says neither none, quarantine nor reject", now_ms)
    said = [] if record.of == domain else [f"the policy of {record.of} holds: {found.policy}"]
    if record.testing:
        said.append("it is on trial (t=y)")
    if return_path and not is_aligned(return_path, domain, record.spf, found.organisation):
        why = "aspf=s asks for the very domain" if record.spf == "s" else f"it is not below {found.organisation}"
        said.append(f"SPF of {return_path} does not count for it ({why}); DKIM does")
    return Check("published", "; ".join(said), now_ms)


def _parsed(text: str, of: str) -> Record:
    pairs = (part.partition("=") for part in text.split(";"))
    tags = {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}
    policy = tags.get("p", "").lower()
    # Section 4.7: without a policy that can be read, but with an address for reports, it is `none`.
    if policy not in _POLICIES and tags.get("rua"):
        policy = "none"
    subdomains = tags.get("sp", "").lower()
    psd = tags.get("psd", "u").lower()
    return Record(
        of,
        policy,
        subdomains if subdomains in _POLICIES else policy,
        "y" if psd == "y" else "n" if psd == "n" else "u",
        "s" if tags.get("adkim", "r").lower() == "s" else "r",
        "s" if tags.get("aspf", "r").lower() == "s" else "r",
        tags.get("t", "n").lower() == "y",
    )
