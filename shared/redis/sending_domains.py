"""Sending domains: which tenant may write From a domain, and the DKIM keys that sign for it.

Queueing asks before it takes a job, the relay before it signs.

A domain has one owner at most: who shows that it is his. A tenant names it, and has a claim of his own, with keys and a
token of its own, which sends nothing. Any number of tenants may claim a name, and none learns of the others. `check`
asks DNS: where it shows the claim's token (TXT at `_estafette.<domain>`) or the record of one of its keys, the domain
is the tenant's, unless

    an operator gave it to somebody                          it stays until he takes it back
    another owner's token or key is shown too, or perhaps    it stays; an operator decides
    it is below a domain of another owner                    an operator decides
    an operator took it, or a domain above it, from him      an operator decides

An owner of whom DNS shows nothing any more loses it to who is shown: the domain has been sold. By himself he loses
nothing: a record that is gone may be an accident, and the mails would be late. Who shows a domain above another's gets
it without what is below: a right is to the name alone, never to what is above or below it.

A tenant with `any_from_domain` (the demo) takes a free name by using it, unless it is above or below another's, and
loses it to whoever shows or is given it: having used a name is no claim to it. The installation itself may own one too,
that of its return paths: no tenant writes From it, and its key signs beside the tenants' (RFC 9477 section 3.1.3).
What is at, above or below the hosts of the installation is no tenant's, but for what an operator gives above them.

A domain has a key of each kind, RSA and Ed25519; `shared.mail.dkim_rotation` is how they are replaced. Private keys are
encrypted under the master secret; each change of a domain encrypts them anew where the secret has changed since.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated, Literal, NamedTuple, cast

import msgspec

from shared.mail import dkim_keys, dkim_rotation, domain_names
from shared.mail.dkim_keys import Algorithm, CannotOpen, Vault
from shared.mail.dkim_rotation import (
    Check,
    Dns,
    Key,
    NotPublished,
    State,
)
from shared.mail.domain_names import InvalidDomain, normalise
from shared.net.remembered import Remembered
from shared.process import logs
from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.words.described import says
from shared.words.quotas import exceeded
from shared.words.times import rfc3339

#: How long a process goes on with what it knew of a domain. A relay asks again each second
#: (`services.relay.making.mails`), so #: that a domain removed, or new keys, are known everywhere within ten.
CACHE_SECONDS = 8.0
#: Domains remembered at most; beyond, the whole cache is dropped.
CACHE_DOMAINS = 10_000
#: A removed domain, and new keys of one that stays, count for so long: making keys is what costs.
COUNTED_MS = 24 * 3600 * 1000
#: Of a refusal for want of room: the tenant may remove one, or ask the operator.
RETRY_AFTER_S = 3600
#: The owner that is no tenant.
INSTALLATION = ""
#: Of the first keys of a domain, and of each rotation.
ALGORITHMS: tuple[Algorithm, ...] = ("rsa-sha256", "ed25519-sha256")

#: Asks DNS for the TXT records of each of these names, now: what was remembered does not count.
LookUp = Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[str] | None]]]

#: As much as an AES key has: nobody guesses it, and it is made once.
TOKEN_BYTES = 16
#: What the TXT record says before it.
PROOF_PREFIX = "estafette-verify="

Proof = Literal["", "dns", "operator", "taken_back"]
Standing = Literal["pending", "verified", "by_use", "taken_back"]

_SWAP = Script.of(__file__, "sending_domains_swap")
_RESERVE = Script.of(__file__, "sending_domains_reserve")

_log = logs.get_logger()


class Swap(NamedTuple):
    """A field of a hash, what it has now, and what it shall have."""

    key: str
    field: str
    expected: bytes
    new: bytes


class DomainTaken(Exception):
    """Another tenant's. The message is for operators."""


class DomainHeld(Exception):
    """An operator took it from this tenant: an operator gives it back."""


