"""A sending domain as it is kept and shown: whose it is, its keys, and the records that its owner publishes. Pure.

`shared.redis.sending_domains` says whose a domain is when.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from shared.mail import dkim_rotation
from shared.mail.dkim_rotation import Check, Dns, Key, State
from shared.words.described import says
from shared.words.times import rfc3339

#: The owner that is not a tenant.
INSTALLATION = ""
#: What the TXT record says before it.
PROOF_PREFIX = "estafette-verify="

#: What links in mails may begin with: recipients' browsers warn of anything but https.
LINKS = re.compile(r"https://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+){0,8}")

Proof = Literal["", "dns", "operator", "taken_back"]
Standing = Literal["pending", "verified", "by_use", "taken_back"]


class SendingDomain(msgspec.Struct, frozen=True, array_like=True):
    """`by_use`: taken by using it, not added. `proof` is why it is the tenant's: DNS showed it, an operator said so; ""
    while it is a claim. `token` is what its TXT record shows, `shown` whether DNS did. `dmarc` is what DNS showed of
    its policy. `return_path` is the domain of its mail's return paths, "" for the installation's, and since when (ms);
    `returns` whether DNS leads mail to it to us, `spf` whether it lets us send. `links` is what links in its mails
    begin with, "" for the installation's, and `leads` whether DNS showed that its host leads to our trackers. `told`
    is what of all that was told last (DomainChecked), as a digest, and how often it was something else than before."""

    domain: str
    tenant: str
    created_at: int = 0
    by_use: bool = False
    keys: tuple[Key, ...] = ()
    dmarc: Check = Check()
    proof: Proof = ""
    token: str = ""
    shown: Check = Check()
    return_path: str = ""
    return_path_since: int = 0
    returns: Check = Check()
    spf: Check = Check()
    links: str = ""
    leads: Check = Check()
    told: str = ""
    times_told: int = 0

    def __repr__(self) -> str:
        return f"SendingDomain({self.domain}, {self.tenant!r}, {list(self.keys)})"

    @property
    def selector(self) -> str:
        """That of the first key that signs."""
        return self.signing[0].selector

    @property
    def links_host(self) -> str:
        """The host that links begin with, "" for the installation's."""
        return urlsplit(self.links).hostname or ""

    @property
    def signing(self) -> list[Key]:
        return dkim_rotation.signing(self.keys)

    @property
    def standing(self) -> Standing:
        if self.proof == "taken_back":
            return "taken_back"
        if self.proof:
            return "verified"
        return "by_use" if self.by_use else "pending"

    @property
    def is_shown(self) -> bool:
        """Whether DNS showed, when asked last, that the domain is this tenant's."""
        return "published" in (self.shown.dns, *(key.check.dns for key in self.keys))

    @property
    def may_be_shown(self) -> bool:
        """Whether DNS, asked just now, shows it or did not answer for one of its records."""
        return self.is_shown or "unavailable" in (self.shown.dns, *(key.check.dns for key in self.keys))

    @property
    def waits_for(self) -> Literal["dns", "operator"] | None:
        """What has to happen before mail is sent From it."""
        match self.standing:
            case "verified" | "by_use":
                return None
            case "pending":
                return "operator" if self.is_shown else "dns"
            case _:
                return "operator"


class DnsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of the domain publishes, and what DNS showed of it when asked last. A TXT value is one text: many
    DNS forms split it themselves at 255. `key` is `waiting` (publish it, then activate), `signing` or `retiring`
    (leave it until `keep_until`), null of what is not a key."""

    type: Annotated[str, says("The type of the record, TXT or CNAME.", "TXT")]
    name: Annotated[str, says("The name that it is published at.", "e1._domainkey.exemple.fr")]
    value: Annotated[str, says("What is published there.", "v=DKIM1; k=rsa; p=MIIBIjANBgkqh")]
    why: Annotated[str, says("What it is for, in words.", "the public RSA key that receivers check signatures with")]
    key: Annotated[State | None, says("How far the key is whose record it is; null of what is no key.", "signing")] = (
        None
    )
    keep_until: Annotated[str | None, says("How long a retiring key's record has to stay.", None)] = None
    dns: Annotated[Dns, says("What DNS showed when it was asked last.", "published")] = "unchecked"
    detail: Annotated[str, says("What was wrong then, in words.", "")] = ""
    checked_at: Annotated[str | None, says("When DNS was asked last.", "2026-01-31T09:05:00.123Z")] = None


def records(domain: SendingDomain, now_ms: int, ours: str = "", tracker: str = "") -> list[DnsRecord]:
    """What has to be in DNS for the domain's mail to be believed. `ours` is the installation's domain of return paths,
    `tracker` the host of its links; without them what concerns those is left out."""
    keys_now = dkim_rotation.kept(domain.keys, now_ms)
    dmarc = _record(
        f"_dmarc.{domain.domain}",
        "v=DMARC1; p=none",
        "the large providers require a DMARC policy of bulk senders; keep a stricter one if there is one",
        domain.dmarc,
    )
    listed = [*(_key_record(key, domain.domain) for key in keys_now), dmarc]
    if ours and domain.return_path:
        listed += _return_path_records(domain, ours)
    if tracker and domain.links:
        listed.append(_links_record(domain, tracker))
    return [*listed, proof_record(domain)] if domain.token and domain.proof != "operator" else listed


def proof_record(domain: SendingDomain) -> DnsRecord:
    """The record that shows whose the domain is."""
    return _record(
        f"_estafette.{domain.domain}",
        PROOF_PREFIX + domain.token,
        "shows that the domain is yours; nothing is sent from it before DNS shows this or one of the keys",
        domain.shown,
    )


def _return_path_records(domain: SendingDomain, ours: str) -> list[DnsRecord]:
    """An alias, by which the name has our mail hosts and our SPF record; where MX records are published instead, it
    needs an SPF record of its own."""
    alias = _record(
        domain.return_path,
        f"{ours}.",
        "leads bounces to us, and makes SPF align with your domain; until DNS shows it, ours is used. Instead of the "
        f"alias an MX record may lead there: 10 {ours}.",
        domain.returns,
    )
    sends = _record(
        domain.return_path,
        f"v=spf1 include:{ours} -all",
        "lets us send (SPF); an alias has it from us: publish it with an MX record, never beside an alias",
        domain.spf,
    )
    return [msgspec.structs.replace(alias, type="CNAME"), sends]


def _links_record(domain: SendingDomain, tracker: str) -> DnsRecord:
    why = "leads links of your mails to us; other records do where they have no addresses but ours"
    return msgspec.structs.replace(_record(domain.links_host, f"{tracker}.", why, domain.leads), type="CNAME")


def _key_record(key: Key, domain: str) -> DnsRecord:
    kind = "RSA" if key.algorithm == "rsa-sha256" else "Ed25519"
    return msgspec.structs.replace(
        _record(
            dkim_rotation.name_of(key, domain),
            key.record,
            f"the public {kind} key that receivers check signatures with (DKIM)",
            key.check,
        ),
        key=key.state,
        keep_until=rfc3339(key.until) if key.state == "retiring" else None,
    )


def _record(name: str, value: str, why: str, check: Check) -> DnsRecord:
    checked_at = rfc3339(check.checked_at) if check.checked_at else None
    return DnsRecord(
        type="TXT", name=name, value=value, why=why, dns=check.dns, detail=check.detail, checked_at=checked_at
    )


def judge_token(found: Sequence[str] | None, expected: str, now_ms: int) -> Check:
    """Whether the text is among those at the token's name: others may stand beside it, even other tenants'."""
    if found is None:
        return Check("unavailable", "DNS does not answer", now_ms)
    if expected in (text.strip() for text in found):
        return Check("published", "", now_ms)
    if any(text.strip().startswith(PROOF_PREFIX) for text in found):
        return Check("differs", f"another token is there; publish {expected} beside or instead of it", now_ms)
    return Check("missing", f"there is no TXT record that says {expected}; publish it", now_ms)


def how_to_show(domain: SendingDomain) -> str:
    name = domain.domain
    if domain.waits_for == "operator":
        return f"an operator has to decide whose {name} is: nothing is sent from it until then"
    record = proof_record(domain)
    return (
        f"DNS does not show yet that {name} is yours: publish the TXT record {record.name} that says {record.value}, "
        f"or one of its DKIM records, then POST /v1/domains/{name}/check"
    )