class NotShown(LookupError):
    """The tenant has named the domain, and DNS does not show yet that it is his."""

    def __init__(self, domain: "SendingDomain") -> None:
        super().__init__(_how_to_show(domain))
        self.domain = domain


class SendingDomain(msgspec.Struct, frozen=True, array_like=True):
    """`by_use`: taken by using it, not added. `proof` is why it is the tenant's: DNS showed it, an operator said so; ""
    while it is a claim. `token` is what its TXT record shows, `shown` whether DNS did. `dmarc` is what DNS showed of
    its policy."""

    domain: str
    tenant: str
    created_at: int = 0
    by_use: bool = False
    keys: tuple[Key, ...] = ()
    dmarc: Check = Check()
    proof: Proof = ""
    token: str = ""
    shown: Check = Check()

    def __repr__(self) -> str:
        return f"SendingDomain({self.domain}, {self.tenant!r}, {list(self.keys)})"

    @property
    def selector(self) -> str:
        """That of the first key that signs."""
        return self.signing[0].selector

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
    (leave it until `keep_until`), null of what is no key."""

    type: Annotated[str, says("The type of the record.", "TXT")]
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


def records(domain: SendingDomain, now_ms: int) -> list[DnsRecord]:
    """What has to be in DNS for the domain's mail to be believed."""
    keys_now = dkim_rotation.kept(domain.keys, now_ms)
    dmarc = _record(
        f"_dmarc.{domain.domain}",
        "v=DMARC1; p=none",
        "the large providers require a DMARC policy of bulk senders; keep a stricter one if there is one",
        domain.dmarc,
    )
    listed = [*(_key_record(key, domain.domain) for key in keys_now), dmarc]
    return [*listed, proof_record(domain)] if domain.token and domain.proof != "operator" else listed


def proof_record(domain: SendingDomain) -> DnsRecord:
    """The record that shows whose the domain is."""
    return _record(
        f"_estafette.{domain.domain}",
        PROOF_PREFIX + domain.token,
        "shows that the domain is yours; nothing is sent from it before DNS shows this or one of the keys",
        domain.shown,
    )


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


async def keys_of_all(client: Client) -> list[Key]:
    """Every key of every domain that is somebody's, as it was stored. Raises RedisAway."""
    return [key for packed in (await client.hgetall(keys.domains())).values() for key in _decode(packed).keys]


class SendingDomains:
    """The store. `ours` are the hosts of the installation: where its links lead, where its return paths are. Raises
    RedisAway when Redis does not answer."""

    def __init__(
        self,
        client: Client,
        vault: Vault,
        *,
        ours: Sequence[str] = (),
        make_key: Callable[[Algorithm], str] = dkim_keys.make,
        chance: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._vault = vault
        self._ours = domain_names.hosts(*ours)
        self._make_key = make_key
        self._chance = chance
        self._now = now
        #: Also that there is none: what is remembered is a tuple of one.
        self._cache = Remembered[str, tuple[SendingDomain | None]](CACHE_DOMAINS, monotonic)
        # An RSA key takes a tenth of a second of a core or more: one after the other, whoever asks for how many.
        self._making = ThreadPoolExecutor(1, "making-keys")

    # What there is

    async def of_tenant(self, tenant: str) -> list[SendingDomain]:
        """By name: what is his, and what he claims."""
        packed = await self._client.hgetall(keys.domains())
        own = [one for one in map(_decode, packed.values()) if one.tenant == tenant]
        return sorted([*own, *await self._claims(tenant)], key=lambda one: one.domain)

    async def all(self) -> list[SendingDomain]:
        """Everybody's, by name, claims too."""
        packed = await self._client.hgetall(keys.domains())
        found = [_decode(one) for one in packed.values()]
        for tenant in await self._client.hkeys(keys.tenants()):
            found += await self._claims(tenant.decode("ascii"))
        return sorted(found, key=lambda one: (one.domain, one.tenant))

    async def get(self, tenant: str, domain: str) -> SendingDomain | None:
        """The domain if it is the tenant's, or his claim to it; None if he has none. InvalidDomain."""
        return (await self._own(tenant, normalise(domain)))[2]

    async def find(self, domain: str) -> SendingDomain | None:
        """The domain, whoever owns it. InvalidDomain."""
        return (await self._read(normalise(domain)))[1]

    async def _claims(self, tenant: str) -> list[SendingDomain]:
        return [_decode(one) for one in (await self._client.hgetall(keys.domain_claims(tenant))).values()]

    # To sign with

    async def for_sending(
        self, tenant: str, domain: str, *, any_from_domain: bool, most: int | None = None
    ) -> SendingDomain:
        """The domain with its keys, if the tenant may write From it, remembered for `CACHE_SECONDS`. With
        `any_from_domain` a free one is taken. InvalidDomain; DomainTaken if another owns it, or it is the
        installation's; LookupError if nobody does and the tenant has to add it, NotShown if he has done that."""
        name = normalise(domain)
        if domain_names.at_or_below(name, self._ours):
            raise DomainTaken(f"{name} is the installation's")
        (known,) = self._cache.known(name) or (None,)
        if known is None or known.tenant != tenant:
            known = await self._find(tenant, name, any_from_domain, most)
            self._cache.keep(name, (known,), CACHE_SECONDS)
        return known

    async def of_installation(self, domain: str) -> SendingDomain | None:
        """The domain if it is the installation's own, remembered for `CACHE_SECONDS`, as is that it is not."""
        name = normalise(domain)
        remembered = self._cache.known(name)
        if remembered is None:
            remembered = ((await self._read(name))[1],)
            self._cache.keep(name, remembered, CACHE_SECONDS)
        (known,) = remembered
        return known if known is not None and known.tenant == INSTALLATION else None

    def private_key(self, domain: str, key: Key) -> str:
        """The PEM text of a domain's key. CannotOpen."""
        return self._vault.open(key.sealed, domain, key.selector)

    # To change them

    async def add(self, tenant: str, domain: str, most: int | None = None) -> tuple[SendingDomain, bool]:
        """The tenant's domain or his claim to it, and whether it is new. A second time changes nothing. What others
        have or claim makes no difference. `most`: the tenant's quota of domains. InvalidDomain; Problem 429 beyond the
        quota."""
        name = self.normalised(domain)
        made: SendingDomain | None = None
        while True:
            _, _, own = await self._own(tenant, name)
            if own is not None:
                return own, False
            made = made or await self._make(tenant, name, most)
            if await self._swap([Swap(keys.domain_claims(tenant), name, b"", _packed(made))]):
                await self._counts(tenant, name)
                return made, True

    def normalised(self, domain: str) -> str:
        """The name if a tenant may ask for it. InvalidDomain."""
        name = normalise(domain)
        domain_names.refuse_nobodys(name)
        domain_names.refuse_reserved(name)
        if host := domain_names.at_or_below(name, self._ours) or domain_names.above(name, self._ours):
            raise InvalidDomain(f"{name} is at, above or below {host}, which is a host of this installation")
        return name

    async def give(self, tenant: str, domain: str) -> tuple[SendingDomain, bool]:
        """An operator's word that the domain is this tenant's, or the installation's; whether it is new. Others keep
        their claims. InvalidDomain; DomainTaken if it is another's: take it from him first."""
        name = normalise(domain)
        if tenant != INSTALLATION:
            domain_names.refuse_nobodys(name)
            if host := domain_names.at_or_below(name, self._ours):
                raise InvalidDomain(f"{name} is at or below {host}, which is a host of this installation")
        made: SendingDomain | None = None
        while True:
            packed, owner = await self._read(name)
            if owner is not None and owner.tenant != tenant and not owner.by_use:
                whose = f"tenant {owner.tenant}" if owner.tenant else "the installation"
                raise DomainTaken(f"{name} belongs to {whose}: take it from there first")
            claimed, claim = await self._claim(tenant, name)
            own = owner if owner is not None and owner.tenant == tenant else None
            if own is not None and own.proof == "operator":
                return own, False
            if (own or claim) is None:
                made = made or await self._make(tenant, name, None)
            given = msgspec.structs.replace(cast(SendingDomain, own or claim or made), by_use=False, proof="operator")
            swaps = [*self._claim_swaps(tenant, name, claimed), await self._kin_swap(name, tenant)]
            if await self._swap([Swap(keys.domains(), name, packed, _packed(self._resealed(given))), *swaps]):
                await self._counts(tenant, name)
                _log.info("domain_given", domain=name, tenant=tenant)
                return given, own is None or own.by_use

    async def take(self, domain: str) -> SendingDomain | None:
        """An operator takes the domain from its owner, who keeps its keys and gets it back from an operator alone. What
        waits to be sent From it waits on. None if it is nobody's. InvalidDomain."""
        name = normalise(domain)
        while True:
            packed, owner = await self._read(name)
            if owner is None:
                return None
            taken = msgspec.structs.replace(owner, by_use=False, proof="taken_back")
            swaps = [Swap(keys.domains(), name, packed, b""), await self._kin_swap(name, None)]
            if owner.tenant != INSTALLATION:
                claimed, _ = await self._claim(owner.tenant, name)
                swaps.append(Swap(keys.domain_claims(owner.tenant), name, claimed, _packed(taken)))
            if await self._swap(swaps):
                _log.info("domain_taken_back", domain=name, tenant=owner.tenant)
                return taken

    async def remove(self, tenant: str, domain: str) -> bool:
        """Whether it was the tenant's, or his claim. InvalidDomain, DomainHeld."""
        name = normalise(domain)
        while True:
            key, packed, own = await self._own(tenant, name)
            if own is None:
                return False
            if own.proof == "taken_back":
                raise DomainHeld(f"an operator took {name} back: an operator alone gives it again")
            kin = [await self._kin_swap(name, None)] if own.proof else []
            if await self._swap([Swap(key, name, packed, b""), *kin]):
                await self._counts_no_more(tenant, name)
                return True

    async def rotate(self, tenant: str, domain: str, most: int | None = None) -> SendingDomain:
        """With new keys to publish, which sign nothing yet; a second time, the same. New keys count as a domain for a
        day. LookupError, InvalidDomain; Problem 429 beyond the quota `most`."""
        made: tuple[Key, ...] = ()

        async def with_new(found: SendingDomain) -> SendingDomain:
            nonlocal made
            kept = dkim_rotation.kept(found.keys, self._now_ms())
            if dkim_rotation.waiting(kept):
                return found
            if not made:
                await self._reserve(tenant, f"{found.domain}@{self._now_ms()}", most)
                made = await self._new_keys(found.domain, "waiting")
            return msgspec.structs.replace(found, keys=(*kept, *made))

        return await self._change(tenant, domain, with_new)

    async def check(self, tenant: str, domain: str, look_up: LookUp) -> SendingDomain:
        """With what DNS shows now; a claim that it shows becomes the tenant's domain (above). LookupError,
        InvalidDomain."""
        checked = await self._change(tenant, domain, lambda found: self._checked(found, look_up))
        if checked.standing in ("pending", "by_use") and checked.is_shown:
            return await self._promoted(tenant, checked.domain, look_up) or checked
        return checked

    async def _checked(self, found: SendingDomain, look_up: LookUp) -> SendingDomain:
        now_ms = self._now_ms()
        texts = await look_up([record.name for record in records(found, now_ms)])
        proof = proof_record(found)
        shown = judge_token(texts[proof.name], proof.value, now_ms) if proof.name in texts else found.shown
        return msgspec.structs.replace(
            found,
            keys=dkim_rotation.checked(dkim_rotation.kept(found.keys, now_ms), found.domain, texts, now_ms),
            dmarc=dkim_rotation.judge_dmarc(texts[f"_dmarc.{found.domain}"], now_ms),
            shown=shown,
        )

    async def _promoted(self, tenant: str, name: str, look_up: LookUp) -> SendingDomain | None:
        """The domain, from now on the tenant's; None where an operator has to decide. DNS has just shown the claim."""
        while True:
            packed, owner = await self._read(name)
            claimed, claim = await self._claim(tenant, name)
            mine = owner if owner is not None and owner.tenant == tenant else claim
            if mine is None or mine.standing not in ("pending", "by_use") or not mine.is_shown:
                return None
            rival = owner if owner is not None and owner.tenant != tenant and not owner.by_use else None
            if rival is not None:
                if rival.proof == "operator":
                    return None
                rival = await self._checked(rival, look_up)
                if rival.may_be_shown:
                    return None
            kin_packed, kin = await self._kin(name)
            if _is_held(name, tenant, kin) or await self._is_barred(tenant, name):
                return None
            proven = msgspec.structs.replace(mine, by_use=False, proof="dns")
            swaps = [
                Swap(keys.domains(), name, packed, _packed(proven)),
                *self._claim_swaps(tenant, name, claimed),
                self._kin_swap_from(name, tenant, kin_packed, kin),
            ]
            if rival is not None:
                before, _ = await self._claim(rival.tenant, name)
                lost = msgspec.structs.replace(rival, proof="")
                swaps.append(Swap(keys.domain_claims(rival.tenant), name, before, _packed(lost)))
            if await self._swap(swaps):
                _log.info("domain_shown", domain=name, tenant=tenant, before=owner.tenant if owner else None)
                return proven

    async def _is_barred(self, tenant: str, name: str) -> bool:
        """Whether an operator took this name, or one above it, from the tenant."""
        taken = [one.domain for one in await self._claims(tenant) if one.proof == "taken_back"]
        return domain_names.at_or_below(name, taken) is not None

    async def activate(self, tenant: str, domain: str, look_up: LookUp | None) -> SendingDomain:
        """With the waiting keys signing, and the former ones retiring. DNS is asked first; without `look_up` it is not,
        and the caller answers for it. NotPublished, NothingWaiting, LookupError, InvalidDomain."""
        if look_up is not None:
            await self.check(tenant, domain, look_up)

        async def with_active(found: SendingDomain) -> SendingDomain:
            faults = dkim_rotation.faults(found.keys, found.domain) if look_up is not None else []
            if faults:
                raise NotPublished(faults)
            return msgspec.structs.replace(found, keys=dkim_rotation.activated(found.keys, self._now_ms()))

        return await self._change(tenant, domain, with_active)

    async def reencrypt(self) -> tuple[int, list[str]]:
        """Encrypts all keys under the current secret; how many domains had others, and which keys cannot be opened."""
        changed, failed = 0, []
        for domain in await self.all():
            if all(self._vault.is_current(key.sealed) for key in domain.keys):
                continue
            with suppress(LookupError):  # removed in the meantime
                now = await self._change(domain.tenant, domain.domain, _as_it_is)
                changed += 1
                failed += [
                    f"{key.selector} of {now.domain}" for key in now.keys if not self._vault.is_current(key.sealed)
                ]
        return changed, failed

    async def _change(
        self, tenant: str, domain: str, change: Callable[[SendingDomain], Awaitable[SendingDomain]]
    ) -> SendingDomain:
        """The tenant's domain or claim, changed. Several may do so at once: each change is made to what is there."""
        name = normalise(domain)
        while True:
            key, packed, found = await self._own(tenant, name)
            if found is None:
                raise LookupError(f"{name} is not among the sending domains of {tenant or 'the installation'}")
            changed = self._resealed(await change(found))
            if changed == found or await self._swap([Swap(key, name, packed, _packed(changed))]):
                return changed

    async def _find(self, tenant: str, name: str, any_from_domain: bool, most: int | None) -> SendingDomain:
        _, found = await self._read(name)
        if found is not None and found.tenant == tenant:
            return found
        if any_from_domain:
            return await self._take_by_use(tenant, name, most)
        if found is not None and not found.by_use and found.tenant == INSTALLATION:
            raise DomainTaken(f"{name} is the installation's")
        _, claim = await self._claim(tenant, name)
        if claim is not None:
            raise NotShown(claim)
        if found is not None and not found.by_use:
            raise DomainTaken(f"{name} belongs to another tenant")
        raise LookupError(f"{name} is not among the sending domains of {tenant}")

    async def _take_by_use(self, tenant: str, name: str, most: int | None) -> SendingDomain:
        """Several processes may do so at once: the first one's keys stay, the others read them."""
        domain_names.refuse_nobodys(name)
        if domain_names.above(name, self._ours):
            raise DomainTaken(f"{name} is above a host of the installation")
        made: SendingDomain | None = None
        while True:
            packed, found = await self._read(name)
            if found is not None and found.tenant == tenant:
                return found
            kin_packed, kin = await self._kin(name)
            if found is not None or any(
                owner != tenant and domain_names.is_kin(name, other) for other, owner in kin.items()
            ):
                raise DomainTaken(f"{name} belongs to another tenant, or is above or below what does")
            if await self._is_barred(tenant, name):
                raise DomainTaken(f"an operator took {name} back")
            claimed, claim = await self._claim(tenant, name)
            if claim is None:
                made = made or await self._make(tenant, name, most)
            taken = msgspec.structs.replace(cast(SendingDomain, claim or made), by_use=True)
            unchanged = Swap(keys.domain_kin(), domain_names.organisation(name), kin_packed, kin_packed)
            swaps = [*self._claim_swaps(tenant, name, claimed), unchanged]
            if await self._swap([Swap(keys.domains(), name, packed, _packed(taken)), *swaps]):
                await self._counts(tenant, name)
                return taken

    async def count(self) -> None:
        """Counts all domains for the quotas of their owners: what broke off before it had counted one is mended."""
        for domain in await self.all():
            await self._counts(domain.tenant, domain.domain)

    async def _counts(self, tenant: str, name: str) -> None:
        await self._client.zadd(keys.tenant_domains(tenant), {name: float("inf")})

    async def _counts_no_more(self, tenant: str, name: str) -> None:
        """But for the keys that were made for it."""
        now_ms = self._now_ms()
        await self._client.zrem(keys.tenant_domains(tenant), name)
        counts = {f"{name}@{now_ms}": now_ms + COUNTED_MS}
        await self._client.zadd(keys.tenant_domains(tenant), counts)

    async def _reserve(self, tenant: str, name: str, most: int | None) -> None:
        """Before keys are made: they are what a domain costs. Problem 429 if the tenant has `most` already."""
        now_ms = self._now_ms()
        args: list[str | bytes | int] = [name, now_ms, now_ms + COUNTED_MS, "" if most is None else most]
        used = int(await _RESERVE(self._client, [keys.tenant_domains(tenant)], args))
        if used >= 0:
            raise exceeded("domains", most or 0, used, RETRY_AFTER_S)

    async def _make(self, tenant: str, name: str, most: int | None) -> SendingDomain:
        await self._reserve(tenant, name, most)
        made = await self._new_keys(name, "signing")
        token = self._chance(TOKEN_BYTES).hex()
        return SendingDomain(name, tenant, created_at=self._now_ms(), keys=made, token=token)

    async def _new_keys(self, name: str, state: State) -> tuple[Key, ...]:
        return await asyncio.get_running_loop().run_in_executor(
            self._making,
            lambda: tuple(self._new_key(name, self._make_key(algorithm), state) for algorithm in ALGORITHMS),
        )

    def _new_key(self, name: str, pem: str, state: State) -> Key:
        selector = dkim_keys.selector(pem)
        sealed = self._vault.seal(pem, name, selector, self._chance(dkim_keys.NONCE_BYTES))
        return Key(selector, dkim_keys.algorithm(pem), sealed, dkim_keys.record(pem), state, self._now_ms())

    def _resealed(self, domain: SendingDomain) -> SendingDomain:
        """With its keys under the current secret; what cannot be opened stays as it is."""
        return msgspec.structs.replace(
            domain, keys=tuple(self._resealed_key(domain.domain, key) for key in domain.keys)
        )

    def _resealed_key(self, domain: str, key: Key) -> Key:
        if self._vault.is_current(key.sealed):
            return key
        try:
            pem = self.private_key(domain, key)
        except CannotOpen:
            return key
        sealed = self._vault.seal(pem, domain, key.selector, self._chance(dkim_keys.NONCE_BYTES))
        return msgspec.structs.replace(key, sealed=sealed)

    async def _read(self, name: str) -> tuple[bytes, SendingDomain | None]:
        packed = await self._client.hget(keys.domains(), name)
        return (b"", None) if packed is None else (packed, _decode(packed))

    async def _claim(self, tenant: str, name: str) -> tuple[bytes, SendingDomain | None]:
        packed = await self._client.hget(keys.domain_claims(tenant), name)
        return (b"", None) if packed is None else (packed, _decode(packed))

    async def _own(self, tenant: str, name: str) -> tuple[str, bytes, SendingDomain | None]:
        """The hash that has the tenant's domain or claim, and what stands there."""
        packed, found = await self._read(name)
        if found is not None and found.tenant == tenant:
            return keys.domains(), packed, found
        return keys.domain_claims(tenant), *await self._claim(tenant, name)

    def _claim_swaps(self, tenant: str, name: str, claimed: bytes) -> list[Swap]:
        """The claim goes: it has become more."""
        return [Swap(keys.domain_claims(tenant), name, claimed, b"")]

    async def _kin(self, name: str) -> tuple[bytes, dict[str, str]]:
        """Whose the names of the same registered domain are, of those that are somebody's for good."""
        packed = await self._client.hget(keys.domain_kin(), domain_names.organisation(name))
        return (b"", {}) if packed is None else (packed, msgspec.msgpack.decode(packed, type=dict[str, str]))

    async def _kin_swap(self, name: str, tenant: str | None) -> Swap:
        """The name is this tenant's among its kin, or nobody's."""
        return self._kin_swap_from(name, tenant, *await self._kin(name))

    def _kin_swap_from(self, name: str, tenant: str | None, packed: bytes, kin: Mapping[str, str]) -> Swap:
        others = {other: owner for other, owner in kin.items() if other != name}
        after = others if tenant is None else {**others, name: tenant}
        new = msgspec.msgpack.encode(after) if after else b""
        return Swap(keys.domain_kin(), domain_names.organisation(name), packed, new)

    async def _swap(self, swaps: Sequence[Swap]) -> bool:
        """Whether nobody else was faster."""
        for one in swaps:
            self._cache.forget(one.field)
        arguments = [part for one in swaps for part in (one.field, one.expected, one.new)]
        return bool(await _SWAP(self._client, [one.key for one in swaps], arguments))

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _how_to_show(domain: SendingDomain) -> str:
    name = domain.domain
    if domain.waits_for == "operator":
        return f"an operator has to decide whose {name} is: nothing is sent from it until then"
    record = proof_record(domain)
    return (
        f"DNS does not show yet that {name} is yours: publish the TXT record {record.name} that says {record.value}, "
        f"or one of its DKIM records, then POST /v1/domains/{name}/check"
    )


def _is_held(name: str, tenant: str, kin: Mapping[str, str]) -> bool:
    """Whether what is above the name is another owner's; for the installation's own, what is below it counts too."""
    return any(
        owner != tenant
        and (domain_names.is_below(name, other) or (owner == INSTALLATION and domain_names.is_kin(name, other)))
        for other, owner in kin.items()
    )


def _packed(domain: SendingDomain) -> bytes:
    return msgspec.msgpack.encode(domain)


def _decode(packed: bytes) -> SendingDomain:
    return msgspec.msgpack.decode(packed, type=SendingDomain)


async def _as_it_is(found: SendingDomain) -> SendingDomain:
    return found
